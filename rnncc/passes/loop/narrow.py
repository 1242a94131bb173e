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

Requires: `fuse`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rnncc.loop.builder import add, call, integer, load
from rnncc.loop.ir import Buffer, Call, Const, Expr, For, Load, Procedure, Reduce, Stmt, Store, Var
from rnncc.loop.visit import free_variables, map_expr, map_statements, substitute
from rnncc.passes.loop.names import Names
from rnncc.passes.loop.nest import Nest, is_packable, loops_of, nest_of
from rnncc.types import DType


def narrow(procedure: Procedure) -> Procedure:
    """Replace every sum of float32 products with a weight by one of products of pairs."""
    narrower = _Narrower(procedure, Names(procedure))
    body = narrower.block(procedure.body)
    if not narrower.buffers:
        return procedure
    return replace(procedure, buffers=(*procedure.buffers, *narrower.buffers), body=body)


@dataclass(slots=True)
class _Narrower:
    procedure: Procedure
    names: Names
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
        made: dict[tuple[Expr, Expr], tuple[str, tuple[str, ...]]] = {}
        before: list[Stmt] = []

        def narrowed(expr: Expr) -> Expr:
            factors = self.factors(expr, nest)
            if factors is None:
                return expr
            assert isinstance(expr, Reduce) and isinstance(expr.size, Const)
            operand, weight = factors
            k, depth = Var(expr.variable), int(expr.size.value)
            half = -(-depth // 2)
            key = substitute(operand, {k.name: Var("k")}), expr.size
            if key not in made:
                rows = tuple(name for name in nest.variables[:-1] if name in free_variables(operand))
                made[key] = self.buffer(operand, nest, rows, half), rows
                before.extend(_pairs_of(operand, k, depth, made[key][0], nest, rows))
            name, rows = made[key]
            pairs = load(name, (*map(Var, rows), k), DType.I32)
            products = Call("dot", (pairs, _pair_of_weights(weight, k, depth)), DType.F32)
            return replace(expr, size=integer(half), value=products)

        body = map_statements(nest.body, lambda expr: map_expr(expr, narrowed))
        if not before:
            return [statement]
        return [*before, *loops_of(replace(nest, body=body))]

    def factors(self, expr: Expr, nest: Nest) -> tuple[Expr, Expr] | None:
        """The operand and the weight when `expr` is a sum of their products over a fixed number of elements."""
        match expr:
            case Reduce("add", k, Const(depth), Call("mul", (a, b), DType.F32)) if int(depth) > 1:
                j = nest.variables[-1]
                for operand, weight in ((a, b), (b, a)):
                    if not isinstance(weight, Load) or self.procedure.buffer(weight.buffer).space != "weight":
                        continue
                    if is_packable(weight, k, j) and j not in free_variables(operand) and k in free_variables(operand):
                        return operand, weight
        return None

    def buffer(self, operand: Expr, nest: Nest, rows: Sequence[str], half: int) -> str:
        """A new buffer for the pairs of `operand`."""
        sizes = dict(zip(nest.variables, nest.sizes, strict=True))
        hint = f"{operand.buffer}_pairs" if isinstance(operand, Load) else "pairs"
        name = self.names.fresh(hint)
        shape = (*(sizes[row] for row in rows), integer(half))
        self.buffers.append(Buffer(name, DType.I32, shape, "temporary"))
        return name


def _pair_of_weights(weight: Expr, k: Var, depth: int) -> Expr:
    """Elements `k` and half a row further; there, of an odd number, the last one is a zero: no infinity times zero."""
    half = -(-depth // 2)
    if depth % 2 == 0:
        return Call("pair", (weight, substitute(weight, {k.name: add(k, integer(half))})), DType.I32)
    further = substitute(weight, {k.name: call("min", add(k, integer(half)), integer(depth - 1))})
    is_there = Call("less", (k, integer(half - 1)), DType.BOOL)
    return Call("pair", (weight, Call("where", (is_there, further, Const(0.0, DType.F32)), DType.F32)), DType.I32)


def _pairs_of(operand: Expr, k: Var, depth: int, name: str, nest: Nest, rows: Sequence[str]) -> list[Stmt]:
    """The loops that fill the buffer `name`; of an odd number of elements, the last pair is half empty."""
    half = -(-depth // 2)
    sizes = dict(zip(nest.variables, nest.sizes, strict=True))

    def nest_over(count: int, first: Expr, second: Expr, place: Expr) -> tuple[Stmt, ...]:
        store = Store(name, (*map(Var, rows), place), Call("pair", (first, second), DType.I32))
        variables = (*rows, k.name) if place == k else tuple(rows)
        extents = [sizes[row] for row in rows] + ([integer(count)] if place == k else [])
        return loops_of(Nest(variables, tuple(extents), (store,)))

    further = substitute(operand, {k.name: add(k, integer(half))})
    result = list(nest_over(depth // 2, operand, further, k))
    if depth % 2:
        last = substitute(operand, {k.name: integer(half - 1)})
        result += nest_over(1, last, Const(0.0, DType.F32), integer(half - 1))
    return result
