"""The forms of a nest that is no register tile: plain vectors where there are no sums, and else point by point."""

from __future__ import annotations

from dataclasses import replace

from rnncc.loop.builder import ZERO, add, call, floordiv, integer, multiply
from rnncc.loop.ir import Const, Expr, For, Load, Stmt, Var
from rnncc.loop.visit import substitute, walk_exprs
from rnncc.passes.loop.machine import Machine
from rnncc.passes.loop.nest import Nest, loops_of, walks
from rnncc.passes.loop.sums_over_k import sum_over_k
from rnncc.passes.loop.tile_parts import Names, Sums, widest


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
        fixed = int(one.size.value) if isinstance(one.size, Const) else None
        lanes = machine.lanes(one.dtype, fixed) if is_contiguous_in(one.value, one.variable) else 1
        body += sum_over_k(register, one, lanes, names)
        results[name] = Load(register, (ZERO,), one.dtype)
    body += substitute(nest.body, results)
    return loops_of(replace(nest, body=tuple(body)))


def is_contiguous_in(value: Expr, variable: str) -> bool:
    """True when all that `value` loads lies one after the other, or in one place, as `variable` grows."""
    return all(walks(part.index, variable, (0, 1)) for part in walk_exprs(value) if isinstance(part, Load))
