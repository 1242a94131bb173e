"""Ask for what a tile's end will read before its loop over k: it arrives while the sums are added up.

    for r in parallel(0, B // 2 * 2, 2):               for r in parallel(0, B // 2 * 2, 2):
        for k in range(0, 256):                            for part in range(0, 2):
            acc[0, 0, span(0, 16)] += ...          ->          prefetch(z[t, r + part, span(js, 16)])
            acc[1, 0, span(0, 16)] += ...                      for k in range(part * 128, part * 128 + 128):
        ... acc[0, ...] + z[t, r, span(js, 16)]                    acc[0, 0, span(0, 16)] += ...
        ... acc[1, ...] + z[t, r + 1, span(js, 16)]                acc[1, 0, span(0, 16)] += ...
                                                           ... acc[0, ...] + z[t, r, span(js, 16)]
                                                           ... acc[1, ...] + z[t, r + 1, span(js, 16)]

Of the projection of a whole sequence, every tile reads a line here and a line there: more streams than a prefetcher of
the machine follows, from memory that no cache near by holds. Without this, the multiply-adds of the next tile wait for
each of them. What every tile reads alike (a bias) is near anyway.

A core waits for a few dozen lines at a time, and the weights that the loop over k begins with would stand in line
behind those of all rows. So each row is asked for before its own part of a long loop over k. Measured on an LSTM(1024)
with 32 rows: 4 % of the time in bfloat16, 2 % in float32.

Requires: `unroll`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rnncc.loop.builder import ZERO, add, call, integer, multiply
from rnncc.loop.ir import Const, Expr, For, Let, Load, Prefetch, Procedure, Span, Stmt, Var
from rnncc.loop.visit import free_variables, index_exprs, map_index, substitute, walk_exprs, walk_statements
from rnncc.passes.loop.names import Names
from rnncc.types import DType

TURNS = 16
"""The shortest part of a loop over k that is worth one more loop around it."""


def prefetch(procedure: Procedure) -> Procedure:
    """Prefetch before every loop over k what the straight line behind it loads."""
    far = {
        buffer.name
        for buffer in procedure.buffers
        if buffer.space in ("input", "temporary", "weight") and len(buffer.shape) > 1
    }
    body = _Prefetcher(far, Names(procedure)).block(procedure.body, None)
    return procedure if body == procedure.body else replace(procedure, body=body)


@dataclass(frozen=True, slots=True)
class _Prefetcher:
    """`far` are the buffers that are worth a prefetch."""

    far: set[str]
    names: Names

    def block(self, statements: Sequence[Stmt], around: For | None) -> tuple[Stmt, ...]:
        """`statements`, the body of the loop `around`."""
        result: list[Stmt] = []
        for position, statement in enumerate(statements):
            if not isinstance(statement, For):
                result.append(statement)
            elif not _adds_up(statement):
                result.append(replace(statement, body=self.block(statement.body, statement)))
            else:
                has_some = any(isinstance(other, Prefetch) for other in walk_statements(result))
                wanted = [] if has_some else _prefetches(statements[position + 1 :], self.far)
                result += self.loop_over_k(statement, wanted, around)
        return tuple(result)

    def loop_over_k(self, loop: For, wanted: Sequence[Prefetch], rows: For | None) -> list[Stmt]:
        """`loop` with what is `wanted`: at once, or row by row if the loop `rows` around it takes several at a time."""
        parts = rows.step if rows is not None and rows.kind == "parallel" else 1
        if rows is None or parts == 1 or not isinstance(loop.stop, Const) or loop.stop.value < parts * TURNS:
            return [*wanted, loop]
        part = Var(self.names.fresh("part"))
        by_row, others = _by_row(wanted, rows, part)
        if not by_row:
            return [*wanted, loop]
        assert loop.start == ZERO and loop.step == 1, "a loop over k takes every k"
        size = integer(-(-int(loop.stop.value) // parts))  # the last parts may be empty
        start = multiply(part, size)
        stop = add(start, size)
        if int(loop.stop.value) % parts:
            stop = call("min", stop, loop.stop)
        piece = replace(loop, start=start, stop=stop)
        return [*others, For(part.name, "range", ZERO, integer(parts), 1, (*by_row, piece))]


def _adds_up(loop: For) -> bool:
    """True for a loop over k: nothing but loads and sums."""
    return loop.kind == "range" and not any(isinstance(inner, For) for inner in loop.body)


def _by_row(wanted: Sequence[Prefetch], rows: For, part: Var) -> tuple[list[Prefetch], list[Prefetch]]:
    """What is wanted alike for every row of a tile, said once, for row number `part`; and what else is wanted."""

    def at(one: Prefetch, row: Expr) -> Prefetch:
        place = {rows.variable: add(Var(rows.variable), row)}
        return replace(one, index=map_index(one.index, lambda expr: substitute(expr, place)))

    taken: set[Prefetch] = set()
    by_row: list[Prefetch] = []
    for one in wanted:
        copies = {at(one, integer(number)) for number in range(rows.step)}
        if len(copies) == rows.step and copies <= set(wanted) - taken:
            taken |= copies
            by_row.append(at(one, part))
    return by_row, [one for one in wanted if one not in taken]


def _prefetches(line: Sequence[Stmt], far: set[str]) -> list[Prefetch]:
    """One for every vector that `line` loads from `far`, and whose place is known before the line.

    A row of a table is: its number, which the line looks up, is looked up here as well.
    """
    found: dict[Prefetch, None] = {}
    numbers: dict[str, Expr] = {}
    own: set[str] = set()
    for statement in walk_statements(line):
        if isinstance(statement, For):
            own.add(statement.variable)
            continue
        for part in walk_exprs(statement):
            if isinstance(part, Load) and part.buffer in far and part.index and isinstance(part.index[-1], Span):
                index = map_index(part.index, lambda expr: substitute(expr, numbers))
                if all(own.isdisjoint(free_variables(expr)) for expr in index_exprs(index)):
                    found[Prefetch(part.buffer, index)] = None
        if isinstance(statement, Let):
            value = substitute(statement.value, numbers)
            if value.dtype is DType.I64 and value.lanes == 1 and own.isdisjoint(free_variables(value)):
                numbers[statement.name] = value
            else:
                own.add(statement.name)
    return list(found)
