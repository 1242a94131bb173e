"""Let temporaries that are never alive together share memory.

    a = temporary(f32, [T, B, 512])                   a = temporary(f32, [T, B, 512], slot=0)
    b = temporary(f32, [B, 64])               ->      b = temporary(f32, [B, 64], slot=1)
    c = temporary(f32, [T, B, 768])                   c = temporary(f32, [T, B, 768], slot=0)

A temporary lives from the first statement of the procedure that mentions it to the last one. Temporaries whose lives
overlap interfere; slots are a colouring of that graph, largest (by rank and name of extents) first. The size of a slot
is known at the call: that of its largest member.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from rnncc.loop.ir import Buffer, Call, Const, Expr, Procedure
from rnncc.loop.visit import buffers_of


def plan_memory(procedure: Procedure) -> Procedure:
    """Give every temporary a slot."""
    lives: dict[str, tuple[int, int]] = {}
    temporaries = [buffer for buffer in procedure.buffers if buffer.space == "temporary"]
    names = {buffer.name for buffer in temporaries}
    for position, statement in enumerate(procedure.body):
        for name in buffers_of(statement) & names:
            first, _ = lives.get(name, (position, position))
            lives[name] = (first, position)
    slots = _slots(temporaries, lives)
    buffers = tuple(
        replace(buffer, slot=slots[buffer.name]) if buffer.name in slots else buffer
        for buffer in procedure.buffers
        if buffer.space != "temporary" or buffer.name in slots
    )
    return procedure if buffers == procedure.buffers else replace(procedure, buffers=buffers)


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
    sizes = list(map(_bound, buffer.shape))
    fixed = prod(size for size in sizes if size is not None)
    return -sizes.count(None), -fixed * buffer.dtype.size, buffer.name


def _bound(size: Expr) -> int | None:
    """The most that `size` may be, where it says so: a number, or `min` of one and what only the call knows."""
    match size:
        case Const(value) | Call("min", (Const(value), _)):
            return int(value)
        case _:
            return None
