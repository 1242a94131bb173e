"""Activation functions, Keras 3's by name, arguments and numbers. None of them overflows where its result does not."""

from __future__ import annotations

import math

import rnncc.ops.functions as ops
from rnncc.errors import ShapeError, caller
from rnncc.graph.numpy_calls import OFFERED
from rnncc.graph.symbolic import Tensor

# ------------------------------------------------------------------ bounded


def linear(x: Tensor) -> Tensor:
    """x itself."""
    return x


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent, -1 to 1."""
    return ops.tanh(x)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)), 0 to 1."""
    return ops.sigmoid(x)


def softsign(x: Tensor) -> Tensor:
    """x / (1 + |x|), -1 to 1."""
    return x / (1 + ops.abs(x))


def hard_tanh(x: Tensor) -> Tensor:
    """x, cut off at -1 and 1."""
    return ops.clip(x, -1, 1)


def hard_sigmoid(x: Tensor) -> Tensor:
    """x / 6 + 1/2, cut off at 0 and 1: the hard sigmoid of Keras 3, PyTorch and MobileNetV3 (Howard et al. 2019)."""
    return relu6(x + 3) * (1 / 6)


def hard_sigmoid_keras2(x: Tensor) -> Tensor:
    """x / 5 + 1/2, cut off at 0 and 1: the hard sigmoid of Keras 1 and 2 and of BinaryConnect's code."""
    return ops.clip(0.2 * x + 0.5, 0, 1)


def sparse_sigmoid(x: Tensor) -> Tensor:
    """(x + 1) / 2, cut off at 0 and 1."""
    return ops.clip(0.5 * x + 0.5, 0, 1)


# ------------------------------------------------------------------ rectifiers


