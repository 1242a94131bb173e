"""Keep several copies of weights that are read at every step, and read them in turn.

    for t in range(0, T):                          for t in range(0, T):
        for js in parallel(0, 512, 64):                for js in parallel(0, 512, 64):
            for k in range(0, 128):        ->              for k in range(0, 128):
                acc += h[k] * wp[js // 64, k]                  acc += h[k] * wp[t % 2, js // 64, k]

Of use on cores whose level 2 cache delivers less the sooner it is asked for the same line again. Measured on Zen 5:
190 GB/s for weights of 64 to 440 KiB, whatever the order they are read in and with any prefetching, and 255 GB/s when
half a mebibyte is read between two readings of the same line. Only rows on their own read a weight for one sum: where
several rows share it, the multiply-adds take longer than the reading, and one copy is enough.

With three copies or more, that is 130 GB/s if the same instructions do not read, step after step, what lies side by
side, but leave out what others read. So `pack` gives them a layout of their own, and threads that share panels, where
each leaves out those of the others, have copies of larger weights only.

Requires: `share_threads`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from rnncc.loop.builder import ZERO, floordiv, integer, known_size, mod, subtract
from rnncc.loop.index import Interval, at_most, interval, ranges_of
from rnncc.loop.ir import FOR_THREADS, Buffer, Const, Expr, For, Index, Load, Procedure, Span, Stmt, Store, Var
from rnncc.loop.names import Names
from rnncc.loop.visit import buffers_of, loads_of, map_expr, map_statement, stores_of, walk_statements
from rnncc.passes.loop.machine import Machine
from rnncc.passes.loop.nest import is_over_steps, packed_sizes, written_by
from rnncc.passes.loop.schedule import Schedule
from rnncc.passes.manager import Note, nobody

STEPS_OF_COPY = 4
"""A copy that is read from level 3 once costs what three readings of a copy in level 2 gain."""


def rotate_copies(procedure: Procedure, machine: Machine, schedule: Schedule = (), note: Note = nobody) -> Procedure:
    """Copy the weights of every loop over steps that reads too few of them for `machine`, or as `schedule` says."""
    sizes = packed_sizes(procedure)
    chosen = {name: choice.copies for name, choice in schedule if choice.copies is not None}
    survey = _Survey(procedure, sizes, written_by(procedure), machine, chosen)
    survey.block(procedure.body, (), None, None)
    for nest in chosen.keys() - survey.obeyed:
        note(f"{nest}: no rows on their own read weights for it at every step: one copy")
    for name in survey.told - {name for name, count in survey.copies.items() if count > 1}:
        note(f"{name}: one copy (as told)")
    survey.copies = {name: count for name, count in survey.copies.items() if count > 1}
    if not survey.copies:
        return procedure
    for name, count in survey.copies.items():
        size = survey.steps.get(name, 0) >> 10
        why = " (as told)" if name in survey.told else f": {size} KiB a step are few for the level 2 cache"
        note(f"{name}: {count} copies, read in turn{why}")
    copy = Var(Names(procedure).fresh("copy"))
    return replace(
        procedure,
        buffers=tuple(_copied(buffer, survey.copies) for buffer in procedure.buffers),
        setup=tuple(_filled(statement, survey.copies, copy) for statement in procedure.setup),
        body=_read_in_turn(procedure.body, survey.copies, None),
    )


@dataclass(slots=True)
class _Piece:
    """A piece of time, and the bytes of packed buffers that are read in it, those of copies included."""

    read: float


@dataclass(slots=True)
class _Survey:
    """Looks at what one thread reads in a step, and decides how many copies that needs."""

    procedure: Procedure
    sizes: Mapping[str, int]
    name_of: Callable[[For], str]
    machine: Machine
    chosen: Mapping[str, int]
    copies: dict[str, int] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    """The bytes that a step reads, by what it reads them from."""
    told: set[str] = field(default_factory=set)
    """Weights whose number of copies is not our decision."""
    obeyed: set[str] = field(default_factory=set)
    """Nests of the schedule that have such weights."""
    shared: set[str] = field(default_factory=set)
    """Weights whose panels several threads share."""

    def block(
        self, statements: Sequence[Stmt], around: tuple[For, ...], piece: _Piece | None, read: dict[str, float] | None
    ) -> None:
        """Look at `statements` inside of the loops `around`, and in a `piece` of time.

        Adds to `read`, of the step around (None: there is none), the bytes that one thread reads.
        """
        for statement in statements:
            if not isinstance(statement, For):
                continue
            inside = (*around, statement)
            if _is_row_alone(statement, self.sizes):
                if read is not None:
                    self.row(statement, around, read)
            elif _is_step(statement):
                step: dict[str, float] = {}
                self.block(statement.body, inside, piece, step)
                self.decide(step, statement, piece)
            elif is_over_steps(statement):
                names = self.sizes.keys() & buffers_of(statement)
                self.block(statement.body, inside, _Piece(sum(self.sizes[name] for name in names)), read)
            else:
                self.block(statement.body, inside, piece, read)

    def row(self, loop: For, around: tuple[For, ...], read: dict[str, float]) -> None:
        """Take note of the weights of `loop`, a loop over k."""
        threads, ranges = prod(map(_threads_of, around)), ranges_of(around)
        panels = next((outer for outer in reversed(around) if outer.kind in ("parallel", "claimed")), None)
        nest = self.name_of(panels) if panels is not None else ""
        for name, panel in {load.buffer: load.index[0] for load in loads_of(loop) if load.buffer in self.sizes}.items():
            most = self.sizes[name] / threads
            read[name] = min(read.get(name, 0.0) + self.part(name, panel, ranges) * most, most)
            if threads > 1:
                self.shared.add(name)
            if nest in self.chosen:
                self.told.add(name)
                self.obeyed.add(nest)
                self.copies[name] = self.chosen[nest]

    def part(self, name: str, panel: Index, ranges: Mapping[str, Interval]) -> float:
        """The part of a packed buffer that is read at all values of `panel`: other loops may read more panels of it."""
        assert not isinstance(panel, Span), "a vector is of one panel"
        ends, panels = interval(panel, ranges), known_size(self.procedure.buffer(name).shape[0])
        return 1.0 if ends is None or panels is None else (ends[1] - ends[0] + 1) / panels

    def decide(self, read: Mapping[str, float], step: For, piece: _Piece | None) -> None:
        """Copy what is `read` in a `step` if that makes a long walk, and the cache has room for all of it."""
        size = sum(read.values())
        count = self.count(size, is_shared=not self.shared.isdisjoint(read))
        if count == 1 or (piece is not None and not self.has_room(size, count, step, piece)):
            return
        for name in read:
            if name not in self.told:
                self.copies[name] = max(count, self.copies.get(name, 1))
                self.steps[name] = int(size)

    def count(self, size: float, *, is_shared: bool) -> int:
        """How many copies of `size` bytes make a long walk, or nearly one if that many are too many.

        More than 600 KiB in all (of 1 MiB) do not stay in level 2 if their pages happen to compete for places there.
        Of little more than the level 1 cache holds, most is still there when it is read back and forth: steps that read
        60 KiB take 300 ns with one copy, and 360 with more; 77 KiB 345 and 320. Of two threads, each reads half of what
        they share: 192 KiB take 590 ns with one copy and 610 with more, 256 KiB 840 and 780.
        """
        long = self.machine.long_walk_bytes
        if not self.machine.near_bytes * (6 if is_shared else 5) // 3 < size < long:
            return 1
        count = -int(-long // size)
        if count * size > long * 5 // 4 and (count - 1) * size > long * 9 // 10:
            count -= 1
        return count if count * size <= long * 5 // 4 else 1

    def has_room(self, size: float, count: int, step: For, piece: _Piece) -> bool:
        """Whether a `piece` of time may read `count` copies of `size` bytes: its steps are many, or three quarters of
        level 2 have room for all that is read in it. Else each copy is read from afar as often as from near.
        """
        steps = at_most(subtract(step.stop, step.start))
        if steps is None or steps >= STEPS_OF_COPY * count * step.step:
            return True
        read = piece.read + (count - 1) * size
        if read > self.machine.middle_bytes * 3 // 4:
            return False
        piece.read = read
        return True


def _read_in_turn(statements: tuple[Stmt, ...], copies: Mapping[str, int], step: Expr | None) -> tuple[Stmt, ...]:
    """`statements` of turn number `step` of a loop (None: outside of such loops): rows on their own rotate."""

    def reading(number: Expr | None, statement: Stmt) -> Stmt:
        def read(expr: Expr) -> Expr:
            if not isinstance(expr, Load) or expr.buffer not in copies:
                return expr
            copy = ZERO if number is None else mod(number, integer(copies[expr.buffer]))
            return replace(expr, index=(copy, *expr.index))

        return map_statement(statement, lambda expr: map_expr(expr, read))

    result: list[Stmt] = []
    for statement in statements:
        if not isinstance(statement, For):
            result.append(reading(None, statement))
        elif _is_row_alone(statement, copies):
            result.append(reading(step, statement))
        else:
            inner = floordiv(Var(statement.variable), integer(statement.step)) if _is_step(statement) else step
            result.append(replace(statement, body=_read_in_turn(statement.body, copies, inner)))
    return tuple(result)


def _is_row_alone(loop: For, weights: Mapping[str, int]) -> bool:
    """True for a loop over k that reads every vector of `weights` for one sum."""
    if any(isinstance(inner, For) for inner in loop.body):
        return False
    read = sum(load.buffer in weights for load in loads_of(loop))
    return read > 0 and read == sum(store.combine is not None for store in stores_of(loop))


def _is_step(loop: For) -> bool:
    """True for a loop over single steps, false for one over pieces of time."""
    return is_over_steps(loop) and not any(map(is_over_steps, walk_statements(loop.body)))


def _threads_of(loop: For) -> int:
    """How many threads share what is in `loop`."""
    if loop.kind not in FOR_THREADS or not isinstance(loop.start, Const) or not isinstance(loop.stop, Const):
        return 1
    return int(loop.stop.value) - int(loop.start.value)


def _copied(buffer: Buffer, copies: Mapping[str, int]) -> Buffer:
    if buffer.name not in copies:
        return buffer
    return replace(buffer, shape=(integer(copies[buffer.name]), *buffer.shape))


def _filled(statement: Stmt, copies: Mapping[str, int], copy: Var) -> Stmt:
    """A statement of setup that fills all copies of what it fills."""
    counts = {copies.get(store.buffer, 1) for store in stores_of(statement)}
    if counts == {1}:
        return statement
    assert len(counts) == 1, "a statement of setup fills one packed buffer"
    (count,) = counts
    return For(copy.name, "parallel", ZERO, integer(count), 1, (_stored(statement, copy),))


def _stored(statement: Stmt, copy: Var) -> Stmt:
    match statement:
        case For(body=body):
            return replace(statement, body=tuple(_stored(inner, copy) for inner in body))
        case Store(index=index):
            return replace(statement, index=(copy, *index))
    return statement
