"""Schedules in the cache: what a search found for a graph, with these options, on this machine."""

from __future__ import annotations

import json

from rnncc.passes.loop.schedule import Schedule, as_schedule
from rnncc.runtime.cache import DiskCache


def remember(disk: DiskCache, key: str, schedule: Schedule) -> bool:
    """Keep a schedule, in place of an older one; an empty one leaves all to the cost model. False if that fails."""
    return disk.put(key, json.dumps({name: choice.given for name, choice in schedule}).encode())


def remembered(disk: DiskCache, key: str) -> Schedule:
    """The schedule that is kept there, or an empty one."""
    content = disk.get(key)
    try:
        return () if content is None else as_schedule(json.loads(content))
    except ValueError:  # not what `remember` wrote
        return ()