def relu(x: Tensor, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Tensor:
    """max(x, 0) by default.

    x where it is above `threshold` (and `max_value` where it is above that), else negative_slope * (x - threshold).
    """
    above = ops.relu(x) if threshold == 0 else ops.where(x > threshold, x, 0)
    if max_value is not None:
        above = ops.minimum(above, max_value) if threshold >= 0 else ops.clip(above, 0, max_value)
    return above if negative_slope == 0 else above + negative_slope * ops.minimum(x - threshold, 0)


def relu6(x: Tensor) -> Tensor:
    """x, cut off at 0 and 6."""
    return ops.clip(x, 0, 6)


def leaky_relu(x: Tensor, negative_slope: float = 0.2) -> Tensor:
    """x above 0, negative_slope * x below (Maas et al. 2013)."""
    return ops.where(x > 0, x, negative_slope * x)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x above 0, alpha * (exp(x) - 1) below (Clevert et al. 2016)."""
    return ops.where(x > 0, x, alpha * _expm1_below_0(x))


def celu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x above 0, alpha * (exp(x / alpha) - 1) below (Barron 2017)."""
    return ops.where(x > 0, x, alpha * _expm1_below_0(x * (1 / alpha)))


def selu(x: Tensor) -> Tensor:
    """scale * elu(x, alpha) with the numbers that keep mean 0 and variance 1 (Klambauer et al. 2017)."""
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    return ops.where(x > 0, scale * x, scale * alpha * _expm1_below_0(x))


def threshold(x: Tensor, threshold: float, default_value: float) -> Tensor:
    """x where it is above `threshold`, else `default_value`."""
    return ops.where(x > threshold, x, default_value)


def _expm1_below_0(x: Tensor) -> Tensor:
    """exp(x) - 1 where x is below 0, with all bits of a small result: 2 t / (1 - t) with t = tanh(x / 2)."""
    half = ops.tanh(0.5 * ops.minimum(x, 0))
    return 2 * half / (1 - half)


# ------------------------------------------------------------------ smooth rectifiers


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x))."""
    return ops.relu(x) + ops.log1p(ops.exp(-ops.abs(x)))


def log_sigmoid(x: Tensor) -> Tensor:
    """log(sigmoid(x))."""
    return ops.minimum(x, 0) - ops.log1p(ops.exp(-ops.abs(x)))


def silu(x: Tensor) -> Tensor:
    """x * sigmoid(x), also called swish (Ramachandran et al. 2017)."""
    return x * ops.sigmoid(x)


def hard_silu(x: Tensor) -> Tensor:
    """x * hard_sigmoid(x), also called hard_swish (Howard et al. 2019)."""
    return x * hard_sigmoid(x)


def gelu(x: Tensor, approximate: bool = False) -> Tensor:
    """x times the normal distribution at x (Hendrycks and Gimpel 2016); `approximate` by tanh instead of erf."""
    if approximate:
        return 0.5 * x * (1 + ops.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))))
    return 0.5 * x * (1 + ops.erf(x * math.sqrt(0.5)))


def mish(x: Tensor) -> Tensor:
    """x * tanh(softplus(x)) (Misra 2019), as a quotient of polynomials in exp(-|x|): tanh(log(1 + e)) is one."""
    e = ops.exp(-ops.abs(x))
    is_negative = x < 0
    top = ops.where(is_negative, e * (e + 2), 1 + 2 * e)
    return x * (top / (top + 2 * ops.where(is_negative, 1, e * e)))


def squareplus(x: Tensor, b: float = 4) -> Tensor:
    """(x + sqrt(x * x + b)) / 2 (Barron 2021); below 0 by the other root, where the sum would cancel."""
    size = ops.abs(x)
    twice = size + ops.sqrt(x * x + b)
    return ops.where(x < 0, (0.5 * b) / twice, 0.5 * twice)


def sparse_plus(x: Tensor) -> Tensor:
    """x from 1 on, 0 up to -1, (x + 1)^2 / 4 in between."""
    inside = ops.clip(x, -1, 1) + 1
    return ops.where(x < 1, 0.25 * (inside * inside), x)


# ------------------------------------------------------------------ shrinking


def tanh_shrink(x: Tensor) -> Tensor:
    """x - tanh(x)."""
    return x - ops.tanh(x)


def soft_shrink(x: Tensor, threshold: float = 0.5) -> Tensor:
    """x moved by `threshold` towards 0; 0 where |x| is not above `threshold`."""
    return ops.relu(x - threshold) + ops.minimum(x + threshold, 0)


def hard_shrink(x: Tensor, threshold: float = 0.5) -> Tensor:
    """x where |x| is above `threshold`, else 0."""
    return ops.where(ops.abs(x) > threshold, x, 0)


# ------------------------------------------------------------------ along an axis


def exponential(x: Tensor) -> Tensor:
    """e to the x."""
    return ops.exp(x)


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """exp(x), scaled so that it sums to 1 along `axis`."""
    return ops.softmax(x, axis=axis)


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """log(softmax(x)) along `axis`."""
    shifted = x - ops.max(x, axis, keepdims=True)
    return shifted - ops.log(ops.sum(ops.exp(shifted), axis, keepdims=True))


def sparsemax(x: Tensor, axis: int = -1) -> Tensor:
    """The point nearest to x whose entries along `axis` are not negative and sum to 1 (Martins and Astudillo 2016).

    An entry takes part when 1 + k x > s, with k and s the number and the sum of the entries that are not below it.
    All are compared with all: the work grows with the square of the axis.
    """
    last = x.ndim - 1
    order = [*range(x.ndim)]
    order[axis], order[last] = order[last], order[axis]
    z = ops.transpose(x, order)
    entry, other = ops.expand_dims(z, -1), ops.expand_dims(z, -2)
    not_below = entry <= other
    count = ops.sum(ops.cast(not_below, x.dtype), -1)
    total = ops.sum(ops.where(not_below, other, 0), -1)
    takes_part = 1 + count * z > total
    taken = ops.sum(ops.where(takes_part, z, 0), -1, keepdims=True)
    shift = (taken - 1) / ops.sum(ops.cast(takes_part, x.dtype), -1, keepdims=True)
    return ops.transpose(ops.relu(z - shift), order)


def glu(x: Tensor, axis: int = -1) -> Tensor:
    """The first half of x along `axis` times the sigmoid of the second half (Dauphin et al. 2017)."""
    dim = x.type.shape[axis]
    if not isinstance(dim, int) or dim % 2:
        raise ShapeError(
            f"glu halves axis {axis}, whose size must be fixed and even",
            f"{x.name}: {x.type}",
            place=caller(),
            remedy="double the units of the layer before it",
        )
    half, gate = ops.split(x, 2, axis)
    return half * ops.sigmoid(gate)


swish, hard_swish = silu, hard_silu
OFFERED.update({function.__name__: function for function in (silu, gelu, softplus, elu, leaky_relu, softsign)})
