"""Products with weights in bfloat16: half the bytes of every weight, two products at a time.

    for b in parallel(0, B):                               for b in parallel(0, B):
        for j in parallel(0, 64):                              for k in parallel(0, 20):
            z = sum(h[b, k] * u[k, j] for k in range(40))  ->      h_pairs[b, k] = pair(h[b, k], h[b, k + 20])
                                                           for b in parallel(0, B):
                                                               for j in parallel(0, 64):
                                                                   z = sum(dot(h_pairs[b, k],
                                                                               pair(u[k, j], u[k + 20, j]))
                                                                           for k in range(20))

Both factors are rounded to bfloat16 (8 bits of precision, the exponents of float32), to nearest and even; products and
sums are float32. A pair is two of them in 32 bits: element k and the one half a row further, so that making pairs of an
operand loads and stores whole vectors. Pairs of weights depend on weights only: `pack` makes them once.

With `parts=3` a factor is a sum of three numbers of bfloat16, a = a0 + a1 + a2, each the rest that those before it
leave over: together they have the 24 bits of float32. Of nine products six count, the others are below the last bit:

    z = sum(dot(a0, b0)) + sum(dot(a0, b2) + dot(a0, b1) + dot(a1, b1) + dot(a1, b0) + dot(a2, b0))

The second sum is 2^-8 of the first, and what rounding takes from it is that much less: the error is that of the first
one, whose products are exact, and two at a time. Measured with AVX512-BF16 on dots of 64 to 4,096 products: 0.4 to 0.5
of the mean error of a chain of fused multiply-adds, with AMX 0.2 to 0.3. Added up in one sum, it would be 1.9 times as
much. The instructions take denormals for 0: of numbers below 2^-109, the last parts are lost.

A matrix unit takes so many pairs `at_once`: their number is rounded up, with zeros, where that at most doubles it.

Requires: `fuse`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce

from rnncc.loop.builder import add, call, integer, load
from rnncc.loop.ir import Buffer, Call, Const, Expr, For, Load, Procedure, Reduce, Stmt, Store, Var
from rnncc.loop.names import Names
from rnncc.loop.visit import children, free_variables, map_expr, map_statements, substitute
from rnncc.passes.loop.nest import Nest, is_packable, loops_of, nest_of
from rnncc.passes.manager import Note, nobody
from rnncc.types import DType

CORRECTIONS = ((0, 2), (0, 1), (1, 1), (1, 0), (2, 0))
"""Which parts of an operand and of a weight are multiplied besides the first ones. Each product has a factor of the one
before: registers that hold one part of each have something new to load for one of them only."""


def narrow(procedure: Procedure, parts: int = 1, at_once: int = 1, note: Note = nobody) -> Procedure:
    """Replace every sum of float32 products with a weight by products of pairs, of factors in 1 part or in 3."""
    assert parts in (1, 3), f"a factor is one number of bfloat16, or three, and not {parts}"
    narrower = _Narrower(procedure, Names(procedure), parts, at_once, note)
    body = narrower.block(procedure.body)
    if not narrower.buffers:
        return procedure
    return replace(procedure, buffers=(*procedure.buffers, *narrower.buffers), body=body)


@dataclass(slots=True)
class _Narrower:
    procedure: Procedure
    names: Names
    parts: int
    at_once: int
    note: Note
    buffers: list[Buffer] = field(default_factory=list)

    def block(self, statements: Sequence[Stmt]) -> tuple[Stmt, ...]:
        result: list[Stmt] = []
        for statement in statements:
            nest = nest_of(statement)
            if nest is not None and nest.variables:
                result += self.nest(nest, statement)
            elif isinstance(statement, For):
                result.append(replace(statement, body=self.block(statement.body)))
            else:
                result.append(statement)
        return tuple(result)

    def nest(self, nest: Nest, statement: Stmt) -> list[Stmt]:
        """`statement`, which is `nest`, behind the loops that make pairs of its operands."""
        made: dict[tuple[Expr, Expr, int], Expr] = {}
        before: list[Stmt] = []

        def pairs(operand: Expr, k: Var, depth: int, part: int) -> Expr:
            """The pairs at `k` of one part of `operand`, from a buffer that is filled before."""
            key = substitute(operand, {k.name: Var("k")}), integer(depth), part
            if key not in made:
                rows = tuple(name for name in nest.variables if name in free_variables(operand))
                name = self.buffer(operand, nest, rows, self.half(depth))
                before.extend(_pairs_of(_part_of(operand, part), k, depth, self.half(depth), name, nest, rows))
                made[key] = load(name, (*map(Var, rows), Var("k")), DType.I32)
            return substitute(made[key], {"k": k})

        def narrowed(expr: Expr) -> Expr:
            factors = self.factors(expr, nest)
            if factors is None:
                return expr
            assert isinstance(expr, Reduce) and isinstance(expr.size, Const)
            operand, weight = factors
            k, depth = Var(expr.variable), int(expr.size.value)

            def products(part: int, other: int) -> Expr:
                weights = _pair_of_weights(_part_of(weight, other), k, depth, self.half(depth))
                return call("dot", pairs(operand, k, depth, part), weights)

            def total(value: Expr) -> Expr:
                return replace(expr, size=integer(self.half(depth)), value=value)

            if self.parts == 1:
                return total(products(0, 0))
            corrections = reduce(partial(call, "add"), [products(*which) for which in CORRECTIONS])
            return _corrected(total(products(0, 0)), total(corrections))

        body = map_statements(nest.body, lambda expr: map_expr(expr, narrowed))
        if not before:
            return [statement]
        written = ", ".join(dict.fromkeys(store.buffer for store in nest.stores))
        slow = "" if self.at_once > 1 else ": several times as slow, this is no matrix unit"
        six = f", six for one of float32{slow}"
        self.note(f"{written}: products of bfloat16{six if self.parts == 3 else ''}")
        return [*before, *loops_of(replace(nest, body=body))]

    def factors(self, expr: Expr, nest: Nest) -> tuple[Expr, Expr] | None:
        """The operand and the weight when `expr` is a sum of their products over a fixed number of elements."""
        match expr:
            case Reduce("add", k, Const(depth), Call("mul", (a, b), DType.F32)) if int(depth) > 1:
                for operand, weight in ((a, b), (b, a)):
                    if not isinstance(weight, Load) or self.procedure.buffer(weight.buffer).space != "weight":
                        continue
                    if _has_columns(weight, k, free_variables(operand), nest) and k in free_variables(operand):
                        return operand, weight
        return None

    def half(self, depth: int) -> int:
        """How many pairs `depth` elements are, and how far apart their halves."""
        pairs = -(-depth // 2)
        return pairs if 2 * pairs < self.at_once else -(-pairs // self.at_once) * self.at_once

    def buffer(self, operand: Expr, nest: Nest, rows: Sequence[str], half: int) -> str:
        """A new buffer for the pairs of `operand`."""
        sizes = dict(zip(nest.variables, nest.sizes, strict=True))
        hint = f"{operand.buffer}_pairs" if isinstance(operand, Load) else "pairs"
        name = self.names.fresh(hint)
        shape = (*(sizes[row] for row in rows), integer(half))
        self.buffers.append(Buffer(name, DType.I32, shape, "temporary"))
        return name


def _has_columns(weight: Load, k: str, operand: Collection[str], nest: Nest) -> bool:
    """True when a weight moves with k, and with one loop of `nest` that its partner does not move with, if with any."""
    columns = [name for name in nest.variables if name in free_variables(weight)]
    if not columns:
        return free_variables(weight) == {k} and not any(isinstance(part, Load) for part in children(weight))
    return is_packable(weight, k, columns[0]) and columns[0] not in operand


def _part_of(value: Expr, part: int) -> Expr:
    """What rounding to bfloat16 leaves over of `value`, `part` times."""
    return value if part == 0 else call("rest", _part_of(value, part - 1))


def _corrected(first: Expr, corrections: Expr) -> Expr:
    """The sum of both: of infinite factors, `first` alone, since infinity less infinity is no number."""
    is_finite = call("less", call("abs", corrections), Const(float("inf"), DType.F32))
    return call("where", is_finite, call("add", first, corrections), first)


def _pair_of_weights(weight: Expr, k: Var, depth: int, half: int) -> Expr:
    """Elements `k` and `half` further; a zero beyond the last one: no infinity times zero."""

    def at(first: int) -> Expr:
        if first + half <= depth:
            return substitute(weight, {k.name: add(k, integer(first))})
        place = call("min", add(k, integer(first)), integer(depth - 1))
        is_there = call("less", k, integer(depth - first))
        return call("where", is_there, substitute(weight, {k.name: place}), Const(0.0, DType.F32))

    return call("pair", at(0), at(half))


def _pairs_of(operand: Expr, k: Var, depth: int, half: int, name: str, nest: Nest, rows: Sequence[str]) -> list[Stmt]:
    """The loops that fill the buffer `name` with `half` pairs, the elements beyond `depth` with zeros."""
    sizes = dict(zip(nest.variables, nest.sizes, strict=True))

    def pairs(first: int, stop: int, low: Callable[[Expr], Expr], high: Callable[[Expr], Expr]) -> tuple[Stmt, ...]:
        """The pairs from `first` on, of what `low` and `high` are there."""
        count = stop - first
        variables, extents = [*rows], [sizes[row] for row in rows]
        place: Expr = integer(first)
        if count > 1:
            variables, extents, place = [*rows, k.name], [*extents, integer(count)], add(k, place)
        store = Store(name, (*map(Var, rows), place), Call("pair", (low(place), high(place)), DType.I32))
        return loops_of(Nest(tuple(variables), tuple(extents), (store,))) if count > 0 else ()

    def element(place: Expr) -> Expr:
        return substitute(operand, {k.name: place})

    def further(place: Expr) -> Expr:
        return element(add(place, integer(half)))

    def zero(_: Expr) -> Expr:
        return Const(0.0, DType.F32)

    both, some = max(0, depth - half), min(depth, half)
    return [*pairs(0, both, element, further), *pairs(both, some, element, zero), *pairs(some, half, zero, zero)]
