"""Keep several copies of weights that are read at every step, and read them in turn.

    for t in range(0, T):                          for t in range(0, T):
        for js in parallel(0, 512, 64):                for js in parallel(0, 512, 64):
            for k in range(0, 128):        ->              for k in range(0, 128):
                acc += h[k] * wp[js // 64, k]                  acc += h[k] * wp[t % 2, js // 64, k]

Of use on cores whose level 2 cache delivers less the sooner it is asked for the same line again. Measured on Zen 5:
190 GB/s for weights of 64 to 440 KiB, whatever the order they are read in and with any prefetching, and 255 GB/s when
half a mebibyte is read between two readings of the same line. Only rows on their own read a weight for one sum: where
several rows share it, the multiply-adds take longer than the reading, and one copy is enough.

All that the same instructions read, step after step, has to lie side by side: with three copies or more, where others
read what is in between, that is 130 GB/s. `pack` sees to it for one thread; for those that share panels, copies are of
use for longer steps only.

Requires: `share_threads`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from rnncc.loop.builder import ZERO, floordiv, integer, known_size, mod, most
from rnncc.loop.index import Interval, interval, ranges_of
from rnncc.loop.ir import FOR_THREADS, Buffer, Const, Expr, For, Index, Load, Procedure, Span, Stmt, Store, Var
from rnncc.loop.names import Names
from rnncc.loop.visit import buffers_of, loads_of, map_expr, map_statement, stores_of, walk_statements
from rnncc.passes.loop.machine import Machine
from rnncc.passes.loop.nest import is_over_steps, packed_sizes, written_by
from rnncc.passes.loop.schedule import Schedule
from rnncc.passes.manager import Note, nobody
from rnncc.records import record

STEPS_OF_COPY = 4
"""A copy that is read from level 3 once costs what three readings of a copy in level 2 gain."""


def rotate_copies(procedure: Procedure, machine: Machine, schedule: Schedule = (), note: Note = nobody) -> Procedure:
    """Copy the weights of every loop over steps that reads too few of them for `machine`, or as `schedule` says."""
    sizes = packed_sizes(procedure)
    chosen = {name: choice.copies for name, choice in schedule if choice.copies is not None}
    survey = _Survey(procedure, sizes, written_by(procedure), machine, chosen)
    survey.block(procedure.body, _Place(), None)
    for nest in chosen.keys() - survey.obeyed:
        note(f"{nest}: no rows on their own read weights for it at every step: one copy")
    for name in survey.told - {name for name, count in survey.copies.items() if count > 1}:
        note(f"{name}: one copy (as told)")
    survey.copies = {name: count for name, count in survey.copies.items() if count > 1}
    if not survey.copies:
        return procedure
    for name, count in survey.copies.items():
        why = " (as told)" if name in survey.told else f": {sizes[name] >> 10} KiB are few for the level 2 cache"
        note(f"{name}: {count} copies, read in turn{why}")
    copy = Var(Names(procedure).fresh("copy"))
    return replace(
        procedure,
        buffers=tuple(_copied(buffer, survey.copies) for buffer in procedure.buffers),
        setup=tuple(_filled(statement, survey.copies, copy) for statement in procedure.setup),
        body=_read_in_turn(procedure.body, survey.copies, None),
    )


@record(frozen=True, slots=True)
class _Place:
    """Where a loop over k stands: how many threads share it, the name of the nest around it, the piece of time."""

    threads: int = 1
    nest: str = ""
    piece: For | None = None


@dataclass
class _Survey:
    """Looks at what one thread reads in a step, and decides how many copies that needs."""

    procedure: Procedure
    sizes: Mapping[str, int]
    name_of: Callable[[For], str]
    machine: Machine
    chosen: Mapping[str, int]
    copies: dict[str, int] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    """Weights whose number of copies is not our decision."""
    obeyed: set[str] = field(default_factory=set)
    """Nests of the schedule that have such weights."""
    shared: set[str] = field(default_factory=set)
    """Weights whose panels several threads share."""

    def block(self, statements: Sequence[Stmt], place: _Place, read: dict[str, float] | None) -> None:
        """Add to `read`, of the step around (None: there is none), the bytes that one thread reads."""
        for statement in statements:
            if not isinstance(statement, For):
                continue
            if _is_row_alone(statement, self.sizes):
                if read is not None:
                    self.row(statement, place, read)
            elif _is_step(statement):
                step: dict[str, float] = {}
                self.block(statement.body, place, step)
                self.decide(step, most(statement.stop), place.piece)
            else:
                nest = self.name_of(statement) if statement.kind in ("parallel", "claimed") else place.nest
                piece = statement if is_over_steps(statement) else place.piece
                self.block(statement.body, _Place(place.threads * _threads_of(statement), nest, piece), read)

    def row(self, loop: For, place: _Place, read: dict[str, float]) -> None:
        """Take note of the weights of `loop`, a loop over k."""
        for name, panel in {load.buffer: load.index[0] for load in loads_of(loop) if load.buffer in self.sizes}.items():
            read[name] = max(read.get(name, 0.0), self.bytes_up_to(panel, name) / place.threads)
            if place.threads > 1:
                self.shared.add(name)
            if place.nest in self.chosen:
                self.told.add(name)
                self.obeyed.add(place.nest)
                self.copies[name] = self.chosen[place.nest]

    def bytes_up_to(self, panel: Index, name: str) -> float:
        """What the panels of a buffer take up to `panel`, the index of a loop: other loops may read more of them."""
        last = interval(panel, self.ranges) if not isinstance(panel, Span) else None
        panels = known_size(self.procedure.buffer(name).shape[0])
        return float(self.sizes[name]) if last is None or panels is None else self.sizes[name] * (last[1] + 1) / panels

    @cached_property
    def ranges(self) -> dict[str, Interval]:
        """The values of all loop variables."""
        return ranges_of(loop for loop in walk_statements(self.procedure.body) if isinstance(loop, For))

    def decide(self, read: Mapping[str, float], steps: int | None, piece: For | None) -> None:
        """How many copies of what is `read` in a step make a long walk, if they fit into the cache.

        Of little more than the level 1 cache holds, most is still there when it is read back and forth. Where there are
        few `steps` in a `piece` of time, all that is read in one has to fit, or each copy is read from afar as often as
        from near.
        """
        size, long = sum(read.values()), self.machine.long_walk_bytes
        least = self.machine.near_bytes * (5 if self.shared.isdisjoint(read) else 6) // 3
        if not least < size < long:
            return
        count = -int(-long // size)
        if count * size > long * 4 // 3 and (count - 1) * size > long * 9 // 10:
            count -= 1
        fits = count * size <= long * 4 // 3
        if fits and piece is not None and steps is not None and steps < STEPS_OF_COPY * count:
            whole = sum(self.sizes[name] for name in self.sizes.keys() & buffers_of(piece))
            fits = whole + (count - 1) * size <= self.machine.middle_bytes * 3 // 4
        if fits:
            for name in read.keys() - self.told:
                self.copies[name] = max(count, self.copies.get(name, 1))


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
