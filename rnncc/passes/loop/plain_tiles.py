"""The forms of a nest that is no register tile: plain vectors where there are no sums, and else point by point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rnncc.loop.builder import ZERO, add, integer, known_size, whole_part
from rnncc.loop.ir import Expr, For, Load, Reduce, Stmt, Var
from rnncc.loop.visit import free_variables, substitute, walk_exprs
from rnncc.passes.loop.machine import Machine
from rnncc.passes.loop.nest import Nest, is_costly, loops_of, walks, without_axis
from rnncc.passes.loop.sums_over_k import side_by_side, sum_over_k
from rnncc.passes.loop.tile_parts import Names, Sums, in_vectors, widest

SIDE_BY_SIDE = 4
"""Points of a row that share what they read in a sum over k: it is loaded once, and one sum waits while others go on.
Scores of 100 places for 100 queries of 64 numbers each: a fifth of the time, with what is made of them. Half as many
where there are 16 registers. Of sums of costly functions, it is these that take the time."""


def vector_tile(nest: Nest, machine: Machine, names: Names) -> tuple[Stmt, ...]:
    """No sums: the other axes as they are, the last one in vectors."""
    j, extent = nest.variables[-1], nest.sizes[-1]
    lanes = machine.lanes(widest([store.value for store in nest.stores]), known_size(extent))

    def vector(begin: Expr, stop: Expr) -> tuple[Stmt, ...]:
        return (For(j, "lanes", begin, stop, 1, nest.body),)

    loops = in_vectors(Var(names.fresh(f"{j}s")), extent, lanes, vector)
    return loops_of(replace(without_axis(nest, len(nest.variables) - 1), body=loops))


def point_tile(nest: Nest, sums: Sums, machine: Machine, names: Names) -> tuple[Stmt, ...]:
    """Scalar points; each of their sums in vectors over k where k is contiguous."""
    columns = _columns(nest, sums, machine)
    if columns == 1:
        return loops_of(replace(nest, body=_points(nest, sums, (), machine, names)))
    j, extent = nest.variables[-1], nest.sizes[-1]
    full = whole_part(extent, columns)
    start = names.fresh(f"{j}s")
    places = [add(Var(start), integer(column)) for column in range(columns)]
    loops: tuple[Stmt, ...] = (
        For(start, "parallel", ZERO, full, columns, _points(nest, sums, places, machine, names)),
        For(j, "parallel", full, extent, 1, _points(nest, sums, (), machine, names)),
    )
    return loops_of(replace(without_axis(nest, len(nest.variables) - 1), body=loops if full != extent else loops[:1]))


def _points(nest: Nest, sums: Sums, places: Sequence[Expr], machine: Machine, names: Names) -> tuple[Stmt, ...]:
    """The body of `nest` at its point, or at several `places` on its last axis."""
    where = [{nest.variables[-1]: place} for place in places] or [{}]
    column: Expr = Var(names.fresh("column")) if places else ZERO
    body: list[Stmt] = []
    results: dict[str, Expr] = {}
    for name, one in sums.items():
        register = names.private("register", name, one.dtype, len(where))
        values = [replace(one, value=substitute(one.value, at)) for at in where]
        lanes = _lanes(one, machine)
        added = (sum_over_k(register, value, lanes, names, integer(number)) for number, value in enumerate(values))
        body += side_by_side(list(added))
        results[name] = Load(register, (column,), one.dtype)
    end = substitute(nest.body, results)
    if isinstance(column, Var):
        end = substitute(end, {nest.variables[-1]: add(places[0], column)})
        end = (For(column.name, "unroll", ZERO, integer(len(places)), 1, end),)
    return (*body, *end)


def _columns(nest: Nest, sums: Sums, machine: Machine) -> int:
    """How many points of a row are added up side by side: several where they share what they read, and in vectors."""
    columns = SIDE_BY_SIDE if machine.registers >= 32 else SIDE_BY_SIDE // 2
    if len(nest.variables) < 2 or len(sums) != 1:
        return 1
    (one,), extent = sums.values(), known_size(nest.sizes[-1])
    if extent is not None and extent < columns:
        return 1
    if any(map(is_costly, walk_exprs(one.value))):
        return 1
    loads = [part for part in walk_exprs(one.value) if isinstance(part, Load)]
    moving = [nest.variables[-1] in free_variables(load) for load in loads]
    return columns if _lanes(one, machine) > 1 and any(moving) and not all(moving) else 1


def _lanes(one: Reduce, machine: Machine) -> int:
    """Of the vectors in which `one` is added up."""
    return machine.lanes(one.dtype, known_size(one.size)) if is_contiguous_in(one.value, one.variable) else 1


def is_contiguous_in(value: Expr, variable: str) -> bool:
    """True when all that `value` loads lies one after the other, or in one place, as `variable` grows."""
    return all(walks(part.index, variable, (0, 1)) for part in walk_exprs(value) if isinstance(part, Load))
