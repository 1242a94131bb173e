"""Do what is done for all steps at once for some steps at a time, right before the loop that uses it.

    for i in parallel(0, T):                           for start in range(0, T, 64):
        z[i, b, j] = sum(x[b, i, k] * w[k, j] ...)         for i in parallel(0, min(T - start, 64)):
    for t in range(0, T):                          ->          z[i, b, j] = sum(x[b, start + i, k] * w[k, j] ...)
        h[(t + 1) % 2, b, j] = ... z[t, b, j]              for t in range(0, min(T - start, 64)):
                                                               h[(start + t + 1) % 2, b, j] = ... z[t, b, j]

The projection of a long sequence is larger than any cache, and for one result nobody needs more of it than what the
next steps read. Statements that take time steps in the same order, meet at equal steps only, and of which one needs
the other, share the loop: stacked layers pass their sequences on in the cache, two directions stay apart. What a
statement outside reads is kept whole, and so is what a check looks at: it reports where in the whole sequence that was.

Requires: `fuse`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeGuard

from rnncc.loop.builder import ZERO, add, call, integer, subtract
from rnncc.loop.ir import Buffer, Expr, For, Index, Load, Procedure, Stmt, Var
from rnncc.loop.names import Names
from rnncc.loop.visit import buffers_of, index_exprs, loads_of, map_accesses, stores_of, substitute, walk_exprs
from rnncc.passes.loop.chunks import is_at_step, stays_among
from rnncc.passes.loop.dependences import checked_in, has_check, shared_by
from rnncc.passes.loop.nest import is_over_steps
from rnncc.passes.manager import Note, nobody

STEPS = 64
"""How many steps a chunk has, at most (`shorten_chunks`). Even: the halves of a state alternate over its ends."""

_HERE = Var("step of the chunk")
"""Stands for a step counted from the start of its chunk, while steps are renamed."""


def chunk_steps(procedure: Procedure, steps: int = STEPS, note: Note = nobody) -> Procedure:
    """Share a loop over chunks of time among statements that pass sequences on."""
    assert steps % 2 == 0, "the halves of a state alternate"
    chunker = _Chunker(procedure, steps)
    body = chunker.block()
    if not chunker.short:
        return procedure
    for buffer in procedure.buffers:
        if buffer.name in chunker.short:
            note(f"{buffer.name}: at most {steps} steps at a time, nothing outside of the loop reads it")
    buffers = (
        replace(buffer, shape=(integer(steps), *buffer.shape[1:])) if buffer.name in chunker.short else buffer
        for buffer in procedure.buffers
    )
    return replace(procedure, buffers=tuple(buffers), body=body)


@dataclass(slots=True)
class _Run:
    """Statements over the steps of one extent that may share a loop, and those that can move in front of them."""

    dim: str
    members: list[For] = field(default_factory=list)
    before: list[Stmt] = field(default_factory=list)


class _Chunker:
    """`short` are the buffers that hold one chunk only."""

    def __init__(self, procedure: Procedure, steps: int) -> None:
        self.procedure = procedure
        self.steps = steps
        self.names = Names(procedure)
        self.short: set[str] = set()
        self.buffers = {buffer.name: buffer for buffer in procedure.buffers}
        self.checked = checked_in(procedure.body)
        self.times = {
            loop.stop.name
            for loop in procedure.body
            if isinstance(loop, For) and loop.kind == "range" and isinstance(loop.stop, Var)
        }

    def block(self) -> tuple[Stmt, ...]:
        parts: list[Stmt | _Run] = []
        for unit in self.units():
            last = parts[-1] if parts else None
            if isinstance(unit, _Run):
                run = self.run_for(unit, parts)
                if run is None:
                    parts.append(unit)
                else:
                    run.members += unit.members
            elif isinstance(last, _Run) and _are_apart([unit], last.members) and not _has_to_wait(unit, last.members):
                last.before.append(unit)
            else:
                parts.append(unit)
        chunks = (self.chunked(part) if isinstance(part, _Run) else [part] for part in parts)
        return tuple(statement for chunk in chunks for statement in chunk)

    def units(self) -> list[Stmt | _Run]:
        """The statements in order; a loop over steps and what is made for it, right before it, stay together."""
        units: list[Stmt | _Run] = []
        for statement in self.sunk():
            dim = self.time_of(statement)
            if dim is None or not isinstance(statement, For):
                units.append(statement)
                continue
            unit = _Run(dim, [statement])
            while is_over_steps(statement) and units and self.is_for(made := units[-1], unit):
                unit.members[:0] = made.members
                units.pop()
            units.append(unit)
        return units

    def is_for(self, made: Stmt | _Run, unit: _Run) -> TypeGuard[_Run]:
        """True for a loop in any order that makes something for the loop over steps in `unit`, at equal steps."""
        if not isinstance(made, _Run) or made.dim != unit.dim or any(map(is_over_steps, made.members)):
            return False
        return not _are_apart(made.members, unit.members) and self.fit(made, unit)

    def run_for(self, unit: _Run, parts: Sequence[Stmt | _Run]) -> _Run | None:
        """The last run that `unit` may join: one that has what it needs, or else one that it shares nothing with.

        Nothing that comes between may hold it back.
        """
        found: _Run | None = None
        for part in reversed(parts):
            others = (*part.before, *part.members) if isinstance(part, _Run) else (part,)
            if isinstance(part, _Run) and part.dim == unit.dim and self.fit(unit, part):
                if not _are_apart(unit.members, part.members):
                    return part
                found = found or part
            if not _are_apart(unit.members, others) or any(map(has_check, (*unit.members, *others))):
                break  # it has to stay behind
        return found

    def sunk(self) -> list[Stmt]:
        """The statements, where what is made for one loop over steps stands right before it, if it may."""
        result = list(self.procedure.body)
        for made in self.procedure.body:
            written = {store.buffer for store in stores_of(made)}
            place = _place_of(made, result)
            users = [other for other in result[place + 1 :] if written & buffers_of(other)]
            if self.time_of(made) is None or is_over_steps(made) or len(users) != 1 or has_check(made):
                continue
            goal = _place_of(users[0], result)
            if is_over_steps(users[0]) and _are_apart([made], result[place + 1 : goal]):
                result[place:goal] = [*result[place + 1 : goal], made]
        return result

    def time_of(self, statement: Stmt) -> str | None:
        """The extent over whose steps `statement` is a loop."""
        match statement:
            case For(_, "range" | "parallel", start, Var(dim), 1) if start == ZERO and dim in self.times:
                return dim
        return None

    def fit(self, one: _Run, other: _Run) -> bool:
        """True when the members of two runs meet at equal steps only."""
        return all(
            self.at_own_step(first, name) and self.at_own_step(second, name)
            for first in one.members
            for second in other.members
            for name in shared_by(first, second)
        )

    def at_own_step(self, loop: For, name: str) -> bool:
        """True when every access of `loop` to the buffer `name` is at the step of the loop."""
        return self.buffers[name].shape[:1] == (loop.stop,) and is_at_step(loop, name, ZERO)

    def chunked(self, run: _Run) -> list[Stmt]:
        """The statements of `run`: what belongs together in a loop over chunks, if that keeps some buffer short."""
        result = list(run.before)
        for members in _together(run.members):
            short = {name for name in _buffers(members) if self.is_private(self.buffers[name], run, members)}
            if not short or not any(member.kind == "range" for member in members):
                result += members
                continue
            self.short |= short
            first = next(place for place, member in enumerate(members) if short & buffers_of(member))
            result += members[:first]
            members = members[first:]
            start = Var(self.names.fresh("start"))
            count = call("min", subtract(Var(run.dim), start), integer(self.steps))
            inside = tuple(_part(member, start, count, short) for member in members)
            result.append(For(start.name, "range", ZERO, Var(run.dim), self.steps, inside))
        return result

    def is_private(self, buffer: Buffer, run: _Run, members: Sequence[For]) -> bool:
        """True for a sequence that only `members` of the run use, each at its own step, and that no check reports."""
        others = [other for other in self.procedure.body if not any(other is member for member in members)]
        return (
            buffer.space == "temporary"
            and buffer.name not in self.checked
            and buffer.shape[:1] == (Var(run.dim),)
            and stays_among(buffer.name, members, others)
        )


def _part(loop: For, start: Var, count: Expr, short: set[str]) -> For:
    """`loop` over `count` steps from `start` on."""
    own = Var(loop.variable)

    def near(name: str, index: tuple[Index, ...]) -> tuple[Index, ...]:
        return (_HERE, *index[1:]) if name in short else index

    body = map_accesses(loop.body, near)
    body = substitute(substitute(body, {loop.variable: add(own, start)}), {_HERE.name: own})
    return replace(loop, stop=count, body=body)


def _place_of(statement: Stmt, statements: Sequence[Stmt]) -> int:
    return next(place for place, other in enumerate(statements) if other is statement)


def _together(members: Sequence[For]) -> list[list[For]]:
    """`members` in groups that share nothing that is written, each in its old order.

    One group where there are checks: what a check protects must stay behind it.
    """
    if any(map(has_check, members)):
        return [list(members)]
    groups: list[list[For]] = []
    for member in members:
        apart = []
        own = [member]
        for group in groups:
            if any(shared_by(other, member) for other in group):
                own = [*group, *own]
            else:
                apart.append(group)
        groups = [*apart, own]
    position = {id(member): number for number, member in enumerate(members)}
    ordered = [sorted(group, key=lambda member: position[id(member)]) for group in groups]
    return sorted(ordered, key=lambda group: position[id(group[0])])


def _buffers(loops: Sequence[For]) -> list[str]:
    return sorted({name for loop in loops for name in buffers_of(loop)})


def _has_to_wait(statement: Stmt, members: Sequence[For]) -> bool:
    """True when `statement` looks up what a check in `members` may protect, or has one that is not to be the first."""
    indices = (index for load in loads_of(statement) for index in index_exprs(load.index))
    looks_up = any(isinstance(part, Load) for index in indices for part in walk_exprs(index))
    return (looks_up or has_check(statement)) and any(map(has_check, members))


def _are_apart(some: Sequence[Stmt], others: Sequence[Stmt]) -> bool:
    return all(not shared_by(one, other) for one in some for other in others)
