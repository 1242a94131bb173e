"""The ends of register tiles, as functions: what is done row by row with sums that are in memory.

    for r in parallel(0, end_6, 6):                            for r in parallel(0, end_6, 6):
        ...                                                        ...
        for m in parallel(0, 6):                                   call end(6, r, held, y)
            y[r + m] = tanh(held[m])                    ->     for r_2 in parallel(end_6, end_2, 2):
    for r_2 in parallel(end_6, end_2, 2):                          ...
        ...                                                        call end(2, r_2, held, y)
        for m in parallel(0, 2):
            y[r_2 + m] = tanh(held[m])                         with: end(turns, r, held, y):
                                                                   for m in parallel(0, turns):
                                                                       y[r + m] = tanh(held[m])

The loops of all stages of an end are one function. Tiles of all heights share it, and LLVM has half as much to compile.
And the numbers that it keeps in registers (a tanh has eleven) are its own: in one function with the loops over k, LLVM
keeps them alive all the time, and a loop over k that needs every register spills a sum at each turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

from rnncc.loop.ir import Expr, For, Let, Stmt, Var
from rnncc.loop.visit import map_children, map_statement
from rnncc.types import DType

Pattern = tuple[For, ...]
"""The loops of an end, one for each of its stages, of equally many turns."""

TURNS = Var("given.turns", DType.I64)
"""How many turns the loops of a pattern have. Names with a dot are nobody else's."""


def pattern_of(loops: Sequence[For]) -> tuple[Pattern, dict[str, Expr]]:
    """What `loops` have in common with the ends of other tiles: all but the number of turns and the names of values.

    Returns it with new names, and what those that it does not bind itself stand for.
    """
    names: dict[str, str] = {}
    given: dict[str, Expr] = {TURNS.name: loops[0].stop}
    numbers = count()

    def renamed(expr: Expr) -> Expr:
        if not isinstance(expr, Var):
            return map_children(expr, renamed)
        if expr.name not in names:
            names[expr.name] = f"given.{next(numbers)}"
            given[names[expr.name]] = expr
        return replace(expr, name=names[expr.name])

    def copied(statement: Stmt) -> Stmt:
        if isinstance(statement, For):
            start, stop = renamed(statement.start), renamed(statement.stop)
            return replace(loop_of(statement), start=start, stop=stop)
        statement = map_statement(statement, renamed)
        if isinstance(statement, Let):
            names[statement.name] = f"value.{next(numbers)}"
            statement = replace(statement, name=names[statement.name])
        return statement

    def loop_of(loop: For) -> For:
        names[loop.variable] = loop.variable
        return replace(loop, body=tuple(map(copied, loop.body)))

    return tuple(replace(loop_of(loop), start=renamed(loop.start), stop=TURNS) for loop in loops), given
