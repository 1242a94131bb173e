"""A sum at one point in vectors over k: several of them side by side, then in one, then the lanes of that.

    s = sum(x[b, k] for k in range(39))        part[0, lane] = 0.0
                                               for ks in range(0, 32, 8):
                                                   for k in lanes(ks, ks + 8):
                                        ->             part[0, k - ks] += x[b, k]
                                               s = sum(part[0, lane] for lane in range(8))
                                               for k in lanes(32, 39):
                                                   tail[0, k - 32] += where(k < 39, x[b, k], 0.0)
                                               s += sum(tail[0, lane] for lane in range(8))

What is left over is a vector as well, whose last lanes add nothing. It is no longer than need be: a core that loads
what it has just stored does not wait for the cache, if it stored all of it at once. Where only the call knows how much
is left, the lanes of `part[0]` take it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

from rnncc.loop.builder import ZERO, add, call, integer, known_size, multiply, subtract, whole_part
from rnncc.loop.ir import Expr, For, Load, Reduce, Stmt, Store, Var
from rnncc.loop.visit import substitute
from rnncc.passes.loop.tile_parts import Names, identity, unrolled

SUM_CHAINS = 4
"""Vectors that a long sum at one point is added up in, side by side: an addition takes some cycles, and two may begin
in each."""


def sum_over_k(register: str, one: Reduce, lanes: int, names: Names, at: Expr = ZERO) -> list[Stmt]:
    """What leaves the sum `one` in a register, its element `at`: point by point (`lanes` is 1) or in vectors."""
    if lanes == 1:
        update = Store(register, (at,), one.value, one.function)
        return [Store(register, (at,), identity(one)), For(one.variable, "range", ZERO, one.size, 1, (update,))]
    return _SumOverK(register, one, lanes, names, at).statements()


def side_by_side(sums: Sequence[Sequence[Stmt]]) -> list[Stmt]:
    """What makes several sums that differ only in what they add up, in loops over k that they share."""
    together: list[Stmt] = []
    for statements in zip(*sums, strict=True):
        first = statements[0]
        if isinstance(first, For) and first.kind == "range":
            loops = [loop for loop in statements if isinstance(loop, For)]
            bodies = (substitute(loop.body, {loop.variable: Var(first.variable)}) for loop in loops)
            together.append(replace(first, body=tuple(chain.from_iterable(bodies))))
        else:
            together += statements
    return together


@dataclass(frozen=True, slots=True)
class _SumOverK:
    register: str
    one: Reduce
    lanes: int
    names: Names
    at: Expr

    @property
    def fixed(self) -> int | None:
        """How many elements there are, if that is known."""
        return known_size(self.one.size)

    @property
    def k(self) -> Var:
        return Var(self.one.variable)

    @property
    def there(self) -> Expr:
        """The value at k, or what adds nothing beyond the last one."""
        return call("where", call("less", self.k, self.one.size), self.one.value, identity(self.one))

    def statements(self) -> list[Stmt]:
        """The whole vectors, then what they leave over."""
        statements: list[Stmt] = []
        lane = Var(self.names.fresh("lane"))
        full = whole_part(self.one.size, self.lanes)
        if full != ZERO:
            statements += self.whole_vectors(full, lane)
        left = 0 if self.fixed is None else self.fixed % self.lanes
        if left:
            has_others = full != ZERO
            statements += self.rest(full, left, lane, self.one.function if has_others else None)
        return statements

    def whole_vectors(self, full: Expr, lane: Var) -> list[Stmt]:
        """Elements up to `full`, and all others too where only the call knows how many there are."""
        one, lanes = self.one, self.lanes
        chains = SUM_CHAINS if self.fixed is None or self.fixed >= 2 * SUM_CHAINS * lanes else 1
        partial = self.names.private("register", f"{self.register}_part", one.dtype, chains, lanes)
        chain: Expr = Var(self.names.vector) if chains > 1 else ZERO

        def for_chains(first: int, *body: Stmt) -> tuple[Stmt, ...]:
            return unrolled(((self.names.vector, first, chains),) if chains > 1 else (), body)

        def added(place: Expr, stop: Expr, number: Expr, value: Expr) -> For:
            update = Store(partial, (number, subtract(self.k, place)), value, one.function)
            return For(one.variable, "lanes", place, stop, 1, (update,))

        def vectors(begin: Expr, end: Expr, number: Expr, wide: int) -> For:
            """A loop over blocks of `wide` elements; a vector of each is added to the chain `number`."""
            block = Var(self.names.fresh("ks"))
            place = add(block, multiply(number, integer(lanes)))
            vector = added(place, add(place, integer(lanes)), number, one.value)
            body = for_chains(0, vector) if number != ZERO else (vector,)
            return For(block.name, "range", begin, end, wide, body)

        wide = chains * lanes
        most = whole_part(one.size, wide)
        statements: list[Stmt] = [*for_chains(0, _over_lanes(lane, lanes, partial, chain, identity(one)))]
        statements.append(vectors(ZERO, most, chain, wide))
        if most != full:
            statements.append(vectors(most, full, ZERO, lanes))
        if self.fixed is None:
            last = Var(self.names.fresh("ks"))
            vector = added(last, call("min", add(last, integer(lanes)), one.size), ZERO, self.there)
            statements.append(For(last.name, "range", full, one.size, lanes, (vector,)))
        if chains > 1:
            other = Load(partial, (chain, lane), one.dtype)
            statements += for_chains(1, _over_lanes(lane, lanes, partial, ZERO, other, one.function))
        return [*statements, self.folded(partial, lanes, lane, None)]

    def rest(self, full: Expr, left: int, lane: Var, combine: str | None) -> list[Stmt]:
        """The `left` elements from `full` on, put together with the others by `combine`, if there are others."""
        one = self.one
        if left == 1:
            return [Store(self.register, (self.at,), substitute(one.value, {one.variable: full}), combine)]
        count = 1 << (left - 1).bit_length()
        tail = self.names.private("register", f"{self.register}_tail", one.dtype, 1, count)
        value = one.value if left == count else self.there
        update = Store(tail, (ZERO, subtract(self.k, full)), value, one.function)
        return [
            _over_lanes(lane, count, tail, ZERO, identity(one)),
            For(one.variable, "lanes", full, one.size, 1, (update,)),
            self.folded(tail, count, lane, combine),
        ]

    def folded(self, vector: str, lanes: int, lane: Var, combine: str | None) -> Store:
        """The lanes of a register, in one number."""
        fold = Reduce(self.one.function, lane.name, integer(lanes), Load(vector, (ZERO, lane), self.one.dtype))
        return Store(self.register, (self.at,), fold, combine)


def _over_lanes(lane: Var, lanes: int, register: str, number: Expr, value: Expr, combine: str | None = None) -> For:
    return For(lane.name, "lanes", ZERO, integer(lanes), 1, (Store(register, (number, lane), value, combine),))
