"""Layers that move elements and compute nothing: Reshape, Flatten, Permute, RepeatVector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnncc.errors import ArgumentError, ShapeError, caller
from rnncc.graph.symbolic import Tensor, shown
from rnncc.layers.base import Layer
from rnncc.layers.checks import positive
from rnncc.layers.specs import InputSpec
from rnncc.numeric import whole_number
from rnncc.ops import functions as ops
from rnncc.types import Dim


class Reshape(Layer):
    """The same elements, in row-major order, under another shape.

    Args:
        target_shape: Shape of one sample, without the batch; one size may be -1, for what is left.
        trainable: Accepted as everywhere; the layer has no weights.
        dtype: Element type of the computation: "float32" (the default) or "float64".
        name: The layer's name; by default reshape, reshape_1, ...
        input_shape: Shape of one input without the batch, when the layer comes first in a `Sequential`.
        batch_input_shape: The same with the batch size (or None) in front.

    Input shape:
        ``(batch, ...)``. A size that is known at the call only may be kept whole, as what -1 stands for.

    Output shape:
        ``(batch, *target_shape)``.

    Raises:
        ArgumentError: `target_shape` is not a tuple of sizes.
        ShapeError: the number of elements differs, or would have to be computed from a size that is not fixed.

    Example:
        >>> layers.Reshape((-1, 2, 3))(layers.Input((None, 6))).shape
        (None, None, 2, 3)

    Source: Keras 3, ``keras.layers.Reshape``.
    """

    def __init__(
        self,
        target_shape: Sequence[int],
        *,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
        input_shape: Sequence[int | None] | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
    ) -> None:
        self.target_shape = _whole_numbers("Reshape", "target_shape", target_shape)
        if min(self.target_shape, default=0) < -1 or self.target_shape.count(-1) > 1:
            raise ArgumentError(
                "target_shape of Reshape must be sizes, and -1 at most once",
                f"target_shape: {target_shape!r}",
                place=caller(),
            )
        super().__init__(
            trainable=trainable,
            dtype=dtype,
            name=name,
            input_shape=input_shape,
            batch_input_shape=batch_input_shape,
        )

    def call(self, inputs: Tensor) -> Tensor:
        """The elements of each sample under the new shape."""
        try:
            return ops.reshape(inputs, (inputs.type.shape[0], *self.target_shape))
        except ShapeError:
            raise _no_shape(self, inputs, f"target_shape: {self.target_shape}") from None


class Flatten(Layer):
    """All elements of a sample in one row.

    Args:
        data_format: "channels_last" (the default), or "channels_first": axis 1 is then read as if it were the last.
        trainable: Accepted as everywhere; the layer has no weights.
        dtype: Element type of the computation: "float32" (the default) or "float64".
        name: The layer's name; by default flatten, flatten_1, ...
        input_shape: Shape of one input without the batch, when the layer comes first in a `Sequential`.
        batch_input_shape: The same with the batch size (or None) in front.

    Input shape:
        ``(batch, ...)``; at most one size may be open (known at the call only), if all others are 1.

    Output shape:
        ``(batch, elements)``; ``(batch, 1)`` for an input of shape ``(batch,)``.

    Raises:
        ArgumentError: `data_format` is unknown.
        ShapeError: the number of elements would have to be computed from a size that is not fixed.

    Example:
        >>> layers.Flatten()(layers.Input((10, 64))).shape
        (None, 640)

    Source: Keras 3, ``keras.layers.Flatten``.
    """

    def __init__(
        self,
        data_format: str | None = None,
        *,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
        input_shape: Sequence[int | None] | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
    ) -> None:
        if data_format not in (None, "channels_last", "channels_first"):
            raise ArgumentError(
                "data_format of Flatten must be 'channels_last' or 'channels_first'",
                f"data_format: {data_format!r}",
                place=caller(),
            )
        super().__init__(
            trainable=trainable,
            dtype=dtype,
            name=name,
            input_shape=input_shape,
            batch_input_shape=batch_input_shape,
        )
        self.data_format = data_format or "channels_last"
        self.input_spec = InputSpec("(batch, ...)", min_ndim=1)

    def call(self, inputs: Tensor) -> Tensor:
        """One row a sample."""
        if self.data_format == "channels_first" and inputs.ndim > 1:
            inputs = ops.transpose(inputs, (0, *range(2, inputs.ndim), 1))
        batch, *sizes = inputs.type.shape
        try:
            return ops.reshape(inputs, (batch, -1))
        except ShapeError:
            raise _no_shape(self, inputs, f"elements of a sample: {' * '.join(map(_plain, sizes))}") from None


class Permute(Layer):
    """The axes of each sample in another order.

    Args:
        dims: The order, numbered from 1 (the batch, 0, stays first): ``(2, 1)`` swaps the two axes of a sample.
        trainable: Accepted as everywhere; the layer has no weights.
        dtype: Element type of the computation: "float32" (the default) or "float64".
        name: The layer's name; by default permute, permute_1, ...
        input_shape: Shape of one input without the batch, when the layer comes first in a `Sequential`.
        batch_input_shape: The same with the batch size (or None) in front.

    Input shape:
        ``(batch, ...)`` with as many axes behind the batch as `dims` has entries.

    Output shape:
        Axis i is axis ``dims[i - 1]`` of the input.

    Raises:
        ArgumentError: `dims` is not a permutation of 1 to the number of its entries.
        ShapeError: the input has another rank.

    Example:
        >>> layers.Permute((2, 1))(layers.Input((10, 64))).shape
        (None, 64, 10)

    Source: Keras 3, ``keras.layers.Permute``.
    """

    def __init__(
        self,
        dims: Sequence[int],
        *,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
        input_shape: Sequence[int | None] | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
    ) -> None:
        self.dims = _whole_numbers("Permute", "dims", dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ArgumentError(
                f"dims of Permute must hold each of 1 to {len(self.dims)} once: the batch, axis 0, stays first",
                f"dims: {dims!r}",
                place=caller(),
            )
        super().__init__(
            trainable=trainable,
            dtype=dtype,
            name=name,
            input_shape=input_shape,
            batch_input_shape=batch_input_shape,
        )
        self.input_spec = InputSpec("the batch and one axis for each entry of dims", ndim=len(self.dims) + 1)

    def call(self, inputs: Tensor) -> Tensor:
        """The axes in the new order."""
        return ops.transpose(inputs, (0, *self.dims))


class RepeatVector(Layer):
    """Each vector n times, as a sequence: what a decoder reads at every step.

    Args:
        n: Integer. The number of steps.
        trainable: Accepted as everywhere; the layer has no weights.
        dtype: Element type of the computation: "float32" (the default) or "float64".
        name: The layer's name; by default repeat_vector, repeat_vector_1, ...
        input_shape: Shape of one input without the batch, when the layer comes first in a `Sequential`.
        batch_input_shape: The same with the batch size (or None) in front.

    Input shape:
        ``(batch, width)``.

    Output shape:
        ``(batch, n, width)``.

    Raises:
        ArgumentError: `n` is not a whole number above 0.
        ShapeError: the input has another rank.

    Example:
        >>> layers.RepeatVector(3)(layers.Input((32,))).shape
        (None, 3, 32)

    Source: Keras 3, ``keras.layers.RepeatVector``.
    """

    def __init__(
        self,
        n: int,
        *,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
        input_shape: Sequence[int | None] | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
    ) -> None:
        self.n = positive("RepeatVector", "n", n)
        super().__init__(
            trainable=trainable,
            dtype=dtype,
            name=name,
            input_shape=input_shape,
            batch_input_shape=batch_input_shape,
        )
        remedy = "a recurrent layer before it must not have return_sequences=True"
        self.input_spec = InputSpec("(batch, width)", ndim=2, remedy=remedy)

    def call(self, inputs: Tensor) -> Tensor:
        """n steps of the same vector."""
        batch, width = inputs.type.shape
        return ops.broadcast_to(ops.expand_dims(inputs, 1), (batch, self.n, width))


def _whole_numbers(kind: str, name: str, value: Any) -> tuple[int, ...]:
    numbers = [whole_number(item) for item in (value if isinstance(value, list | tuple) else (value,))]
    if None in numbers:
        raise ArgumentError(f"{name} of {kind} must be a tuple of whole numbers", f"{name}: {value!r}", place=caller())
    return tuple(number for number in numbers if number is not None)


def _plain(dim: Dim) -> str:
    return str(dim).partition("?")[0]


def _no_shape(layer: Layer, inputs: Tensor, wanted: str) -> ShapeError:
    """The error for a shape that does not hold the elements of a sample, or would have to be computed at the call."""
    is_open = any(dim is None for dim in inputs.shape[1:])
    what = "needs a size that would be computed at the call" if is_open else "cannot keep all elements"
    return ShapeError(
        f"{layer.name} ({type(layer).__name__}) {what}",
        shown(inputs),
        wanted,
        place=caller(),
        remedy="give the axes of the Input fixed sizes, e.g. Input(shape=(10, 8))" if is_open else None,
    )
