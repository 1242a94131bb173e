"""Input: where the arrays of a call enter a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rnncc.errors import ArgumentError, caller
from rnncc.graph.ir import Graph
from rnncc.graph.rewrite import substitute, substitute_outputs
from rnncc.graph.symbolic import Tensor, input_tensor
from rnncc.graph.trace import fresh_extent
from rnncc.graph.value import Value
from rnncc.layers.base import Layer
from rnncc.layers.checks import not_yet
from rnncc.layers.history import History, history_of, new_call
from rnncc.layers.naming import unique_name
from rnncc.numeric import whole_number
from rnncc.types import Dim, DType, TensorType, dtype_of

ShapeLike = Sequence[int | str | None]


class InputLayer(Layer):
    """The layer behind `Input`: it has no weights, and its output is the array that comes with a call.

    Args:
        shape: shape of one sample, without the batch; None for an extent that is bound at the call.
        batch_size: the batch size when it is always the same, else None.
        dtype: element type of the arrays; None for float32, or int64 when the input only feeds Embeddings.
        sparse: only False is known.
        ragged: only False is known.
        batch_shape: the shape with the batch, instead of `shape` and `batch_size`.
        name: the layer's and input's name; by default input_1, input_2, ...

    Example:
        >>> layers.InputLayer(shape=(None, 8)).output.shape
        (None, None, 8)

    Source: Keras 3, ``keras.layers.InputLayer``.
    """

    def __init__(
        self,
        shape: ShapeLike | None = None,
        batch_size: int | None = None,
        dtype: Any = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: ShapeLike | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        if sparse or ragged:
            raise not_yet("Input", "sparse or ragged arrays", "pass dense arrays")
        dims = _whole_shape(shape, batch_size, batch_shape)
        self.is_undecided = dtype is None
        element = DType.F32 if dtype is None else dtype_of(dtype)
        type = TensorType(DType.I64 if element.is_integer else element, _dims(dims))
        tensor = input_tensor(type, self.name)
        call = new_call(self, 0, ())
        tensor.history = History(call, 0)
        self._calls.append((call, (tensor,)))
        self.built = True

    def _default_name(self) -> str:
        return unique_name("input", first=1)

    def call(self, inputs: Tensor) -> Tensor:
        """The input itself."""
        return inputs


def Input(
    shape: ShapeLike | None = None,
    batch_size: int | None = None,
    dtype: Any = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: ShapeLike | None = None,
    name: str | None = None,
) -> Tensor:
    """A symbolic tensor that stands for the arrays a model is called with.

    Args:
        shape: shape of one sample, without the batch: ``(None,)`` for sequences of any length, ``(None, 64)`` for
            sequences of vectors. None is an extent that is bound at each call: one compilation serves all sizes. A
            string names an extent; inputs that use the same name must agree on its size at each call.
        batch_size: the batch size when it is always the same; None (the default) for any. All inputs of a model share
            the batch.
        dtype: element type of the arrays: "float32", "float64", "int32", "int64" or "bool". Integers are kept as
            int64. None (the default) means float32, or int64 when the input is only used by `Embedding` layers.
        sparse: only False is known.
        ragged: only False is known.
        batch_shape: the shape with the batch in front, instead of `shape` and `batch_size`.
        name: name of the input, by which a call can pass it; by default input_1, input_2, ...

    Returns:
        A symbolic tensor of shape ``(batch, *shape)``.

    Raises:
        ArgumentError: `shape` is not a tuple of sizes, names and None.

    Example:
        >>> tokens = layers.Input(shape=(None,))
        >>> tokens.shape
        (None, None)
        >>> layers.Embedding(input_dim=1000, output_dim=64)(tokens).shape
        (None, None, 64)

    Source: Keras 3, ``keras.Input``.
    """
    layer = InputLayer(shape, batch_size, dtype, sparse, ragged, batch_shape, name)
    tensor = layer.output
    assert isinstance(tensor, Tensor)
    return tensor


def _whole_shape(shape: ShapeLike | None, batch_size: Any, batch_shape: ShapeLike | None) -> ShapeLike:
    if batch_shape is not None:
        if shape is not None or batch_size is not None:
            raise ArgumentError("Input takes batch_shape, or shape and batch_size, not both", place=caller())
        return _checked("batch_shape", batch_shape)
    if shape is None:
        raise ArgumentError("Input needs a shape", place=caller(), remedy="for token sequences: Input(shape=(None,))")
    return _checked("batch_size", (batch_size,)) + _checked("shape", shape)


def _checked(name: str, shape: object) -> tuple[int | str | None, ...]:
    if not isinstance(shape, list | tuple):
        raise ArgumentError(
            f"{name} of Input must be a tuple with one entry per axis",
            f"{name}: {shape!r}",
            place=caller(),
            remedy=f"write {name}=({shape!r},)",
        )
    sizes = [whole_number(dim, 0) for dim in shape]
    for dim, size in zip(shape, sizes, strict=True):
        if not (dim is None or size is not None or (isinstance(dim, str) and dim.isidentifier())):
            raise ArgumentError(
                f"{name} of Input holds {dim!r}",
                f"{name}: {shape!r}",
                place=caller(),
                remedy="each entry is a size, None for any size, or a name for any size",
            )
    return tuple(dim if size is None else size for dim, size in zip(shape, sizes, strict=True))


def _dims(shape: ShapeLike) -> tuple[Dim, ...]:
    """The shape with a named extent for every None: B for the batch, T for time, D for others."""
    letters = ["B", "T"]
    dims: list[Dim] = []
    for axis, dim in enumerate(shape):
        unknown = "B" if axis == 0 else fresh_extent(letters[axis] if axis < len(letters) else "D")
        dims.append(unknown if dim is None else dim)
    return tuple(dims)


def is_undecided(tensor: Tensor) -> bool:
    """True for an Input that was declared without an element type."""
    history = history_of(tensor)
    return history is not None and isinstance(history.call.layer, InputLayer) and history.call.layer.is_undecided


def decide_inputs(graph: Graph, undecided: Sequence[bool]) -> Graph:
    """Give inputs that were declared without an element type the type i64 when they are only used as indices.

    before:  ids: f32[B, T];  a = cast(ids, dtype=i64);  take(table, a)
    after:   ids: i64[B, T];  take(table, ids)
    """
    new: dict[Value, Value] = {}
    for value, is_open in zip(graph.arguments, undecided, strict=True):
        users = [node for node in graph.nodes if value in node.inputs]
        only_cast = all(node.op.name == "cast" and node.attrs["dtype"] is DType.I64 for node in users)
        if is_open and users and only_cast and value not in graph.outputs:
            new[value] = Value(value.name, TensorType(DType.I64, value.type.shape))
            new.update({node.output: new[value] for node in users})
    if not new:
        return graph
    nodes = [substitute(node, new) for node in graph.nodes if not any(value in new for value in node.outputs)]
    inputs = tuple(new.get(value, value) for value in graph.inputs)
    return replace(substitute_outputs(graph, nodes, new), inputs=inputs)
