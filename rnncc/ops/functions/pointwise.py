"""Arithmetic, comparison and the functions of one element."""

from __future__ import annotations

import builtins
import math
from typing import Any

from rnncc.errors import DTypeError, caller
from rnncc.graph.symbolic import Tensor, apply, as_tensor, partner_dtype, shown
from rnncc.numeric import real_number
from rnncc.ops.functions.axes import unchanged
from rnncc.types import DType, dtype_of


def add(x1: Any, x2: Any) -> Tensor:
    """x1 + x2, broadcast."""
    return apply("add", x1, x2)


def subtract(x1: Any, x2: Any) -> Tensor:
    """x1 - x2, broadcast."""
    return apply("sub", x1, x2)


def multiply(x1: Any, x2: Any) -> Tensor:
    """x1 * x2, broadcast."""
    return apply("mul", x1, x2)


def divide(x1: Any, x2: Any) -> Tensor:
    """x1 / x2 of floats, broadcast."""
    return apply("div", x1, x2)


def maximum(x1: Any, x2: Any) -> Tensor:
    """The larger of x1 and x2, elementwise."""
    return apply("maximum", x1, x2)


def minimum(x1: Any, x2: Any) -> Tensor:
    """The smaller of x1 and x2, elementwise."""
    return apply("minimum", x1, x2)


def negative(x: Any) -> Tensor:
    """-x."""
    return apply("neg", x)


def abs(x: Any) -> Tensor:
    """|x|."""
    return apply("abs", x)


def floor(x: Any) -> Tensor:
    """The largest whole number not above x."""
    return apply("floor", x)


def exp(x: Any) -> Tensor:
    """e to the x."""
    return apply("exp", x)


def log(x: Any) -> Tensor:
    """Natural logarithm; -inf at 0, NaN below."""
    return apply("log", x)


def log1p(x: Any) -> Tensor:
    """Natural logarithm of 1 + x with all bits of a small x; -inf at -1, NaN below."""
    return apply("log1p", x)


def expm1(x: Any) -> Tensor:
    """e to the x, less 1, with all bits of a small result."""
    tensor = as_tensor(x)
    half = tanh(minimum(tensor, 1) * 0.5)
    return where(less(tensor, 1), 2 * half / (1 - half), exp(tensor) - 1)


def clip(x: Any, x_min: Any, x_max: Any) -> Tensor:
    """x within x_min..x_max: ``minimum(maximum(x, x_min), x_max)``."""
    return minimum(maximum(x, x_min), x_max)


def ceil(x: Any) -> Tensor:
    """The smallest whole number not below x."""
    return negative(floor(negative(x)))


def trunc(x: Any) -> Tensor:
    """x without its digits behind the point."""
    tensor = as_tensor(x)
    return where(less(tensor, 0), ceil(tensor), floor(tensor))


def round(x: Any) -> Tensor:
    """The nearest whole number; of two that are as near, the even one."""
    tensor = as_tensor(x)
    below = floor(tensor)
    rest = tensor - below
    is_odd = not_equal(2 * floor(below * 0.5), below)
    up = logical_or(greater(rest, 0.5), logical_and(equal(rest, 0.5), is_odd))
    return where(up, below + 1, below)


def sign(x: Any) -> Tensor:
    """-1, 0 or 1 with the sign of x; NaN stays NaN."""
    tensor = as_tensor(x)
    return where(less(tensor, 0), -1, where(less(0, tensor), 1, tensor))


def reciprocal(x: Any) -> Tensor:
    """1 / x of floats."""
    return apply("div", 1.0, x)


def rsqrt(x: Any) -> Tensor:
    """1 / sqrt(x)."""
    return reciprocal(sqrt(x))


def sqrt(x: Any) -> Tensor:
    """Square root."""
    return apply("sqrt", x)


def square(x: Any) -> Tensor:
    """x * x."""
    tensor = as_tensor(x)
    return apply("mul", tensor, tensor)


def power(x1: Any, x2: Any) -> Tensor:
    """x1 to the power of x2. A whole number x2 makes products; all else is exp(x2 * log(x1)), NaN for an x1 below 0 and
    an x2 that is not whole.
    """
    number = real_number(x2)
    if number is not None and number.is_integer() and builtins.abs(number) <= _MOST_FACTORS:
        power = _whole_power(as_tensor(x1), builtins.abs(int(number)))
        return power if number >= 0 else reciprocal(power)
    if number == 0.5:
        return sqrt(x1)
    like = partner_dtype((x1, x2))
    base, raised = as_tensor(x1, like), as_tensor(x2, like)
    if not base.dtype.is_float:
        raise DTypeError(
            f"a power that is no whole number is one of floats, not of {base.dtype}",
            shown(base),
            shown(raised),
            place=caller(),
            remedy="rnncc.ops.cast converts",
        )
    size = exp(raised * log(abs(base)))
    is_whole, is_odd = equal(floor(raised), raised), not_equal(2 * floor(raised * 0.5), raised)
    turned = where(is_whole, where(is_odd, negative(size), size), where(isinf(base), size, math.nan))
    is_one = logical_or(equal(raised, 0), equal(base, 1))
    return where(is_one, 1, where(less(base, 0), turned, size))


