"""The last columns of several sums in one vector, where they fill no more than half of one each.

    four sums of 40 columns, vectors of 16:

    [0..16) [16..32) [32..40)        of every sum, 12 vectors in all
                                ->
    [0..16) [16..32)                 of every sum, and twice [32..40) of two sums in one vector: 10 in all

A vector of which half is used takes as long to multiply, and to read, as a whole one. So the weights of such columns
are stored side by side, once, and the end of a tile takes each sum from its lanes of the vector, by way of the stack.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import replace

from rnncc.loop.builder import ZERO, add, integer, zero_of
from rnncc.loop.ir import Const, Expr, For, Load, Reduce, Stmt, Store, Var
from rnncc.loop.visit import free_variables, replace_parts, substitute
from rnncc.passes.loop.nest import Nest, first_buffer, parts_of_weights
from rnncc.passes.loop.tile_parts import Names, Sums
from rnncc.records import record
from rnncc.types import DType

LEAST_BYTES = 16
"""What the columns of one sum have at least of a vector: there are registers of that length everywhere."""

_WEIGHT = "factor of weights"
"""Stands for what the sums differ in. No name has blanks."""


@record(frozen=True, slots=True)
class JoinedTail:
    """The `columns` from `start` on of sums that are alike: each has `width` lanes of the vector of its group.

    `weights` are the factors in which the sums differ, and `pattern` is what they have in common.
    """

    start: int
    columns: int
    width: int
    lanes: int
    column: str
    groups: tuple[tuple[str, ...], ...]
    weights: Mapping[str, Expr]
    pattern: Reduce

    @property
    def text(self) -> str:
        """The decision in a few words."""
        vectors = "one vector" if len(self.groups) == 1 else f"{len(self.groups)} vectors"
        columns = "column" if self.columns == 1 else f"{self.columns} columns"
        return f"the last {columns} of all sums in {vectors}"

    @property
    def places(self) -> Iterator[tuple[str, int, int]]:
        """Of every sum its name, group, and first lane there."""
        for number, group in enumerate(self.groups):
            yield from ((name, number, place * self.width) for place, name in enumerate(group))

    def pack(self, names: Names) -> Load:
        """Give `names` a buffer for the weights, and what fills it; the result is the first group, at any k and lane.

        The axes are those of `pack`: panel, k, member, vector, lane.
        """
        pattern, weight = self.pattern, next(iter(self.weights.values()))
        shape = (integer(1), pattern.size, integer(len(self.groups)), integer(1), integer(self.lanes))
        name = names.packed(f"{first_buffer(weight)}_tails", weight.dtype, *shape)
        names.set_up(self._filled(name, weight.dtype, Var(names.fresh("k")), Var(names.fresh("lane"))))
        return Load(name, (ZERO, Var(pattern.variable), ZERO, ZERO, Var(self.column)), weight.dtype)

    def _filled(self, name: str, dtype: DType, k: Var, lane: Var) -> Iterator[Stmt]:
        """The loops that fill the packed buffer `name`; lanes that no sum has are zeros."""

        def loops(group: int, first: int, lanes: int, value: Expr) -> Stmt:
            store = Store(name, (ZERO, k, integer(group), ZERO, add(lane, integer(first))), value)
            inner = For(lane.name, "parallel", ZERO, integer(lanes), 1, (store,))
            return For(k.name, "parallel", ZERO, self.pattern.size, 1, (inner,))

        place = {self.pattern.variable: k, self.column: add(lane, integer(self.start))}
        for group in range(len(self.groups)):
            yield loops(group, 0, self.lanes, zero_of(dtype))
        for one, group, first in self.places:
            yield loops(group, first, self.columns, substitute(self.weights[one], place))

    def value(self, group: int, packed: Load) -> Expr:
        """What is added to the sums of a group, with the weights that are `packed`."""
        panel, k, _, vector, lane = packed.index
        own = replace(packed, index=(panel, k, integer(group), vector, lane))
        return substitute(self.pattern.value, {_WEIGHT: own})


def joined_tail(nest: Nest, sums: Sums, lanes: int, weights: Container[str]) -> JoinedTail | None:
    """How the last columns of the `sums` of a nest share vectors of `lanes`; None where that saves none.

    The sums have to be alike: of equally many products, of which one factor is the same and the other one is made of
    `weights`.
    """
    extent, column = nest.sizes[-1], nest.variables[-1]
    if not isinstance(extent, Const) or len(sums) < 2:
        return None
    start, columns = int(extent.value) // lanes * lanes, int(extent.value) % lanes
    own = {name: set(parts_of_weights(one.value, one.variable, column, weights)) for name, one in sums.items()}
    if not start or not columns or any(len(parts) != 1 for parts in own.values()):
        return None
    factors = {name: parts.pop() for name, parts in own.items()}
    pattern, *others = {_pattern(one, factors[name]) for name, one in sums.items()}
    width = max(1 << (columns - 1).bit_length(), LEAST_BYTES // pattern.dtype.size)
    if others or column in free_variables(pattern) or not isinstance(pattern.size, Const) or width > lanes // 2:
        return None
    names, at_once = list(sums), lanes // width
    groups = tuple(tuple(names[first : first + at_once]) for first in range(0, len(names), at_once))
    return JoinedTail(start, columns, width, lanes, column, groups, factors, pattern)


def _pattern(one: Reduce, factor: Expr) -> Reduce:
    """`one` without its own `factor`."""
    return replace(one, value=replace_parts(one.value, {factor: Var(_WEIGHT, factor.dtype)}))
