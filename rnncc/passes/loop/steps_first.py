"""What reads the sequence of a loop over steps goes over steps first, so that `chunk_steps` can bring the two together.

    for t in range(0, T):                              for t in range(0, T):
        for b in parallel(0, B):                           for b in parallel(0, B):
            ys[t, b] = ...                                     ys[t, b] = ...
    for b in parallel(0, B):                   ->      for i in parallel(0, T):
        for i in parallel(0, T):                           for b in parallel(0, B):
            z[b, i] = tanh(ys[i, b])                           z[b, i] = tanh(ys[i, b])

The order of the loops of a nest is that of the axes of its result, and results are in the order in which users have
them: sequence by sequence. Turns of parallel loops may come in any order.

Requires: `fuse`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rnncc.loop.ir import Buffer, Procedure, Stmt, Var
from rnncc.loop.visit import buffers_of, stores_of
from rnncc.passes.loop.dependences import indices_of
from rnncc.passes.loop.nest import Nest, is_over_steps, loops_of, nest_of


def steps_first(procedure: Procedure) -> Procedure:
    """Move the loop over steps outside in every nest that reads, step by step, what a loop over steps writes."""
    sequences: dict[str, Buffer] = {}
    body: list[Stmt] = []
    for statement in procedure.body:
        nest = nest_of(statement)
        body += [statement] if nest is None else _moved(statement, nest, sequences)
        if is_over_steps(statement):
            written = {store.buffer for store in stores_of(statement)}
            found = (buffer for buffer in procedure.buffers if buffer.name in written and buffer.space == "temporary")
            sequences |= {buffer.name: buffer for buffer in found if buffer.shape[:1] == (statement.stop,)}
    return procedure if tuple(body) == procedure.body else replace(procedure, body=tuple(body))


def _moved(statement: Stmt, nest: Nest, sequences: Mapping[str, Buffer]) -> Sequence[Stmt]:
    """`nest`, which is `statement`, with its loop over the steps of all `sequences` that it reads outside."""
    read = buffers_of(statement) & sequences.keys()
    steps = {index[:1] for name in read for index in indices_of(statement, name)}
    places = [place for place, name in enumerate(nest.variables[:-1]) if steps == {(Var(name),)}]
    if not places or any(sequences[name].shape[:1] != (nest.sizes[places[0]],) for name in read):
        return [statement]
    order = sorted(range(len(nest.variables)), key=lambda place: place != places[0])
    variables = tuple(nest.variables[place] for place in order)
    return loops_of(replace(nest, variables=variables, sizes=tuple(nest.sizes[place] for place in order)))
