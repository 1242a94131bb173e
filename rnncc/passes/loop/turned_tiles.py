"""A nest that walks across what it reads computes vectors along that, and puts their lanes down one by one.

    for b in parallel(0, B):                           for b in parallel(0, B):
        for i in parallel(0, 32):                          for j in parallel(0, T):
            for j in parallel(0, T):                           for iv in parallel(0, 32, 16):
                y[b, i, j] = tanh(x[b, j, i])    ->                for i in lanes(iv, iv + 16):
                                                                       held[i - iv] = tanh(x[b, j, i])
                                                                   for lane in unroll(0, 16):
                                                                       y[b, iv + lane, j] = held[lane]

A function of one number takes as long as of a vector of them. What only moves is not worth the way by the stack.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace

from rnncc.loop.builder import ONE, ZERO, add, integer, known_size, subtract
from rnncc.loop.index import difference
from rnncc.loop.ir import Const, Expr, For, Let, Load, Stmt, Store, Var
from rnncc.loop.visit import free_variables, map_index, map_statements, replace_parts, substitute, walk_exprs
from rnncc.passes.loop.machine import Machine
from rnncc.passes.loop.nest import Nest, is_costly, loops_of, scalars, walks, without_axis
from rnncc.passes.loop.tile_parts import Names, in_vectors, widest
from rnncc.passes.loop.weight_lines import weight_line


def axis_across(nest: Nest, weights: Container[str]) -> int | None:
    """The axis along which all that `nest` reads lies, if it computes something costly and walks along another one.

    Of `weights` that are the same on all other axes, it does not matter how they lie.
    """
    loads = [part for part in walk_exprs(nest.body) if isinstance(part, Load)]
    written = {store.buffer for store in nest.stores}
    places = frozenset[str]().union(*(free_variables(item) for store in nest.stores for item in scalars(store.index)))
    if (
        not any(map(is_costly, walk_exprs(nest.body)))
        or not all(isinstance(one, Let) or (isinstance(one, Store) and one.combine is None) for one in nest.body)
        or any(load.buffer in written for load in loads)
        or not places <= set(nest.variables)
    ):
        return None
    names = {let.name for let in nest.body if isinstance(let, Let)}
    for axis, (variable, size) in enumerate(zip(nest.variables[:-1], nest.sizes[:-1], strict=True)):
        lines = _lines(nest, axis, weights)
        others = [load for load in loads if load not in lines]
        walked = all(walks(load.index, variable, (0, 1)) and names.isdisjoint(free_variables(load)) for load in others)
        if size != ONE and walked and any(variable in free_variables(load) for load in others):
            return axis
    return None


def _lines(nest: Nest, axis: int, weights: Container[str]) -> list[Load]:
    """What `nest` reads of weights that depends on the place on `axis` only, and does not lie along it."""
    variable, size = nest.variables[axis], nest.sizes[axis]
    loads = dict.fromkeys(part for part in walk_exprs(nest.body) if isinstance(part, Load) and part.buffer in weights)
    return [
        load
        for load in loads
        if isinstance(size, Const) and free_variables(load) == {variable} and not walks(load.index, variable, (1,))
    ]


def turned_tile(nest: Nest, axis: int, weights: Container[str], machine: Machine, names: Names) -> tuple[Stmt, ...]:
    """`nest` in vectors along `axis`: the other axes as they are, this one innermost."""
    variable, extent = nest.variables[axis], nest.sizes[axis]
    fixed = known_size(extent)
    lanes = machine.lanes(widest([store.value for store in nest.stores]), fixed)
    lines: dict[Expr, Expr] = {
        load: weight_line(load, variable, fixed, lanes, names) for load in _lines(nest, axis, weights) if fixed
    }
    statements = map_statements(nest.body, lambda expr: replace_parts(expr, lines))
    held = [names.private("stack", "held", store.value.dtype, lanes) for store in nest.stores]
    start, lane = Var(names.fresh(f"{variable}v")), Var(names.fresh("lane"))

    def vector(begin: Expr, stop: Expr) -> tuple[Stmt, ...]:
        """The vector from `begin` to `stop`, and the loop that puts down its lanes, written out where it can be."""
        count = difference(stop, begin)
        kind, size = ("range", subtract(extent, begin)) if count is None else ("unroll", integer(count))
        place = subtract(Var(variable), begin)
        buffers = iter(held)
        body = tuple(Store(next(buffers), (place,), one.value) if isinstance(one, Store) else one for one in statements)
        put = tuple(
            _at_lane(store, {variable: add(begin, lane)}, Load(buffer, (lane,), store.value.dtype))
            for store, buffer in zip(nest.stores, held, strict=True)
        )
        return (For(variable, "lanes", begin, stop, 1, body), For(lane.name, kind, ZERO, size, 1, put))

    return loops_of(replace(without_axis(nest, axis), body=in_vectors(start, extent, lanes, vector)))


def _at_lane(store: Store, place: dict[str, Expr], value: Expr) -> Store:
    return Store(store.buffer, map_index(store.index, lambda item: substitute(item, place)), value)
