"""Dropout layers: at inference they hand on what they are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnncc.errors import UnsupportedError, caller
from rnncc.graph.symbolic import Tensor
from rnncc.layers.base import Layer
from rnncc.layers.checks import rate as checked_rate
from rnncc.layers.specs import InputSpec


class Dropout(Layer):
    """Drops a share of its input in training (Srivastava et al. 2014); at inference the output is the input.

    Args:
        rate: Share of the elements to drop, 0 to 1.
        noise_shape: Shape of the mask in training, with 1 for axes that share it; kept for training.
        seed: Seed of the mask; kept for training.
        trainable: Accepted as everywhere; the layer has no weights.
        dtype: Element type of the computation: "float32" (the default) or "float64".
        name: The layer's name; by default dropout, dropout_1, ...
        input_shape: Shape of one input without the batch, when the layer comes first in a `Sequential`.
        batch_input_shape: The same with the batch size (or None) in front.

    Call arguments:
        inputs: a tensor of any shape.
        training: True, with a rate above 0, is not supported yet.

    Output shape:
        That of the input.

    Raises:
        ArgumentError: `rate` is not a number from 0 to 1.
        UnsupportedError: the layer is called with training=True.

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
        self.noise_shape = noise_shape
        self.seed = seed

    def call(self, inputs: Tensor) -> Tensor:
        """The input itself."""
        return inputs

    def _check_training(self) -> None:
        if self.rate > 0:
            raise UnsupportedError(
                f"{self.name} cannot be called with training=True yet: it has rate={self.rate}",
                place=caller(),
                remedy="leave training out: at inference dropout does nothing",
            )


class SpatialDropout1D(Dropout):
    """Drops whole features of a sequence in training (Tompson et al. 2015); at inference the output is the input.

    Args:
        rate: Share of the features to drop, 0 to 1; a dropped one is dropped at all steps.
        seed: Seed of the mask; kept for training.
        trainable: Accepted as everywhere; the layer has no weights.
        dtype: Element type of the computation: "float32" (the default) or "float64".
        name: The layer's name; by default spatial_dropout1d, spatial_dropout1d_1, ...
        input_shape: Shape of one input without the batch, when the layer comes first in a `Sequential`.
        batch_input_shape: The same with the batch size (or None) in front.

    Call arguments:
        inputs: a tensor of shape ``(batch, time, width)``.
        training: True, with a rate above 0, is not supported yet.

    Output shape:
        That of the input.

    Raises:
        ArgumentError: `rate` is not a number from 0 to 1.
        ShapeError: the input has another rank.
        UnsupportedError: the layer is called with training=True.

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
