"""Schedules in the cache: tiles that a search found for a graph, with these options, on this machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple

from rnncc.passes.loop.schedule import Schedule, Tile
from rnncc.runtime.cache import DiskCache


def remember(disk: DiskCache, key: str, schedule: Schedule) -> None:
    """Keep a schedule, in place of an older one; an empty one leaves all to the cost model."""
    disk.put(key, json.dumps([[name, *astuple(tile)] for name, tile in schedule]).encode())


def remembered(disk: DiskCache, key: str) -> Schedule:
    """The schedule that is kept there, or an empty one."""
    content = disk.get(key)
    found: Sequence[Sequence[object]] = [] if content is None else json.loads(content)
    return tuple((str(name), Tile(*map(int, map(str, numbers)))) for name, *numbers in found)
