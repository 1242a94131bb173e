"""The functions that loop IR expressions may call: name, arity, how they print, and what they mean in numpy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import combinations_with_replacement
from time import perf_counter_ns
from typing import Any

import numpy as np

from rnncc.loop.threefry import first_word
from rnncc.records import record
from rnncc.types import DType


@record(frozen=True, slots=True)
class Function:
    """One scalar function. `infix` is its Python operator, if it has one; `result` the dtype it always has."""

    name: str
    arity: int
    numpy: Callable[..., Any]
    infix: str | None = None
    result: DType | None = None
    cheap: bool = True
    """False for what costs more than keeping its result in memory."""
    pure: bool = True
    """False for what does not follow from its operands alone."""


def converted(x: Any, dtype: DType) -> np.ndarray:
    """`x` with another element type. A float that does not fit an integer becomes the nearest one that there is, and
    NaN 0: numpy leaves that to the machine, and machines differ.
    """
    array = np.asarray(x)
    if not (array.dtype.kind == "f" and dtype.is_integer):
        return array.astype(dtype.numpy)
    limits = np.iinfo(dtype.numpy)
    is_below, is_above = array < limits.min, array >= -float(limits.min)  # both are powers of two: any float has them
    fits = np.isfinite(array) & ~is_below & ~is_above
    whole = np.where(fits, array, 0).astype(dtype.numpy)
    return np.where(is_above, limits.max, np.where(is_below, limits.min, whole)).astype(dtype.numpy)


def _sigmoid(x: Any) -> Any:
    with np.errstate(over="ignore"):
        small = np.exp(-np.abs(x))
    return np.where(x < 0, small / (1 + small), 1 / (1 + small)).astype(np.asarray(x).dtype)


def _exp(x: Any) -> Any:
    with np.errstate(over="ignore"):
        return np.exp(x)


def _log(x: Any) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(x)


def _log1p(x: Any) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log1p(x)


def _divide(a: Any, b: Any) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.divide(a, b)


def _erf(x: Any) -> Any:
    """erf by its series and continued fraction in float64: slow, for interpretation only.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.6 and 7.1.14.
    """
    array = np.asarray(x, dtype=np.float64)
    magnitude = np.minimum(np.abs(array), 6.5)
    series = np.zeros_like(magnitude)
    term = np.ones_like(magnitude)
    for n in range(120):
        series += term
        term = term * 2 * magnitude**2 / (2 * n + 3)
    inner = 2 / np.sqrt(np.pi) * magnitude * np.exp(-(magnitude**2)) * series
    tail = np.copy(magnitude)
    for n in range(80, 0, -1):
        tail = magnitude + n / 2 / np.where(tail == 0, 1, tail)
    outer = 1 - np.exp(-(magnitude**2)) / np.sqrt(np.pi) / np.where(tail == 0, 1, tail)
    result = np.copysign(np.where(magnitude < 3, inner, outer), array)
    return np.where(np.isnan(array), array, result).astype(np.asarray(x).dtype)


def _pair(low: Any, high: Any) -> Any:
    """Two float32 as bfloat16, rounded to nearest and even, in the halves of an i32."""
    low, high = (_bfloat16(np.asarray(value, np.float32)) for value in (low, high))
    return (low | high << np.uint32(16)).view(np.int32)


def _bfloat16(x: np.ndarray) -> np.ndarray:
    """The upper half of a float32, rounded."""
    bits = np.atleast_1d(x).view(np.uint32).reshape(x.shape)
    rounded = (bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) >> np.uint32(16)
    return np.where(np.isnan(x), np.uint32(0x7FC0), rounded)


def _dot(a: Any, b: Any) -> Any:
    """The products of both halves of two pairs, added."""
    (low_a, high_a), (low_b, high_b) = _halves(a), _halves(b)
    return low_a * low_b + high_a * high_b


def _rest(x: Any) -> Any:
    """What rounding to bfloat16 takes from a float32: a float32."""
    x = np.asarray(x, np.float32)
    with np.errstate(invalid="ignore"):
        return x - _halves(_pair(x, x))[0]


def _halves(pair: Any) -> tuple[np.ndarray, np.ndarray]:
    bits = np.asarray(pair, np.int32).astype(np.uint32)
    halves = (bits << np.uint32(16), bits & np.uint32(0xFFFF0000))
    low, high = (np.atleast_1d(half).view(np.float32).reshape(bits.shape) for half in halves)
    return low, high


def _product(left: Callable[..., Any], right: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, y: np.multiply(left(x), right(y))


QUOTIENTS: dict[str, Callable[..., Any]] = {"sigmoid": _sigmoid, "tanh": np.tanh}
"""The functions that are computed as one number over another one, and what they mean."""

PRODUCTS_OF_QUOTIENTS = {
    (left, right): f"{left}_times_{right}" for left, right in combinations_with_replacement(QUOTIENTS, 2)
}
"""A product of two quotients takes one division, as a function of two arguments, whose name this is."""

_TABLE = (
    Function("add", 2, np.add, "+"),
    Function("sub", 2, np.subtract, "-"),
    Function("mul", 2, np.multiply, "*"),
    Function("div", 2, _divide, "/", cheap=False),
    Function("floordiv", 2, np.floor_divide, "//"),
    Function("mod", 2, np.mod, "%"),
    Function("max", 2, np.maximum),
    Function("min", 2, np.minimum),
    Function("neg", 1, np.negative),
    Function("abs", 1, np.abs),
    Function("floor", 1, np.floor),
    Function("sqrt", 1, np.sqrt, cheap=False),
    Function("exp", 1, _exp, cheap=False),
    Function("log", 1, _log, cheap=False),
    Function("log1p", 1, _log1p, cheap=False),
    *(Function(name, 1, meaning, cheap=False) for name, meaning in QUOTIENTS.items()),
    *(
        Function(product, 2, _product(QUOTIENTS[left], QUOTIENTS[right]), cheap=False)
        for (left, right), product in PRODUCTS_OF_QUOTIENTS.items()
    ),
    Function("erf", 1, _erf, cheap=False),
    Function("less", 2, np.less, "<", DType.BOOL),
    Function("less_equal", 2, np.less_equal, "<=", DType.BOOL),
    Function("equal", 2, np.equal, "==", DType.BOOL),
    Function("not_equal", 2, np.not_equal, "!=", DType.BOOL),
    Function("logical_and", 2, np.logical_and, None, DType.BOOL),
    Function("logical_or", 2, np.logical_or, None, DType.BOOL),
    Function("logical_not", 1, np.logical_not, None, DType.BOOL),
    Function("where", 3, np.where),
    Function("threefry", 4, first_word, None, DType.I32, cheap=False),
    Function("f32", 1, lambda x: np.asarray(x).astype(np.float32), None, DType.F32),
    Function("f64", 1, lambda x: np.asarray(x).astype(np.float64), None, DType.F64),
    Function("i32", 1, partial(converted, dtype=DType.I32), None, DType.I32),
    Function("i64", 1, partial(converted, dtype=DType.I64), None, DType.I64),
    Function("pair", 2, _pair, None, DType.I32),
    Function("dot", 2, _dot, None, DType.F32),
    Function("rest", 1, _rest),
    Function("cycles", 1, lambda since: np.int64(perf_counter_ns()) - since, None, DType.I64, cheap=False, pure=False),
    Function("reduce_add", 1, lambda x: np.add.reduce(x, axis=-1)),
    Function("reduce_max", 1, lambda x: np.maximum.reduce(x, axis=-1)),
    Function("reduce_min", 1, lambda x: np.minimum.reduce(x, axis=-1)),
)
FUNCTIONS = {function.name: function for function in _TABLE}
"""Every function by name. `f32`, `f64`, `i32`, `i64` are casts; `reduce_*` folds the lanes of one vector;
`threefry(key, key, counter, counter)` is 32 random bits; `pair` rounds two numbers to bfloat16, `dot` adds the products
of two pairs, `rest` is what rounding to bfloat16 takes from a number; `cycles(since)` is the clock of the CPU when it
gets there, minus `since`."""

INFIX = {function.infix: function.name for function in _TABLE if function.infix}
"""Function names by Python operator."""


def identity_of(combine: str, dtype: DType) -> float | int:
    """The number that `combine` (add, max, min) leaves everything alone with."""
    if combine == "add":
        return 0.0 if dtype.is_float else 0
    sign = -1 if combine == "max" else 1
    if dtype.is_float:
        return sign * float("inf")
    info = np.iinfo(dtype.numpy)
    return int(info.min if combine == "max" else info.max)
