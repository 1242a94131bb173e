"""The rows of a nest: all its axes but the last one, in tiles of several heights, and where each row is on each axis.

for b in parallel(0, B):                   end_6 = B * T // 6 * 6
    for i in parallel(0, T):               for r in parallel(0, end_6, 6):
        ... x[b, i]                ->          b_of[0], i_of[0] = r // T, r % T
                                               ... b_of[m], i_of[m] from b_of[m - 1], i_of[m - 1]
                                               ... x[b_of[m], i_of[m]]
                                           for r in parallel(end_6, B * T, ...): fewer rows at a time
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from rnncc.loop.builder import (
    ONE,
    ZERO,
    add,
    call,
    floordiv,
    folded,
    integer,
    mod,
    multiply,
    product,
    subtract,
    whole_part,
)
from rnncc.loop.ir import Const, Expr, Let, Load, Stmt, Store, Var
from rnncc.loop.visit import map_expr, substitute
from rnncc.passes.loop.machine import ODD_ROWS, TileShape
from rnncc.passes.loop.nest import Nest
from rnncc.passes.loop.tile_parts import Names, unrolled
from rnncc.records import record
from rnncc.types import DType


@record(frozen=True, slots=True)
class Part:
    """The rows from `begin` to `end`, `rows` at a time and in each tile `width` vectors."""

    rows: int
    width: int
    begin: Expr
    end: Expr


@dataclass(slots=True)
class RowAxes:
    """The axes of a nest that are its rows; `lets` are statements that give numbers of rows their names."""

    variables: tuple[str, ...]
    sizes: tuple[Expr, ...]
    names: Names
    lets: list[Let] = field(default_factory=list)

    @classmethod
    def of(cls, nest: Nest, names: Names) -> RowAxes:
        """Those of `nest`, whose last axis is that of columns."""
        return cls(nest.variables[:-1], nest.sizes[:-1], names)

    def parts(self, shape: TileShape) -> list[Part]:
        """Which rows are done in which tiles."""
        if not self.sizes:
            return [Part(*shape.blocks[-1], ZERO, ONE)]
        count = self.named("rows", product(self.sizes))
        full, *others = (rows for rows, _ in shape.blocks)
        spare = ODD_ROWS if full > ODD_ROWS else ODD_ROWS - 1
        odd: Expr = ZERO
        if spare in others:
            left = mod(count, integer(full)) if full % 2 else count
            turns = mod(left, integer(2)) if spare == ODD_ROWS else mod(multiply(left, integer(2)), integer(full))
            most = floordiv(left if spare == ODD_ROWS else count, integer(spare))
            odd = self.named("odd", multiply(folded(call("min", most, turns)), integer(spare)))
        parts: list[Part] = []
        begin: Expr = ZERO
        for rows, width in shape.blocks:
            end = count
            if rows == spare < full:
                end, odd = add(begin, odd), ZERO
            elif rows > 1:
                left = subtract(subtract(count, odd), begin)
                end = add(begin, whole_part(left, rows))
            if end != begin:
                end = end if rows == 1 else self.named(f"end_{rows}", end)
                parts.append(Part(rows, width, begin, end))
                begin = end
        return parts

    def named(self, hint: str, value: Expr) -> Expr:
        """`value` by a name, if it is more than a name or a number."""
        if isinstance(value, Const | Var):
            return value
        name = self.names.fresh(hint)
        self.lets.append(Let(name, value))
        return Var(name)

    def where(self, row: Expr, m: Expr, rows: int) -> dict[str, Expr]:
        """On each axis, the index of row `m` of the tile of `rows` at `row`."""
        if len(self.variables) == 1:
            return {self.variables[0]: add(row, m)}
        return {
            name: Load(self.names.private("register", f"{name}_of", DType.I64, rows), (m,), DType.I64)
            for name in self.variables
        }

    def positions(self, where: Mapping[str, Expr], row: Expr | None, rows: int) -> tuple[Stmt, ...]:
        """When several axes are rows: fill the registers that hold each row's index on each axis, which are `where`.

        Those of the first row are divided from its number; each of the others follows the one before it.
        """
        if len(self.variables) < 2 or row is None:
            return ()
        first = map_expr(substitute(row, {self.names.row: ZERO}), folded)
        stores: list[Stmt] = [Store(_register(where[name]), (ZERO,), value) for name, value in self.split(first)]
        following: list[Stmt] = []
        step: Expr = ONE
        for name, size in reversed(list(zip(self.variables, self.sizes, strict=True))):
            register = _register(where[name])
            value = add(Load(register, (subtract(Var(self.names.row), ONE),), DType.I64), step)
            if name != self.variables[0]:
                is_over = call("equal", value, size)
                value, step = call("where", is_over, ZERO, value), call("where", is_over, ONE, ZERO)
            following.append(Store(register, (Var(self.names.row),), value))
        return (*stores, *(unrolled(((self.names.row, 1, rows),), following) if rows > 1 else ()))

    def numbers(self, where: Mapping[str, Expr], row: Expr | None) -> tuple[list[Let], Mapping[str, Expr]]:
        """Statements that give the index of one row on each axis a name, and those names."""
        if len(self.variables) < 2 or row is None:
            return [], where
        values = {variable: (self.names.fresh(variable), value) for variable, value in self.split(row)}
        return [Let(*named) for named in values.values()], {key: Var(name) for key, (name, _) in values.items()}

    def split(self, row: Expr) -> Iterator[tuple[str, Expr]]:
        """The index on each axis of row number `row` of all, from the last axis to the first."""
        for variable, size in reversed(list(zip(self.variables, self.sizes, strict=True))):
            yield variable, row if variable == self.variables[0] else mod(row, size)
            row = floordiv(row, size)


def _register(place: Expr) -> str:
    assert isinstance(place, Load), "where rows are on several axes is held in registers"
    return place.buffer
