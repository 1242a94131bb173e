"""The ends of register tiles, as functions: what is done row by row with sums that are in memory.

    for r in parallel(0, end_6, 6):                            for r in parallel(0, end_6, 6):
        ...                                                        ...
        for m in parallel(0, 6):                                   call end(6, r, held, y)
            y[r + m] = tanh(held[m])                    ->     for r_2 in parallel(end_6, end_2, 2):
    for r_2 in parallel(end_6, end_2, 2):                          ...
        ...                                                        call end(2, r_2, held, y)
        for m in parallel(0, 2):
            y[r_2 + m] = tanh(held[m])                         with: end(count, r, held, y):
                                                                   for m in parallel(0, count):
                                                                       y[r + m] = tanh(held[m])

Tiles of all heights share one, and LLVM has half as much to compile. And the numbers that it keeps in registers (a tanh
has eleven) are its own: in one function with the loops over k, LLVM keeps them alive all the time, and a loop over k
that needs every register spills a sum at each turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rnncc.loop.ir import Expr, For, Let, Stmt, Var
from rnncc.loop.visit import map_children, map_statement
from rnncc.types import DType

Pattern = tuple[For, ...]
"""Loops that follow one another, one for each stage of an end, of equally many turns."""


def pattern_of(loops: Sequence[For]) -> tuple[Pattern, dict[str, Expr]]:
    """What `loops` have in common with the ends of other tiles: all but the number of turns and the names of values.

    Returns it with new names, and what those that it does not bind itself stand for.
    """
    names: dict[str, str] = {}
    given: dict[str, Expr] = {}

    def renamed(expr: Expr) -> Expr:
        if not isinstance(expr, Var):
            return map_children(expr, renamed)
        if expr.name not in names:
            names[expr.name] = f"given_{len(given)}"
            given[names[expr.name]] = expr
        return replace(expr, name=names[expr.name])

    def copied(statement: Stmt) -> Stmt:
        if isinstance(statement, For):
            start, stop = renamed(statement.start), renamed(statement.stop)
            names[statement.variable] = statement.variable
            return replace(statement, start=start, stop=stop, body=tuple(map(copied, statement.body)))
        statement = map_statement(statement, renamed)
        if isinstance(statement, Let):
            names[statement.name] = f"value_{len(names)}"
            statement = replace(statement, name=names[statement.name])
        return statement

    count = Var("count", DType.I64)
    pattern: list[For] = []
    for loop in loops:
        one = copied(replace(loop, stop=count))
        assert isinstance(one, For) and len(names) == len(set(names.values())), "two values got one name"
        pattern.append(one)
    given[names[count.name]] = loops[0].stop
    return tuple(pattern), given
