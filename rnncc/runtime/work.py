"""How much work a nest is, counted from its loops: operations, and bytes that it cannot do without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from math import prod

from rnncc.loop.functions import PRODUCTS_OF_QUOTIENTS
from rnncc.loop.ir import Call, Expr, For, Index, Let, Load, Procedure, Reduce, Stmt, Store
from rnncc.loop.visit import children, expressions_of, free_variables, index_exprs, walk_exprs, walk_statements
from rnncc.records import record
from rnncc.runtime.memory import evaluate_size, shape_of


@record(frozen=True, slots=True)
class Work:
    """What one run of a nest needs: operations on floats, and bytes of elements that it reads or writes.

    An addition, a multiplication, a tanh or the like is one operation; index arithmetic is none. An element counts once
    for all that read it in the same place, and once for all that write it.
    """

    operations: int
    bytes: int


def work_of(nest: Stmt, procedure: Procedure, extents: Mapping[str, int]) -> Work:
    """The work of a fused nest of `procedure` at a call with these extents."""
    counter = _Counter(procedure, extents)
    counter.block([nest], {})
    return Work(counter.operations, counter.bytes())


def work_of_runs(
    nest: Stmt, around: Sequence[For | Let], procedure: Procedure, extents: Mapping[str, int]
) -> tuple[int, Work]:
    """How often a nest runs inside of the loops `around` it, among names that they bind, and the work of all runs."""
    return _Runs(nest, procedure, tuple(around)).inside(0, extents)


@record(frozen=True, slots=True)
class _Runs:
    """Counts once what is alike in all that loops and sums turn on: nearly all chunks of time have as many steps."""

    nest: Stmt
    procedure: Procedure
    around: tuple[For | Let, ...]
    bounds: dict[int, list[Expr]] = field(default_factory=dict)
    known: dict[tuple[object, ...], tuple[int, Work]] = field(default_factory=dict)

    def inside(self, depth: int, extents: Mapping[str, int]) -> tuple[int, Work]:
        """The runs inside of what is `around` from that depth on, where `extents` has the values of all other names."""
        outer = self.around[depth] if depth < len(self.around) else None
        if isinstance(outer, Let):
            return self.inside(depth + 1, {**extents, outer.name: evaluate_size(outer.value, extents)})
        if depth not in self.bounds:
            self.bounds[depth] = _bounds((*self.around[depth:], self.nest))
        key = (depth, *(_as_far_as_known(bound, extents) for bound in self.bounds[depth]))
        if key not in self.known:
            self.known[key] = self.all_turns(outer, depth, extents)
        return self.known[key]

    def all_turns(self, loop: For | None, depth: int, extents: Mapping[str, int]) -> tuple[int, Work]:
        """What `inside` looks for, at the loop of that depth; None: at the nest."""
        if loop is None:
            return 1, work_of(self.nest, self.procedure, extents)
        runs, operations, size = 0, 0, 0
        for turn in range(evaluate_size(loop.start, extents), evaluate_size(loop.stop, extents), loop.step):
            some, work = self.inside(depth + 1, {**extents, loop.variable: turn})
            runs, operations, size = runs + some, operations + work.operations, size + work.bytes
        return runs, Work(operations, size)


def _bounds(statements: Sequence[Stmt]) -> list[Expr]:
    """What says how often loops and sums in `statements` turn, and the values of names between them."""
    loops = [statement for statement in walk_statements(statements) if isinstance(statement, For)]
    sums = [expr for expr in walk_exprs(statements) if isinstance(expr, Reduce)]
    bounds = [bound for loop in loops for bound in (loop.start, loop.stop)] + [one.size for one in sums]
    return bounds + [statement.value for statement in statements if isinstance(statement, Let)]


def _as_far_as_known(bound: Expr, extents: Mapping[str, int]) -> object:
    """`bound` as a number; if loops further inside have a say in it, the values of all other names in it."""
    names = free_variables(bound)
    if names <= extents.keys():
        return evaluate_size(bound, extents)
    return tuple(extents.get(name) for name in sorted(names))


_OPERATIONS = {"dot": 3, **dict.fromkeys(PRODUCTS_OF_QUOTIENTS.values(), 3)}
"""Of functions that are more than one."""


class _Counter:
    """Walks once. `turns` holds the loops around a statement, each with how often it turns."""

    def __init__(self, procedure: Procedure, extents: Mapping[str, int]) -> None:
        self.procedure = procedure
        self.extents = extents
        self.operations = 0
        self.touched: dict[tuple[str, bool], dict[tuple[Index, ...], int]] = {}
        """By buffer, and whether it is written: the elements of every index."""
        self.depends: dict[str, frozenset[str]] = {}
        """Loop variables behind the names that lets have bound."""

    def block(self, statements: Sequence[Stmt], turns: Mapping[str, int]) -> None:
        for statement in statements:
            if isinstance(statement, For):
                size = evaluate_size(statement.stop, self.extents) - evaluate_size(statement.start, self.extents)
                count = max(0, -(-size // statement.step))
                self.block(statement.body, {**turns, statement.variable: count})
                continue
            for expr in expressions_of(statement):
                self.expr(expr, turns)
            if isinstance(statement, Let):
                self.depends[statement.name] = self.variables([statement.value])
            elif isinstance(statement, Store):
                self.touch(statement.buffer, statement.index, turns, is_written=True)
                if statement.combine is not None:
                    self.touch(statement.buffer, statement.index, turns, is_written=False)
                    self.operations += prod(turns.values())

    def expr(self, expr: Expr, turns: Mapping[str, int]) -> None:
        if isinstance(expr, Reduce):
            inside = {**turns, expr.variable: evaluate_size(expr.size, self.extents)}
            self.operations += prod(inside.values()) if expr.dtype.is_float else 0
            self.expr(expr.value, inside)
            return
        if isinstance(expr, Call) and expr.dtype.is_float:
            self.operations += _OPERATIONS.get(expr.function, 1) * prod(turns.values())
        if isinstance(expr, Call) and expr.function == "pair" and self.is_made_of_weights(expr):
            for part in walk_exprs(expr.args[0]):  # both are in memory as one number of 32 bits
                if isinstance(part, Load):
                    self.touch(part.buffer, part.index, turns, is_written=False)
            return
        if isinstance(expr, Load):
            self.touch(expr.buffer, expr.index, turns, is_written=False)
        for child in children(expr):
            self.expr(child, turns)

    def is_made_of_weights(self, expr: Expr) -> bool:
        loads = [part for part in walk_exprs(expr) if isinstance(part, Load)]
        return all(self.procedure.buffer(load.buffer).space == "weight" for load in loads)

    def touch(self, buffer: str, index: tuple[Index, ...], turns: Mapping[str, int], *, is_written: bool) -> None:
        moving = self.variables(list(index_exprs(index)))
        count = prod(turns[name] for name in moving if name in turns)
        self.touched.setdefault((buffer, is_written), {})[index] = count

    def variables(self, exprs: Sequence[Expr]) -> frozenset[str]:
        """The loop variables that expressions depend on, through names as well."""
        names = frozenset[str]().union(*map(free_variables, exprs))
        return names.union(*(self.depends.get(name, frozenset()) for name in names))

    def bytes(self) -> int:
        """Everything touched; of no buffer more than there is."""
        total = 0
        for (name, _), indices in self.touched.items():
            buffer = self.procedure.buffer(name)
            elements = prod(shape_of(buffer, self.extents))
            total += min(sum(indices.values()), elements) * buffer.dtype.size
        return total
