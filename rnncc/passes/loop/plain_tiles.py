"""The forms of a nest that is no register tile: plain vectors where there are no sums, and else point by point."""

from __future__ import annotations

from dataclasses import replace

from rnncc.loop.builder import ZERO
from rnncc.loop.ir import Const, Expr, For, Load, Stmt, Var
from rnncc.loop.visit import substitute, walk_exprs
from rnncc.passes.loop.machine import Machine
from rnncc.passes.loop.nest import Nest, loops_of, walks, without_axis
from rnncc.passes.loop.sums_over_k import sum_over_k
from rnncc.passes.loop.tile_parts import Names, Sums, in_vectors, widest


def vector_tile(nest: Nest, machine: Machine, names: Names) -> tuple[Stmt, ...]:
    """No sums: the other axes as they are, the last one in vectors."""
    j, extent = nest.variables[-1], nest.sizes[-1]
    fixed = int(extent.value) if isinstance(extent, Const) else None
    lanes = machine.lanes(widest([store.value for store in nest.stores]), fixed)

    def vector(begin: Expr, stop: Expr) -> tuple[Stmt, ...]:
        return (For(j, "lanes", begin, stop, 1, nest.body),)

    loops = in_vectors(Var(names.fresh(f"{j}s")), extent, lanes, vector)
    return loops_of(replace(without_axis(nest, len(nest.variables) - 1), body=loops))


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
