"""Constructors for loop IR expressions that fold constants on the way: `i * 1` is `i`, `0 + j` is `j`."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence

from rnncc.loop.functions import FUNCTIONS
from rnncc.loop.ir import Call, Const, Expr, Index, Load, Span, Var
from rnncc.types import Dim, DType

ZERO = Const(0, DType.I64)
ONE = Const(1, DType.I64)


def integer(value: int) -> Const:
    """An i64 constant: an index, a size."""
    return Const(value, DType.I64)


def size_of(dim: Dim) -> Expr:
    """A dim as an expression: a number or the extent's name."""
    return integer(dim) if isinstance(dim, int) else Var(dim)


def zero_of(dtype: DType) -> Const:
    """Zero, of that type."""
    return Const(0.0 if dtype.is_float else 0, dtype)


def load(buffer: str, index: Sequence[Index], dtype: DType) -> Load:
    """`buffer[index]`."""
    return Load(buffer, tuple(index), dtype)


def call(function: str, *args: Expr) -> Expr:
    """`function(args)` with the dtype that follows from the operands."""
    known = FUNCTIONS[function]
    dtype = known.result or args[-1].dtype
    if all(isinstance(arg, Const) for arg in args) and dtype is DType.I64 and known.pure:
        return _fold(function, [arg for arg in args if isinstance(arg, Const)])
    return Call(function, args, dtype)


def _fold(function: str, args: list[Const]) -> Const:
    values = [arg.value for arg in args]
    meaning = _EXACT.get(function) or FUNCTIONS[function].numpy
    return integer(int(meaning(*values)))


_EXACT: dict[str, Callable[..., float]] = {"add": operator.add, "sub": operator.sub, "mul": operator.mul}
"""Python's own operators, where they mean the same of whole numbers: much faster than numpy's."""


def add(a: Expr, b: Expr) -> Expr:
    """`a + b` of indices; constants collect on the right."""
    if isinstance(a, Const):
        a, b = b, a
    if isinstance(b, Const):
        if b.value == 0:
            return a
        if isinstance(a, Call) and a.function == "add" and isinstance(a.args[1], Const):
            return add(a.args[0], integer(int(a.args[1].value) + int(b.value)))
    return call("add", a, b)


def subtract(a: Expr, b: Expr) -> Expr:
    """`a - b` of indices."""
    if isinstance(b, Const):
        return add(a, integer(-int(b.value)))
    return ZERO if a == b else call("sub", a, b)


def multiply(a: Expr, b: Expr) -> Expr:
    """`a * b` of indices."""
    if isinstance(a, Const):
        a, b = b, a
    if isinstance(b, Const):
        if b.value == 0:
            return ZERO
        if b.value == 1:
            return a
    return call("mul", a, b)


def floordiv(a: Expr, b: Expr) -> Expr:
    """`a // b` of indices."""
    return a if b == ONE else call("floordiv", a, b)


def known_size(size: Expr) -> int | None:
    """`size` as a number; None where only the call knows it."""
    return int(size.value) if isinstance(size, Const) else None


def whole_part(size: Expr, count: int) -> Expr:
    """How many of `size` elements are in whole groups of `count`."""
    return multiply(floordiv(size, integer(count)), integer(count))


def mod(a: Expr, b: Expr) -> Expr:
    """`a % b` of indices."""
    return ZERO if b == ONE else call("mod", a, b)


def product(sizes: Sequence[Expr]) -> Expr:
    """The product of sizes; 1 for none."""
    result: Expr = ONE
    for size in sizes:
        result = multiply(result, size)
    return result


def folded(expr: Expr) -> Expr:
    """`expr`, whose operands are folded already, with its own constants folded; a vector may lose its limit."""
    match expr:
        case Call(function, args, DType.I64) if function in _FOLDING and _may_fold(function, args) and expr.lanes == 1:
            return _FOLDING[function](*args)
        case Load(buffer, index, dtype):
            new_index = folded_index(index)
            return expr if new_index is index else Load(buffer, new_index, dtype)
        case _:
            return expr


def _may_fold(function: str, args: Sequence[Expr]) -> bool:
    """False where there is certainly nothing to fold: `expr` stays the same object."""
    return function == "sub" or any(isinstance(arg, Const) for arg in args)


def folded_index(index: tuple[Index, ...]) -> tuple[Index, ...]:
    """An index whose parts are folded already, without a limit that it does not reach."""
    match index:
        case (*lead, Span(Const(start), lanes, Const(limit))) if start + lanes <= limit:
            return (*lead, Span(integer(int(start)), lanes))
        case _:
            return index


_FOLDING: dict[str, Callable[..., Expr]] = {
    "add": add,
    "sub": subtract,
    "mul": multiply,
    "floordiv": floordiv,
    "mod": mod,
    "min": lambda a, b: call("min", a, b),
    "max": lambda a, b: call("max", a, b),
}
