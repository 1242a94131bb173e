"""The tiles of a matrix unit: a nest whose sums are products of pairs, 16 rows and 16 columns at a time.

    for b in parallel(0, B):                       for js in parallel(0, 128, 32):
        for j in parallel(0, 128):                     for r in parallel(0, end_32, 32):
            z = sum(dot(h[b, k], u[k, j]) ...)             for m in matrix(0, 32):
            y[b, j] = tanh(z)                ->                for v in unroll(0, 2):
                                                                   for j in lanes(js + v * 16, js + v * 16 + 16):
                                                                       held[m, v, j - ...] = 0.0
                                                               for k in range(0, 64):
                                                                   for v in unroll(0, 2):
                                                                       for j in lanes(...):
                                                                           held[m, v, j - ...] += dot(h[r + m, k], ...)
                                                           for m in parallel(0, 32):
                                                               y[r + m, j] = tanh(held[m, v, j - ...])
                                                       for r in parallel(end_32, B, 16):   (some of 16 rows)

Two tiles of rows and two of columns share what is loaded, four tiles of sums are under way at once. Each sum is added
up by itself, also where two have the same weights: a sum of several products would wait for itself, were there fewer
tiles of it. A row on its own takes the same way, and has the same bits: weights come from memory no faster than the
unit takes them. Columns that the last vector lacks are zeros of the packed weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rnncc.loop.builder import ZERO, add, call, integer, product, subtract, whole_part
from rnncc.loop.index import stride_in
from rnncc.loop.ir import Buffer, Call, Const, Expr, For, Let, Load, Reduce, Stmt, Store, Var
from rnncc.loop.matrix import TILE_PAIRS, TILE_ROWS, TILES_OF_SUMS, factors_of
from rnncc.loop.visit import free_variables, walk_exprs
from rnncc.passes.loop.machine import Machine, TileShape
from rnncc.passes.loop.nest import Nest, is_packable, scalars
from rnncc.passes.loop.register_tiles import RegisterTile, Tiling, tiling_of
from rnncc.passes.loop.tile_parts import Names, Sums
from rnncc.passes.loop.tile_rows import Part, RowAxes
from rnncc.types import DType


def matrix_tiling_of(nest: Nest, sums: Sums, machine: Machine, buffers: Mapping[str, Buffer]) -> Tiling | None:
    """The tile of a matrix unit for a nest; None if there is none, or the nest is nothing for it."""
    if not machine.has_matrix_unit or not all(_is_of_pairs(one, nest, buffers) for one in sums.values()):
        return None
    tiling = tiling_of(nest, sums, machine)
    if tiling.lanes != TILE_PAIRS or tiling.vectors is None:
        return None
    wide = min(TILES_OF_SUMS // 2, tiling.vectors)
    panel = -(-min(TILES_OF_SUMS, tiling.vectors) // wide) * wide
    shape = TileShape(panel, ((2 * TILE_ROWS, wide), (TILE_ROWS, panel)))
    return replace(tiling, shape=shape, is_matrix=True)


def matrix_tile(nest: Nest, sums: Sums, tiling: Tiling, names: Names) -> tuple[Stmt, ...]:
    """Panels of the last axis outside, rows inside, and for each tile: add up on the matrix unit, finish in vectors."""
    return _MatrixTile(nest, sums, tiling, names).loops()


class _MatrixRows(RowAxes):
    """Rows in whole pairs of tiles, and those that are left in tiles of one.

    The last of these begins early enough to be whole, where there are as many rows: to set the tiles up for another
    number of rows takes longer than to add up some sums once more that are known already.
    """

    def parts(self, shape: TileShape) -> list[Part]:
        count = self.named("rows", product(self.sizes))
        (most, wide), (least, narrow) = shape.blocks
        end = whole_part(count, most)
        if end == ZERO:
            return [Part(least, narrow, ZERO, count)]
        end = self.named(f"end_{most}", end)
        return [Part(most, wide, ZERO, end), *([] if end == count else [Part(least, narrow, end, count)])]

    def where(self, row: Expr, m: Expr, rows: int) -> dict[str, Expr]:
        return dict(self.split(add(row, m)))


class _MatrixTile(RegisterTile):
    """Each sum is added up by itself, row by row on the stack, where the end of the tile finds it."""

    kind_of_rows = _MatrixRows

    def tile(self, start: Expr, vectors: int, partial: bool, part: Part, row: Var | None) -> tuple[Stmt, ...]:
        assert row is not None, "a nest for a matrix unit has rows"
        first: Expr = row
        rows: Expr = integer(part.rows)
        statements: list[Stmt] = []
        if part.rows == TILE_ROWS:
            rows = call("min", part.end, rows)
            first = Var(self.names.fresh("first"))
            statements.append(Let(first.name, call("min", row, subtract(part.end, rows))))
        place = self.place(start, vectors, partial, part.rows, first)
        held = self.held_sums(place)
        lanes = place.lanes
        if partial:  # not folded: a whole vector whose last lanes are not there
            lanes = replace(lanes, stop=Call("min", (add(lanes.start, integer(self.lanes)), self.extent), DType.I64))
        one_row = replace(place, loops=place.loops[1:], lanes=lanes)
        for name, one in self.sums.items():
            zero = Store(held[name], place.register, Const(0.0, one.dtype))
            added = Store(held[name], place.register, one.value, "add")
            over_k = For(one.variable, "range", ZERO, one.size, 1, one_row.around([added]))
            statements.append(For(self.names.row, "matrix", ZERO, rows, 1, (*one_row.around([zero]), over_k)))
        looped = max(1, self.loops_of_end(place, partial))
        return (*statements, *self.end_in_loops(place, self.results(held, place), looped, subtract(row, first), rows))


def _is_of_pairs(one: Reduce, nest: Nest, buffers: Mapping[str, Buffer]) -> bool:
    """True for a sum of products of pairs: of rows that lie one after the other, and weights."""
    factors = factors_of(one.value)
    if one.function != "add" or factors is None or len(nest.variables) < 2:
        return False
    if not isinstance(one.size, Const) or int(one.size.value) % TILE_PAIRS:
        return False
    j = nest.variables[-1]
    for operand, weight in factors:
        if not isinstance(operand, Load) or not _has_rows_of(nest, operand, one, buffers[operand.buffer].shape):
            return False
        loads = [part for part in walk_exprs(weight) if isinstance(part, Load)]
        if not all(buffers[part.buffer].space == "weight" and is_packable(part, one.variable, j) for part in loads):
            return False
    return True


def _has_rows_of(nest: Nest, operand: Load, one: Reduce, shape: Sequence[Expr]) -> bool:
    """True when row follows row in memory, all of them from some place on: that of a half of a buffer, for example."""
    first, *others = nest.variables[:-1]
    place, *inner = scalars(operand.index)
    if tuple(inner) != tuple(map(Var, (*others, one.variable))) or tuple(shape[1:]) != (*nest.sizes[1:-1], one.size):
        return False
    own = free_variables(place) - {first}
    return stride_in(place, first) == 1 and own.isdisjoint((*nest.variables, one.variable))
