"""Sequential: a model that is a list of layers, each applied to the output of the one before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rnncc.arrays import PAD_ROWS, as_numpy
from rnncc.errors import ArgumentError, StructureError, caller
from rnncc.graph.symbolic import Tensor, shown
from rnncc.layers.base import Layer
from rnncc.layers.connected import check_names
from rnncc.layers.history import history_of, outside_layers
from rnncc.layers.inputs import InputLayer
from rnncc.layers.model import Model
from rnncc.layers.owner import building
from rnncc.layers.summary import Row
from rnncc.ops.structure import flatten


class Sequential(Model):
    """A list of layers, each applied to the output of the one before.

    The weights are created as soon as the shape of the input is known: from an `Input` in first place, from the
    `input_shape` of the first layer, from an `Embedding` in first place (which takes token ids of any length), or at
    the first call.

    Args:
        layers: The layers, in order; more can be added with `add`.
        name: The model's name; by default sequential, sequential_1, ...
        trainable: Whether the weights count as trainable.

    Example:
        >>> model = rnncc.Sequential()
        >>> # Token ids below 1000, embedded into vectors of size 64
        >>> model.add(layers.Embedding(input_dim=1000, output_dim=64))
        >>> model.add(layers.LSTM(128))
        >>> model.add(layers.Dense(10))
        >>> model.output_shape
        (None, 10)
        >>> model.count_params()
        164106
        >>> model(np.zeros((32, 100), int)).shape
        (32, 10)

    Source: Keras 3, ``keras.Sequential``.
    """

    def __init__(self, layers: Sequence[Any] | None = None, name: str | None = None, *, trainable: bool = True) -> None:
        Layer.__init__(self, name=name, trainable=trainable)
        self._stack: list[Layer] = []
        self._tensors: list[Tensor] = []
        """The input, then the output of each layer; empty until the shape of the input is known."""
        self._variants = {}
        if not (layers is None or isinstance(layers, Iterable)) or isinstance(layers, str | Tensor):
            raise ArgumentError(
                f"Sequential takes a list of layers, not {type(layers).__name__}",
                f"given: {layers!r}",
                place=caller(),
                remedy="write Sequential([layer]), or add layers one by one with add",
            )
        for layer in layers or ():
            self.add(layer)

    # -------------------------------------------------------------- the list

    def add(self, layer: Any) -> None:
        """Append a layer (or, in first place, an `Input`).

        Raises:
            ArgumentError: `layer` is not a layer, or its name is taken.
            StructureError: the model would contain itself, or the layer has several outputs.
            ShapeError: the layer cannot take the output of the one before.
        """
        source = _input_of(layer)
        if source is not None:
            self._start(source)
            return
        if not isinstance(layer, Layer):
            raise ArgumentError(
                f"{self.name} takes layers, not {type(layer).__name__}",
                f"given: {layer!r}",
                place=caller(),
                remedy="pass an instance: model.add(layers.LSTM(64))"
                if isinstance(layer, type) or not hasattr(layer, "get_weights")
                else "that is a layer of another library: use the one of rnncc.layers, then set_weights",
            )
        if _contains(layer, self):
            raise StructureError(f"{self.name} cannot contain itself", f"added: {layer.name}", place=caller())
        check_names(self.name, [*self._stack, layer])
        if not self._tensors and not self._stack:
            self._start_for(layer)
        if self._tensors:
            with outside_layers():
                self._apply(layer)
        self._stack.append(layer)
        self._changed()

    def pop(self) -> Layer:
        """Remove the last layer and return it."""
        if not self._stack:
            raise StructureError(f"{self.name} has no layer to remove", place=caller())
        if self._tensors:
            self._tensors.pop()
        removed = self._stack.pop()
        self._changed()
        return removed

    def build(self, input_shape: Any) -> None:
        """Create all weights for inputs of this shape, the batch included: ``(None, 10, 8)``."""
        if not self._tensors:
            with outside_layers():
                self._start(InputLayer(batch_shape=input_shape, name=self._input_name()).output)
        self.built = self._is_whole()

    def _start(self, source: Tensor) -> None:
        if self._tensors:
            raise StructureError(
                f"{self.name} has an input already: an Input can only come first",
                f"input: {shown(self._tensors[0])}",
                place=caller(),
            )
        self._tensors = [source]
        try:
            for layer in self._stack:
                self._apply(layer)
        except Exception:
            self._tensors = []
            raise
        self._changed()

    def _start_for(self, first: Layer) -> None:
        """Make the input that the first layer implies, if it does."""
        name = f"{first.name}_input"
        if isinstance(first, Model) and first.built:
            leaf = first.inputs[0]
            history = history_of(leaf)
            assert history is not None and isinstance(history.call.layer, InputLayer)
            dtype = None if history.call.layer.is_undecided else leaf.dtype
            self._start(InputLayer(batch_shape=leaf.shape, dtype=dtype, name=name).output)
        elif first.declared_shape is not None:
            self._start(InputLayer(batch_shape=tuple(first.declared_shape), name=name).output)

    def _apply(self, layer: Layer) -> None:
        output = layer(self._tensors[-1])
        if not isinstance(output, Tensor):
            count = len(flatten(output))
            what = f"{count} outputs" if count > 1 else f"its output in a {type(output).__name__}"
            raise StructureError(
                f"{layer.name} has {what}: a layer of {self.name} must have one",
                place=caller(),
                remedy="use rnncc.Model(inputs, outputs) for layers with several outputs",
            )
        self._tensors.append(output)

    def _changed(self) -> None:
        self._variants = {}
        self.built = self._is_whole()

    def _is_whole(self) -> bool:
        """Whether there are layers, and all of them were applied."""
        return len(self._tensors) == len(self._stack) + 1 and bool(self._stack)

    def _input_name(self) -> str:
        return f"{self._stack[0].name}_input" if self._stack else f"{self.name}_input"

    # -------------------------------------------------------------- what a Model has

    @property
    def layers(self) -> list[Layer]:
        """The layers in order, without the Input."""
        return list(self._stack)

    @property
    def inputs(self) -> list[Tensor]:
        """The symbolic input."""
        return [self._known()[0]]

    @property
    def outputs(self) -> list[Tensor]:
        """The symbolic output."""
        return [self._known()[-1]]

    def _known(self) -> list[Tensor]:
        if not self.built:
            raise self._not_built()
        return self._tensors

    def _not_built(self) -> StructureError:
        empty = not self._stack
        return StructureError(
            f"{self.name} has no layers" if empty else f"{self.name} does not know the shape of its input yet",
            place=caller(),
            remedy="add a layer" if empty else "put layers.Input(shape=(None, 8)) first, or call the model on an array",
        )

    def __call__(self, /, *inputs: Any, training: bool | None = None, mask: Any = None, **named: Any) -> Any:
        """As `Model`; a model that does not know its input yet takes its shape from the first call."""
        if self._stack and len(inputs) == 1:
            self._build_from(inputs[0])
        self._known()
        return super().__call__(*inputs, training=training, mask=mask, **named)

    def predict(self, x: Any, batch_size: int | None = None, verbose: Any = "auto") -> Any:
        """As `Model.predict`; a model that does not know its input yet takes its shape from `x`."""
        if self._stack:
            self._build_from(x)
        self._known()
        return super().predict(x, batch_size, verbose)

    def _build_from(self, example: Any) -> None:
        """Create the weights for inputs like `example`: batch and inner axes of any size, the last one as it is."""
        if not self.built:
            with building:
                if not self.built:
                    self._start_like(example)

    def _start_like(self, example: Any) -> None:
        if isinstance(example, Tensor):
            shape, kind = example.shape, "i" if example.dtype.is_integer else "f"
        else:
            array = as_numpy(f"the input of {self.name}", example, PAD_ROWS)
            shape, kind = array.shape, array.dtype.kind
        if not shape:
            raise ArgumentError(f"{self.name} was called on a single number: {example!r}", place=caller())
        any_size = (None,) * (len(shape) - 1) + (shape[-1],) if len(shape) > 1 else (None,)
        with outside_layers():
            dtype = "int64" if kind == "i" else None
            self._start(InputLayer(batch_shape=any_size, dtype=dtype, name=self._input_name()).output)

    def _rows(self) -> list[Row]:
        outputs = self._known()[1:]
        return [Row(layer, str(output.shape), ()) for layer, output in zip(self._stack, outputs, strict=True)]

    def _is_chain(self) -> bool:
        return True


def _input_of(item: Any) -> Tensor | None:
    """The tensor of an Input or InputLayer."""
    if isinstance(item, InputLayer):
        return item.output  # type: ignore[no-any-return]
    if isinstance(item, Tensor):
        history = history_of(item)
        if history is not None and isinstance(history.call.layer, InputLayer):
            return item
    return None


def _contains(layer: Layer, wanted: Layer) -> bool:
    return layer is wanted or any(_contains(inner, wanted) for inner in layer.sublayers())
