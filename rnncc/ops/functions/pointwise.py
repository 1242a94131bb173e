"""Arithmetic, comparison and the functions of one element."""

from __future__ import annotations

import math
from typing import Any

from rnncc.graph.symbolic import Tensor, apply, as_tensor, partner_dtype
from rnncc.ops.functions.axes import unchanged
from rnncc.types import DType, dtype_of


def add(a: Any, b: Any) -> Tensor:
    """a + b, broadcast."""
    return apply("add", a, b)


def subtract(a: Any, b: Any) -> Tensor:
    """a - b, broadcast."""
    return apply("sub", a, b)


def multiply(a: Any, b: Any) -> Tensor:
    """a * b, broadcast."""
    return apply("mul", a, b)


def divide(a: Any, b: Any) -> Tensor:
    """a / b of floats, broadcast."""
    return apply("div", a, b)


def maximum(a: Any, b: Any) -> Tensor:
    """The larger of a and b, elementwise."""
    return apply("maximum", a, b)


def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of a and b, elementwise."""
    return apply("minimum", a, b)


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


def clip(x: Any, low: Any, high: Any) -> Tensor:
    """x within low..high: ``minimum(maximum(x, low), high)``."""
    return minimum(maximum(x, low), high)


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


def floor_divide(a: Any, b: Any) -> Tensor:
    """The largest whole number not above a / b, of floats."""
    return floor(divide(a, b))


def mod(a: Any, b: Any) -> Tensor:
    """What is left of a after whole times b, with the sign of b, of floats."""
    like = partner_dtype((a, b))
    left, right = as_tensor(a, like), as_tensor(b, like)
    return left - right * floor_divide(left, right)


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


def power(x: Any, exponent: Any) -> Tensor:
    """x to the `exponent`. Whole numbers are products; all else is exp(exponent * log(x)), NaN for an x below 0."""
    if isinstance(exponent, int | float) and not isinstance(exponent, bool) and int(exponent) == exponent:
        whole = int(exponent)
        return _whole_power(as_tensor(x), whole) if whole >= 0 else reciprocal(_whole_power(as_tensor(x), -whole))
    if isinstance(exponent, float) and exponent == 0.5:
        return sqrt(x)
    like = partner_dtype((x, exponent))
    base, raised = as_tensor(x, like), as_tensor(exponent, like)
    return where(equal(raised, 0), 1, exp(raised * log(base)))


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


def logaddexp(a: Any, b: Any) -> Tensor:
    """log(exp(a) + exp(b)) without overflow."""
    return maximum(a, b) + log1p(exp(negative(abs(subtract(a, b)))))


def sin(x: Any) -> Tensor:
    """Sine; right to a few units of 1e-7 (float32) or 1e-15 (float64) up to |x| = 10,000."""
    tensor = as_tensor(x)
    turns = floor(tensor * (1 / math.pi) + 0.5)
    return _sine(tensor, turns, turns)


def cos(x: Any) -> Tensor:
    """Cosine; as exact as `sin`."""
    tensor = as_tensor(x)
    turns = floor(tensor * (1 / math.pi))
    return negative(_sine(tensor, turns + 0.5, turns))


def tan(x: Any) -> Tensor:
    """Tangent: sine over cosine."""
    return sin(x) / cos(x)


def _sine(x: Tensor, half_turns: Tensor, whole: Tensor) -> Tensor:
    """sin(x - half_turns * pi), with the other sign where `whole` is odd; the rest is at most pi / 2 from 0."""
    rest, left = x, math.pi
    for bits in _PI_BITS[x.dtype]:  # pi in pieces whose products with whole numbers are exact
        piece = math.ldexp(math.floor(math.ldexp(left, bits)), -bits)
        rest, left = rest - half_turns * piece, left - piece
    rest = rest - half_turns * left
    last = 13 if x.dtype is DType.F32 else 23
    square_of, series = rest * rest, 0.0 * rest
    for n in range(last, 0, -2):  # Taylor, by Horner
        series = series * square_of + (-1) ** (n // 2) / math.factorial(n)
    is_even = equal(2 * floor(whole * 0.5), whole)
    return where(is_even, series * rest, negative(series * rest))


_PI_BITS = {DType.F32: (6, 17), DType.F64: (25, 52)}


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


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """a where the bool tensor `condition` is true, b elsewhere; all broadcast."""
    like = partner_dtype((a, b))
    return apply("where", condition, as_tensor(a, like), as_tensor(b, like))


def equal(a: Any, b: Any) -> Tensor:
    """a == b as a bool tensor."""
    return apply("equal", a, b)


def not_equal(a: Any, b: Any) -> Tensor:
    """a != b as a bool tensor."""
    return apply("not_equal", a, b)


def less(a: Any, b: Any) -> Tensor:
    """a < b as a bool tensor."""
    return apply("less", a, b)


def less_equal(a: Any, b: Any) -> Tensor:
    """a <= b as a bool tensor."""
    return apply("less_equal", a, b)


def greater(a: Any, b: Any) -> Tensor:
    """a > b as a bool tensor."""
    return apply("less", b, a)


def greater_equal(a: Any, b: Any) -> Tensor:
    """a >= b as a bool tensor."""
    return apply("less_equal", b, a)


def logical_and(a: Any, b: Any) -> Tensor:
    """a and b, elementwise, of bool tensors."""
    return apply("logical_and", a, b)


def logical_or(a: Any, b: Any) -> Tensor:
    """a or b, elementwise, of bool tensors."""
    return apply("logical_or", a, b)


def logical_not(x: Any) -> Tensor:
    """not x, elementwise, of a bool tensor."""
    return apply("logical_not", x)


def logical_xor(a: Any, b: Any) -> Tensor:
    """Either a or b, elementwise, of bool tensors."""
    return not_equal(a, b)


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
