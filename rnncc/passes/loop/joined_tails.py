"""The last columns of several sums in one vector, where they fill no more than half of one each.

    four sums of 40 columns, vectors of 16:

    [0..16) [16..32) [32..40)        of every sum, 12 vectors in all
                                ->
    [0..16) [16..32)                 of every sum, and twice [32..40) of two sums in one vector: 10 in all

A vector of which half is used takes as long to multiply, and to read, as a whole one. So the weights of such columns
are stored side by side, once, and the end of a tile takes each sum from its lanes of the vector, by way of the stack.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from rnncc.loop.builder import ZERO, add, integer
from rnncc.loop.ir import Buffer, Const, Expr, For, Load, Reduce, Stmt, Store, Var
from rnncc.loop.visit import free_variables, map_expr, substitute, walk_exprs
from rnncc.passes.loop.nest import Nest, is_packable
from rnncc.passes.loop.tile_parts import Names, Sums
from rnncc.records import record

LEAST_BYTES = 16
"""What the columns of one sum have at least of a vector: there are registers of that length everywhere."""


@record(frozen=True, slots=True)
class JoinedTail:
    """The `columns` from `start` on of sums that are alike: each has `width` lanes of the vector of its group.

    `weights` are the factors in which the sums differ, `pattern` is any of them with the name `weight` in place of its.
    """

    start: int
    columns: int
    width: int
    lanes: int
    column: str
    groups: tuple[tuple[str, ...], ...]
    weights: Mapping[str, Load]
    pattern: Reduce

    @property
    def text(self) -> str:
        """The decision in a few words."""
        vectors = f"{len(self.groups)} vector{'s' if len(self.groups) > 1 else ''}"
        return f"the last column{f's, {self.columns} of each,' if self.columns > 1 else ''} in {vectors} for all sums"

    @property
    def places(self) -> Iterator[tuple[str, int, int]]:
        """Of every sum its name, group, and first lane there."""
        for number, group in enumerate(self.groups):
            yield from ((name, number, place * self.width) for place, name in enumerate(group))

    def packed(self, names: Names) -> Load:
        """The weights of the first group, at any k and lane; `names` get the buffer, and what fills it.

        The axes are those of `pack`: panel, k, member, vector, lane.
        """
        pattern, weight = self.pattern, next(iter(self.weights.values()))
        shape = (integer(1), pattern.size, integer(len(self.groups)), integer(1), integer(self.lanes))
        name = names.packed(f"{weight.buffer}_tails", weight.dtype, *shape)
        names.set_up(self._filled(name, Var(names.fresh("k")), Var(names.fresh("lane"))))
        return Load(name, (ZERO, Var(pattern.variable), ZERO, ZERO, Var(self.column)), weight.dtype)

    def _filled(self, name: str, k: Var, lane: Var) -> Iterator[Stmt]:
        """The loops that fill the packed buffer `name`."""

        def loops(group: int, first: int, lanes: int, value: Expr) -> Stmt:
            store = Store(name, (ZERO, k, integer(group), ZERO, add(lane, integer(first))), value)
            inner = For(lane.name, "parallel", ZERO, integer(lanes), 1, (store,))
            return For(k.name, "parallel", ZERO, self.pattern.size, 1, (inner,))

        place = {self.pattern.variable: k, self.column: add(lane, integer(self.start))}
        for group in range(len(self.groups)):
            yield loops(group, 0, self.lanes, Const(0.0, self.pattern.dtype))
        for one, group, first in self.places:
            yield loops(group, first, self.columns, substitute(self.weights[one], place))

    def value(self, group: int, packed: Load) -> Expr:
        """What is added to the sums of a group, with the weights that are `packed`."""
        panel, k, _, vector, lane = packed.index
        own = replace(packed, index=(panel, k, integer(group), vector, lane))
        return substitute(self.pattern.value, {_WEIGHT: own})


_WEIGHT = "weight"


def joined_tail(nest: Nest, sums: Sums, lanes: int, buffers: Mapping[str, Buffer]) -> JoinedTail | None:
    """How the last columns of the `sums` of a nest share vectors of `lanes`; None where that saves none.

    The sums have to be alike: of equally many products, of which one factor is the same and the other one is a weight.
    """
    extent, column = nest.sizes[-1], nest.variables[-1]
    if not isinstance(extent, Const) or len(sums) < 2:
        return None
    start, columns = int(extent.value) // lanes * lanes, int(extent.value) % lanes
    weights = {name: load for name, one in sums.items() if (load := _weight_of(one, column, buffers)) is not None}
    if not start or not columns or weights.keys() != sums.keys():
        return None
    pattern, *others = {_pattern(one, weights[name]) for name, one in sums.items()}
    width = max(1 << (columns - 1).bit_length(), LEAST_BYTES // pattern.dtype.size)
    if others or column in free_variables(pattern) or width > lanes // 2:
        return None
    names, at_once = list(sums), lanes // width
    groups = tuple(tuple(names[first : first + at_once]) for first in range(0, len(names), at_once))
    return JoinedTail(start, columns, width, lanes, column, groups, weights, pattern)


def _weight_of(one: Reduce, column: str, buffers: Mapping[str, Buffer]) -> Load | None:
    """The weight in which a sum differs from column to column, if that is one, and a number of its own type."""
    moving = {part for part in walk_exprs(one.value) if isinstance(part, Load) and column in free_variables(part)}
    if len(moving) != 1 or not isinstance(one.size, Const) or not one.dtype.is_float:
        return None
    (load,) = moving
    is_weight = buffers[load.buffer].space == "weight" and load.dtype is one.dtype
    return load if is_weight and is_packable(load, one.variable, column) else None


def _pattern(one: Reduce, weight: Load) -> Reduce:
    """`one` without its own `weight`."""
    stand_in = Var(_WEIGHT, one.dtype)
    return replace(one, value=map_expr(one.value, lambda expr: stand_in if expr == weight else expr))
