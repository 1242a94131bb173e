"""Let threads share the panels, and meet where one needs what another wrote.

    for t in range(0, T):                          for t in range(0, T):
        for js in parallel(0, 512, 16):                for share in around(0, 2):
            h[(t + 1) % 2, js] = ...       ->              for js in claimed(share * 256, (share + 1) * 256, 16):
    for j in parallel(0, 512):                                 h[(t + 1) % 2, js] = ...
        y[j] = h[T % 2, j]                             barrier()
                                                   for alone in threads(0, 1):
                                                       for j in parallel(0, 512):
                                                           y[j] = h[T % 2, j]

Loops over steps that do not need each other, such as the two directions of a layer, are done side by side, with no
barrier at all. Else, a thread begins with the same panels in every step, so that they stay in its own cache; one that
is done before the others takes over panels of shares that they have begun, as cores that do something else besides, or
are half of one, are slower for a while. What is too small to be worth a barrier is done by the first thread. A barrier
stands where a statement reads what was written since the last one, or writes what was read or written since, in the
same slot of memory. The two halves of a state are different places, and so are different columns: what panels leave
over needs no barrier. Sums are added up by one thread each, in the order of k: the bits are those of one thread. Stages
that `wavefront` gave to threads stay there.

Requires: `plan_memory`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from rnncc.loop.builder import ZERO, add, call, integer, multiply
from rnncc.loop.index import Interval, interval, overlap, ranges_of
from rnncc.loop.ir import FOR_THREADS, Barrier, Const, Expr, For, Index, Let, Procedure, Span, Stmt, Var
from rnncc.loop.names import Names
from rnncc.loop.visit import free_variables, loads_of, stores_of, walk_statements
from rnncc.passes.loop.dependences import are_other_halves
from rnncc.passes.loop.nest import all_written_by, is_over_steps, packed_sizes
from rnncc.passes.manager import Note, nobody

WORTH_BYTES = 96 << 10
"""Panels that take one thread longer than two meetings of the threads: half a microsecond from the level 2 cache."""


def share_threads(procedure: Procedure, threads: int, worth_bytes: int | None = None, note: Note = nobody) -> Procedure:
    """Share the loops over at least `worth_bytes` of panels (None: `WORTH_BYTES`) among `threads` threads."""
    worth_bytes = WORTH_BYTES if worth_bytes is None else worth_bytes
    sharer = _Sharer(procedure, threads, worth_bytes)
    if all(isinstance(statement, Let | Barrier) or _is_for_threads(statement) for statement in procedure.body):
        return procedure
    if not sharer.has_panels(procedure.body) and not any(map(_is_for_threads, procedure.body)):
        note(f"no {worth_bytes >> 10} KiB of panels, no loops over steps to run side by side: only rows are shared")
        return procedure
    body = sharer.block(procedure.body)
    for line in sharer.notes:
        note(line)
    return replace(procedure, body=body)


class _Access(NamedTuple):
    """Where a statement reads or writes: in which memory which buffer, which half of a state, which last indices."""

    memory: str
    buffer: str
    first: Index | None
    last: Interval | None

    def meets(self, other: _Access) -> bool:
        """False when the two are certainly at different places."""
        if self.memory != other.memory or self.buffer != other.buffer:
            return self.memory == other.memory
        if are_other_halves(self.first, other.first):
            return False
        return self.last is None or other.last is None or overlap(self.last, other.last)


@dataclass(slots=True)
class _Traffic:
    """What was read and written since all threads last met, and whether they shared panels."""

    reads: set[_Access] = field(default_factory=set)
    writes: set[_Access] = field(default_factory=set)
    claims: bool = False

    def add(self, other: _Traffic) -> None:
        self.reads |= other.reads
        self.writes |= other.writes
        self.claims |= other.claims

    def clear(self) -> None:
        self.reads.clear()
        self.writes.clear()
        self.claims = False

    def conflicts(self, other: _Traffic) -> bool:
        if self.claims and other.claims:
            return True  # there is one counter for each share
        pairs = ((self.writes, other.writes), (self.writes, other.reads), (self.reads, other.writes))
        return any(one.meets(two) for mine, its in pairs for one in mine for two in its)


class _Sharer:
    """Walks the statements that all threads run; `traffic` is what they did since the last barrier."""

    def __init__(self, procedure: Procedure, threads: int, worth_bytes: int) -> None:
        self.threads = threads
        self.worth_bytes = worth_bytes
        self.fresh = Names(procedure).fresh
        self.names = all_written_by(procedure)
        self.notes: list[str] = []
        self.traffic = _Traffic()
        self.packed = packed_sizes(procedure)
        self.memory = {
            buffer.name: buffer.name if buffer.slot is None else str(buffer.slot)
            for buffer in procedure.buffers
            if not buffer.is_private and buffer.space not in ("weight", "packed")
        }

    def has_panels(self, statements: Sequence[Stmt]) -> bool:
        """True when there is something to share among `statements`."""
        return bool(self.beside(statements)) or any(
            self.is_shared(statement) or (is_over_steps(statement) and self.has_panels(statement.body))
            for statement in statements
            if isinstance(statement, For)
        )

    def is_shared(self, loop: For) -> bool:
        """True for a loop over several panels of weights that are worth it."""
        if loop.kind != "parallel" or not (isinstance(loop.start, Const) and isinstance(loop.stop, Const)):
            return False
        turns = -(-(int(loop.stop.value) - int(loop.start.value)) // loop.step)
        panels = {
            load.buffer
            for load in loads_of(loop)
            if load.buffer in self.packed
            and not isinstance(load.index[0], Span)
            and loop.variable in free_variables(load.index[0])
        }
        return turns > 1 and sum(self.packed[name] for name in panels) >= self.worth_bytes

    # -------------------------------------------------------------- statements

    def block(self, statements: Sequence[Stmt]) -> tuple[Stmt, ...]:
        """`statements` as all threads run them."""
        result: list[Stmt] = []
        alone: list[Stmt] = []
        mine = _Traffic()  # of the statements in `alone`: they need no barrier between them

        def flush() -> None:
            if alone:
                result.append(For(self.fresh("alone"), "threads", ZERO, integer(1), 1, tuple(alone)))
                self.traffic.add(mine)
                alone.clear()
                mine.clear()

        beside = self.beside(statements)
        done = {first + number for first, group in beside.items() for number in range(len(group))}
        for position, statement in enumerate(statements):
            if position in beside:
                flush()
                result += self.side_by_side(beside[position])
                continue
            if position in done:
                continue
            if _is_for_threads(statement):
                flush()
                result += self.after_all(statement)
                continue
            if is_over_steps(statement) and self.has_panels(statement.body):
                flush()
                result.append(self.steps(statement, result))
                continue
            accesses = self.traffic_of(statement)
            by_all = accesses.claims or isinstance(statement, Let)
            if by_all or self.traffic.conflicts(accesses):
                flush()
            if self.traffic.conflicts(accesses):
                result.append(Barrier())
                self.traffic.clear()
            if not by_all:
                alone.append(statement)
                mine.add(accesses)
                continue
            self.traffic.add(accesses)
            result.append(self.shared(statement) if isinstance(statement, For) else statement)
        flush()
        return tuple(result)

    def beside(self, statements: Sequence[Stmt]) -> dict[int, list[For]]:
        """Loops over steps that follow one another and do not need each other, by the position of the first."""
        groups: dict[int, list[For]] = {}
        position = 0
        while position < len(statements):
            group: list[For] = []
            traffic = _Traffic()
            for statement in statements[position:]:
                if not is_over_steps(statement) or _is_for_threads(statement):
                    break
                own = self.traffic_of(statement)
                if traffic.conflicts(own):
                    break
                traffic.add(own)
                group.append(statement)
            if len(group) >= self.threads:
                groups[position] = group
            position += max(1, len(group))
        return groups

    def side_by_side(self, loops: Sequence[For]) -> list[Stmt]:
        """Each of `loops` on one thread, from start to end: there is nothing to wait for."""
        result: list[Stmt] = []
        traffic = _Traffic()
        for loop in loops:
            traffic.add(self.traffic_of(loop))
        if self.traffic.conflicts(traffic):
            result.append(Barrier())
            self.traffic.clear()
        self.traffic.add(traffic)
        for number, loop in enumerate(loops):
            thread = number % self.threads
            self.notes.append(f"{self.written(loop)}: on thread {thread}, beside other loops over steps")
            name = self.fresh("side")
            result.append(For(name, "threads", integer(thread), integer(thread + 1), 1, (loop,)))
        return result

    def after_all(self, loop: Stmt) -> list[Stmt]:
        """A loop whose stages have their threads, and whose every turn ends with a barrier."""
        waits = [Barrier()] if self.traffic.reads or self.traffic.writes else []
        self.traffic.clear()
        return [*waits, loop]

    def steps(self, loop: For, before: list[Stmt]) -> For:
        """A loop over steps: all threads meet at the end of each."""
        if self.traffic.reads or self.traffic.writes:
            before.append(Barrier())
        self.traffic.clear()
        body = self.block(loop.body)
        self.traffic.clear()
        return replace(loop, body=(*body, Barrier()))

    def shared(self, loop: For) -> For:
        """`loop` with a contiguous part of its turns for each thread to begin with."""
        assert isinstance(loop.start, Const) and isinstance(loop.stop, Const), "panels are counted when compiling"
        start, stop = int(loop.start.value), int(loop.stop.value)
        turns = -(-(stop - start) // loop.step)
        chunk = -(-turns // self.threads) * loop.step
        share = Var(self.fresh("share"))
        even = start + chunk * self.threads <= stop
        self.notes.append(f"{self.written(loop)}: {turns} panels, {chunk // loop.step} for each thread to begin with")

        def bound(offset: int) -> Expr:
            place = add(multiply(share, integer(chunk)), integer(start + offset))
            return place if even else call("min", place, integer(stop))

        part = replace(loop, kind="claimed", start=bound(0), stop=bound(chunk))
        return For(share.name, "around", ZERO, integer(self.threads), 1, (part,))

    def written(self, statement: Stmt) -> str:
        """The buffers that a statement writes, for notes."""
        return ", ".join(self.names(statement))

    def traffic_of(self, statement: Stmt) -> _Traffic:
        """What `statement` reads and writes."""
        ranges = ranges_of(inner for inner in walk_statements([statement]) if isinstance(inner, For))

        def access(buffer: str, index: Sequence[Index]) -> _Access:
            last = _last_interval(index[-1], ranges) if index else None
            return _Access(self.memory[buffer], buffer, index[0] if len(index) > 1 else None, last)

        stores = [store for store in stores_of(statement) if store.buffer in self.memory]
        reads = {access(load.buffer, load.index) for load in loads_of(statement) if load.buffer in self.memory}
        reads |= {access(store.buffer, store.index) for store in stores if store.combine is not None}
        writes = {access(store.buffer, store.index) for store in stores}
        return _Traffic(reads, writes, isinstance(statement, For) and self.is_shared(statement))


def _last_interval(index: Index, ranges: Mapping[str, Interval]) -> Interval | None:
    """The least and the greatest element that an access with this last index touches, if that is known."""
    if not isinstance(index, Span):
        return interval(index, ranges)
    start = interval(index.start, ranges)
    return start and (start[0], start[1] + index.lanes - 1)


def _is_for_threads(statement: Stmt) -> bool:
    """True when what `statement` does is given to threads already."""
    return any(isinstance(inner, For) and inner.kind in FOR_THREADS for inner in walk_statements([statement]))
