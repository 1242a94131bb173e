"""What reads the sequence of a loop over steps goes over steps first, so that `chunk_steps` can bring the two together.

    for t in range(0, T):                              for t in range(0, T):
        for b in parallel(0, B):                           for b in parallel(0, B):
            ys[t, b] = ...                                     ys[t, b] = ...
    for b in parallel(0, B):                   ->      for i in parallel(0, T):
        for i in parallel(0, T):                           for b in parallel(0, B):
            z[b, i] = tanh(ys[i, b])                           z[b, i] = tanh(ys[i, b])

The order of the loops of a nest is that of the axes of its result, and results are in the order in which users have
them: sequence by sequence. Turns of parallel loops may come in any order. But only where a chunk of a sequence is then
all that has to be kept: where all that read it are at their own step, and need nothing else that is made of it.

Requires: `fuse`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from rnncc.loop.builder import ZERO
from rnncc.loop.ir import Buffer, For, Procedure, Stmt, Var
from rnncc.loop.visit import accesses_of, buffers_of
from rnncc.passes.loop.chunks import is_at_step
from rnncc.passes.loop.dependences import has_check, indices_of
from rnncc.passes.loop.nest import is_over_steps, loops_of, nest_of


def steps_first(procedure: Procedure) -> Procedure:
    """Move the loop over steps outside in every nest that reads, step by step, what a loop over steps writes."""
    body = procedure.body
    loops = [statement for statement in body if is_over_steps(statement)]
    sequences = {
        buffer.name: buffer
        for buffer in procedure.buffers
        for loop in loops
        if buffer.space == "temporary" and buffer.shape[:1] == (loop.stop,) and buffer.name in accesses_of(loop).written
    }
    moved = {place: moved for place, one in enumerate(body) if (moved := _moved(one, sequences)) is not None}
    while True:
        steps = {
            name: buffer
            for name, buffer in sequences.items()
            if all(_is_at_own_step(moved.get(place, one), buffer) for place, one in enumerate(body))
        }
        fitting = {place: one for place, one in moved.items() if _needs_only(body, place, steps)}
        if fitting.keys() == moved.keys():
            break
        moved = fitting
    if not moved:
        return procedure
    return replace(procedure, body=tuple(moved.get(place, one) for place, one in enumerate(body)))


def _moved(statement: Stmt, sequences: Mapping[str, Buffer]) -> Stmt | None:
    """`statement` with its loop over the steps of all `sequences` that it reads outside; None if it is not inside."""
    nest = nest_of(statement)
    read = buffers_of(statement) & sequences.keys()
    if nest is None or has_check(statement):
        return None
    steps = {index[:1] for name in read for index in indices_of(statement, name)}
    place = next((place for place, name in enumerate(nest.variables[:-1]) if steps == {(Var(name),)}), 0)
    if not place:
        return None
    order = (place, *(other for other in range(len(nest.variables)) if other != place))
    variables = tuple(nest.variables[place] for place in order)
    (loop,) = loops_of(replace(nest, variables=variables, sizes=tuple(nest.sizes[place] for place in order)))
    return loop


def _is_at_own_step(statement: Stmt, sequence: Buffer) -> bool:
    """True when `statement` goes over the steps of `sequence` and is at its own one, or has nothing to do with it."""
    if sequence.name not in buffers_of(statement):
        return True
    if not isinstance(statement, For) or (statement.start, statement.stop) != (ZERO, sequence.shape[0]):
        return False
    return is_at_step(statement, sequence.name, ZERO)


def _needs_only(body: Sequence[Stmt], place: int, steps: Collection[str]) -> bool:
    """True when all that the nest at `place` needs is one of `steps`, or was there before these are made."""
    needed = buffers_of(body[place])
    made = [needed & accesses_of(statement).written.keys() for statement in body[:place]]
    first = next(number for number, names in enumerate(made) if names and is_over_steps(body[number]))
    return all(names <= set(steps) for names in made[first:])
