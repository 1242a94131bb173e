"""Normalization over features: LayerNormalization and RMSNormalization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import rnncc.layers.initializers as initializers
from rnncc.errors import ArgumentError, ShapeError, StructureError, caller
from rnncc.graph.symbolic import Tensor, shown
from rnncc.layers.base import Layer
from rnncc.layers.checks import number
from rnncc.layers.core import as_float
from rnncc.layers.weights import Weight
from rnncc.ops import functions as ops


class LayerNormalization(Layer):
    """Each sample (and step) with mean 0 and variance 1 over its features (Ba et al. 2016)::

        (x - mean(x)) / sqrt(var(x) + epsilon) * gamma + beta

    Args:
        axis: The axis or axes of the features, -1 by default; their sizes must be fixed.
        epsilon: Added to the variance.
        center: Whether beta is added.
        scale: Whether it is multiplied by gamma.
        beta_initializer: How beta gets its first numbers: a name, an initializer, or a function of a shape.
        gamma_initializer: The same for gamma.
        beta_regularizer: Kept for training; it changes nothing at inference.
        gamma_regularizer: Kept for training; it changes nothing at inference.
        beta_constraint: Kept for training; it changes nothing at inference.
        gamma_constraint: Kept for training; it changes nothing at inference.
        rms_scaling: Keras's old option: ``x / sqrt(var(x) + epsilon) * gamma``, without mean and beta. It divides by
            the deviation, not by the root mean square; `RMSNormalization` does that.
        trainable: Whether the weights count as trainable.
        dtype: Element type of the weights: "float32" (the default) or "float64".
        name: The layer's name; by default layer_normalization, layer_normalization_1, ...
        input_shape: Shape of one input without the batch, when the layer comes first in a `Sequential`.
        batch_input_shape: The same with the batch size (or None) in front.

    Input shape:
        Any.

    Output shape:
        The same.

    Weights:
        `gamma` (with `scale`) and `beta` (with `center`), of the shape of the features.

    Raises:
        ArgumentError: `axis` is not a whole number or several.
        ShapeError: the axis does not exist.
        StructureError: the size of the axis is not fixed.

    Example:
        >>> layers.LayerNormalization()(layers.Input((None, 16))).shape
        (None, None, 16)
    """

    supports_masking = True

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        rms_scaling: bool = False,
        *,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
        input_shape: Sequence[int | None] | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
    ) -> None:
        self.axis = _checked_axis("LayerNormalization", axis)
        self.beta_initializer = initializers.get(beta_initializer, "beta_initializer of LayerNormalization")
        self.gamma_initializer = initializers.get(gamma_initializer, "gamma_initializer of LayerNormalization")
        super().__init__(
            trainable=trainable,
            dtype=dtype,
            name=name,
            input_shape=input_shape,
            batch_input_shape=batch_input_shape,
        )
        self.epsilon = number("LayerNormalization", "epsilon", epsilon)
        self.center = center
        self.scale = scale
        self.rms_scaling = rms_scaling
        self.beta_regularizer = beta_regularizer
        self.gamma_regularizer = gamma_regularizer
        self.beta_constraint = beta_constraint
        self.gamma_constraint = gamma_constraint

    def build(self, input_shape: Any) -> None:
        """Create gamma and beta for the sizes of the features."""
        shape = _feature_shape(self, self.axis, input_shape)
        has_gamma, has_beta = self.scale or self.rms_scaling, self.center and not self.rms_scaling
        self.gamma = self.add_weight("gamma", shape, self.gamma_initializer) if has_gamma else None
        self.beta = self.add_weight("beta", shape, self.beta_initializer) if has_beta else None

    def call(self, inputs: Tensor) -> Tensor:
        """The input, normalized."""
        x = as_float(inputs, self.dtype)
        axes = _axes_of(self, self.axis, x)
        centered = x - _mean(x, axes)
        result = (x if self.rms_scaling else centered) * ops.rsqrt(_mean(ops.square(centered), axes) + self.epsilon)
        if self.gamma is not None:
            result = result * _along(self.gamma, axes, x)
        return result if self.beta is None else result + _along(self.beta, axes, x)


class RMSNormalization(Layer):
    """Each sample (and step) divided by the root mean square of its features (Zhang and Sennrich 2019)::

        x / sqrt(mean(x * x) + epsilon) * scale

    Args:
        axis: The axis or axes of the features, -1 by default; their sizes must be fixed.
        epsilon: Added to the mean square.
        trainable: Whether the weights count as trainable.
        dtype: Element type of the weights: "float32" (the default) or "float64".
        name: The layer's name; by default rms_normalization, rms_normalization_1, ...
        input_shape: Shape of one input without the batch, when the layer comes first in a `Sequential`.
        batch_input_shape: The same with the batch size (or None) in front.

    Input shape:
        Any.

    Output shape:
        The same.

    Weights:
        `scale`, of the shape of the features.

    Raises:
        ArgumentError: `axis` is not a whole number or several.
        ShapeError: the axis does not exist.
        StructureError: the size of the axis is not fixed.

    Example:
        >>> layers.RMSNormalization()(np.array([[3.0, 4.0]])).round(3)
        array([[0.849, 1.131]], dtype=float32)
    """

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-6,
        *,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
        input_shape: Sequence[int | None] | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
    ) -> None:
        self.axis = _checked_axis("RMSNormalization", axis)
        super().__init__(
            trainable=trainable,
            dtype=dtype,
            name=name,
            input_shape=input_shape,
            batch_input_shape=batch_input_shape,
        )
        self.epsilon = number("RMSNormalization", "epsilon", epsilon)

    def build(self, input_shape: Any) -> None:
        """Create the scale for the sizes of the features."""
        self.scale = self.add_weight("scale", _feature_shape(self, self.axis, input_shape), "ones")

    def call(self, inputs: Tensor) -> Tensor:
        """The input, normalized."""
        x = as_float(inputs, self.dtype)
        axes = _axes_of(self, self.axis, x)
        return x * ops.rsqrt(_mean(ops.square(x), axes) + self.epsilon) * _along(self.scale, axes, x)


def _checked_axis(kind: str, axis: Any) -> tuple[int, ...]:
    axes = (axis,) if isinstance(axis, int) else axis
    if not isinstance(axes, list | tuple) or not axes or not all(type(item) is int for item in axes):
        raise ArgumentError(f"axis of {kind} must be a whole number, or several", f"axis: {axis!r}", place=caller())
    return tuple(sorted(axes))


def _feature_shape(layer: Layer, axis: tuple[int, ...], input_shape: Any) -> tuple[int, ...]:
    """The sizes of the axes, or a StructureError when one is not fixed."""
    rank = len(input_shape)
    sizes = [input_shape[item] for item in axis if -rank <= item < rank]
    if None in sizes:
        raise StructureError(
            f"{layer.name} ({type(layer).__name__}) cannot create its weights: an axis of features has no fixed size",
            f"input: {input_shape}, axis: {axis if len(axis) > 1 else axis[0]}",
            place=caller(),
            remedy="give this axis of the Input a size",
        )
    return tuple(sizes)


def _axes_of(layer: Layer, axis: tuple[int, ...], x: Tensor) -> tuple[int, ...]:
    """The axes counted from 0."""
    for item in axis:
        if not -x.ndim <= item < x.ndim:
            raise ShapeError(f"{layer.name} has axis={item}, its input has rank {x.ndim}", shown(x), place=caller())
    return tuple(item % x.ndim for item in axis)


def _mean(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    for axis in axes:
        x = ops.mean(x, axis, keepdims=True)
    return x


def _along(weight: Weight, axes: tuple[int, ...], x: Tensor) -> Tensor:
    """A weight of the shape of the features, ready to be broadcast against `x`."""
    if axes == (x.ndim - 1,):
        return weight.tensor
    sizes = dict(zip(axes, weight.shape, strict=True))
    return ops.reshape(weight, [sizes.get(axis, 1) for axis in range(x.ndim)])
