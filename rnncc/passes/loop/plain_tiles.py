"""The forms of a nest that is no register tile: plain vectors where there are no sums, and else point by point."""

from __future__ import annotations

from dataclasses import replace

from rnncc.loop.builder import ZERO, add, call, floordiv, integer, multiply, subtract
from rnncc.loop.functions import identity_of
from rnncc.loop.ir import Const, Expr, For, Load, Reduce, Stmt, Store, Var
from rnncc.loop.visit import substitute, walk_exprs
from rnncc.passes.loop.machine import Machine
from rnncc.passes.loop.nest import Nest, loops_of, walks
from rnncc.passes.loop.tile_parts import Names, Sums, unrolled, widest

SUM_CHAINS = 4
"""Vectors that a long sum at one point is added up in, side by side: an addition takes some cycles, and two may begin
in each."""


def vector_tile(nest: Nest, machine: Machine, names: Names) -> tuple[Stmt, ...]:
    """No sums: the other axes as they are, the last one in vectors."""
    *variables, j = nest.variables
    *sizes, extent = nest.sizes
    fixed = int(extent.value) if isinstance(extent, Const) else None
    lanes = machine.lanes(widest([store.value for store in nest.stores]), fixed)
    full = multiply(floordiv(extent, integer(lanes)), integer(lanes))
    start = Var(names.fresh(f"{j}s"))

    def vector(begin: Expr, stop: Expr) -> tuple[Stmt, ...]:
        return (For(j, "lanes", begin, stop, 1, nest.body),)

    loops: list[Stmt] = []
    if full != ZERO:
        body = vector(start, add(start, integer(lanes)))
        loops.append(For(start.name, "parallel", ZERO, full, lanes, body))
    if isinstance(full, Const) and full != extent:
        loops += vector(full, extent)
    elif full != extent:
        rest = call("min", add(start, integer(lanes)), extent)
        loops.append(For(start.name, "parallel", full, extent, lanes, vector(start, rest)))
    body = tuple(loops)
    for variable, size in zip(reversed(variables), reversed(sizes), strict=True):
        body = (For(variable, "parallel", ZERO, size, 1, body),)
    return body


def point_tile(nest: Nest, sums: Sums, machine: Machine, names: Names) -> tuple[Stmt, ...]:
    """Scalar points; each of their sums in vectors over k where k is contiguous."""
    body: list[Stmt] = []
    results: dict[str, Expr] = {}
    for name, one in sums.items():
        register = names.private("register", name, one.dtype, 1)
        body += _sum_over_k(register, one, machine, names)
        results[name] = Load(register, (ZERO,), one.dtype)
    body += substitute(nest.body, results)
    return loops_of(replace(nest, body=tuple(body)))


def _sum_over_k(register: str, one: Reduce, machine: Machine, names: Names) -> list[Stmt]:
    fixed = int(one.size.value) if isinstance(one.size, Const) else None
    lanes = machine.lanes(one.dtype, fixed)
    start = Const(identity_of(one.function, one.dtype), one.dtype)
    if lanes == 1 or not is_contiguous_in(one.value, one.variable):
        update = Store(register, (ZERO,), one.value, one.function)
        return [Store(register, (ZERO,), start), For(one.variable, "range", ZERO, one.size, 1, (update,))]
    chains = SUM_CHAINS if fixed is None or fixed >= 2 * SUM_CHAINS * lanes else 1
    partial = names.private("register", f"{register}_part", one.dtype, chains, lanes)
    chain: Expr = Var(names.vector) if chains > 1 else ZERO
    lane = Var(names.fresh("lane"))

    def for_chains(first: int, *body: Stmt) -> tuple[Stmt, ...]:
        return unrolled(((names.vector, first, chains),) if chains > 1 else (), body)

    def lanes_of(store: Store) -> For:
        return For(lane.name, "lanes", ZERO, integer(lanes), 1, (store,))

    def vectors(begin: Expr, end: Expr, number: Expr, wide: int) -> For:
        """A loop over blocks of `wide` elements; a vector of each is added to the chain `number`."""
        block = Var(names.fresh("ks"))
        place = add(block, multiply(number, integer(lanes)))
        update = Store(partial, (number, subtract(Var(one.variable), place)), one.value, one.function)
        vector = For(one.variable, "lanes", place, add(place, integer(lanes)), 1, (update,))
        body = for_chains(0, vector) if number != ZERO else (vector,)
        return For(block.name, "range", begin, end, wide, body)

    wide = chains * lanes
    most = multiply(floordiv(one.size, integer(wide)), integer(wide))
    full = multiply(floordiv(one.size, integer(lanes)), integer(lanes))
    statements: list[Stmt] = [*for_chains(0, lanes_of(Store(partial, (chain, lane), start)))]
    statements.append(vectors(ZERO, most, chain, wide))
    if most != full:
        statements.append(vectors(most, full, ZERO, lanes))
    if chains > 1:
        other = Load(partial, (chain, lane), one.dtype)
        statements += for_chains(1, lanes_of(Store(partial, (ZERO, lane), other, one.function)))
    fold = Reduce(one.function, lane.name, integer(lanes), Load(partial, (ZERO, lane), one.dtype))
    statements.append(Store(register, (ZERO,), fold))
    if full != one.size:
        update = Store(register, (ZERO,), one.value, one.function)
        statements.append(For(one.variable, "range", full, one.size, 1, (update,)))
    return statements


def is_contiguous_in(value: Expr, variable: str) -> bool:
    """True when all that `value` loads lies one after the other, or in one place, as `variable` grows."""
    return all(walks(part.index, variable, (0, 1)) for part in walk_exprs(value) if isinstance(part, Load))
