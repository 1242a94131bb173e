"""Give every nest its register tile: accumulators, the loop over k outside of the tile's rows and vectors.

    for b in parallel(0, B):                       for js in parallel(0, 128, 32):
        for j in parallel(0, 128):                     for b in parallel(0, end_6, 6):
            z = sum(h[b, k] * u[k, j] ...)                 for m in unroll(0, 6):
            y[b, j] = tanh(z)                ->                for j in lanes(js, js + 16):
                                                                   sum_0[m, 0, j - js] = 0.0
                                                           for k in range(0, 64):
                                                               for m in unroll(0, 6):
                                                                   for j in lanes(js, js + 16):
                                                                       sum_0[m, 0, j - js] += h[b + m, k] * u[k, j]
                                                           for m in unroll(0, 6):
                                                               for j in lanes(js, js + 16):
                                                                   held[m, 0, j - js] = sum_0[m, 0, j - js]
                                                           for m in parallel(0, 6):
                                                               for j in lanes(js, js + 16):
                                                                   y[b + m, j] = tanh(held[m, 0, j - js])
                                                       for b in parallel(end_6, end_2, 2):   (fewer rows)
                                                       for b in parallel(end_2, B):   (one row, more vectors)

The end of a tile is a loop, with the sums on the stack, where it is long, or one for each of its stages (`end_stages`);
else it is written out like the loop over k.
A product of two results, each with a matrix for every sequence, is tiled for one sequence after the other: rows of
several would share no columns.
The order of the additions of one sum is that of k in every tile, and by the lanes of vectors in what is no tile, for
however many rows: a row has the same bits whatever its neighbours.
Columns that fill no vector share those of other sums (`joined_tails`). Sums of products of pairs go to the matrix unit,
where there is one (`matrix_tiles`).
A nest whose last axis is not contiguous in memory, or has one column (`one_column`), runs over k in vectors if that is
contiguous, for several points at once that share what they read (`plain_tiles`), and else point by point; costly
functions of what lies along another axis are vectors all the same (`turned_tiles`).

Requires: `fuse`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from rnncc.loop.builder import ONE, integer
from rnncc.loop.ir import Buffer, Expr, For, Index, Let, Load, Procedure, Reduce, Stmt, Var
from rnncc.loop.names import Names
from rnncc.loop.visit import (
    free_variables,
    map_expr,
    map_statements,
    substitute,
    walk_exprs,
)
from rnncc.passes.loop.chunks import weights_read
from rnncc.passes.loop.machine import Machine
from rnncc.passes.loop.matrix_tiles import matrix_tile, matrix_tiling_of
from rnncc.passes.loop.nest import (
    Nest,
    all_written_by,
    is_over_steps,
    is_packable,
    loops_of,
    nest_of,
    scalars,
    walks,
)
from rnncc.passes.loop.one_column import in_lines
from rnncc.passes.loop.plain_tiles import point_tile, vector_tile
from rnncc.passes.loop.register_tiles import Tiling, register_tile, tiling_of, weight_bytes
from rnncc.passes.loop.schedule import Schedule, check_names
from rnncc.passes.loop.share_threads import WORTH_BYTES
from rnncc.passes.loop.tile_parts import Sums
from rnncc.passes.loop.turned_tiles import axis_across, turned_tile
from rnncc.passes.manager import Note, nobody
from rnncc.types import DType

MINOR = 16
"""What is done once has tiles of fewer shapes where each step of a loop reads this many times its weights."""


def tiles_of(procedure: Procedure, machine: Machine) -> dict[str, Tiling]:
    """The register tiles that `tile` gives the nests of `procedure`, by the names that schedules have for nests."""
    tiler = _Tiler(procedure, machine, (), nobody)
    tiler.block(procedure.body)
    return tiler.tiles


def tile(
    procedure: Procedure, machine: Machine, schedule: Schedule = (), threads: int = 1, note: Note = nobody
) -> Procedure:
    """Tile every nest of `procedure`: as `schedule` says, where it says something, or else as the cost model does.

    Where `threads` will share panels, all rows have the same ones: threads meet before others.
    """
    tiler = _Tiler(procedure, machine, schedule, note, threads)
    body = tiler.block(procedure.body)
    check_names(schedule, tiler.tiles)
    if body == procedure.body:
        return procedure
    buffers, setup = (*procedure.buffers, *tiler.buffers), (*procedure.setup, *tiler.setup)
    return replace(procedure, buffers=buffers, setup=setup, body=body)


class _Tiler:
    """Holds what all nests share: names, new buffers, which buffers are weights."""

    def __init__(
        self, procedure: Procedure, machine: Machine, schedule: Schedule, note: Note, threads: int = 1
    ) -> None:
        self.machine = machine
        self.threads = threads
        self.chosen = {name: choice.tile for name, choice in schedule if choice.tile is not None}
        self.note = note
        self.tiles: dict[str, Tiling] = {}
        self.written_by = all_written_by(procedure)
        self.known = {buffer.name: buffer for buffer in procedure.buffers}
        self.weights = {buffer.name for buffer in procedure.buffers if buffer.space == "weight"}
        self.names = Names(procedure)
        self.buffers: list[Buffer] = []
        self.setup: list[Stmt] = []
        self.row, self.vector = self.fresh("m"), self.fresh("v")
        steps = [statement for statement in procedure.body if is_over_steps(statement)]
        self.step_bytes = max((weights_read(loop, self.known) for loop in steps), default=0)

    def fresh(self, hint: str) -> str:
        return self.names.fresh(hint)

    def block(self, statements: Sequence[Stmt], *, is_step: bool = False) -> tuple[Stmt, ...]:
        """`statements` of the procedure, or of a loop over steps in it, with tiles in place of nests."""
        result: list[Stmt] = []
        for statement in statements:
            nest = nest_of(statement)
            if isinstance(statement, For) and statement.kind in ("range", "threads"):
                result.append(replace(statement, body=self.block(statement.body, is_step=True)))
            elif nest is None or not nest.stores:
                result.append(statement)
            else:
                result.extend(self.nest(nest, self.written_by(statement), is_step))
        return tuple(result)

    def nest(self, nest: Nest, written: Sequence[str], is_step: bool) -> tuple[Stmt, ...]:
        """The tiles of `nest`, which writes the buffers `written`."""
        epilogue, sums = _split_reductions(nest.body, self.fresh)
        plain = replace(nest, body=epilogue)
        if not nest.variables and not sums:
            return nest.body
        is_flat = nest.variables and _is_contiguous(nest, epilogue, sums, self.weights)
        if is_flat and sums and nest.sizes[-1] == ONE:
            lined = in_lines(sums, nest.variables[-1], self.weights, self.machine, self)
            if lined is not None:
                is_flat, sums = False, lined
        axis = None if is_flat or sums else axis_across(plain, self.weights)
        if axis is not None:
            self.note(f"{', '.join(written)}: in vectors along what it reads, no sums")
            return turned_tile(plain, axis, self.weights, self.machine, self)
        if not is_flat:
            self.note(f"{', '.join(written)}: point by point{', each sum in vectors over k' if sums else ''}")
            return point_tile(plain, sums, self.machine, self)
        if sums:
            return self.with_sums(plain, sums, written, is_step)
        self.note(f"{', '.join(written)}: in vectors, no sums")
        return vector_tile(plain, self.machine, self)

    def with_sums(self, nest: Nest, sums: Sums, written: Sequence[str], is_step: bool) -> tuple[Stmt, ...]:
        """The tiles of `nest` that hold its sums: of each member of a batch by itself, if it is one."""
        batch, nest = _batch_of(nest, sums, self.weights)
        name, chosen = written[0], self.chosen.get(written[0])
        tiling = matrix_tiling_of(nest, sums, self.machine, self.known)
        make = register_tile if tiling is None else matrix_tile
        is_minor = not is_step and 0 < weight_bytes(nest, sums) * MINOR <= self.step_bytes
        few = is_minor or bool(batch.sizes)
        tiling = tiling or tiling_of(nest, sums, self.machine, name, chosen, few_tails=few, weights=self.weights)
        if self.threads > 1 and tiling.bytes >= WORTH_BYTES:
            tiling = replace(tiling, tail_goes_along=False)
        self.tiles[name] = tiling
        told = "" if chosen is None else " (not as told: it has one shape)" if tiling.is_matrix else " (as told)"
        self.note(f"{', '.join(written)}: {tiling.text}{told}")
        return loops_of(replace(batch, body=make(nest, sums, tiling, self)))

    def private(self, space: str, hint: str, dtype: DType, *shape: int) -> str:
        name = self.fresh(hint)
        self.buffers.append(Buffer(name, dtype, tuple(map(integer, shape)), space))
        return name

    def packed(self, hint: str, dtype: DType, *shape: Expr) -> str:
        name = self.fresh(hint)
        self.buffers.append(Buffer(name, dtype, shape, "packed"))
        return name

    def set_up(self, statements: Iterable[Stmt]) -> None:
        self.setup += statements


# ------------------------------------------------------------------ what a nest consists of


def _split_reductions(body: tuple[Stmt, ...], fresh: Callable[[str], str]) -> tuple[tuple[Stmt, ...], Sums]:
    """`body` with every reduction replaced by a variable, and the reductions by that variable's name.

    Reductions over equally many elements share one loop variable.
    """
    names: dict[Reduce, str] = {}
    variables: dict[Expr, str] = {}

    def replaced(expr: Expr) -> Expr:
        if not isinstance(expr, Reduce):
            return expr
        variable = variables.setdefault(expr.size, expr.variable)
        shared = replace(expr, variable=variable, value=substitute(expr.value, {expr.variable: Var(variable)}))
        if shared not in names:
            names[shared] = fresh("sum")
        return Var(names[shared], expr.dtype)

    statements = map_statements(body, lambda expr: map_expr(expr, replaced))
    return statements, {name: reduction for reduction, name in names.items()}


def _is_contiguous(nest: Nest, epilogue: tuple[Stmt, ...], sums: Sums, weights: set[str]) -> bool:
    """True when the last loop walks memory with stride one (or not at all) in all that the nest touches.

    Weights inside of a reduction do not count: `pack` brings them into the order in which they are read.
    """
    j = nest.variables[-1]
    moving = _moving(epilogue, j)
    if not all(_walks(store.index, j, moving, (1,)) for store in nest.stores):
        return False
    loads = [part for part in walk_exprs(epilogue) if isinstance(part, Load)]
    for reduction in sums.values():
        for part in walk_exprs(reduction.value):
            if not isinstance(part, Load):
                continue
            known = part.buffer in weights and nest.sizes[-1] != ONE
            if not (known and is_packable(part, reduction.variable, j)):
                loads.append(part)
    return all(_walks(load.index, j, moving, (0, 1)) for load in loads)


def _batch_of(nest: Nest, sums: Sums, weights: set[str]) -> tuple[Nest, Nest]:
    """`nest` in two: the axes of a batch, at each place of which there are other columns, and the rows that share them.

    There is no batch where no rows are left to share.
    """
    loads = [part for one in sums.values() for part in walk_exprs(one.value) if isinstance(part, Load)]
    names = [free_variables(load) for load in loads if load.buffer not in weights]
    own = frozenset[str]().union(*(some for some in names if nest.variables[-1] in some))
    axes = list(zip(nest.variables, nest.sizes, strict=True))
    rows = [size for variable, size in axes[:-1] if variable not in own]
    if all(size == ONE for size in rows):
        own = frozenset()
    batch = [axis for axis in axes[:-1] if axis[0] in own]
    inner = [axis for axis in axes if axis not in batch]
    return _nest(batch, ()), _nest(inner, nest.body)


def _nest(axes: Sequence[tuple[str, Expr]], body: tuple[Stmt, ...]) -> Nest:
    return Nest(tuple(variable for variable, _ in axes), tuple(size for _, size in axes), body)


def _moving(body: tuple[Stmt, ...], variable: str) -> set[str]:
    """Names of the values that differ from lane to lane: an index made of one is no vector access."""
    moving: set[str] = set()
    for statement in body:
        if isinstance(statement, Let) and not moving.union((variable,)).isdisjoint(free_variables(statement.value)):
            moving.add(statement.name)
    return moving


def _walks(index: Sequence[Index], variable: str, moving: set[str], strides: tuple[int, ...]) -> bool:
    used = frozenset[str]().union(*map(free_variables, scalars(index)))
    return moving.isdisjoint(used) and walks(index, variable, strides)
