"""Layers that make one vector of a whole sequence: GlobalAveragePooling1D, GlobalMaxPooling1D."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnncc.errors import ArgumentError, caller
from rnncc.graph.symbolic import Tensor
from rnncc.layers.base import Layer
from rnncc.layers.core import as_float
from rnncc.layers.masks import as_mask
from rnncc.layers.specs import InputSpec
from rnncc.ops import functions as ops


class _GlobalPooling1D(Layer):
    """What both share: which axis the steps are, and whether it is kept."""

    def __init__(
        self,
        data_format: str | None = None,
        keepdims: bool = False,
        *,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
        input_shape: Sequence[int | None] | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
    ) -> None:
        if data_format not in (None, "channels_last", "channels_first"):
            raise ArgumentError(
                f"data_format of {type(self).__name__} must be 'channels_last' or 'channels_first'",
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
        self.keepdims = bool(keepdims)
        self.input_spec = InputSpec("(batch, time, width)", ndim=3)

    @property
    def steps(self) -> int:
        """The axis of the steps."""
        return 1 if self.data_format == "channels_last" else 2


class GlobalAveragePooling1D(_GlobalPooling1D):
    """The mean of all steps of a sequence; with a mask, of those that count.

    Args:
        data_format: "channels_last" (the default), or "channels_first" for inputs of shape ``(batch, width, time)``.
        keepdims: Whether the axis of the steps stays, with size 1.
        trainable: Accepted as everywhere; the layer has no weights.
        dtype: Element type of the computation: "float32" (the default) or "float64".
        name: The layer's name; by default global_average_pooling1d, global_average_pooling1d_1, ...
        input_shape: Shape of one input without the batch, when the layer comes first in a `Sequential`.
        batch_input_shape: The same with the batch size (or None) in front.

    Input shape:
        Floats of shape ``(batch, time, width)``. A mask of shape ``(batch, time)`` travels with it or is given in the
        call; the mean of a sequence of which no step counts is NaN.

    Output shape:
        ``(batch, width)``, or ``(batch, 1, width)`` with `keepdims`. It has no mask.

    Raises:
        ArgumentError: `data_format` is unknown.

    Example:
        >>> x = np.array([[[1.0, 5.0], [3.0, 7.0], [0.0, 0.0]]])
        >>> layers.GlobalAveragePooling1D()(x, mask=np.array([[True, True, False]]))
        array([[2., 6.]], dtype=float32)

    Source: Keras 3, ``keras.layers.GlobalAveragePooling1D``.
    """

    supports_masking = True

    def call(self, inputs: Tensor, mask: Any = None) -> Tensor:
        """The mean over the steps that count."""
        x = as_float(inputs, self.dtype)
        if mask is None:
            return ops.mean(x, axis=self.steps, keepdims=self.keepdims)
        counts = ops.expand_dims(as_mask(mask), 2 if self.steps == 1 else 1)
        total = ops.sum(ops.where(counts, x, 0), axis=self.steps, keepdims=self.keepdims)
        return total / ops.sum(ops.cast(counts, self.dtype), axis=self.steps, keepdims=self.keepdims)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """None: no steps are left that could count or not."""


class GlobalMaxPooling1D(_GlobalPooling1D):
    """The largest number of each feature over all steps of a sequence. As in Keras, a mask changes nothing.

    Args:
        data_format: "channels_last" (the default), or "channels_first" for inputs of shape ``(batch, width, time)``.
        keepdims: Whether the axis of the steps stays, with size 1.
        trainable: Accepted as everywhere; the layer has no weights.
        dtype: Element type of the computation: "float32" (the default) or "float64".
        name: The layer's name; by default global_max_pooling1d, global_max_pooling1d_1, ...
        input_shape: Shape of one input without the batch, when the layer comes first in a `Sequential`.
        batch_input_shape: The same with the batch size (or None) in front.

    Input shape:
        Floats of shape ``(batch, time, width)``. The largest number of a sequence without steps is -infinity.

    Output shape:
        ``(batch, width)``, or ``(batch, 1, width)`` with `keepdims`.

    Raises:
        ArgumentError: `data_format` is unknown.

    Example:
        >>> layers.GlobalMaxPooling1D()(np.array([[[1.0, 7.0], [3.0, 5.0]]]))
        array([[3., 7.]], dtype=float32)

    Source: Keras 3, ``keras.layers.GlobalMaxPooling1D``.
    """

    def call(self, inputs: Tensor) -> Tensor:
        """The maximum over the steps."""
        return ops.max(as_float(inputs, self.dtype), axis=self.steps, keepdims=self.keepdims)
