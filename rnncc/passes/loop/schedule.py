"""What a user may decide about a schedule instead of the cost model, nest by nest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from rnncc.errors import ArgumentError, caller, nearest
from rnncc.numeric import whole_number
from rnncc.passes.loop.machine import Machine, TileShape, registers_of
from rnncc.records import record

MOST = 64
"""Of rows, and of vectors."""

MOST_COPIES = 16


@record(frozen=True, slots=True)
class Tile:
    """Register tiles of `rows` x `width` vectors; a row on its own is done in panels of `panel` vectors."""

    rows: int
    width: int
    panel: int

    def registers(self, sums: int) -> int:
        """Vector registers that it needs with so many sums a point."""
        return max(registers_of(self.rows, sums * self.width), registers_of(1, sums * self.panel))


@record(frozen=True, slots=True)
class Choice:
    """What is decided about one nest; None is left to the cost model."""

    tile: Tile | None = None
    copies: int | None = None
    """Of the weights that rows on their own read, step by step in turn."""
    back_and_forth: bool | None = None
    """Whether every second step walks over the panels from back to front."""

    @property
    def given(self) -> dict[str, int]:
        """As a user gives it."""
        walk = {"copies": self.copies, "back_and_forth": self.back_and_forth}
        own = {} if self.tile is None else asdict(self.tile)
        return own | {name: value for name, value in walk.items() if value is not None}


Schedule = tuple[tuple[str, Choice], ...]
"""Choices by nest: its name is the first of the buffers that it writes, in the order of the procedure."""

_TILE = tuple(field.name for field in fields(Tile))
_NAMES = (*_TILE, "copies", "back_and_forth")


def as_schedule(given: Any) -> Schedule:
    """A schedule from what a user gives: ``{"h": {"rows": 6, "width": 1, "panel": 2, "copies": 2}}``.

    Raises ArgumentError for what has no meaning; that a tile fits its nest is for `shape_of` to find out.
    """
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        raise _wrong(f"a schedule is a dict of choices by name, not {given!r}")
    return tuple((str(name), _choice(name, given[name])) for name in sorted(given, key=str))


def _choice(name: object, given: Any) -> Choice:
    if not isinstance(given, Mapping) or not set(given) <= set(_NAMES):
        raise _wrong(f"the schedule of {name} is not a dict with some of {', '.join(_NAMES)}", f"given: {given!r}")
    copies, turns = given.get("copies"), given.get("back_and_forth")
    if copies is not None:
        copies = _number(name, "copies", copies, MOST_COPIES)
    if turns is not None and not isinstance(turns, bool):
        raise _wrong(f"the schedule of {name}: back_and_forth must be True or False, not {turns!r}")
    parts = {field: given[field] for field in _TILE if field in given}
    return Choice(_tile(name, parts) if parts else None, copies, turns)


def _tile(name: object, parts: Mapping[str, Any]) -> Tile:
    if set(parts) != set(_TILE):
        raise _wrong(f"the tile of {name} has not all of {', '.join(_TILE)}", f"given: {', '.join(parts)}")
    tile = Tile(**{field: _number(name, field, number, MOST) for field, number in parts.items()})
    if tile.panel % tile.width:
        raise _wrong(f"the tile of {name}: a panel of {tile.panel} vectors is not a multiple of the width {tile.width}")
    return tile


def _number(name: object, field: str, given: Any, most: int) -> int:
    number = whole_number(given, 1, most)
    if number is None:
        raise _wrong(f"the schedule of {name}: {field} must be a number from 1 to {most}, not {given!r}")
    return number


def shape_of(
    name: str, tile: Tile, machine: Machine, sums: int, vectors: int | None, tails: Sequence[int]
) -> TileShape:
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
    return TileShape.of(tile.rows, width, panel, tails)


def check_names(schedule: Schedule, known: Mapping[str, object]) -> None:
    """Raise ArgumentError for a choice whose nest does not exist, or has no register tile."""
    for name, _ in schedule:
        if name not in known:
            meant = nearest(name, list(known))
            raise _wrong(
                f"the schedule says something of {name}, which no register tile writes",
                f"tiles: {', '.join(known) or 'none'}",
                remedy=f"did you mean {meant!r}?" if meant else "rnncc dump --list shows the tiles",
            )


def _wrong(what: str, *facts: str, remedy: str | None = None) -> ArgumentError:
    return ArgumentError(what, *facts, place=caller(), remedy=remedy)
