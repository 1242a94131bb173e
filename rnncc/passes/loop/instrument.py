"""Count the cycles of every kernel: a nest, or a nest inside of a loop over steps, then summed over the steps.

    for t in range(0, T):                          cycles[1] = cycles(0)
        for j in parallel(0, 128):                 cycles[0] = 0
            h[(t + 1) % 2, j] = ...                for t in range(0, T):
                                       ->              start = cycles(0)
                                                       for j in parallel(0, 128):
                                                           h[(t + 1) % 2, j] = ...
                                                       cycles[0] += cycles(start)
                                                   cycles[2] = cycles(0)

The counters are one more output: one for each of `kernels_of`, in order, then the clock at the start and at the end.

Requires: `fuse`, and no `tile` yet, which makes several loops of one kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rnncc.loop.builder import ZERO, call, integer
from rnncc.loop.ir import Buffer, Expr, For, Let, Procedure, Stmt, Store, Var
from rnncc.loop.names import Names
from rnncc.passes.loop.nest import is_over_steps
from rnncc.records import record
from rnncc.types import DType


@record(frozen=True, slots=True)
class Kernel:
    """A nest, and the loops over steps around it, with the names that are bound before and in them."""

    nest: For
    around: tuple[For | Let, ...]


def kernels_of(body: Sequence[Stmt], around: tuple[For | Let, ...] = ()) -> list[Kernel]:
    """Every kernel of fused statements, in order."""
    found: list[Kernel] = []
    for statement in body:
        if isinstance(statement, Let):
            around = (*around, statement)
        elif isinstance(statement, For):
            inside = (*around, statement)
            found += kernels_of(statement.body, inside) if is_over_steps(statement) else [Kernel(statement, around)]
    return found


def instrument(procedure: Procedure) -> Procedure:
    """Add counters for all kernels."""
    count = len(kernels_of(procedure.body))
    if not count:
        return procedure
    marker = _Marker(Names(procedure))
    body = marker.block(procedure.body)
    clears = [Store(marker.counters, (integer(number),), ZERO) for number in range(count)]
    start, end = (Store(marker.counters, (integer(count + number),), _cycles(ZERO)) for number in range(2))
    counters = Buffer(marker.counters, DType.I64, (integer(count + 2),), "output")
    return replace(procedure, buffers=(*procedure.buffers, counters), body=(start, *clears, *body, end))


class _Marker:
    """Numbers the kernels in the order of `kernels_of`."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.counters = names.fresh("cycles")
        self.number = 0

    def block(self, statements: Sequence[Stmt]) -> tuple[Stmt, ...]:
        result: list[Stmt] = []
        for statement in statements:
            if not isinstance(statement, For):
                result.append(statement)
            elif is_over_steps(statement):
                result.append(replace(statement, body=self.block(statement.body)))
            else:
                since = Var(self.names.fresh("start"))
                place = integer(self.number)
                self.number += 1
                result += [
                    Let(since.name, _cycles(ZERO)),
                    statement,
                    Store(self.counters, (place,), _cycles(since), "add"),
                ]
        return tuple(result)


def _cycles(since: Expr) -> Expr:
    return call("cycles", since)
