"""Part nests whose statements have nothing to do with each other, where together they are no good.

    for b in parallel(0, B):                            for b in parallel(0, B):
        for j in parallel(0, 128):                          for j in parallel(0, 128):
            z = sum(h[b, k] * u[k, j] ...)                      z = sum(h[b, k] * u[k, j] ...)
            ... four more sums like it ...        ->            ... four more sums like it ...
            y[b, j] = tanh(z) ...                               y[b, j] = tanh(z) ...
            w = sum(p[b, k] * v[k, j] ...)              for b in parallel(0, B):
            ... four more sums like it ...                  for j in parallel(0, 128):
            q[b, j] = tanh(w) ...                               w = sum(p[b, k] * v[k, j] ...)
                                                                ... four more sums like it ...
                                                                q[b, j] = tanh(w) ...

`fuse` brings everything over one space together before it knows how many sums that will be. Every sum wants registers
of its own: two cells of four gates in one step, eight sums, leave room for tiles of two or three rows, and four sums
for tiles of six. Measured on two such cells of 128 units in one scan, 16 rows: 29 us a step together, 21 us apart.

What is made for different loops over steps is parted, too, sums or none: each loop wants its own right before it, some
steps at a time (`chunk_steps`).

Requires: `fuse`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rnncc.loop.ir import For, Let, Procedure, Reduce, Stmt, Store
from rnncc.loop.visit import expressions_of, free_variables, loads_of, stores_of, walk_exprs
from rnncc.passes.loop.nest import Nest, is_over_steps, loops_of, nest_of

MOST_SUMS = 4
"""Sums that leave registers for as many rows as there is work for."""


def split_nests(procedure: Procedure) -> Procedure:
    """Split the nests of every block that have more than MOST_SUMS sums, and what is made for different loops."""
    body = _block(procedure.body, _loops_that_read(procedure))
    return procedure if body == procedure.body else replace(procedure, body=body)


def _loops_that_read(procedure: Procedure) -> dict[str, frozenset[int]]:
    """The loops over steps, by their places in the body, that read each sequence of as many steps."""
    loops = {place: loop for place, loop in enumerate(procedure.body) if is_over_steps(loop)}
    read = {place: {load.buffer for load in loads_of(loop)} for place, loop in loops.items()}
    return {
        buffer.name: frozenset(
            place for place, names in read.items() if buffer.name in names and buffer.shape[:1] == (loops[place].stop,)
        )
        for buffer in procedure.buffers
        if buffer.space == "temporary"
    }


def _block(statements: Sequence[Stmt], readers: Mapping[str, frozenset[int]]) -> tuple[Stmt, ...]:
    result: list[Stmt] = []
    for statement in statements:
        nest = nest_of(statement)
        if nest is not None and nest.variables:
            result += _split(nest, statement, readers)
        elif isinstance(statement, For):
            result.append(replace(statement, body=_block(statement.body, {})))
        else:
            result.append(statement)
    return tuple(result)


def _split(nest: Nest, statement: Stmt, readers: Mapping[str, frozenset[int]]) -> list[Stmt]:
    """`statement`, which is `nest`, or a nest for each part of it."""
    if not all(isinstance(inner, Let | Store) for inner in nest.body):
        return [statement]
    sums = {part for part in walk_exprs(nest.body) if isinstance(part, Reduce)}
    if len(sums) <= MOST_SUMS and len(nest.stores) == 1:
        return [statement]
    parts = _parts(nest)
    if len(parts) == 1 or (len(sums) <= MOST_SUMS and not _are_for_different_loops(parts, readers)):
        return [statement]
    return [loop for part in parts for loop in loops_of(replace(nest, body=tuple(part)))]


def _are_for_different_loops(parts: Sequence[Sequence[Stmt]], readers: Mapping[str, frozenset[int]]) -> bool:
    """True when every part is made for some loops over steps, and no loop needs two of them."""
    taken: set[int] = set()
    for part in parts:
        written = {store.buffer for statement in part for store in stores_of(statement)}
        loops = frozenset[int]().union(*(readers.get(name, frozenset()) for name in written))
        if not loops or not taken.isdisjoint(loops):
            return False
        taken |= loops
    return True


def _parts(nest: Nest) -> list[list[Stmt]]:
    """The body in parts that share no value, and no buffer that one of them writes; each in its old order."""
    body = nest.body
    values = {statement.name for statement in body if isinstance(statement, Let)}
    shared = values | {statement.buffer for statement in body if isinstance(statement, Store)}
    parts: list[tuple[set[str], list[int]]] = []
    for position, statement in enumerate(body):
        touched = _touched(statement) & shared
        places = [position]
        apart = []
        for names, others in parts:
            if names.isdisjoint(touched):
                apart.append((names, others))
            else:
                touched |= names
                places += others
        parts = [*apart, (touched, places)]
    return [[body[place] for place in sorted(places)] for _, places in sorted(parts, key=lambda part: min(part[1]))]


def _touched(statement: Stmt) -> set[str]:
    """The names of the values and buffers that a statement makes, writes or uses."""
    own = {statement.name} if isinstance(statement, Let) else {store.buffer for store in stores_of(statement)}
    used = {name for expr in expressions_of(statement) for name in free_variables(expr)}
    return own | used | {load.buffer for load in loads_of(statement)}
