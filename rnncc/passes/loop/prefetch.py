"""Ask for what a tile's end will read before its loop over k: it arrives while the sums are added up.

    for k in range(0, 256):                            prefetch(z[t, r, span(js, 16)])
        acc[0, 0, span(0, 16)] += ...          ->      for k in range(0, 256):
    y = acc[0, 0, span(0, 16)] + z[t, r, span(js, 16)]     acc[0, 0, span(0, 16)] += ...
                                                       y = acc[0, 0, span(0, 16)] + z[t, r, span(js, 16)]

Of the projection of a whole sequence, every tile reads a line here and a line there: more streams than a prefetcher of
the machine follows, from memory that no cache near by holds. Without this, the multiply-adds of the next tile wait for
each of them. What every tile reads alike (a bias) is near anyway.

Requires: `unroll`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rnncc.loop.ir import Expr, For, Let, Load, Prefetch, Procedure, Span, Stmt
from rnncc.loop.visit import free_variables, index_exprs, map_index, substitute, walk_exprs, walk_statements
from rnncc.types import DType


def prefetch(procedure: Procedure) -> Procedure:
    """Prefetch before every loop over k what the straight line behind it loads."""
    far = {
        buffer.name
        for buffer in procedure.buffers
        if buffer.space in ("input", "temporary", "weight") and len(buffer.shape) > 1
    }
    body = _block(procedure.body, far)
    return procedure if body == procedure.body else replace(procedure, body=body)


def _block(statements: Sequence[Stmt], far: set[str]) -> tuple[Stmt, ...]:
    result: list[Stmt] = []
    for position, statement in enumerate(statements):
        if not isinstance(statement, For):
            result.append(statement)
        elif _adds_up(statement):
            if not any(isinstance(other, Prefetch) for other in result):
                result += _prefetches(statements[position + 1 :], far)
            result.append(statement)
        else:
            result.append(replace(statement, body=_block(statement.body, far)))
    return tuple(result)


def _adds_up(loop: For) -> bool:
    """True for a loop over k: nothing but loads and sums."""
    return loop.kind == "range" and not any(isinstance(inner, For) for inner in loop.body)


def _prefetches(line: Sequence[Stmt], far: set[str]) -> list[Stmt]:
    """One for every vector that `line` loads from `far`, and whose place is known before the line.

    A row of a table is: its number, which the line looks up, is looked up here as well.
    """
    found: dict[Stmt, None] = {}
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
