"""Masking: marks the steps of a sequence that hold nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnncc.graph.symbolic import Tensor
from rnncc.layers.base import Layer
from rnncc.layers.checks import number
from rnncc.layers.core import as_float
from rnncc.layers.specs import InputSpec
from rnncc.ops import functions as ops


class Masking(Layer):
    """Marks steps to skip: those whose features all equal `mask_value`.

    The output carries a mask, which the recurrent layers after it follow; the marked steps become zeros.

    Args:
        mask_value: Number that fills the steps to skip.
        activity_regularizer: Kept for training; it changes nothing at inference.
        trainable: Accepted as everywhere; the layer has no weights.
        dtype: Element type of the computation: "float32" (the default) or "float64".
        name: The layer's name; by default masking, masking_1, ...
        input_shape: Shape of one input without the batch, when the layer comes first in a `Sequential`.
        batch_input_shape: The same with the batch size (or None) in front.

    Input shape:
        Floats of shape ``(batch, time, ..., width)``.

    Output shape:
        The same. The mask has the shape without the last axis.

    Example:
        >>> x = np.random.random((2, 5, 3))
        >>> x[:, 3:] = 0.0  # both sequences end after three steps
        >>> model = rnncc.Sequential([layers.Input(shape=(None, 3)), layers.Masking(), layers.LSTM(4)])
        >>> np.allclose(model(x), model(x[:, :3]))
        True

    Source: Keras 3, ``keras.layers.Masking``.
    """

    supports_masking = True

    def __init__(
        self,
        mask_value: float = 0.0,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
        input_shape: Sequence[int | None] | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
    ) -> None:
        super().__init__(
            activity_regularizer=activity_regularizer,
            trainable=trainable,
            dtype=dtype,
            name=name,
            input_shape=input_shape,
            batch_input_shape=batch_input_shape,
        )
        self.mask_value = number("Masking", "mask_value", mask_value)
        self.input_spec = InputSpec("(batch, time, ..., width)", min_ndim=2)

    def call(self, inputs: Tensor) -> Tensor:
        """The inputs, zero where they are marked."""
        x = as_float(inputs, self.dtype)
        counts = ops.max(ops.cast(ops.not_equal(x, self.mask_value), self.dtype), axis=-1, keepdims=True)
        is_kept = ops.greater(counts, 0)
        result = ops.where(is_kept, x, 0)
        result.mask = ops.squeeze(is_kept, -1)
        return result
