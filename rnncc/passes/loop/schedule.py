"""What a user may decide about a schedule instead of the cost model: the register tiles of nests, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from rnncc.errors import ArgumentError, caller, nearest
from rnncc.passes.loop.machine import TAIL_ROWS, Machine, TileShape

MOST = 64
"""Of rows, and of vectors."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Register tiles of `rows` x `width` vectors; a row on its own is done in panels of `panel` vectors."""

    rows: int
    width: int
    panel: int

    def registers(self, sums: int) -> int:
        """Vector registers that it needs with so many sums a point: the sums, the weights of one k, and an input."""
        return max(sums * self.width * (self.rows + 1) + 1, sums * self.panel + 2)


Schedule = tuple[tuple[str, Tile], ...]
"""Tiles by the name of the first buffer that their nest writes."""


def as_schedule(given: Any) -> Schedule:
    """A schedule from what a user gives: ``{"h": {"rows": 6, "width": 1, "panel": 2}}``.

    Raises ArgumentError for what is no tile; that a tile fits its nest is for `shape_of` to find out.
    """
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        raise _wrong(f"a schedule is a dict of tiles by name, not {given!r}")
    return tuple((str(name), _tile(name, given[name])) for name in sorted(given, key=str))


def _tile(name: object, given: Any) -> Tile:
    names = [field.name for field in fields(Tile)]
    if isinstance(given, Tile):
        given = {field: getattr(given, field) for field in names}
    if not isinstance(given, Mapping) or set(given) != set(names):
        raise _wrong(f"the tile of {name} is not a dict with {', '.join(names)}", f"given: {given!r}")
    for field in names:
        number = given[field]
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= MOST:
            raise _wrong(f"the tile of {name}: {field} must be a number from 1 to {MOST}, not {number!r}")
    tile = Tile(**given)
    if tile.panel % tile.width:
        raise _wrong(f"the tile of {name}: a panel of {tile.panel} vectors is not a multiple of the width {tile.width}")
    return tile


def shape_of(name: str, tile: Tile, machine: Machine, sums: int, vectors: int | None) -> TileShape:
    """`tile` for a nest with `sums` accumulators a point and `vectors` vectors in a row (None: not known).

    Raises ArgumentError when it needs more registers than there are.
    """
    if tile.registers(sums) > machine.registers:
        raise _wrong(
            f"the tile of {name} does not fit into the registers",
            f"{tile.rows} x {tile.width} vectors (a row: {tile.panel}) of {sums} sums need {tile.registers(sums)}",
            f"this target has {machine.registers}",
        )
    width = tile.width if vectors is None else min(tile.width, max(vectors, 1))
    panel = tile.panel // tile.width * width
    if vectors is not None:
        panel = min(panel, -(-max(vectors, 1) // width) * width)
    counts = [tile.rows, *(fewer for fewer in TAIL_ROWS if fewer < tile.rows)] if tile.rows > 1 else []
    return TileShape(panel, (*((count, width) for count in counts), (1, panel)))


def check_names(schedule: Schedule, known: Mapping[str, object]) -> None:
    """Raise ArgumentError for a tile whose nest does not exist."""
    for name, _ in schedule:
        if name not in known:
            meant = nearest(name, list(known))
            raise _wrong(
                f"the schedule has a tile for {name}, which no register tile writes",
                f"tiles: {', '.join(known) or 'none'}",
                remedy=f"did you mean {meant!r}?" if meant else "rnncc dump --list shows the tiles",
            )


def _wrong(what: str, *facts: str, remedy: str | None = None) -> ArgumentError:
    return ArgumentError(what, *facts, place=caller(), remedy=remedy)
