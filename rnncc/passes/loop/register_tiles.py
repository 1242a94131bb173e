"""The register tile of a nest with sums: panels of columns, blocks of rows, accumulators, and the end of each tile."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace

from rnncc.loop.builder import ZERO, add, call, integer, known_size, multiply, product, subtract, whole_part
from rnncc.loop.ir import Call, Const, Expr, For, Let, Load, Reduce, Stmt, Store, Var
from rnncc.loop.visit import substitute, walk_exprs
from rnncc.passes.loop.end_stages import stages_of
from rnncc.passes.loop.joined_tails import JoinedTail, joined_tail
from rnncc.passes.loop.machine import FEW_TAILS, TAIL_ROWS, Machine, TileShape, registers_of, tile_shape
from rnncc.passes.loop.nest import Nest, is_costly
from rnncc.passes.loop.schedule import Tile, shape_of
from rnncc.passes.loop.tile_parts import Names, Sums, identity, unrolled, widest
from rnncc.passes.loop.tile_rows import Part, RowAxes
from rnncc.records import record
from rnncc.types import DType

LONG_END = 2
"""Calls of costly functions that are worth a loop around them, where a tile would have a copy for each row. Of what
there is to compile, the ends of tiles are the most, and to run, such a loop costs nothing."""


@record(frozen=True, slots=True)
class Tiling:
    """How a nest is cut, and what that follows from: its sums, lanes, vectors in a row, bytes of its weights."""

    shape: TileShape
    sums: int
    lanes: int
    vectors: int | None
    bytes: int
    streams: bool
    tails: tuple[int, ...]
    is_matrix: bool = False
    """True when its sums are added up by a matrix unit."""
    tail: JoinedTail | None = None
    """The last columns, if they share vectors."""
    tail_goes_along: bool = True
    """Whether single rows take them along with the last panel. Else all rows have the same panels."""

    @property
    def text(self) -> str:
        """The decision in one line."""
        (rows, width), *_ = self.shape.blocks
        weights = f"{-(-self.bytes // 1024):,} KiB of weights {'stream' if self.streams else 'stay near'}"
        unit = " on the matrix unit" if self.is_matrix else ""
        single = f"rows left of {rows}" if self.is_matrix else "single rows"
        tail = "" if self.tail is None else f"; {self.tail.text}"
        return (
            f"{rows} x {width} rows x vectors of {self.lanes}{unit}, {single} in panels of {self.shape.panel}{tail}; "
            f"{self.sums} sum{'s' if self.sums > 1 else ''}; {weights if self.bytes else 'size known at the call'}"
        )


def tiling_of(
    nest: Nest,
    sums: Sums,
    machine: Machine,
    name: str = "",
    tile: Tile | None = None,
    *,
    few_tails: bool = False,
    weights: Container[str] = (),
) -> Tiling:
    """The register tile of a nest: `tile`, which a user has chosen for `name`, or that of the cost model.

    `few_tails`: fewer shapes of tiles are enough, see `FEW_TAILS`. `weights` are the buffers of those whose columns may
    share vectors.
    """
    extent = nest.sizes[-1]
    fixed = known_size(extent)
    lanes = machine.lanes(widest(list(sums.values())), fixed)
    vectors = None if fixed is None else -(-fixed // lanes)
    size = weight_bytes(nest, sums)
    streams = size > machine.near_bytes
    tails = FEW_TAILS if few_tails or len(nest.sizes) > 2 else TAIL_ROWS
    if tile is not None:
        shape = shape_of(name, tile, machine, len(sums), vectors, tails)
    else:
        halves = not machine.has_pairs and all(_is_of_pairs(one) for one in sums.values())
        shape = tile_shape(machine, len(sums), vectors, tails, streams=streams, halves=halves)
    tail = joined_tail(nest, sums, lanes, weights)
    if tail and registers_of(1, shape.panel * len(sums) + len(tail.groups)) > machine.registers:
        tail = None
    return Tiling(shape, len(sums), lanes, vectors, size, streams, tails, tail=tail)


def _is_of_pairs(one: Reduce) -> bool:
    """True for a sum of one product of pairs each. Where one is of several, larger tiles are faster, spills and all."""
    return isinstance(one.value, Call) and one.value.function == "dot"


def register_tile(nest: Nest, sums: Sums, tiling: Tiling, names: Names) -> tuple[Stmt, ...]:
    """Panels of the last axis outside, rows inside, and for each tile: zero, loop over k, finish."""
    return RegisterTile(nest, sums, tiling, names).loops()


class RegisterTile:
    """The last axis is cut into panels; all other axes together are the rows."""

    kind_of_rows = RowAxes

    def __init__(self, nest: Nest, sums: Sums, tiling: Tiling, names: Names) -> None:
        self.nest, self.sums, self.names = nest, sums, names
        self.j, self.extent = nest.variables[-1], nest.sizes[-1]
        self.lanes, self.shape = tiling.lanes, tiling.shape
        self.held: dict[int, dict[str, str]] = {}
        """Where the values of a tile are kept for its end: buffers by the number of vectors, then by value."""
        self.held_tail: str | None = None
        """The same for sums that share vectors."""
        self.stages = stages_of(nest.body)
        self.tail = tiling.tail
        self.tail_weights = None if self.tail is None else self.tail.pack(names)
        self.tail_goes_along = tiling.tail_goes_along
        self.axes = self.kind_of_rows.of(nest, names)
        self.parts = self.axes.parts(self.shape)

    def loops(self) -> tuple[Stmt, ...]:
        """The whole nest."""
        if self.tail is None or not self.tail_goes_along:
            return (*self.axes.lets, *self.panels(self.parts))
        many = [part for part in self.parts if part.rows > 1]
        alone = [part for part in self.parts if part.rows == 1]
        return (*self.axes.lets, *self.panels(many), *self.panels_of_row(alone, self.tail))

    def panels(self, parts: Sequence[Part]) -> list[Stmt]:
        """All panels of the rows of `parts`."""
        if not parts:
            return []
        wide = self.shape.panel * self.lanes
        full = whole_part(self.extent, wide)
        loops: list[Stmt] = []
        panel = Var(self.names.fresh("js"))
        if full != ZERO:
            body = self.panel(parts, panel, self.shape.panel, False)
            loops.append(For(panel.name, "parallel", ZERO, full, wide, body))
        if isinstance(self.extent, Const) and isinstance(full, Const):
            left = int(self.extent.value) - int(full.value)
            if left:
                loops += self.panel(parts, full, -(-left // self.lanes), left % self.lanes != 0)
        elif not isinstance(self.extent, Const):
            vectors = whole_part(self.extent, self.lanes)
            for start, stop, partial in ((full, vectors, False), (vectors, self.extent, True)):
                if start != stop:
                    body = self.panel(parts, panel, 1, partial)
                    loops.append(For(panel.name, "parallel", start, stop, self.lanes, body))
        return loops

    def panels_of_row(self, parts: Sequence[Part], tail: JoinedTail) -> list[Stmt]:
        """All panels of single rows; the last one takes the `tail` with it: a loop over k with few sums would wait."""
        if not parts:
            return []
        wide = self.shape.panel * self.lanes
        last = (tail.start - 1) // wide * wide
        vectors = (tail.start - last) // self.lanes + 1
        loops: list[Stmt] = []
        if last:
            panel = Var(self.names.fresh("js"))
            body = self.panel(parts, panel, self.shape.panel, False)
            loops.append(For(panel.name, "parallel", ZERO, integer(last), wide, body))
        return loops + [loop for part in parts for loop in self.rows(integer(last), vectors, True, part)]

    def panel(self, parts: Sequence[Part], start: Expr, vectors: int, partial: bool) -> tuple[Stmt, ...]:
        """The rows of `parts` in `vectors` vectors from `start`; `partial`: the last one ends at the extent."""
        loops: list[Stmt] = []
        for part in parts:
            loops += self.block(start, vectors, partial, part)
        return tuple(loops)

    def block(self, start: Expr, vectors: int, partial: bool, part: Part) -> list[Stmt]:
        """The rows of `part`."""
        width = part.width
        if vectors % width == 0 and vectors > width and not partial:
            inner = Var(self.names.fresh("jt"))
            body = tuple(self.rows(inner, width, False, part))
            stop = add(start, integer(vectors * self.lanes))
            return [For(inner.name, "parallel", start, stop, width * self.lanes, body)]
        loops: list[Stmt] = []
        for first in range(0, vectors, width):
            some = min(width, vectors - first)
            last = partial and first + some == vectors
            loops += self.rows(add(start, integer(first * self.lanes)), some, last, part)
        return loops

    def rows(self, start: Expr, vectors: int, partial: bool, part: Part) -> list[Stmt]:
        """A loop over the tiles of `part`."""
        if not self.axes.sizes:
            return list(self.tile(start, vectors, partial, part, None))
        row = Var(self.names.fresh("r"))
        body = self.tile(start, vectors, partial, part, row)
        return [For(row.name, "parallel", part.begin, part.end, part.rows, body)]

    def tile(self, start: Expr, vectors: int, partial: bool, part: Part, row: Var | None) -> tuple[Stmt, ...]:
        """Zero the sums, add up over k, and finish with the body of the nest."""
        pieces = self.pieces(start, vectors, partial, part.rows, row)
        place = pieces[0].place
        statements = [*self.axes.positions(place.where, place.row, part.rows)]
        loops: dict[tuple[str, Expr], list[Stmt]] = {}
        for piece in pieces:
            statements += piece.zero
            for over_k, own in piece.updates.items():
                loops.setdefault(over_k, []).extend(own)
        for (variable, size), updates in loops.items():
            statements.append(For(variable, "range", ZERO, size, 1, tuple(updates)))
        for piece in pieces:
            statements += piece.kept
        for piece in pieces:
            statements += piece.end
        return tuple(statements)

    def pieces(self, start: Expr, vectors: int, partial: bool, rows: int, row: Var | None) -> list[Piece]:
        """The whole vectors of a tile, and the columns behind them that share vectors."""
        if self.tail is None or not partial:
            return [self.columns(self.place(start, vectors, partial, rows, row), partial)]
        if vectors == 1:
            return [self.joined_columns(self.place(start, 1, True, rows, row), self.tail)]
        whole = self.place(start, vectors - 1, False, rows, row)
        behind = self.place(integer(self.tail.start), 1, True, rows, None)
        behind = replace(behind, where=whole.where, row=whole.row)  # where the rows are is found once
        return [self.columns(whole, False), self.joined_columns(behind, self.tail)]

    def columns(self, place: Place, partial: bool) -> Piece:
        """Vectors of columns, of each sum by itself; `partial`: the last one ends at the extent."""
        rows, vectors = place.shape
        registers = {
            name: self.names.private("register", "acc", one.dtype, rows, vectors, self.lanes)
            for name, one in self.sums.items()
        }
        zero = [Store(registers[name], place.register, identity(one)) for name, one in self.sums.items()]
        loops: dict[tuple[str, Expr], list[Stmt]] = {}
        for name, one in self.sums.items():
            update = Store(registers[name], place.register, one.value, one.function)
            loops.setdefault((one.variable, one.size), []).append(update)
        added = {over_k: place.added(updates) for over_k, updates in loops.items()}
        looped = self.loops_of_end(place, partial)
        if not looped:
            return Piece(place, place.around(zero), added, (), self.end(place, 0, self.results(registers, place)))
        held = self.held_sums(place)
        copies = [
            Store(held[name], place.register, Load(registers[name], place.register, one.dtype))
            for name, one in self.sums.items()
        ]
        end = self.end(place, looped, self.results(held, place))
        return Piece(place, place.around(zero), added, place.around(copies), end)

    def joined_columns(self, place: Place, tail: JoinedTail) -> Piece:
        """The columns of all sums that share vectors."""
        assert self.tail_weights is not None, "weights that share vectors are packed"
        one, (rows, _), (row, _, lane) = tail.pattern, place.shape, place.register
        shape = rows, len(tail.groups), self.lanes
        registers = self.names.private("register", "acc", one.dtype, *shape)
        if self.held_tail is None:  # the first tile that asks is the one with most rows
            self.held_tail = self.names.private("stack", "held", one.dtype, *shape)
        groups = [(row, integer(group), Var(self.j)) for group in range(len(tail.groups))]
        zero = [Store(registers, group, identity(one)) for group in groups]
        updates = [
            Store(registers, group, tail.value(number, self.tail_weights), one.function)
            for number, group in enumerate(groups)
        ]
        copies = [Store(self.held_tail, group, Load(registers, group, one.dtype)) for group in groups]
        sums: dict[str, Expr] = {
            name: Load(self.held_tail, (row, integer(group), add(lane, integer(first))), one.dtype)
            for name, group, first in tail.places
        }
        whole = replace(place, lanes=replace(place.lanes, start=ZERO, stop=integer(self.lanes)))
        added = {(one.variable, one.size): whole.added(updates)}
        end = self.end(place, self.loops_of_end(place, True), sums)
        return Piece(place, whole.around(zero), added, whole.around(copies), end)

    def end(self, place: Place, looped: int, sums: Mapping[str, Expr]) -> tuple[Stmt, ...]:
        """What the nest makes of the `sums` of all rows, in `looped` loops (0: there is a copy for each row)."""
        if not looped:
            return place.around(substitute(self.nest.body, sums))
        rows, _ = place.shape
        return tuple(self.end_in_loops(place, sums, looped, ZERO, integer(rows)))

    def results(self, sums: Mapping[str, str], place: Place) -> dict[str, Expr]:
        """What the body of the nest knows as its sums, which are in the buffers `sums`."""
        return {name: Load(sums[name], place.register, one.dtype) for name, one in self.sums.items()}

    def loops_of_end(self, place: Place, partial: bool) -> int:
        """How many of the loops of `place`, from the outermost on, the end of its tile keeps."""
        rows, _ = place.shape
        copies = sum(is_costly(part) for part in walk_exprs(self.nest.body)) if rows > 1 else 0
        for number, (variable, first, stop) in reversed(list(enumerate(place.loops, 1))):
            if copies >= LONG_END and not (partial and variable == self.names.vector):
                return number
            copies *= stop - first
        return 0

    def end_in_loops(
        self, place: Place, sums: Mapping[str, Expr], looped: int, first_row: Expr, stop_row: Expr
    ) -> list[Stmt]:
        """The end of a tile, with the `sums` in memory, so that there is no copy of it for each row: a loop a stage.

        `looped` are the loops of `place` that it keeps; the last two say which rows.
        """
        numbers, where = self.axes.numbers(place.where, place.row)
        inner = replace(place, loops=place.loops[looped:], where=where)
        kind = "parallel" if len(self.stages) == 1 else "range"  # turns of parallel loops keep nothing for others
        known = dict(sums)
        loops: list[Stmt] = []
        for stage in self.stages:
            kept = {let.name: self.held_in(let.name, let.value.dtype, place) for let in stage.kept}
            keep = [Store(kept[let.name], place.register, Var(let.name, let.value.dtype)) for let in stage.kept]
            body = inner.around((*substitute(stage.statements, known), *keep))
            for number, (variable, first, stop) in reversed(list(enumerate(place.loops[:looped]))):
                body = body if number else (*_mentioned(numbers, body), *body)
                bounds = (first_row, stop_row) if variable == self.names.row else (integer(first), integer(stop))
                body = (For(variable, kind, *bounds, 1, body),)
            loops += body
            known |= {let.name: Load(kept[let.name], place.register, let.value.dtype) for let in stage.kept}
        return loops

    def held_sums(self, place: Place) -> dict[str, str]:
        """The buffers that keep the sums of a tile for its end, by the name of the sum."""
        return {name: self.held_in(name, one.dtype, place) for name, one in self.sums.items()}

    def held_in(self, name: str, dtype: DType, place: Place) -> str:
        """The buffer on the stack that keeps the value `name` of all rows of a tile."""
        rows, vectors = place.shape
        held = self.held.setdefault(vectors, {})
        if name not in held:  # the first tile that asks is the one with most rows
            held[name] = self.names.private("stack", "held", dtype, rows, vectors, self.lanes)
        return held[name]

    def place(self, start: Expr, vectors: int, partial: bool, rows: int, row: Expr | None) -> Place:
        """The tile of `rows` x `vectors` at (`row`, `start`), and where on each row axis its rows are."""
        m: Expr = ZERO if rows == 1 else Var(self.names.row)
        v: Expr = ZERO if vectors == 1 else Var(self.names.vector)
        begin = add(start, multiply(v, integer(self.lanes)))
        stop = add(begin, integer(self.lanes))
        where = {} if row is None else self.axes.where(row, m, rows)
        loops = tuple((str(x.name), 0, n) for x, n in ((m, rows), (v, vectors)) if isinstance(x, Var))
        lanes = For(self.j, "lanes", begin, call("min", stop, self.extent) if partial else stop, 1, ())
        return Place(
            (rows, vectors),
            loops,
            lanes,
            (m, v, subtract(Var(self.j), begin)),
            where,
            None if row is None else add(row, m),
        )


@record(frozen=True, slots=True)
class Piece:
    """What a tile does for its columns at `place`, `updates` in the loops over k: by their variable and size.

    `kept` is what is put on the stack for `end`.
    """

    place: Place
    zero: tuple[Stmt, ...]
    updates: Mapping[tuple[str, Expr], tuple[Stmt, ...]]
    kept: tuple[Stmt, ...]
    end: tuple[Stmt, ...]


@record(frozen=True, slots=True)
class Place:
    """One register tile of `shape`: the loops and the lanes around a point, and how that point is said."""

    shape: tuple[int, int]
    loops: tuple[tuple[str, int, int], ...]
    lanes: For
    register: tuple[Expr, Expr, Expr]
    where: Mapping[str, Expr]
    row: Expr | None

    def added(self, updates: Sequence[Stmt]) -> tuple[Stmt, ...]:
        """`updates` of the sums at one k. What there are fewer of, inputs of rows or weights, stays in registers."""
        rows, vectors = self.shape
        if rows >= len(updates) * vectors:
            return self.around(updates)
        by_weight = replace(self, loops=self.loops[::-1])
        return tuple(statement for update in updates for statement in by_weight.around([update]))

    def around(self, body: Sequence[Stmt]) -> tuple[Stmt, ...]:
        """Loops over the points of the tile around `body`, which speaks of the nest's own variables."""
        return unrolled(self.loops, (replace(self.lanes, body=substitute(tuple(body), self.where)),))


def _mentioned(lets: Sequence[Let], body: Sequence[Stmt]) -> list[Let]:
    """Those of `lets` that `body` has a use for."""
    used = {part.name for part in walk_exprs(tuple(body)) if isinstance(part, Var)}
    return [let for let in lets if let.name in used]


def weight_bytes(nest: Nest, sums: Sums) -> int:
    """How much the sums of one row read, each element that moves with the column once; 0 when that is not known."""
    *_, extent = nest.sizes
    sizes = [product((one.size, extent)) for one in sums.values()]
    return sum(
        int(size.value) * one.dtype.size
        for size, one in zip(sizes, sums.values(), strict=True)
        if isinstance(size, Const)
    )
