"""Dropout layers: in training they drop a share of their input, at inference they hand on what they are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnncc.errors import ArgumentError, ShapeError, caller
from rnncc.graph.symbolic import Tensor, shown
from rnncc.layers.base import Layer
from rnncc.layers.checks import rate as checked_rate
from rnncc.layers.seeds import SeedGenerator, dropout_mask
from rnncc.layers.specs import InputSpec
from rnncc.numeric import whole_number
from rnncc.ops import functions as ops
from rnncc.types import Dim


class Dropout(Layer):
    """Drops a share of its input in training (Srivastava et al. 2014); at inference the output is the input.

    Args:
        rate: Share of the elements to drop, 0 to 1.
        noise_shape: Shape of the mask in training, with 1 for axes that share it and None for those of the input;
            by default that of the input.
        seed: A whole number. Layers with one seed have the same masks in the same order; by default each has others.
        trainable: Accepted as everywhere; the layer has no weights.
        dtype: Element type of the computation: "float32" (the default) or "float64".
        name: The layer's name; by default dropout, dropout_1, ...
        input_shape: Shape of one input without the batch, when the layer comes first in a `Sequential`.
        batch_input_shape: The same with the batch size (or None) in front.

    Call arguments:
        inputs: a tensor of any shape.
        training: True drops elements, others at every call, and scales the rest by 1 / (1 - rate). In a cell, others
            at every step as well; what the built-in cells drop is the same at every step.

    Output shape:
        That of the input.

    Raises:
        ArgumentError: `rate` is not a number from 0 to 1, or `noise_shape` or `seed` is not what it should be.
        ShapeError: `noise_shape` does not fit the input.

    Example:
        >>> layers.Dropout(0.5)(np.array([[1.0, 2.0]]))
        array([[1., 2.]], dtype=float32)
    """

    supports_masking = True

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        *,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
        input_shape: Sequence[int | None] | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
    ) -> None:
        self.rate = checked_rate(type(self).__name__, "rate", rate)
        super().__init__(
            trainable=trainable,
            dtype=dtype,
            name=name,
            input_shape=input_shape,
            batch_input_shape=batch_input_shape,
        )
        self.noise_shape = _checked_shape(type(self).__name__, noise_shape)
        self.seed = seed
        self.seed_generator = SeedGenerator(type(self).__name__, seed)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """The input itself, or in training what is left of it."""
        if not training or self.rate == 0:
            return inputs
        mask = dropout_mask(self.seed_generator.key(self.name), self._mask_shape(inputs), self.rate, inputs.dtype)
        return ops.where(mask > 0, inputs * mask, ops.zeros_like(mask))

    def _mask_shape(self, inputs: Tensor) -> tuple[Dim, ...]:
        """The dims of `noise_shape`, with those of the input for None."""
        shape = inputs.type.shape
        given = shape if self.noise_shape is None else self.noise_shape
        if len(given) != len(shape) or any(dim not in (None, 1, own) for dim, own in zip(given, shape, strict=True)):
            raise ShapeError(
                f"noise_shape of {self.name} does not fit its input",
                f"noise_shape: {self.noise_shape}",
                shown(inputs),
                place=caller(),
                remedy="give it an entry for each axis: 1 shares the mask along the axis, None does not",
            )
        return tuple(own if dim is None else dim for dim, own in zip(given, shape, strict=True))


def _checked_shape(kind: str, shape: Any) -> tuple[int | None, ...] | None:
    if shape is None:
        return None
    dims = tuple(shape) if isinstance(shape, list | tuple) else (0,)
    sizes = tuple(whole_number(dim, 1) for dim in dims)
    if any(dim is not None and size is None for dim, size in zip(dims, sizes, strict=True)):
        raise ArgumentError(
            f"noise_shape of {kind} must be a tuple of sizes above 0 and None",
            f"noise_shape: {shape!r}",
            place=caller(),
        )
    return sizes


class SpatialDropout1D(Dropout):
    """Drops whole features of a sequence in training (Tompson et al. 2015); at inference the output is the input.

    Args:
        rate: Share of the features to drop, 0 to 1; a dropped one is dropped at all steps.
        seed: A whole number. Layers with one seed have the same masks in the same order; by default each has others.
        trainable: Accepted as everywhere; the layer has no weights.
        dtype: Element type of the computation: "float32" (the default) or "float64".
        name: The layer's name; by default spatial_dropout1d, spatial_dropout1d_1, ...
        input_shape: Shape of one input without the batch, when the layer comes first in a `Sequential`.
        batch_input_shape: The same with the batch size (or None) in front.

    Call arguments:
        inputs: a tensor of shape ``(batch, time, width)``.
        training: True drops elements, others at every call, and scales the rest by 1 / (1 - rate).

    Output shape:
        That of the input.

    Raises:
        ArgumentError: `rate` is not a number from 0 to 1, or `seed` is no whole number.
        ShapeError: the input has another rank.

    Example:
        >>> layers.SpatialDropout1D(0.2)(layers.Input((None, 8))).shape
        (None, None, 8)
    """

    def __init__(
        self,
        rate: float,
        seed: int | None = None,
        *,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
        input_shape: Sequence[int | None] | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
    ) -> None:
        super().__init__(
            rate,
            seed=seed,
            trainable=trainable,
            dtype=dtype,
            name=name,
            input_shape=input_shape,
            batch_input_shape=batch_input_shape,
        )
        self.input_spec = InputSpec("(batch, time, width)", ndim=3)

    def _mask_shape(self, inputs: Tensor) -> tuple[Dim, ...]:
        batch, _, width = inputs.type.shape
        return batch, 1, width
