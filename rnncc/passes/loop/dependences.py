"""Which statements need each other, and where they meet; and the order that `fuse` keeps when it brings them together.

A statement depends on an earlier one that writes what it reads or writes, or that reads what it writes. The two halves
of a state are different memory; and nothing that a check protects may move in front of it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

from rnncc.loop.index import difference
from rnncc.loop.ir import Call, Check, Const, Index, Stmt
from rnncc.loop.visit import accesses_of, buffers_in, loads_of, stores_of, walk_statements

_Places = dict[str, set[Index | None]]
"""What a statement touches: for each buffer the first indices, where they tell halves of a state apart, else None."""


def followers_of(statements: Sequence[Stmt]) -> list[set[int]]:
    """For each statement the positions of the later ones that must follow it."""
    followers: list[set[int]] = [set() for _ in statements]
    writers: dict[str, list[tuple[int, set[Index | None]]]] = {}
    readers: dict[str, list[tuple[int, set[Index | None]]]] = {}
    guards: list[int] = []
    for late, statement in enumerate(statements):
        reads = _places((load.buffer, load.index) for load in loads_of(statement))
        writes = _places((store.buffer, store.index) for store in stores_of(statement))
        for guard in guards:
            followers[guard].add(late)
        for places, before in ((reads, writers), (writes, writers), (writes, readers)):
            for buffer, own in places.items():
                for early, others in before.get(buffer, ()):
                    if late not in followers[early] and not _all_are_other_halves(others, own):
                        followers[early].add(late)
        for places, before in ((reads, readers), (writes, writers)):
            for buffer, own in places.items():
                before.setdefault(buffer, []).append((late, own))
        if has_check(statement):
            guards.append(late)
    return followers


def in_order(keys: Sequence[int], followers: Sequence[Iterable[int]]) -> list[int]:
    """All positions so that none comes before one that it must follow; the least key first where there is a choice."""
    waits = [0] * len(keys)
    for later in followers:
        for position in later:
            waits[position] += 1
    ready = [(keys[position], position) for position, count in enumerate(waits) if not count]
    heapq.heapify(ready)
    order = []
    while ready:
        _, position = heapq.heappop(ready)
        order.append(position)
        for after in followers[position]:
            waits[after] -= 1
            if not waits[after]:
                heapq.heappush(ready, (keys[after], after))
    assert len(order) == len(keys), "statements that were fused depend on each other in a circle"
    return order


def shared_by(one: Stmt, other: Stmt) -> set[str]:
    """Buffers that one of the two writes, and the other one uses."""
    first, second = accesses_of(one), accesses_of(other)
    return first.written.keys() & second.buffers | second.written.keys() & first.buffers


def indices_of(statement: Stmt, name: str) -> list[tuple[Index, ...]]:
    """Where `statement` reads or writes the buffer `name`."""
    accesses = accesses_of(statement)
    return [*accesses.read.get(name, ()), *accesses.written.get(name, ())]


def has_check(statement: Stmt) -> bool:
    """True when `statement` may leave the procedure: what it protects stays behind it."""
    return any(isinstance(inner, Check) for inner in walk_statements([statement]))


def checked_in(statements: Sequence[Stmt]) -> frozenset[str]:
    """Buffers that checks look at: they report where in memory something is."""
    checks = (inner for inner in walk_statements(statements) if isinstance(inner, Check))
    return buffers_in(checks)


def _places(accesses: Iterable[tuple[str, Sequence[Index]]]) -> _Places:
    found: _Places = {}
    for buffer, index in accesses:
        first = index[0] if index else None
        found.setdefault(buffer, set()).add(first if _half(first) else None)
    return found


def _all_are_other_halves(a: set[Index | None], b: set[Index | None]) -> bool:
    """True when every access of `a` and every one of `b` are at different halves of a state."""
    return all(are_other_halves(first, second) for first in a for second in b)


def are_other_halves(a: Index | None, b: Index | None) -> bool:
    """True for the two halves of a state: `state[t % 2, ...]` and `state[(t + 1) % 2, ...]`."""
    match (a, b):
        case (Call("mod", (x, Const(2))), Call("mod", (y, Const(2)))):
            distance = difference(x, y)
            return distance is not None and distance % 2 == 1
    return False


def _half(index: Index | None) -> bool:
    match index:
        case Call("mod", (_, Const(2))):
            return True
    return False
