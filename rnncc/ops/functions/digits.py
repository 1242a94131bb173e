"""Quotients with their remainders, and circular functions: what takes more digits than it is given."""

from __future__ import annotations

import math
from typing import Any

from rnncc.errors import DTypeError, caller
from rnncc.graph.symbolic import Tensor, as_tensor, partner_dtype, shown
from rnncc.ops.functions.pointwise import (
    abs,
    cast,
    divide,
    equal,
    floor,
    isfinite,
    isinf,
    less,
    less_equal,
    logical_and,
    negative,
    not_equal,
    where,
)
from rnncc.types import DType


def floor_divide(x1: Any, x2: Any) -> Tensor:
    """The largest whole number not above x1 / x2; of integers 0 where x2 is 0."""
    return _divided(x1, x2)[0]


def mod(x1: Any, x2: Any) -> Tensor:
    """What is left of x1 after whole times x2, with the sign of x2; of integers 0 where x2 is 0.

    Exact, as in NumPy, where |x1 / x2| is below 2**53, and NaN elsewhere.
    """
    return _divided(x1, x2)[1]


def _divided(x1: Any, x2: Any) -> tuple[Tensor, Tensor]:
    """Floored quotient and remainder."""
    like = partner_dtype((x1, x2))
    left, right = as_tensor(x1, like), as_tensor(x2, like)
    if left.dtype is right.dtype and left.dtype.is_integer:
        quotient, rest = _divided_integers(cast(left, DType.I64), cast(right, DType.I64))
        return cast(quotient, left.dtype), cast(rest, left.dtype)
    if left.dtype is right.dtype is DType.F32:  # a quotient of float32 has all its digits in float64
        quotient, rest = _divided_doubles(cast(left, DType.F64), cast(right, DType.F64))
        return cast(quotient, DType.F32), cast(rest, DType.F32)
    return _divided_doubles(left, right)


def _divided_doubles(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    quotient = floor(divide(left, right))
    product = quotient * right
    (a, b), (c, d) = _high_and_low(quotient), _high_and_low(right)
    lost = (((product - a * c) - a * d) - b * c) - b * d  # what rounding added to the product (Dekker 1971)
    rest = (left - product) + where(isfinite(lost), lost, 0)
    is_over = logical_and(not_equal(rest, 0), not_equal(less(rest, 0), less(right, 0)))  # the quotient was rounded up
    quotient, rest = where(is_over, quotient - 1, quotient), where(is_over, rest + right, rest)
    rest = where(less(abs(quotient), 2.0**53), rest, math.nan)  # beyond, whole numbers have gaps
    is_all = logical_and(isinf(right), isfinite(left))  # nothing of x1 is whole times an infinity
    is_across = logical_and(not_equal(left, 0), not_equal(less(left, 0), less(right, 0)))
    whole = where(is_across, right, left)
    quotient = where(isinf(left), math.nan, quotient)
    return where(is_all, negative(cast(is_across, left.dtype)), quotient), where(is_all, whole, rest)


def _high_and_low(x: Tensor) -> tuple[Tensor, Tensor]:
    """x in two parts of half its digits, whose products are exact (Veltkamp 1968)."""
    far = x * (2.0**27 + 1)
    high = far - (far - x)
    return high, x - high


def _divided_integers(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """By way of float64, twice: what it has no digits for in the first quotient, it has in the second."""
    by = cast(right, DType.F64)
    quotient, rest = as_tensor(0, left.dtype), left
    for _ in range(2):
        part = cast(floor(cast(rest, DType.F64) / by), left.dtype)
        quotient, rest = quotient + part, rest - part * right
    is_over = logical_and(not_equal(rest, 0), not_equal(less(rest, 0), less(right, 0)))
    quotient, rest = where(is_over, quotient - 1, quotient), where(is_over, rest + right, rest)
    is_none = equal(right, 0)
    return where(is_none, 0, quotient), where(is_none, 0, rest)


def sin(x: Any) -> Tensor:
    """Sine; right to a few units of 1e-7 (float32), or of 1e-15 (float64); NaN where |x| is above 1e10."""
    return _sine(as_tensor(x), 0.0)


def cos(x: Any) -> Tensor:
    """Cosine; as exact as `sin`."""
    return _sine(as_tensor(x), 0.5)


def tan(x: Any) -> Tensor:
    """Tangent: sine over cosine."""
    return sin(x) / cos(x)


def _sine(x: Tensor, shift: float) -> Tensor:
    """sin(x + shift * pi)."""
    if not x.dtype.is_float:
        raise DTypeError(
            f"an angle is of kind float, not {x.dtype}", shown(x), place=caller(), remedy="rnncc.ops.cast converts"
        )
    wide = cast(x, DType.F64)  # float32 has no digits left for the rest of a large x
    turns = floor(wide * (1 / math.pi) + (shift + 0.5))
    rest, left = wide, math.pi
    for bits in _PI_BITS:
        piece = math.ldexp(math.floor(math.ldexp(left, bits)), -bits)
        rest, left = rest - (turns - shift) * piece, left - piece
    rest = where(less_equal(abs(wide), _LARGEST_ANGLE), rest - (turns - shift) * _PI_BEYOND, math.nan)
    rest = cast(rest, x.dtype)  # at most pi / 2 from 0
    square_of, series = rest * rest, 0.0 * rest
    for n in range(23, 0, -2):  # Taylor, by Horner; float32 needs 13, but may be compiled as float64
        series = series * square_of + (-1) ** (n // 2) / math.factorial(n)
    is_even = cast(equal(2 * floor(turns * 0.5), turns), x.dtype)
    return (2 * is_even - 1) * (series * rest)


_PI_BITS = (17, 36, 51)
"""Where pi is cut: into pieces whose products with a number of turns are exact, together `math.pi`."""

_PI_BEYOND = 1.2246467991473532e-16
"""What `math.pi` lacks: the sine of it."""

_LARGEST_ANGLE = 1e10
