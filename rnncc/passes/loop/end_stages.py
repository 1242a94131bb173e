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

from rnncc.loop.ir import Expr, Let, Load, Stmt, Store, Var
from rnncc.loop.visit import children, expressions_of, free_variables, index_exprs, loads_of, stores_of
from rnncc.passes.loop.dependences import followers_of
from rnncc.passes.loop.nest import is_costly
from rnncc.records import record


@record(frozen=True, slots=True)
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
    end = _End.of(body)
    numbers = end.numbers()
    if numbers is None or max(numbers, default=0) == 0:
        return whole
    indices = end.indices()
    places = end.places(indices)
    stages = []
    for number in range(max(numbers) + 1):
        here = {position for position, own in enumerate(numbers) if own == number}
        later = {other for position, own in enumerate(numbers) if own > number for other in end.used[position]}
        kept = later & here - places
        if kept & indices:
            return whole  # what is kept is a vector, and no index
        here |= end.needed(here, places)
        if here:
            stages.append(Stage(tuple(body[position] for position in sorted(here)), end.lets(kept)))
    return tuple(stages)


@record(frozen=True, slots=True)
class _End:
    """The statements of a tile's end, known by their positions, and for each of them what follows from its text."""

    body: Sequence[Stmt]
    names: Mapping[str, int]
    """Where each value gets its name."""
    used: Sequence[Sequence[int]]
    """The values that a statement is made of."""
    waits: Sequence[Mapping[str, int]]
    """How many costly functions are around each name in a statement, and around its numbers and loads: ``""``."""
    depths: Sequence[int]
    """How many costly functions wait for one another until a statement is done."""
    followers: Sequence[set[int]]
    """The later statements that must stay behind it."""

    @staticmethod
    def of(body: Sequence[Stmt]) -> _End:
        """The end whose statements are lets and stores."""
        names = {statement.name: position for position, statement in enumerate(body) if isinstance(statement, Let)}
        used = [[names[name] for name in sorted(_names_in(statement) & names.keys())] for statement in body]
        waits = [_waits(statement) for statement in body]
        return _End(body, names, used, waits, _depths(body, waits), followers_of(body))

    def lets(self, positions: Iterable[int]) -> tuple[Let, ...]:
        """The values at `positions`."""
        statements = (self.body[position] for position in sorted(positions))
        return tuple(statement for statement in statements if isinstance(statement, Let))

    def numbers(self) -> list[int] | None:
        """The stage of every statement; None if memory asks for another order than that of the stages.

        A value that is made in the stage of its first reader, and not in one before, need not be kept. But no costly
        function may wait for another one there.
        """
        least = [min(max(0, depth - 1), MOST_STAGES - 1) for depth in self.depths]
        numbers = list(least)
        readers: list[list[int]] = [[] for _ in self.body]
        ahead = [0] * len(self.body)  # costly functions that wait for a value in its own stage
        for position in reversed(range(len(self.body))):
            statement = self.body[position]
            bound = min((numbers[later] for later in self.followers[position]), default=max(least))
            if bound < least[position]:
                return None
            if isinstance(statement, Let):
                first = min((numbers[reader] for reader in readers[position]), default=bound)
                beside = [reader for reader in readers[position] if numbers[reader] == first]
                waiting = (self.waits[reader][statement.name] + ahead[reader] for reader in beside)
                ahead[position] = max(waiting, default=0)
                has_to_wait = max(self.waits[position].values()) + ahead[position] > 1
                numbers[position] = max(min(bound, first - has_to_wait), least[position])
                if numbers[position] < first:
                    ahead[position] = 0
            for other in self.used[position]:
                readers[other].append(position)
        return numbers

    def indices(self) -> set[int]:
        """The values that say where a statement reads or writes, and those that they are made of."""
        accesses: list[Load | Store] = [load for statement in self.body for load in loads_of(statement)]
        accesses += [store for statement in self.body for store in stores_of(statement)]
        mentioned = (free_variables(expr) for access in accesses for expr in index_exprs(access.index))
        waiting = [self.names[name] for found in mentioned for name in found if name in self.names]
        indices: set[int] = set()
        while waiting:
            position = waiting.pop()
            if position not in indices:
                indices.add(position)
                waiting += self.used[position]
        return indices

    def places(self, indices: set[int]) -> set[int]:
        """The `indices` that every stage computes for itself: nothing costly, of memory that the body leaves alone."""
        places: set[int] = set()
        for position in sorted(indices):
            is_changed = any(isinstance(self.body[later], Store) for later in self.followers[position])
            if not self.depths[position] and not is_changed and places.issuperset(self.used[position]):
                places.add(position)
        return places

    def needed(self, positions: Iterable[int], places: set[int]) -> set[int]:
        """The `places` that the statements at `positions` need."""
        needed: set[int] = set()
        waiting = list(positions)
        while waiting:
            found = places.intersection(self.used[waiting.pop()]) - needed
            needed |= found
            waiting += found
        return needed


def _depths(body: Sequence[Stmt], waits: Sequence[Mapping[str, int]]) -> list[int]:
    known: dict[str, int] = {}
    depths = []
    for statement, around in zip(body, waits, strict=True):
        depths.append(max(known.get(name, 0) + count for name, count in around.items()))
        if isinstance(statement, Let):
            known[statement.name] = depths[-1]
    return depths


def _waits(statement: Stmt) -> dict[str, int]:
    waits = {"": 0}

    def walk(expr: Expr, around: int) -> None:
        name = expr.name if isinstance(expr, Var) else ""
        waits[name] = max(waits.get(name, 0), around)
        for child in children(expr):
            walk(child, around + is_costly(expr))

    for expr in expressions_of(statement):
        walk(expr, 0)
    return waits


def _names_in(statement: Stmt) -> frozenset[str]:
    return frozenset[str]().union(*map(free_variables, expressions_of(statement)))
