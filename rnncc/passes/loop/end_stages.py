"""The stages of a tile's end: what waits for a costly function that itself waits for one has a loop of its own.

    for m in parallel(0, 6):                           for m in range(0, 6):
        c = sigmoid(f[m]) * d[m]                           c = sigmoid(f[m]) * d[m]
        h[m] = sigmoid(o[m]) * tanh(c)         ->          kept[m] = c
                                                       for m in range(0, 6):
                                                           h[m] = sigmoid(o[m]) * tanh(kept[m])

The tanh of a row waits for its sigmoid, and a core that looks two or three hundred instructions ahead does not see the
next row from there: it waits, too. In a loop over what needs no waiting, several rows are under way at once. What a
later stage alone needs is computed there, so that little has to be kept. The loops are of kind `range`: what a turn of
a `parallel` loop writes to a stack is nobody else's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rnncc.loop.ir import Expr, Let, Load, Stmt, Store, Var
from rnncc.loop.visit import children, expressions_of, free_variables, index_exprs, loads_of, stores_of
from rnncc.passes.loop.dependences import followers_of
from rnncc.passes.loop.nest import is_costly


@dataclass(frozen=True, slots=True)
class Stage:
    """Statements in their order, and the values among theirs that a later stage reads."""

    statements: tuple[Stmt, ...]
    kept: tuple[Let, ...]


MOST_STAGES = 4
"""Longer chains of costly functions share the last stage."""


def stages_of(body: Sequence[Stmt]) -> tuple[Stage, ...]:
    """`body`, the end of a tile at one point, in stages: one where nothing waits, or where it must stay together."""
    whole = (Stage(tuple(body), ()),)
    if not all(isinstance(statement, Let | Store) for statement in body):
        return whole
    names = {statement.name: position for position, statement in enumerate(body) if isinstance(statement, Let)}
    used = [[names[name] for name in sorted(_names_in(statement) & names.keys())] for statement in body]
    waits = [_waits(statement) for statement in body]
    depths = _depths(body, waits)
    followers = followers_of(body)
    least = [min(max(0, depth - 1), MOST_STAGES - 1) for depth in depths]
    numbers = _numbers(body, used, followers, waits, least)
    if numbers is None or max(numbers, default=0) == 0:
        return whole
    indices = _indices(body, names, used)
    places = _places(body, used, depths, followers, indices)
    stages = []
    for number in range(max(numbers) + 1):
        here = {position for position, own in enumerate(numbers) if own == number}
        later = {other for position, own in enumerate(numbers) if own > number for other in used[position]}
        kept = later & here - places
        if kept & indices:
            return whole  # what is kept is a vector, and no index
        here |= _needed(here, used, places)
        if here:
            stages.append(Stage(tuple(body[position] for position in sorted(here)), _lets(body, kept)))
    return tuple(stages)


def _lets(body: Sequence[Stmt], positions: Iterable[int]) -> tuple[Let, ...]:
    statements = (body[position] for position in sorted(positions))
    return tuple(statement for statement in statements if isinstance(statement, Let))


def _depths(body: Sequence[Stmt], waits: Sequence[Mapping[str, int]]) -> list[int]:
    """Of every statement: how many costly functions wait for one another until it is done."""
    known: dict[str, int] = {}
    depths = []
    for statement, around in zip(body, waits, strict=True):
        depths.append(max(known.get(name, 0) + count for name, count in around.items()))
        if isinstance(statement, Let):
            known[statement.name] = depths[-1]
    return depths


def _waits(statement: Stmt) -> dict[str, int]:
    """How many costly functions are around each name in `statement`, and around the numbers and loads in it: ``""``."""
    waits = {"": 0}

    def walk(expr: Expr, around: int) -> None:
        name = expr.name if isinstance(expr, Var) else ""
        waits[name] = max(waits.get(name, 0), around)
        for child in children(expr):
            walk(child, around + is_costly(expr))

    for expr in expressions_of(statement):
        walk(expr, 0)
    return waits


def _numbers(
    body: Sequence[Stmt],
    used: Sequence[Sequence[int]],
    followers: Sequence[set[int]],
    waits: Sequence[Mapping[str, int]],
    least: Sequence[int],
) -> list[int] | None:
    """The stage of every statement; None if memory asks for another order than that of the stages.

    A value that is made in the stage of its first reader, and not in one before, need not be kept. But no costly
    function may wait for another one there.
    """
    numbers = list(least)
    readers: list[list[int]] = [[] for _ in body]
    ahead = [0] * len(body)  # costly functions that wait for a value in its own stage
    for position in reversed(range(len(body))):
        statement = body[position]
        bound = min((numbers[later] for later in followers[position]), default=max(least))
        if bound < least[position]:
            return None
        if isinstance(statement, Let):
            first = min((numbers[reader] for reader in readers[position]), default=bound)
            beside = [reader for reader in readers[position] if numbers[reader] == first]
            ahead[position] = max((waits[reader][statement.name] + ahead[reader] for reader in beside), default=0)
            waiting = max(waits[position].values()) + ahead[position] > 1
            numbers[position] = max(min(bound, first - waiting), least[position])
            if numbers[position] < first:
                ahead[position] = 0
        for other in used[position]:
            readers[other].append(position)
    return numbers


def _indices(body: Sequence[Stmt], names: Mapping[str, int], used: Sequence[Sequence[int]]) -> set[int]:
    """The values that say where a statement reads or writes, and those that they are made of."""
    accesses: list[Load | Store] = [load for statement in body for load in loads_of(statement)]
    accesses += [store for statement in body for store in stores_of(statement)]
    mentioned = (free_variables(expr) for access in accesses for expr in index_exprs(access.index))
    waiting = [names[name] for found in mentioned for name in found if name in names]
    indices: set[int] = set()
    while waiting:
        position = waiting.pop()
        if position not in indices:
            indices.add(position)
            waiting += used[position]
    return indices


def _places(
    body: Sequence[Stmt],
    used: Sequence[Sequence[int]],
    depths: Sequence[int],
    followers: Sequence[set[int]],
    indices: set[int],
) -> set[int]:
    """The `indices` that every stage computes for itself: nothing costly, of memory that the body does not change."""
    places: set[int] = set()
    for position in sorted(indices):
        is_changed = any(isinstance(body[later], Store) for later in followers[position])
        if not depths[position] and not is_changed and places.issuperset(used[position]):
            places.add(position)
    return places


def _needed(positions: Iterable[int], used: Sequence[Sequence[int]], places: set[int]) -> set[int]:
    """The `places` that the statements at `positions` need."""
    needed: set[int] = set()
    waiting = list(positions)
    while waiting:
        found = places.intersection(used[waiting.pop()]) - needed
        needed |= found
        waiting += found
    return needed


def _names_in(statement: Stmt) -> frozenset[str]:
    return frozenset[str]().union(*map(free_variables, expressions_of(statement)))
