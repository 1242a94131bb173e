"""What the forms that `tile` gives a nest have in common: where names come from, and loops that are written out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from rnncc.loop.builder import ZERO, add, call, integer, whole_part
from rnncc.loop.functions import identity_of
from rnncc.loop.ir import Const, Expr, For, Reduce, Stmt, Var
from rnncc.types import DType

Sums = Mapping[str, Reduce]
"""The reductions of a nest, by the name that its body uses for the result."""


class Names(Protocol):
    """Hands out names and buffers that the procedure does not have yet, and takes what fills them.

    `row` and `vector` are the loop variables inside of every tile.
    """

    row: str
    vector: str

    def fresh(self, hint: str) -> str:
        """A new name."""

    def private(self, space: str, hint: str, dtype: DType, *shape: int) -> str:
        """A new buffer that is private to each turn of a parallel loop: `register` or `stack`."""

    def packed(self, hint: str, dtype: DType, *shape: Expr) -> str:
        """A new buffer of weights."""

    def set_up(self, statements: Iterable[Stmt]) -> None:
        """`statements` that fill such buffers."""


def unrolled(loops: Sequence[tuple[str, int, int]], statements: Sequence[Stmt]) -> tuple[Stmt, ...]:
    """`statements` in unrolled loops: variable, first and last + 1 of each."""
    body = tuple(statements)
    for variable, first, stop in reversed(loops):
        body = (For(variable, "unroll", integer(first), integer(stop), 1, body),)
    return body


def identity(one: Reduce) -> Const:
    """What a sum starts with."""
    return Const(identity_of(one.function, one.dtype), one.dtype)


def in_vectors(
    start: Var, extent: Expr, lanes: int, vector: Callable[[Expr, Expr], tuple[Stmt, ...]]
) -> tuple[Stmt, ...]:
    """Loops over `extent` elements, with what `vector` does from one to another: `lanes` of them, in the end fewer."""
    full = whole_part(extent, lanes)
    loops: list[Stmt] = []
    if full != ZERO:
        loops.append(For(start.name, "parallel", ZERO, full, lanes, vector(start, add(start, integer(lanes)))))
    if isinstance(full, Const) and full != extent:
        loops += vector(full, extent)
    elif full != extent:
        rest = call("min", add(start, integer(lanes)), extent)
        loops.append(For(start.name, "parallel", full, extent, lanes, vector(start, rest)))
    return tuple(loops)


def widest(values: Sequence[Expr]) -> DType:
    """The widest of the element types of `values`."""
    return max((value.dtype for value in values), key=lambda dtype: dtype.size)
