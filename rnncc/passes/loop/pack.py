"""Store weights in the order in which the loops read them, once, when they are bound.

    for k in range(0, 128):                            with setup():
        for j in lanes(js, js + 16):                       for p, k, l: wp[p, k, 0, 0, l] = w[k, p * 16 + l]
            acc[0, 0, j - js] += h[k] * w[k, j]            for p, k, l: wp[p, k, 1, 0, l] = w[k, p * 16 + l + 128]
            acc_2[0, 0, j - js] += h[k] * w[k, j + 128]
                                                 ->    for k in range(0, 128):
                                                           for j in lanes(js, js + 16):
                                                               acc[...] += h[k] * wp[js // 16, k, 0, 0, j - js]
                                                               acc_2[...] += h[k] * wp[js // 16, k, 1, 0, j - js]

A panel holds the columns of one tile of every weight, and of all that is made of weights only, that one turn of the
loop over k reads, k after k: the loop reads one stream from front to back. (Pairs of bfloat16 beside numbers of float32
are a stream of their own.) Its axes are [panel, k, member, vector of the tile, lane]. Tiles of several widths share
a layout: the widest one that all of them read in whole panels. A loop that reads some of what another one reads of the
same panel finds it there. The last panel is filled up with zeros.

A machine may follow the stream of each instruction that loads: it should go on where it stops, step after step, and not
where other instructions go on. So what a row on its own reads behind its last whole panel, in a loop of its own, is a
layout of its own, even if tiles of several rows read it among their panels. (Three sums of 92 columns, one row, Zen 5,
five copies of the weights in turn: 140 GB/s from level 2 out of one layout, 245 out of two.)

Requires: `tile`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from rnncc.loop.builder import ZERO, add, floordiv, folded, integer, known_size, load, mod, multiply, subtract, zero_of
from rnncc.loop.index import difference, interval, multiple_of, ranges_of
from rnncc.loop.ir import Buffer, Call, Const, Expr, For, Load, Procedure, Stmt, Store, Var
from rnncc.loop.names import Names
from rnncc.loop.visit import (
    free_variables,
    map_children,
    map_expr,
    map_statement,
    substitute,
    walk_exprs,
    walk_statements,
)
from rnncc.names import unused
from rnncc.passes.loop.nest import first_buffer, is_of_weights, parts_of_weights, scalars
from rnncc.passes.manager import Note, nobody
from rnncc.records import record

K, COLUMN = Var("k"), Var("column")
"""Where a member of a layout is, whatever the loops that read it call that."""


def pack(procedure: Procedure, note: Note = nobody) -> Procedure:
    """Pack the weights of every loop over k that adds to register tiles."""
    packer = _Packer(procedure, Names(procedure))
    packer.plan(procedure.body, {})
    packer.share()
    body = packer.block(procedure.body)
    if not packer.layouts:
        return procedure
    buffers = (*procedure.buffers, *(layout.buffer for layout in packer.layouts.values()))
    taken = {buffer.name for buffer in buffers} | set(procedure.given)
    for layout in packer.layouts.values():
        panels, depth, members, width, lanes = map(_constant, layout.buffer.shape)
        several = f", {members} matrices of weights in turn" if members > 1 else ""
        panel = f"{members * width} vectors of {lanes}, {depth} deep{several}"
        note(f"{layout.buffer.name}: {panels} panel{'s' if panels > 1 else ''} of {panel}")
    variables = _Variables(*(Var(unused(hint, taken)) for hint in ("p", "k", "l")))
    setup = tuple(statement for layout in packer.layouts.values() for statement in _fill(layout, variables))
    return replace(procedure, buffers=buffers, setup=(*procedure.setup, *setup), body=body)


@record(frozen=True, slots=True)
class _Variables:
    """Of the loops in setup: nothing else has their names."""

    panel: Var
    k: Var
    lane: Var


@record(frozen=True, slots=True)
class _Layout:
    """A packed buffer [panel, k, member, vector, lane] and what its members are, as expressions at (k, column).

    It has the columns from `first` on, and before `end`.
    """

    buffer: Buffer
    members: tuple[Expr, ...]
    first: int
    end: int


@record(frozen=True, slots=True)
class _Tile:
    """The columns that a loop over k reads: `vectors` vectors of `lanes` from `start` on.

    `vector` is the loop variable that counts them, None when there is one. `rows` read them.
    """

    members: tuple[Expr, ...]
    depth: int
    lanes: int
    start: Expr
    vectors: int
    vector: str | None
    rows: int

    @property
    def key(self) -> _Key:
        """Loops over k with the same key share a layout."""
        return _Key(self.members, self.depth, self.lanes, known_size(self.start) or 0)


@record(frozen=True, slots=True)
class _Key:
    """What tiles have in common that share a layout: `first` is their first column, 0 of those in loops over panels."""

    members: tuple[Expr, ...]
    depth: int
    lanes: int
    first: int

    def is_part_of(self, other: _Key) -> bool:
        """True when a layout for `other` has all that one for this has, and more."""
        is_alike = (self.depth, self.lanes, self.first) == (other.depth, other.lanes, other.first)
        return is_alike and set(self.members) < set(other.members)


@dataclass(slots=True)
class _Packer:
    procedure: Procedure
    names: Names
    widths: dict[_Key, list[tuple[int, int]]] = field(default_factory=dict)
    """For each key, of every tile: its vectors, and what its first column is a multiple of."""
    ends: dict[_Key, list[int | None]] = field(default_factory=dict)
    """For each key, of every tile: how far its columns go; None where that is not known."""
    places: dict[_Key, set[str]] = field(default_factory=dict)
    """For each key: the loops over panels that it is read in."""
    alone: set[_Key] = field(default_factory=set)
    """Keys of tiles of one row."""
    hosts: dict[_Key, _Key] = field(default_factory=dict)
    """For a key without a layout of its own: the one in whose layout all of its members are."""
    layouts: dict[_Key, _Layout] = field(default_factory=dict)
    weights: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.weights = {buffer.name for buffer in self.procedure.buffers if buffer.space == "weight"}

    def plan(self, statements: Sequence[Stmt], around: Mapping[str, For]) -> None:
        """Look at the tiles of every loop over k, inside of the loops `around`."""
        for statement in statements:
            if not isinstance(statement, For):
                continue
            tiles = self.tiles_of(statement)
            if not tiles:
                self.plan(statement.body, {**around, statement.variable: statement})
            for tile in tiles:
                multiple = multiple_of(subtract(tile.start, integer(tile.key.first)), around) // tile.lanes
                self.widths.setdefault(tile.key, []).append((tile.vectors, multiple))
                starts = interval(tile.start, ranges_of(around.values()))
                end = None if starts is None else starts[1] + tile.vectors * tile.lanes
                if tile.rows == 1:
                    self.alone.add(tile.key)
                self.ends.setdefault(tile.key, []).append(end)
                self.places.setdefault(tile.key, set()).update(free_variables(tile.start))

    def share(self) -> None:
        """Find what another loop over k of the same panel reads as well: it is in a cache then, and stored once.

        And so is what several rows read behind their last whole panel, where no row on its own begins there.
        """
        for key, places in self.places.items():
            hosts = (
                other
                for other, others in self.places.items()
                if key.is_part_of(other) and places <= others and self.reaches(key, other)
            )
            host = max(hosts, key=lambda other: len(other.members), default=None)
            if host is not None:
                self.hosts[key] = host
        settled = {*self.alone, *self.hosts, *self.hosts.values()}
        for key in self.widths:
            host = replace(key, first=0)  # of all columns
            if key.first and key not in settled and host in self.widths and host not in self.hosts:
                self.hosts[key] = host
        for key, host in self.hosts.items():
            apart = (key.first - host.first) // key.lanes
            self.widths[host] += [(vectors, multiple + apart) for vectors, multiple in self.widths[key]]
            self.ends[host] += self.ends[key]

    def reaches(self, key: _Key, host: _Key) -> bool:
        """True when every member of `host` has all the columns that tiles of `key` read."""
        end = self.end(key)
        return end is not None and end <= self.columns(host.members)

    def end(self, key: _Key) -> int | None:
        """How far the columns of all tiles of `key` go; None where that is not known."""
        ends = [end for end in self.ends[key] if end is not None]
        return max(ends) if len(ends) == len(self.ends[key]) else None

    def block(self, statements: Sequence[Stmt]) -> tuple[Stmt, ...]:
        """Statements with every loop over k packed."""
        return tuple(self.statement(statement) for statement in statements)

    def statement(self, statement: Stmt) -> Stmt:
        if not isinstance(statement, For):
            return statement
        tiles = self.tiles_of(statement)
        if not tiles:
            return replace(statement, body=self.block(statement.body))
        for tile in tiles:
            statement = self.loop_over_k(statement, tile)
        return statement

    def tiles_of(self, loop: For) -> list[_Tile]:
        """What `loop` reads of weights, by type, when it is a loop over k that adds to a register tile."""
        if loop.kind != "range" or not isinstance(loop.stop, Const) or not _adds_to_registers(loop):
            return []
        members: dict[Expr, None] = {}
        lanes = 0
        start: Expr = ZERO
        around: tuple[For, ...] = ()
        for path, lane_loop in _lane_loops(loop.body, ()):
            for store in lane_loop.body:
                assert isinstance(store, Store)
                lanes = max(lanes, self.register_lanes(store.buffer))
                k, j = loop.variable, lane_loop.variable
                for part in parts_of_weights(store.value, k, j, self.weights):
                    start, around = lane_loop.start, path
                    members[_anywhere(part, k, j)] = None
        if not members or lanes < 2:
            return []
        moving = [outer for outer in around if outer.variable in free_variables(start)]
        depth = int(loop.stop.value)
        rows = prod(_constant(outer.stop) for outer in around if outer not in moving)
        tile = _Tile(tuple(members), depth, lanes, start, 1, None, rows)
        if moving:
            (outer,) = moving
            assert isinstance(outer.stop, Const), "a tile has a constant number of vectors"
            first = map_expr(substitute(start, {outer.variable: ZERO}), folded)
            tile = replace(tile, start=first, vectors=int(outer.stop.value), vector=outer.variable)
        types = dict.fromkeys(member.dtype for member in members)
        return [replace(tile, members=tuple(one for one in members if one.dtype is dtype)) for dtype in types]

    def loop_over_k(self, loop: For, tile: _Tile) -> For:
        """One loop over k with the weights of `tile` read from a packed buffer."""
        layout = self.layout(tile)
        places = {member: number for number, member in enumerate(layout.members)}
        width = _constant(layout.buffer.shape[3])
        panel = _divided(subtract(tile.start, integer(layout.first)), width * tile.lanes)
        vector: Expr = ZERO
        if tile.vector is not None:
            panel = add(panel, floordiv(Var(tile.vector), integer(width))) if tile.vectors > width else panel
            vector = mod(Var(tile.vector), integer(width)) if tile.vectors > width else Var(tile.vector)

        def lane_body(lane_loop: For) -> For:
            def packed(expr: Expr) -> Expr:
                k, j = loop.variable, lane_loop.variable
                place = places.get(_anywhere(expr, k, j)) if is_of_weights(expr, k, j, self.weights) else None
                if place is None:
                    return map_children(expr, packed)
                index = (panel, Var(k), integer(place), vector, subtract(Var(j), lane_loop.start))
                return load(layout.buffer.name, index, layout.buffer.dtype)

            body = tuple(map_statement(store, packed) for store in lane_loop.body)
            return replace(lane_loop, body=body)

        return _map_lane_loops(loop, lane_body)

    def register_lanes(self, name: str) -> int:
        return _constant(self.procedure.buffer(name).shape[-1])

    def layout(self, tile: _Tile) -> _Layout:
        key = self.hosts.get(tile.key, tile.key)
        if key not in self.layouts:
            members, lanes = key.members, key.lanes
            columns, end = self.columns(members), self.end(key)
            if end is not None:
                columns = min(columns, end)  # of one gate, not of all that are behind it
            width = _common_width(self.widths[key])
            panels = -(-(columns - key.first) // (width * lanes))
            shape = tuple(map(integer, (panels, key.depth, len(members), width, lanes)))
            name = self.names.fresh(f"{first_buffer(members[0])}_packed")
            self.layouts[key] = _Layout(Buffer(name, members[0].dtype, shape, "packed"), members, key.first, columns)
        return self.layouts[key]

    def columns(self, members: tuple[Expr, ...]) -> int:
        """How far the column may go before a weight ends."""
        ends = []
        loads = [part for member in members for part in walk_exprs(member) if isinstance(part, Load)]
        for one in loads:
            shape = self.procedure.buffer(one.buffer).shape
            for item, size in zip(scalars(one.index), shape, strict=True):
                if COLUMN.name in free_variables(item):
                    offset = difference(item, COLUMN)
                    assert offset is not None, "a column moves by one"
                    ends.append(_constant(size) - offset)
        return min(ends)


def _anywhere(part: Expr, k: str, j: str) -> Expr:
    """`part` at the place of the members of layouts."""
    return substitute(part, {k: K, j: COLUMN})


def _adds_to_registers(loop: For) -> bool:
    inner = list(walk_statements(loop.body))
    return all(isinstance(s, For) or (isinstance(s, Store) and s.combine is not None) for s in inner) and not any(
        isinstance(s, For) and s.kind in ("range", "parallel") for s in inner
    )


def _lane_loops(statements: Sequence[Stmt], path: tuple[For, ...]) -> Iterator[tuple[tuple[For, ...], For]]:
    """The loops over lanes among `statements`, and the loops around each."""
    for statement in statements:
        if isinstance(statement, For) and statement.kind == "lanes":
            yield path, statement
        elif isinstance(statement, For):
            yield from _lane_loops(statement.body, (*path, statement))


def _common_width(tiles: Sequence[tuple[int, int]]) -> int:
    """How many vectors wide a panel is that every tile, (vectors, multiple), reads whole or from its start on."""
    return next(
        width
        for width in sorted({vectors for vectors, _ in tiles} | {1}, reverse=True)
        if all(multiple % width == 0 and (vectors <= width or vectors % width == 0) for vectors, multiple in tiles)
    )


def _map_lane_loops(loop: For, change: Callable[[For], For]) -> For:
    body = tuple(
        statement
        if not isinstance(statement, For)
        else change(statement)
        if statement.kind == "lanes"
        else _map_lane_loops(statement, change)
        for statement in loop.body
    )
    return replace(loop, body=body)


def _divided(start: Expr, lanes: int) -> Expr:
    """`start // lanes` of a sum whose parts are multiples of `lanes`, part by part."""
    match start:
        case Const(value):
            return integer(int(value) // lanes)
        case Call("add", (a, b)):
            return add(_divided(a, lanes), _divided(b, lanes))
        case Call("mul", (a, Const(factor))) if int(factor) % lanes == 0:
            return multiply(a, integer(int(factor) // lanes))
        case _:
            return floordiv(start, integer(lanes))


def _fill(layout: _Layout, variables: _Variables) -> Iterator[Stmt]:
    """The loops that fill a packed buffer."""
    panels, depth, _, width, lanes = map(_constant, layout.buffer.shape)
    columns = layout.end - layout.first
    p, k, lane = variables.panel, variables.k, variables.lane
    for number, member in enumerate(layout.members):

        def store(panel: Expr, vector: int, value: Expr, number: int = number) -> Stmt:
            return Store(layout.buffer.name, (panel, k, integer(number), integer(vector), lane), value)

        def copy(panel: Expr, vector: int, count: int, member: Expr = member) -> Stmt:
            first = integer(layout.first + vector * lanes)
            column = add(multiply(panel, integer(width * lanes)), add(lane, first))
            value = substitute(member, {K.name: k, COLUMN.name: column})
            return _loops(((k, depth), (lane, count)), store(panel, vector, value))

        for vector in range(width):
            full = max(0, (columns - (vector + 1) * lanes) // (width * lanes) + 1)
            if full:
                yield For(p.name, "parallel", ZERO, integer(full), 1, (copy(p, vector, lanes),))
            if full < panels:
                zero = zero_of(layout.buffer.dtype)
                last = integer(panels - 1)
                yield _loops(((k, depth), (lane, lanes)), store(last, vector, zero))
                rest = columns - ((panels - 1) * width + vector) * lanes
                if rest > 0:
                    yield copy(last, vector, rest)


def _constant(size: Expr) -> int:
    assert isinstance(size, Const), "weights and registers have constant shapes"
    return int(size.value)


def _loops(variables: Sequence[tuple[Var, int]], body: Stmt) -> Stmt:
    for variable, size in reversed(variables):
        body = For(variable.name, "parallel", ZERO, integer(size), 1, (body,))
    return body
