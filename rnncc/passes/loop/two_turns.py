"""Take two turns of a loop over k at once, where several rows share what it reads.

    for k in range(0, 256):                           for k in range(0, 256, 2):
        w = wp[p, k, 0, 0, span(0, 16)]                   w = wp[p, k, 0, 0, span(0, 16)]
        acc[0, 0, span(0, 16)] += h[r, k] * w     ->      acc[0, 0, span(0, 16)] += h[r, k] * w
        acc[1, 0, span(0, 16)] += h[r + 1, k] * w         acc[1, 0, span(0, 16)] += h[r + 1, k] * w
                                                          w_2 = wp[p, k + 1, 0, 0, span(0, 16)]
                                                          acc[0, 0, span(0, 16)] += h[r, k + 1] * w_2
                                                          acc[1, 0, span(0, 16)] += h[r + 1, k + 1] * w_2

Some cores count and compare on the ports that multiply-adds need. Measured on an Intel core, where tiles have six rows
and four vectors: cells of three and four gates with 16 to 64 rows take 2 to 7 % less time, one row 4 to 6 % less where
the projections of many steps are done at once. Four turns at once gain nothing over two. Rows on their own
wait for their weights: taking two turns made them 1 % slower.

The products of a sum are added up in the same order as before. Requires: `prefetch`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rnncc.loop.builder import ZERO, add, call, folded, integer, mod, subtract
from rnncc.loop.index import interval, multiple_of
from rnncc.loop.ir import For, Load, Procedure, Stmt, Store, Var
from rnncc.loop.names import Names
from rnncc.loop.visit import is_over_k, substitute, walk_exprs
from rnncc.passes.loop.unroll import written_out

AT_ONCE = 2


def two_turns(procedure: Procedure) -> Procedure:
    """Write out two turns of every loop over k with more products than loads."""
    body = _block(procedure.body, {}, Names(procedure))
    return procedure if body == procedure.body else replace(procedure, body=body)


def _block(statements: tuple[Stmt, ...], around: Mapping[str, For], names: Names) -> tuple[Stmt, ...]:
    result: list[Stmt] = []
    for statement in statements:
        if not isinstance(statement, For):
            result.append(statement)
        elif statement.step == 1 and is_over_k(statement) and _is_short_of_ports(statement):
            result += _in_pairs(statement, around, names)
        else:
            inside = {**around, statement.variable: statement}
            result.append(replace(statement, body=_block(statement.body, inside, names)))
    return tuple(result)


def _is_short_of_ports(loop: For) -> bool:
    """True where the multiply-adds take longer than the loads."""
    products = sum(isinstance(statement, Store) for statement in loop.body)
    return products > sum(isinstance(part, Load) for part in walk_exprs(loop.body))


def _in_pairs(loop: For, around: Mapping[str, For], names: Names) -> list[Stmt]:
    """`loop` with two turns at once, and the turn that is left over, if one is or may be."""
    turns = subtract(loop.stop, loop.start)
    bounds = interval(turns, {})
    if bounds is not None and bounds[1] < AT_ONCE:
        return [loop]
    is_even = multiple_of(turns, around) % AT_ONCE == 0
    left = mod(call("max", turns, ZERO), integer(AT_ONCE))  # a loop that stops before its start has no turns
    end = loop.stop if is_even else folded(subtract(loop.stop, left))
    turn = Var(names.fresh("turn"))
    here = add(Var(loop.variable), turn)
    copies = For(turn.name, "unroll", ZERO, integer(AT_ONCE), 1, substitute(loop.body, {loop.variable: here}))
    pairs = replace(loop, stop=end, step=AT_ONCE, body=tuple(written_out(copies, names)))
    return [pairs] if is_even else [pairs, replace(loop, start=end)]
