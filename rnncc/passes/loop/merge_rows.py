"""Do all that is done for one row before the next one, while the row is in the cache.

    for b in parallel(0, B):                               for b in parallel(0, B):
        sum_0[0] = 0.0                                         sum_0[0] = 0.0
        for k in range(0, 512):                                for k in range(0, 512):
            sum_0[0] += z[b, k]                    ->              sum_0[0] += z[b, k]
        total[b] = sum_0[0]                                    total[b] = sum_0[0]
    for b in parallel(0, B):                                   for j in parallel(0, 512):
        for j in parallel(0, 512):                                 y[b, j] = z[b, j] / total[b]
            y[b, j] = z[b, j] / total[b]

What `fuse` cannot make one nest, since every point needs a sum over the whole row (a normalization, a softmax), are
loops over the same rows one after the other. Two of them become one when each row needs only what is of its own row.

Requires: `tile`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from rnncc.loop.ir import For, Let, Procedure, Stmt, Var
from rnncc.loop.names import Names
from rnncc.loop.visit import substitute, walk_statements
from rnncc.passes.loop.dependences import indices_of, shared_by


def merge_rows(procedure: Procedure) -> Procedure:
    """Merge neighbouring loops over the same rows in every block."""
    registers = {buffer.name for buffer in procedure.buffers if buffer.is_private}
    body = _block(procedure.body, registers, Names(procedure))
    return procedure if body == procedure.body else replace(procedure, body=body)


def _block(statements: Sequence[Stmt], registers: set[str], names: Names) -> tuple[Stmt, ...]:
    merged: list[Stmt] = []
    for statement in statements:
        both = _merged(merged[-1], statement, registers, names) if merged else None
        if both is None:
            merged.append(statement)
        else:
            merged[-1] = both
    return tuple(
        replace(statement, body=_block(statement.body, registers, names)) if isinstance(statement, For) else statement
        for statement in merged
    )


def _merged(first: Stmt, second: Stmt, registers: set[str], names: Names) -> For | None:
    """The two as one loop, if both are over the same rows and no row of the one needs another row of the other."""
    if not (isinstance(first, For) and isinstance(second, For) and _is_over_rows(first) and _is_over_rows(second)):
        return None
    if (first.start, first.stop, first.step) != (second.start, second.stop, second.step):
        return None
    if _values(first) & _values(second) or not _is_row_by_row(first, second, registers):
        return None
    inside = {inner.variable for inner in walk_statements((*first.body, *second.body)) if isinstance(inner, For)}
    free = [name for name in (first.variable, second.variable) if name not in inside]
    row = free[0] if free else names.fresh(first.variable)
    bodies = (substitute(loop.body, {loop.variable: Var(row)}) for loop in (first, second))
    return replace(first, variable=row, body=tuple(chain.from_iterable(bodies)))


def _is_over_rows(loop: For) -> bool:
    """True for a loop that leaves a last axis, or a sum, to loops inside of it."""
    return loop.kind == "parallel" and loop.step == 1 and any(isinstance(inner, For) for inner in loop.body)


def _values(loop: For) -> set[str]:
    return {inner.name for inner in walk_statements(loop.body) if isinstance(inner, Let)}


def _is_row_by_row(first: For, second: For, registers: set[str]) -> bool:
    """True when what one of them writes and the other one uses has an axis that is the row, wherever it is used."""
    shared = shared_by(first, second) - registers
    if not shared:
        return False
    places = {buffer: _axes_of_rows(first, buffer) & _axes_of_rows(second, buffer) for buffer in shared}
    return all(places.values())


def _axes_of_rows(loop: For, buffer: str) -> set[int]:
    """The axes of `buffer` whose index is the variable of `loop` in every access."""
    row = Var(loop.variable)
    indices = indices_of(loop, buffer)
    return set.intersection(*({axis for axis, item in enumerate(index) if item == row} for index in indices))
