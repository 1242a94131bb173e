"""Index expressions as sums: how far does an access move with a variable, how far are two accesses apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import gcd

from rnncc.loop.ir import Call, Const, Expr, For, Index, Let, Load, Span, Store, Var
from rnncc.loop.visit import free_variables, loads_of, stores_of, walk_statements
from rnncc.records import record
from rnncc.types import DType

Interval = tuple[int, int]
"""The least and the greatest value, both inclusive."""


@record(frozen=True, slots=True)
class Affine:
    """`constant + sum(coefficient * term)`. Terms are variables and opaque expressions (`t % 2`, a load); no zeros."""

    terms: Mapping[Expr, int]
    constant: int

    def coefficient(self, variable: str) -> int:
        """What the variable itself is multiplied by; 0 when it is no term."""
        return self.terms.get(Var(variable), 0)


def affine(expr: Expr) -> Affine | None:
    """`expr` as a sum, or None when it is not a scalar i64."""
    return _affine(expr) if expr.dtype is DType.I64 and expr.lanes == 1 else None


def _affine(expr: Expr) -> Affine:
    match expr:
        case Const(value):
            return Affine({}, int(value))
        case Call("add", (a, b)):
            return _sum(_affine(a), _affine(b), 1)
        case Call("sub", (a, b)):
            return _sum(_affine(a), _affine(b), -1)
        case Call("neg", (a,)):
            return _scale(_affine(a), -1)
        case Call("mul", (a, b)):
            left, right = _affine(a), _affine(b)
            if not left.terms:
                return _scale(right, left.constant)
            if not right.terms:
                return _scale(left, right.constant)
        case Call("floordiv", (a, Const(divisor))) if divisor:
            left, by = _affine(a), int(divisor)
            if not left.terms:
                return Affine({}, left.constant // by)
            if _divides(by, left) and left.constant % by == 0:
                return Affine({term: factor // by for term, factor in left.terms.items()}, left.constant // by)
        case Call("mod", (a, Const(divisor))) if divisor:
            left, by = _affine(a), int(divisor)
            if _divides(by, left):
                return Affine({}, left.constant % by)
        case _:
            pass
    return Affine({expr: 1}, 0)


def _divides(divisor: int, value: Affine) -> bool:
    return all(factor % divisor == 0 for factor in value.terms.values())


def _sum(a: Affine, b: Affine, sign: int) -> Affine:
    terms = dict(a.terms)
    for term, factor in b.terms.items():
        terms[term] = terms.get(term, 0) + sign * factor
    return Affine({term: factor for term, factor in terms.items() if factor}, a.constant + sign * b.constant)


def _scale(a: Affine, factor: int) -> Affine:
    return Affine({term: factor * old for term, old in a.terms.items() if factor}, factor * a.constant)


def summands(expr: Expr, factor: int = 1) -> Iterator[tuple[Expr, int]]:
    """What is added up in `expr`, in order: expressions, and the number that each is multiplied by."""
    match expr:
        case Call("add", (a, b)):
            yield from summands(a, factor)
            yield from summands(b, factor)
        case Call("mul", (a, Const(number))):
            yield from summands(a, factor * int(number))
        case _:
            yield expr, factor


def stride_in(expr: Expr, variable: str) -> int | None:
    """How far `expr` moves when `variable` grows by one; None when that is not always the same."""
    value = affine(expr)
    if value is None:
        return None
    if any(variable in free_variables(term) for term in value.terms if term != Var(variable)):
        return None
    return value.coefficient(variable)


def difference(a: Expr, b: Expr) -> int | None:
    """`a - b` when that is one number whatever the variables are."""
    left, right = affine(a), affine(b)
    if left is None or right is None:
        return None
    result = _sum(left, right, -1)
    return None if result.terms else result.constant


def interval(expr: Expr, ranges: Mapping[str, Interval]) -> Interval | None:
    """The least and the greatest value of `expr` for variables in `ranges`; None when there is no bound.

    Exact for sums of different variables; never too narrow.
    """
    value = affine(expr)
    if value is None:
        return None
    low = high = value.constant
    for term, factor in value.terms.items():
        bounds = _term_interval(term, ranges)
        if bounds is None:
            return None
        ends = factor * bounds[0], factor * bounds[1]
        low, high = low + min(ends), high + max(ends)
    return low, high


def at_most(size: Expr) -> int | None:
    """The most that `size` may be, where it says so: a number, or the smaller of one and what only the call knows."""
    match size:
        case Const(value) | Call("min", (Const(value), _)) | Call("min", (_, Const(value))):
            return int(value)
        case _:
            return None


def ranges_of(loops: Iterable[For]) -> dict[str, Interval]:
    """The values that the variables of `loops` take, as far as numbers say it. `loops` has outer loops first."""
    ranges: dict[str, Interval] = {}
    for loop in loops:
        start, stop = interval(loop.start, ranges), interval(loop.stop, ranges)
        if start is not None and stop is not None:
            size = difference(loop.stop, loop.start)
            last = stop[1] - 1 if size is None else start[1] + (size - 1) // loop.step * loop.step
            ranges[loop.variable] = start[0], max(start[0], last)
    return ranges


def overlap(a: Interval, b: Interval) -> bool:
    """True when some number is in both."""
    return a[0] <= b[1] and b[0] <= a[1]


def _term_interval(term: Expr, ranges: Mapping[str, Interval]) -> Interval | None:
    match term:
        case Var(name):
            return ranges.get(name)
        case Call("mod", (a, Const(divisor))) if divisor > 0:
            by = int(divisor)
            inner = interval(a, ranges)
            if inner and inner[0] // by == inner[1] // by:
                return inner[0] % by, inner[1] % by
            return 0, by - 1
        case Call("floordiv", (a, Const(divisor))) if divisor > 0:
            inner = interval(a, ranges)
            return inner and (inner[0] // int(divisor), inner[1] // int(divisor))
        case Call("mul" | "min" | "max" as function, (a, b)):
            left, right = interval(a, ranges), interval(b, ranges)
            if left is None or right is None:
                return None
            if function == "mul":
                products = [x * y for x in left for y in right]
                return min(products), max(products)
            pick = min if function == "min" else max
            return pick(left[0], right[0]), pick(left[1], right[1])
        case _:
            return None


def multiple_of(value: Expr, around: Mapping[str, For]) -> int:
    """A number of which `value` is certainly a multiple, inside of the loops `around`; 0 for zero itself."""
    match value:
        case Const(number):
            return int(number)
        case Var(name) if name in around:
            return gcd(around[name].step, multiple_of(around[name].start, around))
        case Call("add" | "sub" | "min" | "max", (a, b)):
            return gcd(multiple_of(a, around), multiple_of(b, around))
        case Call("mul", (a, b)):
            return multiple_of(a, around) * multiple_of(b, around)
        case _:
            return 1


# ------------------------------------------------------------------ loops


def is_independent(loop: For) -> bool:
    """True when the iterations visibly write to different places, and read nothing that another one writes.

    That is so when each buffer that the loop writes has an axis on which every access in the loop has one and the same
    index, which moves with the loop's variable and with nothing else that the loop binds.
    """
    bound = {loop.variable}
    for statement in walk_statements(loop.body):
        if isinstance(statement, For):
            bound.add(statement.variable)
        elif isinstance(statement, Let):
            bound.add(statement.name)
    accesses: list[Load | Store] = [*stores_of(loop), *loads_of(loop)]
    indices: dict[str, list[tuple[Index, ...]]] = {store.buffer: [] for store in stores_of(loop)}
    for access in accesses:
        if access.buffer in indices:
            indices[access.buffer].append(access.index)
    return all(_are_apart(buffer_indices, loop, bound) for buffer_indices in indices.values())


def _are_apart(indices: list[tuple[Index, ...]], loop: For, bound: set[str]) -> bool:
    return any(_moves([index[axis] for index in indices], loop, bound) for axis in range(len(indices[0])))


def _moves(indices: list[Index], loop: For, bound: set[str]) -> bool:
    starts = [index.start if isinstance(index, Span) else index for index in indices]
    width = max(index.lanes if isinstance(index, Span) else 1 for index in indices)
    first, stride = affine(starts[0]), stride_in(starts[0], loop.variable)
    if first is None or stride is None or abs(stride) * loop.step < width:
        return False
    others = {name for term in first.terms for name in free_variables(term)} - {loop.variable}
    return not others & bound and all(affine(start) == first for start in starts)
