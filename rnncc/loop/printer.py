"""Loop IR as text: a small subset of Python syntax that `rnncc.loop.parser` reads back.

    def model(B, T):
        x = input(f32, [T, B])
        y = output(f32, [B])
        messages('x[t, b] is negative')
        for b in parallel(0, B):
            y[b] = 0.0
            for t in range(0, T):
                check(0.0 <= x[t, b], 0, t, b)
                y[b] += exp(x[t, b]) * 0.5

A bare integer is i64, a bare float f32; any other number says its type: `const(0.5, f64)`. The combining stores that
Python has no operator for print as `combine_max(y[b], value)`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import assert_never

from rnncc.loop.functions import FUNCTIONS
from rnncc.loop.ir import (
    COMBINE,
    Barrier,
    Buffer,
    Call,
    Check,
    Const,
    Expr,
    For,
    Index,
    Let,
    Load,
    Prefetch,
    Procedure,
    Ramp,
    Reduce,
    Span,
    Stmt,
    Store,
    Var,
    set_printer,
)
from rnncc.types import DType

_COMPARISON, _SUM, _PRODUCT = 1, 2, 3
_BINDING = {"<": _COMPARISON, "<=": _COMPARISON, "==": _COMPARISON, "!=": _COMPARISON, "+": _SUM, "-": _SUM}
"""How tightly Python binds an operator; all others are products."""


def show(procedure: Procedure) -> str:
    """The text of `procedure`; `show(parse(show(p))) == show(p)`."""
    return "".join(f"{text}\n" for text, _ in lines(procedure))


def lines(procedure: Procedure) -> Iterator[tuple[str, Buffer | Stmt | None]]:
    """The lines of `show`, each with the buffer or the statement that begins there."""
    given = [*procedure.dims, *(("*", procedure.first_row) if procedure.first_row is not None else ())]
    yield f"def {procedure.name}({', '.join(given)}):", None
    for buffer in procedure.buffers:
        yield f"    {show_buffer(buffer)}", buffer
    if procedure.messages:
        yield f"    messages({', '.join(map(repr, procedure.messages))})", None
    if procedure.setup:
        yield "    with setup():", None
        yield from statement_lines(procedure.setup, 2)
    if procedure.body or not (procedure.buffers or procedure.messages or procedure.setup):
        yield from statement_lines(procedure.body, 1)


def statement_lines(statements: Iterable[Stmt], depth: int = 0) -> Iterator[tuple[str, Stmt | None]]:
    """The lines of `statements` at an indentation depth, each with the statement that begins there."""
    indent = "    " * depth
    empty = True
    for statement in statements:
        empty = False
        yield indent + show_head(statement), statement
        if isinstance(statement, For):
            yield from statement_lines(statement.body, depth + 1)
    if empty:
        yield f"{indent}pass", None


def show_buffer(buffer: Buffer) -> str:
    """The declaration of a buffer."""
    slot = "" if buffer.slot is None else f", slot={buffer.slot}"
    return f"{buffer.name} = {buffer.space}({buffer.dtype}, [{', '.join(map(show_expr, buffer.shape))}]{slot})"


def show_head(statement: Stmt) -> str:
    """The first line of a statement: all of it, unless it is a loop."""
    match statement:
        case For(variable, kind, start, stop, step):
            bounds = [show_expr(start), show_expr(stop), *([str(step)] if step != 1 else [])]
            return f"for {variable} in {kind}({', '.join(bounds)}):"
        case Let(name, value):
            return f"{name} = {show_expr(value)}"
        case Store(buffer, index, value, None):
            return f"{show_access(buffer, index)} = {show_expr(value)}"
        case Store(buffer, index, value, "add"):
            return f"{show_access(buffer, index)} += {show_expr(value)}"
        case Store(buffer, index, value, combine):
            return f"combine_{combine}({show_access(buffer, index)}, {show_expr(value)})"
        case Check(condition, code, values):
            return f"check({', '.join([show_expr(condition), str(code), *map(show_expr, values)])})"
        case Prefetch(buffer, index):
            return f"prefetch({show_access(buffer, index)})"
        case Barrier():
            return "barrier()"
        case _:
            assert_never(statement)


def show_access(buffer: str, index: Iterable[Index]) -> str:
    """`buffer[index, ...]`."""
    return f"{buffer}[{', '.join(map(show_index, index)) or '()'}]"


def show_index(index: Index) -> str:
    """An index, or a span."""
    if not isinstance(index, Span):
        return show_expr(index)
    limit = [] if index.limit is None else [show_expr(index.limit)]
    return f"span({', '.join([show_expr(index.start), str(index.lanes), *limit])})"


def show_expr(expr: Expr, binding: int = 0) -> str:
    """An expression; in parentheses when an operator around it binds tighter (`binding`) than its own."""
    match expr:
        case Const(value, dtype):
            return _show_number(value, dtype)
        case Var(name):
            return name
        case Load(buffer, index):
            return show_access(buffer, index)
        case Call(function, args):
            infix = FUNCTIONS[function].infix if function in FUNCTIONS else None
            if infix and len(args) == 2:
                return _show_infix(infix, args[0], args[1], binding)
            return f"{function}({', '.join(map(show_expr, args))})"
        case Reduce(function, variable, size, value):
            name = COMBINE.get(function, function)
            return f"{name}({show_expr(value)} for {variable} in range({show_expr(size)}))"
        case Ramp(start, lanes):
            return f"ramp({show_expr(start)}, {lanes})"
        case _:
            assert_never(expr)


def _show_infix(operator: str, left: Expr, right: Expr, binding: int) -> str:
    own = _BINDING.get(operator, _PRODUCT)
    # Operators associate to the left, except that a comparison next to a comparison would be a chain.
    text = f"{show_expr(left, own + (own == _COMPARISON))} {operator} {show_expr(right, own + 1)}"
    return f"({text})" if own < binding else text


def _show_number(value: float | int | bool, dtype: DType) -> str:
    if dtype is DType.BOOL:
        return str(bool(value))
    if dtype is DType.I64:
        return str(int(value))
    text = repr(float(value)) if dtype.is_float else str(int(value))
    return text if dtype is DType.F32 and math.isfinite(value) else f"const({text}, {dtype})"


set_printer(lambda procedure: show(procedure).removesuffix("\n"))
