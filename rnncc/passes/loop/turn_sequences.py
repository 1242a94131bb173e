"""Keep a sequence in the order in which loops go over it: backwards, for loops that go backwards.

    for i in parallel(0, T):                           for i in parallel(0, T):
        z[i, b, j] = sum(x[b, i, k] * w[k, j] ...)         z[i, b, j] = sum(x[b, T + -1 - i, k] * w[k, j] ...)
    for t in range(0, T):                       ->     for t in range(0, T):
        ... z[T + -1 - t, b, j]                            ... z[t, b, j]

What is made for loops that read it from the last step to the first is made in that order; what all loops write and
read from the last step to the first is only stored in it. They then meet at equal steps, so that `chunk_steps`
needs not keep the whole sequence: what comes in is there as a whole, but its projection, four times as wide for a cell
of four gates, need not be, and neither need what another loop goes over in the same direction.

Not for a matrix unit, which reads rows that lie one after the other.

Requires: `fuse`, and `split_nests`, which leaves to each loop its own nest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeGuard

from rnncc.loop.builder import ONE, ZERO, subtract
from rnncc.loop.index import difference
from rnncc.loop.ir import Buffer, For, Index, Procedure, Span, Stmt, Var
from rnncc.loop.visit import buffers_of, loads_of, map_accesses, stores_of, substitute
from rnncc.passes.loop.dependences import checked_in, has_check, indices_of


def turn_sequences(procedure: Procedure) -> Procedure:
    """Turn every sequence that loops go over from the last step to the first."""
    checked = checked_in(procedure.body)
    for buffer in reversed(procedure.buffers):  # what is turned may be made of what then is read backwards
        if buffer.space == "temporary" and buffer.name not in checked:
            users = [statement for statement in procedure.body if buffer.name in buffers_of(statement)]
            turned = dict(zip(map(id, users), _turned(users, buffer), strict=False))
            if turned:
                procedure = replace(procedure, body=tuple(turned.get(id(other), other) for other in procedure.body))
    return procedure


def _turned(users: Sequence[Stmt], buffer: Buffer) -> list[For]:
    """`users` with the steps of `buffer` in the order in which they go; none when there is nothing to turn."""
    backwards = [user for user in users if _is_backwards(user, buffer)]
    if len(backwards) == len(users):
        return [_in_order(user, buffer.name) for user in backwards]
    if backwards and len(backwards) == len(users) - 1 and _is_made(made := users[0], buffer):
        return [_backwards(made, buffer.name), *(_in_order(user, buffer.name) for user in backwards)]
    return []


def _is_made(made: Stmt, buffer: Buffer) -> TypeGuard[For]:
    """True when `made` does nothing but to fill `buffer` step by step, in any order."""
    return (
        _is_over_all(made, "parallel", buffer)
        and {store.buffer for store in stores_of(made)} == {buffer.name}
        and buffer.name not in {load.buffer for load in loads_of(made)}
        and not has_check(made)
        and all(index[0] == Var(made.variable) for index in indices_of(made, buffer.name))
    )


def _is_backwards(user: Stmt, buffer: Buffer) -> TypeGuard[For]:
    """True when `user` is a loop over the steps of `buffer`, whose turns take them from the last one on."""
    if not (_is_over_all(user, "range", buffer) or _is_over_all(user, "parallel", buffer)):
        return False
    last = subtract(subtract(user.stop, ONE), Var(user.variable))
    steps = [index[0] for index in indices_of(user, buffer.name)]
    return all(not isinstance(step, Span) and difference(step, last) == 0 for step in steps)


def _is_over_all(loop: Stmt, kind: str, buffer: Buffer) -> TypeGuard[For]:
    """True for a loop of that kind over all that `buffer` has along its first axis, an extent."""
    return (
        isinstance(loop, For)
        and (loop.kind, loop.start, loop.step) == (kind, ZERO, 1)
        and isinstance(loop.stop, Var)
        and buffer.shape[:1] == (loop.stop,)
    )


def _backwards(made: For, name: str) -> For:
    """`made` where each turn does what belongs to the step at the other end, and puts it in its own place."""
    last = subtract(subtract(made.stop, ONE), Var(made.variable))
    return _in_order(replace(made, body=substitute(made.body, {made.variable: last})), name)


def _in_order(loop: For, name: str) -> For:
    """`loop` with every step of the sequence `name` in the place of the turn."""

    def own(buffer: str, index: tuple[Index, ...]) -> tuple[Index, ...]:
        return (Var(loop.variable), *index[1:]) if buffer == name else index

    return replace(loop, body=map_accesses(loop.body, own))
