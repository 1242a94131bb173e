"""What passes over chunks of time share: which loops those are, and how many weights a step in them reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rnncc.loop.builder import ZERO, call, integer, subtract
from rnncc.loop.ir import Buffer, Const, Expr, For, Load, Reduce, Stmt, Var
from rnncc.loop.visit import children, expressions_of


def is_chunks(loop: Stmt) -> bool:
    """True for a loop over chunks of time as `chunk_steps` makes it."""
    if not isinstance(loop, For) or loop.kind != "range" or loop.step == 1:
        return False
    count = call("min", subtract(loop.stop, Var(loop.variable)), integer(loop.step))
    return (
        loop.start == ZERO
        and isinstance(loop.stop, Var)
        and all(
            isinstance(member, For) and member.start == ZERO and member.stop == count and member.step == 1
            for member in loop.body
        )
    )


def weights_read(member: For, buffers: Mapping[str, Buffer]) -> int:
    """Bytes of weights that a step of `member` reads for one row; loops of a length that is not known count once."""
    return sum(
        times * load.dtype.size for load, times in _loads_in(member.body, 1) if buffers[load.buffer].space == "weight"
    )


def _loads_in(statements: Sequence[Stmt], times: int) -> Iterator[tuple[Load, int]]:
    """The loads in `statements`, and how often each of them is done."""
    for statement in statements:
        if isinstance(statement, For):
            yield from _loads_in(statement.body, times * _count(statement.stop))
        else:
            for expr in expressions_of(statement):
                yield from _loads_by(expr, times)


def _loads_by(expr: Expr, times: int) -> Iterator[tuple[Load, int]]:
    if isinstance(expr, Load):
        yield expr, times
    inside = times * _count(expr.size) if isinstance(expr, Reduce) else times
    for child in children(expr):
        yield from _loads_by(child, inside)


def _count(size: Expr) -> int:
    return int(size.value) if isinstance(size, Const) else 1
