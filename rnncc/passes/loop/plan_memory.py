"""Let temporaries that are never alive together share memory.

    a = temporary(f32, [T, B, 512])                   a = temporary(f32, [T, B, 512], slot=0)
    b = temporary(f32, [B, 64])               ->      b = temporary(f32, [B, 64], slot=1)
    c = temporary(f32, [T, B, 768])                   c = temporary(f32, [T, B, 768], slot=0)

A temporary lives from the first statement of the procedure that mentions it to the last one. Temporaries whose lives
overlap interfere; slots are a colouring of that graph, largest (by rank and name of extents) first. The size of a slot
is known at the call: that of its largest member.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from rnncc.loop.index import at_most
from rnncc.loop.ir import Buffer, Procedure, Stmt
from rnncc.loop.visit import buffers_of
from rnncc.passes.loop.dependences import shared_by
from rnncc.passes.loop.nest import is_over_steps


def plan_memory(procedure: Procedure, threads: int = 1) -> Procedure:
    """Give every temporary a slot. What several `threads` may use side by side, in loops over steps, stays apart."""
    lives: dict[str, tuple[int, int]] = {}
    temporaries = [buffer for buffer in procedure.buffers if buffer.space == "temporary"]
    names = {buffer.name for buffer in temporaries}
    for moment, statement in zip(_moments(procedure.body, threads), procedure.body, strict=True):
        for name in buffers_of(statement) & names:
            first, _ = lives.get(name, (moment, moment))
            lives[name] = (first, moment)
    slots = _slots(temporaries, lives)
    buffers = tuple(
        replace(buffer, slot=slots[buffer.name]) if buffer.name in slots else buffer
        for buffer in procedure.buffers
        if buffer.space != "temporary" or buffer.name in slots
    )
    return procedure if buffers == procedure.buffers else replace(procedure, buffers=buffers)


def _moments(body: Sequence[Stmt], threads: int) -> list[int]:
    """When each statement runs: one after the other, but as many loops over steps at a time as there are threads for.

    These share nothing: see `share_threads`.
    """
    moments = list(range(len(body)))
    beside: list[int] = []
    for position, statement in enumerate(body):
        if threads == 1 or not is_over_steps(statement) or any(shared_by(body[one], statement) for one in beside):
            beside = []
        if threads > 1 and is_over_steps(statement):
            beside.append(position)
        if len(beside) >= threads:
            moments[beside[0] : position + 1] = [beside[0]] * len(beside)
    return moments


def _slots(temporaries: list[Buffer], lives: dict[str, tuple[int, int]]) -> dict[str, int]:
    """A slot for every temporary that is used at all."""
    interference = {
        name: [other for other, (begin, end) in lives.items() if other != name and first <= end and begin <= last]
        for name, (first, last) in lives.items()
    }
    order = [buffer.name for buffer in sorted(temporaries, key=_by_size) if buffer.name in lives]
    slots: dict[str, int] = {}
    for name in order:
        taken = {slots[other] for other in interference[name] if other in slots}
        slots[name] = next(slot for slot in range(len(order)) if slot not in taken)
    return slots


def _by_size(buffer: Buffer) -> tuple[int, int, str]:
    """Sorts large buffers first: by the number of extents that only the call knows, then by the fixed part."""
    sizes = list(map(at_most, buffer.shape))
    fixed = prod(size for size in sizes if size is not None)
    return -sizes.count(None), -fixed * buffer.dtype.size, buffer.name
