"""Let loops over steps that pass sequences on run side by side: each on its own thread, a chunk behind the one before.

    for start in range(0, T, 64):                   for front in range(0, T + 8, 8):
        for t in range(0, min(T - start, 64)):          for side in threads(0, 1):
            y[t, j] = ... h[(start + t) % 2, k]             for start in range(front, min(front + 8, T), 8):
        for t_2 in range(0, min(T - start, 64)):                for t in range(0, min(T - start, 8)):
            ... y[t_2, k] ... g[(start + t_2) % 2, k]               y[t + start // 8 % 2 * 8, j] = ...
                                                    ->  for side_2 in threads(1, 2):
                                                            for start_2 in range(max(front - 8, 0), min(front, T), 8):
                                                                for t_2 in range(0, min(T - start_2, 8)):
                                                                    ... y[t_2 + start_2 // 8 % 2 * 8, k]
                                                        barrier()

What is in a chunk is cut into stages, one for each thread. All threads meet once a chunk and not once a step, and a
thread keeps the weights of its stage in its own cache. The sequence that one stage hands to the next is a ring of two
chunks: one is written while the other is read. Every sum is added up as before, by one thread: the bits are the same.

Loops over steps that share chunks meet at equal steps only, so that a cut may be anywhere: one that needs the last
state of another one is not in the same chunks. Whether it pays is estimated in bytes of weights that a step reads: the
largest stage, and the chunks that threads wait at both ends of the sequence, against panels that all threads share.

Requires: `chunk_steps`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from rnncc.loop.builder import ZERO, add, call, floordiv, integer, mod, multiply, subtract
from rnncc.loop.ir import Barrier, For, Index, Procedure, Span, Stmt, Var
from rnncc.loop.names import Names
from rnncc.loop.visit import (
    buffers_of,
    map_accesses,
    stores_of,
    substitute,
)
from rnncc.passes.loop.chunks import is_at_step, is_chunks, kept_in, weights_read
from rnncc.passes.loop.dependences import has_check, shared_by
from rnncc.passes.loop.share_threads import WORTH_BYTES
from rnncc.passes.manager import Note, nobody
from rnncc.records import record

LENGTHS = (6, 12)
"""How many steps a chunk may have: even, as the halves of a state alternate over its ends, and of one sequence as many
rows as fill tiles of a product for all steps. With 4, two layers of 128 units take a third longer on two threads."""

MEETING_BYTES = 32 << 10
"""What a thread reads from the level 2 cache in the time in which all of them meet once: 0.15 microseconds."""

TYPICAL_STEPS = 100
"""The number of steps is known at the call only: what is estimated is right for this many."""

REUSE = 3
"""A product for all steps of a chunk takes so much less time than one step by step: it reads its weights once."""

WORTH = 0.95
"""Stages must take less than this much of what panels do: with more rows, meetings weigh less than filling."""


def wavefront(procedure: Procedure, threads: int, length: int | None = None, note: Note = nobody) -> Procedure:
    """Cut chunks of time into stages where that pays, or wherever it is possible, with `length` steps in a chunk."""
    pipeliner = _Pipeliner(procedure, threads, length, note)
    beside = _beside(procedure.body, threads)
    body = tuple(
        statement if position in beside else pipeliner.statement(statement)
        for position, statement in enumerate(procedure.body)
    )
    if body == procedure.body:
        return procedure
    buffers = tuple(
        replace(buffer, shape=(integer(pipeliner.rows[buffer.name]), *buffer.shape[1:]))
        if buffer.name in pipeliner.rows
        else buffer
        for buffer in procedure.buffers
    )
    return replace(procedure, buffers=buffers, body=body)


@record(frozen=True, slots=True)
class _Stage:
    """Loops of a chunk that stay together, and what one thread takes for a step of them, in bytes of weights."""

    members: tuple[For, ...]
    work: float


@record(frozen=True, slots=True)
class _Plan:
    """The stages, and how long a chunk is."""

    stages: tuple[_Stage, ...]
    length: int

    @property
    def cost(self) -> float:
        """What a step takes, the filling and draining of the pipeline shared among all of them."""
        idle = (len(self.stages) - 1) * self.length / TYPICAL_STEPS
        return max(stage.work for stage in self.stages) * (1 + idle) + MEETING_BYTES / self.length


class _Pipeliner:
    """`rows` are the steps that the buffers of a chunk hold from now on."""

    def __init__(self, procedure: Procedure, threads: int, length: int | None, note: Note) -> None:
        self.procedure = procedure
        self.threads = threads
        self.length = length
        self.note = note
        self.names = Names(procedure)
        self.buffers = {buffer.name: buffer for buffer in procedure.buffers}
        self.rows: dict[str, int] = {}

    def statement(self, statement: Stmt) -> Stmt:
        """A loop over chunks as a pipeline, if that is possible and pays; everything else as it is."""
        if not isinstance(statement, For) or not is_chunks(statement):
            return statement
        members = tuple(member for member in statement.body if isinstance(member, For))
        short = kept_in(statement, self.procedure)
        if not _meet_at_steps(members, Var(statement.variable), short):
            return statement
        plan = self.plan(members)
        return statement if plan is None else self.pipeline(statement, plan, short)

    # -------------------------------------------------------------- what to do

    def plan(self, members: Sequence[For]) -> _Plan | None:
        """The best way to cut `members` into stages; None when panels are better."""
        parts = [_Stage(part, sum(map(self.work, part))) for part in _parts(members)]
        plans = [
            _Plan(_balanced(parts, count), length)
            for count in range(2, min(self.threads, len(parts)) + 1)
            for length in (LENGTHS if self.length is None else (self.length,))
        ]
        best = min((plan for plan in plans if len(plan.stages) > 1), key=lambda plan: plan.cost, default=None)
        if best is None:
            return None
        panels = sum(map(self.on_panels, members))
        pays = best.cost < WORTH * panels
        stages = "; ".join(", ".join(_written(stage.members)) for stage in best.stages)
        self.note(
            f"{stages}: {len(best.stages)} stages of chunks of {best.length} steps take {best.cost / 1024:.0f} KiB a "
            f"step, panels {panels / 1024:.0f}{'' if pays else ': left to panels'}"
        )
        return best if pays or self.length is not None else None

    def work(self, member: For) -> float:
        """What one thread takes for a step of `member`."""
        return weights_read(member, self.buffers) / (1 if member.kind == "range" else REUSE)

    def on_panels(self, member: For) -> float:
        """What a step of `member` takes when all threads share its panels, where they are worth it."""
        if weights_read(member, self.buffers) < WORTH_BYTES:
            return self.work(member)
        return self.work(member) / self.threads + (MEETING_BYTES if member.kind == "range" else 0)

    # -------------------------------------------------------------- how to do it

    def pipeline(self, chunks: For, plan: _Plan, short: set[str]) -> For:
        """`chunks` with each stage on a thread of its own, a chunk behind the stage before."""
        for name in short:
            users = [
                number
                for number, stage in enumerate(plan.stages)
                if any(name in buffers_of(member) for member in stage.members)
            ]
            self.rows[name] = plan.length * (users[-1] - users[0] + 1)
        front = Var(self.names.fresh("front"))
        body = [self.stage(chunks, plan, number, front) for number in range(len(plan.stages))]
        last = add(chunks.stop, integer(plan.length * (len(plan.stages) - 1)))
        return For(front.name, "range", ZERO, last, plan.length, (*body, Barrier()))

    def stage(self, chunks: For, plan: _Plan, number: int, front: Var) -> For:
        """Stage `number` of one turn: no chunk, or one, which starts `number` chunks behind `front`."""
        old = Var(chunks.variable)
        start = Var(self.names.fresh(chunks.variable)) if number else old
        count = call("min", subtract(chunks.stop, start), integer(plan.length))
        members = []
        for member in plan.stages[number].members:
            body = self.in_rings(member.body, plan.length, old)
            members.append(replace(member, stop=count, body=substitute(body, {old.name: start})))
        own = subtract(front, integer(number * plan.length))
        first = call("max", own, ZERO) if number else own
        end = call("min", add(own, integer(plan.length)), chunks.stop)
        chunk = For(start.name, "range", first, end, plan.length, tuple(members))
        return For(self.names.fresh("side"), "threads", integer(number), integer(number + 1), 1, (chunk,))

    def in_rings(self, body: tuple[Stmt, ...], length: int, start: Var) -> tuple[Stmt, ...]:
        """`body` with every sequence that one stage hands to another in its ring."""

        def moved(name: str, index: tuple[Index, ...]) -> tuple[Index, ...]:
            chunks = self.rows.get(name, 0) // length
            if chunks < 2:
                return index
            (step, *rest) = index
            assert not isinstance(step, Span), "a step is one number"
            turn = mod(floordiv(start, integer(length)), integer(chunks))
            return (add(step, multiply(turn, integer(length))), *rest)

        return map_accesses(body, moved)


def _beside(statements: Sequence[Stmt], threads: int) -> set[int]:
    """The places of loops over steps that do not need each other: each has a thread without being cut, if they do."""
    found: set[int] = set()
    group: list[int] = []
    for position, statement in enumerate(statements):
        is_steps = isinstance(statement, For) and statement.kind == "range"
        if not is_steps or any(shared_by(statements[other], statement) for other in group):
            group = []
        if is_steps:
            group.append(position)
        if len(group) >= threads:
            found.update(group)
    return found


def _meet_at_steps(members: Sequence[For], start: Var, short: set[str]) -> bool:
    """True when members meet at the step of both only: then a chunk may have any number of steps."""
    return all(
        name in short or (is_at_step(early, name, start) and is_at_step(late, name, start))
        for early, late in combinations(members, 2)
        for name in shared_by(early, late)
    )


def _parts(members: Sequence[For]) -> list[tuple[For, ...]]:
    """`members` one by one, but together up to the last that checks: of several failures, the first is reported."""
    checks = [number for number, member in enumerate(members, 1) if has_check(member)]
    together = checks[-1] if checks else 1
    return [tuple(members[:together]), *((member,) for member in members[together:])]


def _balanced(parts: Sequence[_Stage], most: int) -> tuple[_Stage, ...]:
    """`parts` in at most `most` stages, the largest as small as can be."""
    sums = {
        sum(part.work for part in parts[first:last])
        for first in range(len(parts))
        for last in range(first + 1, len(parts) + 1)
    }
    plans = (_filled(parts, limit) for limit in sorted(sums) if limit >= max(part.work for part in parts))
    return next(plan for plan in plans if len(plan) <= most)


def _filled(parts: Sequence[_Stage], limit: float) -> tuple[_Stage, ...]:
    """Each stage with as many of `parts`, in their order, as do not take more than `limit`."""
    stages: list[_Stage] = []
    for part in parts:
        if stages and stages[-1].work + part.work <= limit:
            stages[-1] = _Stage(stages[-1].members + part.members, stages[-1].work + part.work)
        else:
            stages.append(part)
    return tuple(stages)


def _written(members: Sequence[For]) -> list[str]:
    return list(dict.fromkeys(store.buffer for member in members for store in stores_of(member)))
