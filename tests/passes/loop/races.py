"""Where threads meet at one place of memory with no barrier between them: a procedure run as they would, and watched.

Between two barriers the threads may run in any order, so that it is enough to run one after the other, and to note for
every place which of them read and which wrote it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rnncc.loop.interp import _Block, _contents, _Machine, _Scope
from rnncc.loop.ir import Barrier, Buffer, For, Index, Load, Procedure, Stmt, Store
from rnncc.loop.printer import show_expr, show_head


@dataclass(slots=True)
class _Traffic:
    """Who used a block of memory since the last barrier: for every `unit` bytes a bit for each thread."""

    unit: int
    reads: np.ndarray
    writes: np.ndarray


@dataclass(slots=True)
class _Watcher(_Machine):
    """Runs `threads` threads one after the other; `thread` is None for what all of them do.

    Turns that are claimed go to the threads in turn, in each loop to another one first.
    """

    threads: int = 2
    thread: int | None = None
    claims: int = 0
    memory: dict[str, _Traffic] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    races: set[str] = field(default_factory=set)

    def run(self, statements: Sequence[Stmt], scope: _Scope) -> None:
        """As in `_Machine`, except that threads are told apart."""
        for statement in statements:
            if isinstance(statement, Barrier):
                assert self.thread is None, "a barrier that not all threads reach"
                self.meet()
            elif isinstance(statement, For) and statement.kind == "threads":
                assert self.thread is None, "threads inside of threads"
                start, stop = (int(self.value(end, scope)) for end in (statement.start, statement.stop))
                for turn in range(start, stop):
                    self.turn(statement, turn, turn % self.threads, scope)
            elif isinstance(statement, For) and statement.kind == "around":
                self.claims += 1
                for share in range(int(self.value(statement.stop, scope))):
                    inner = replace(scope, values={**scope.values, statement.variable: np.int64(share)})
                    (part,) = statement.body
                    assert isinstance(part, For) and part.kind == "claimed"
                    start, stop = (int(self.value(end, inner)) for end in (part.start, part.stop))
                    for turn in range(start, stop, part.step):
                        self.claims += 1
                        self.turn(part, turn, self.claims % self.threads, inner)
            else:
                _Machine.run(self, [statement], scope)

    def turn(self, loop: For, turn: int, thread: int, scope: _Scope) -> None:
        """One turn of `loop`, on `thread`."""
        self.thread = thread
        inner = replace(scope, values={**scope.values, loop.variable: np.int64(turn)})
        _Machine.run(self, loop.body, inner)
        self.thread = None

    def meet(self) -> None:
        """All threads are here: what they did before is over."""
        for name in self.touched:
            self.memory[name].reads[:] = 0
            self.memory[name].writes[:] = 0
        self.touched.clear()

    def _locate(
        self, buffer: str, index: Sequence[Index], scope: _Scope, access: Load | Store, *, write: bool
    ) -> tuple[np.ndarray, Any, np.ndarray | None]:
        memory, place, mask = _Machine._locate(self, buffer, index, scope, access, write=write)
        block = self.blocks[buffer].buffer
        if block.space in ("temporary", "output"):
            places = np.asarray(place)
            if mask is not None:
                both = np.broadcast_shapes(places.shape, mask.shape)
                places = np.broadcast_to(places, both)[np.broadcast_to(mask, both)]
            combines = isinstance(access, Store) and access.combine is not None
            self.note(memory_of(block), block.dtype.size, np.ravel(places), access, write, combines)
        return memory, place, mask

    def note(self, name: str, size: int, places: np.ndarray, access: Load | Store, write: bool, combines: bool) -> None:
        """Compare an access with what other threads did, and remember it."""
        traffic = self.memory[name]
        everybody = (1 << self.threads) - 1
        own = everybody if self.thread is None else 1 << self.thread
        is_alone = self.thread is not None
        for part in range(size // traffic.unit):
            at = places * (size // traffic.unit) + part
            others = traffic.writes[at] | traffic.reads[at] if write else traffic.writes[at]
            if len(at) and ((write and not is_alone) or np.any(others & ~np.int64(own if is_alone else 0))):
                self.races.add(show_head(access) if isinstance(access, Store) else show_expr(access))
            if write:
                traffic.writes[at] |= own
            if not write or combines:
                traffic.reads[at] |= own
        self.touched.add(name)


def memory_of(buffer: Buffer) -> str:
    """The memory behind a buffer: its slot, where it has one."""
    return buffer.name if buffer.slot is None else f"slot {buffer.slot}"


def races(
    procedure: Procedure, arrays: Mapping[str, np.ndarray], dims: Mapping[str, int], threads: int
) -> tuple[set[str], dict[str, np.ndarray]]:
    """The accesses of `procedure` that another thread may disturb, as text, and its outputs."""
    extents = {name: np.int64(dims[name]) for name in procedure.dims}
    watcher = _Watcher({}, threads=threads)
    for buffer in procedure.buffers:
        shape = tuple(int(watcher.value(size, _Scope(extents))) for size in buffer.shape)
        watcher.blocks[buffer.name] = _Block(buffer, shape, _contents(buffer, shape, arrays))
        same = [other for other in procedure.buffers if memory_of(other) == memory_of(buffer)]
        unit = min(other.dtype.size for other in same)
        known = watcher.memory.get(memory_of(buffer))
        count = max(math.prod(shape) * buffer.dtype.size // unit, 0 if known is None else len(known.reads))
        watcher.memory[memory_of(buffer)] = _Traffic(unit, np.zeros(count, np.int64), np.zeros(count, np.int64))
    with np.errstate(all="ignore"):
        _Machine.run(watcher, procedure.setup, _Scope(dict(extents)))
        watcher.run(procedure.body, _Scope(dict(extents)))
    outputs = {b.buffer.name: b.data.reshape(b.shape) for b in watcher.blocks.values() if b.buffer.space == "output"}
    return watcher.races, outputs