_MOST_FACTORS = 2**16
"""The largest power that is a product."""


def _whole_power(x: Tensor, exponent: int) -> Tensor:
    if exponent == 0:
        return where(equal(x, x), as_tensor(1, x.dtype), as_tensor(1, x.dtype))
    half = _whole_power(x, exponent // 2) if exponent > 1 else None
    even = None if half is None else apply("mul", half, half)
    return x if even is None else even if exponent % 2 == 0 else apply("mul", even, x)


def log2(x: Any) -> Tensor:
    """Logarithm to base 2."""
    return log(x) * (1 / math.log(2))


def log10(x: Any) -> Tensor:
    """Logarithm to base 10."""
    return log(x) * (1 / math.log(10))


def exp2(x: Any) -> Tensor:
    """2 to the x."""
    return exp(as_tensor(x) * math.log(2))


def logaddexp(x1: Any, x2: Any) -> Tensor:
    """log(exp(x1) + exp(x2)) without overflow; infinities are numbers like others."""
    apart = where(equal(x1, x2), 0, abs(subtract(x1, x2)))  # of two equal infinities as well
    return maximum(x1, x2) + log1p(exp(negative(apart)))


def tanh(x: Any) -> Tensor:
    """Hyperbolic tangent."""
    return apply("tanh", x)


def sigmoid(x: Any) -> Tensor:
    """1 / (1 + exp(-x))."""
    return apply("sigmoid", x)


def erf(x: Any) -> Tensor:
    """Gauss error function."""
    return apply("erf", x)


def relu(x: Any) -> Tensor:
    """max(x, 0)."""
    return apply("maximum", x, 0)


def where(condition: Any, x1: Any, x2: Any) -> Tensor:
    """x1 where the bool tensor `condition` is true, x2 elsewhere; all broadcast."""
    like = partner_dtype((x1, x2))
    return apply("where", condition, as_tensor(x1, like), as_tensor(x2, like))


def equal(x1: Any, x2: Any) -> Tensor:
    """x1 == x2 as a bool tensor."""
    return apply("equal", x1, x2)


def not_equal(x1: Any, x2: Any) -> Tensor:
    """x1 != x2 as a bool tensor."""
    return apply("not_equal", x1, x2)


def less(x1: Any, x2: Any) -> Tensor:
    """x1 < x2 as a bool tensor."""
    return apply("less", x1, x2)


def less_equal(x1: Any, x2: Any) -> Tensor:
    """x1 <= x2 as a bool tensor."""
    return apply("less_equal", x1, x2)


def greater(x1: Any, x2: Any) -> Tensor:
    """x1 > x2 as a bool tensor."""
    return apply("less", x2, x1)


def greater_equal(x1: Any, x2: Any) -> Tensor:
    """x1 >= x2 as a bool tensor."""
    return apply("less_equal", x2, x1)


def logical_and(x1: Any, x2: Any) -> Tensor:
    """x1 and x2, elementwise, of bool tensors."""
    return apply("logical_and", x1, x2)


def logical_or(x1: Any, x2: Any) -> Tensor:
    """x1 or x2, elementwise, of bool tensors."""
    return apply("logical_or", x1, x2)


def logical_not(x: Any) -> Tensor:
    """not x, elementwise, of a bool tensor."""
    return apply("logical_not", x)


def logical_xor(x1: Any, x2: Any) -> Tensor:
    """Either x1 or x2, elementwise, of bool tensors."""
    return not_equal(x1, x2)


def isnan(x: Any) -> Tensor:
    """Whether x is not a number, as a bool tensor."""
    tensor = as_tensor(x)
    return not_equal(tensor, tensor)


def isinf(x: Any) -> Tensor:
    """Whether x is infinite, as a bool tensor."""
    return equal(abs(x), math.inf)


def isfinite(x: Any) -> Tensor:
    """Whether x is a number and not infinite, as a bool tensor."""
    return less(abs(x), math.inf)


def cast(x: Any, dtype: Any) -> Tensor:
    """x with another element type; floats become integers by cutting towards zero, bools are what is not 0."""
    tensor, target = as_tensor(x), dtype_of(dtype)
    if target is DType.BOOL and tensor.dtype is not DType.BOOL:
        return not_equal(tensor, 0)
    return unchanged(tensor) if tensor.dtype is target else apply("cast", tensor, dtype=target)


absolute, true_divide = abs, divide
