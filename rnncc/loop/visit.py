"""Generic walks over loop IR: map, substitute, collect. Nothing is rebuilt that does not change."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from operator import is_
from typing import Any, assert_never, cast, overload

from rnncc.loop.functions import FUNCTIONS
from rnncc.loop.ir import (
    Barrier,
    Call,
    Check,
    Const,
    Expr,
    For,
    Index,
    Let,
    Load,
    Prefetch,
    Procedure,
    Ramp,
    Reduce,
    Span,
    Stmt,
    Store,
    Var,
)
from rnncc.records import record
from rnncc.types import DType

# ------------------------------------------------------------------ expressions


def result_dtype(function: str, args: Sequence[Expr]) -> DType:
    """The dtype of `function(args)`: the function's own, or that of the last operand."""
    known = FUNCTIONS.get(function)
    return known.result if known and known.result else args[-1].dtype


def map_expr(expr: Expr, function: Callable[[Expr], Expr]) -> Expr:
    """`expr` rebuilt from the leaves up, with every subexpression replaced by what `function` makes of it."""

    def changed(part: Expr) -> Expr:
        return function(map_children(part, changed))

    return changed(expr)


def replace_parts(expr: Expr, replacement: Mapping[Expr, Expr]) -> Expr:
    """`expr` with whole parts of it replaced, the outermost first."""

    def changed(part: Expr) -> Expr:
        return replacement[part] if part in replacement else map_children(part, changed)

    return changed(expr)


def map_children(expr: Expr, function: Callable[[Expr], Expr]) -> Expr:
    """`expr` with `function` applied to its direct operands (starts and limits of spans included)."""
    if type(expr) in _LEAVES:
        return expr
    if isinstance(expr, Call):
        new_args = tuple([function(arg) for arg in expr.args])
        return expr if _same(expr.args, new_args) else Call(expr.function, new_args, expr.dtype)
    if isinstance(expr, Load):
        new_index = map_index(expr.index, function)
        return expr if new_index is expr.index else Load(expr.buffer, new_index, expr.dtype)
    if isinstance(expr, Reduce):
        new_size, new_value = function(expr.size), function(expr.value)
        if new_size is expr.size and new_value is expr.value:
            return expr
        return Reduce(expr.function, expr.variable, new_size, new_value)
    assert isinstance(expr, Ramp)
    new_start = function(expr.start)
    return expr if new_start is expr.start else Ramp(new_start, expr.lanes)


def map_index(index: tuple[Index, ...], function: Callable[[Expr], Expr]) -> tuple[Index, ...]:
    """`index` with `function` applied to every expression in it; the same object when nothing changed."""
    new = tuple([_map_span(item, function) if isinstance(item, Span) else function(item) for item in index])
    return index if _same(index, new) else new


def _map_span(span: Span, function: Callable[[Expr], Expr]) -> Span:
    start = function(span.start)
    limit = None if span.limit is None else function(span.limit)
    return span if start is span.start and limit is span.limit else Span(start, span.lanes, limit)


def _same(old: Sequence[object], new: Sequence[object]) -> bool:
    return all(map(is_, old, new))  # as many of the one as of the other


def index_exprs(index: tuple[Index, ...]) -> tuple[Expr, ...]:
    """The expressions in an index; a span, which can only be the last, has a start and maybe a limit."""
    last = index[-1] if index else None
    if not isinstance(last, Span):
        return index  # type: ignore[return-value]
    lead = cast("tuple[Expr, ...]", index[:-1])
    return (*lead, last.start) if last.limit is None else (*lead, last.start, last.limit)


_LEAVES = frozenset((Const, Var))
_OPERANDS: dict[type[Expr], Callable[[Any], tuple[Expr, ...]]] = {
    Const: lambda const: (),
    Var: lambda var: (),
    Load: lambda load: index_exprs(load.index),
    Call: lambda call: call.args,
    Reduce: lambda reduce: (reduce.size, reduce.value),
    Ramp: lambda ramp: (ramp.start,),
}


def children(expr: Expr) -> tuple[Expr, ...]:
    """The direct operands of `expr`, starts and limits of spans included."""
    return _OPERANDS[type(expr)](expr)


def free_variables(expr: Expr) -> frozenset[str]:
    """Names of the variables that `expr` mentions and does not bind itself."""
    if isinstance(expr, Var):
        return frozenset((expr.name,))
    if isinstance(expr, Const):
        return _NONE
    if isinstance(expr, Reduce):
        return free_variables(expr.size) | (free_variables(expr.value) - {expr.variable})
    return _NONE.union(*map(free_variables, children(expr)))


_NONE: frozenset[str] = frozenset()


# ------------------------------------------------------------------ statements


def has_vectors(procedure: Procedure) -> bool:
    """True for loops that are scheduled already: vectors are what `vectorize` makes of lanes."""
    statements = (*procedure.setup, *procedure.body)
    stores = (statement for statement in walk_statements(statements) if isinstance(statement, Store))
    indices = [load.index for load in loads_of(statements)] + [store.index for store in stores]
    return any(index and isinstance(index[-1], Span) for index in indices)


_EXPRESSIONS: dict[type[Stmt], Callable[[Any], tuple[Expr, ...]]] = {
    For: lambda loop: (loop.start, loop.stop),
    Let: lambda let: (let.value,),
    Store: lambda store: (*index_exprs(store.index), store.value),
    Check: lambda check: (check.condition, *check.values),
    Prefetch: lambda prefetch: index_exprs(prefetch.index),
    Barrier: lambda barrier: (),
}


def expressions_of(statement: Stmt) -> tuple[Expr, ...]:
    """The expressions that stand in `statement` itself: not in a loop's body, and not inside of each other."""
    return _EXPRESSIONS[type(statement)](statement)


def map_statement(statement: Stmt, function: Callable[[Expr], Expr]) -> Stmt:
    """`statement` with `function` applied to each of `expressions_of` it and, in a loop, of its body."""
    match statement:
        case For(_, _, start, stop, _, body):
            bounds = function(start), function(stop)
            new_body = map_statements(body, function)
            if bounds[0] is start and bounds[1] is stop and new_body is body:
                return statement
            return replace(statement, start=bounds[0], stop=bounds[1], body=new_body)
        case Let(_, value):
            new_value = function(value)
            return statement if new_value is value else Let(statement.name, new_value)
        case Store(_, index, value):
            new_index, new_value = map_index(index, function), function(value)
            if new_index is index and new_value is value:
                return statement
            return Store(statement.buffer, new_index, new_value, statement.combine)
        case Check(condition, _, values):
            new_condition, new_values = function(condition), tuple(function(value) for value in values)
            if new_condition is condition and _same(values, new_values):
                return statement
            return replace(statement, condition=new_condition, values=new_values)
        case Prefetch(_, index):
            new_index = map_index(index, function)
            return statement if new_index is index else Prefetch(statement.buffer, new_index)
        case Barrier():
            return statement
        case _:
            assert_never(statement)


def map_statements(statements: tuple[Stmt, ...], function: Callable[[Expr], Expr]) -> tuple[Stmt, ...]:
    """`map_statement` on each; the same tuple when nothing changed."""
    new = tuple(map_statement(statement, function) for statement in statements)
    return statements if _same(statements, new) else new


def map_accesses(
    statements: tuple[Stmt, ...], function: Callable[[str, tuple[Index, ...]], tuple[Index, ...]]
) -> tuple[Stmt, ...]:
    """`statements` with the index of every load, store and prefetch replaced by `function(buffer, index)`."""

    def in_expr(expr: Expr) -> Expr:
        return replace(expr, index=function(expr.buffer, expr.index)) if isinstance(expr, Load) else expr

    def in_statement(statement: Stmt) -> Stmt:
        match statement:
            case For(body=body):
                return replace(statement, body=tuple(map(in_statement, body)))
            case Store(name, index) | Prefetch(name, index):
                return replace(statement, index=function(name, index))
        return statement

    return tuple(map(in_statement, map_statements(statements, lambda expr: map_expr(expr, in_expr))))


def walk_statements(statements: Iterable[Stmt]) -> Iterator[Stmt]:
    """Every statement, a loop before its body."""
    waiting = list(statements)
    waiting.reverse()
    while waiting:
        statement = waiting.pop()
        yield statement
        if isinstance(statement, For):
            waiting += reversed(statement.body)


def count_statements(procedure: Procedure) -> int:
    """Statements of a procedure, loops and their bodies included."""
    return sum(1 for _ in walk_statements((*procedure.setup, *procedure.body)))


def walk_exprs(root: Expr | Stmt | Iterable[Stmt]) -> Iterator[Expr]:
    """Every expression in an expression, a statement (a loop's body included) or statements, outer before inner."""
    if isinstance(root, Expr):
        waiting: list[Expr] = [root]
    else:
        statements = (root,) if isinstance(root, Stmt) else root
        waiting = [expr for inner in walk_statements(statements) for expr in expressions_of(inner)]
        waiting.reverse()
    while waiting:
        expr = waiting.pop()
        yield expr
        if type(expr) not in _LEAVES:
            waiting += _OPERANDS[type(expr)](expr)[::-1]


def loads_of(statement: Stmt | Iterable[Stmt]) -> Iterator[Load]:
    """Every load in a statement or several, a loop's body included.

    A combining store reads its element, too: see `stores_of`.
    """
    return (expr for expr in walk_exprs(statement) if isinstance(expr, Load))


def stores_of(statement: Stmt) -> Iterator[Store]:
    """Every store in `statement`, a loop's body included."""
    return (inner for inner in walk_statements([statement]) if isinstance(inner, Store))


def is_over_k(loop: For) -> bool:
    """True for the loop in which the sums of a tile are added up, in order, once tiles are written out."""
    inside = any(isinstance(statement, For) for statement in loop.body)
    return loop.kind == "range" and not inside and any(store.combine is not None for store in stores_of(loop))


def is_tile_end(loop: For, stacks: Collection[str]) -> bool:
    """True for a loop over the rows or vectors of a register tile: it reads the stack, or writes to it for others.

    A loop with a whole tile in it reads what it has written itself; a matrix loop makes what a tile leaves there.
    """
    stores = list(stores_of(loop))
    if loop.kind == "matrix" or any(store.combine is not None for store in stores):
        return False  # the latter has a loop over k in it
    written = {store.buffer for store in stores}.intersection(stacks)
    read = {load.buffer for load in loads_of(loop)}.intersection(stacks)
    return bool(read | written) and read.isdisjoint(written)


@record(frozen=True, slots=True)
class Accesses:
    """Where a statement reads and where it writes, a loop's body included: by buffer, in order."""

    read: Mapping[str, Sequence[tuple[Index, ...]]]
    written: Mapping[str, Sequence[tuple[Index, ...]]]
    buffers: frozenset[str]


class _Key:
    """A statement that is equal to itself only: to compare two takes as long as to walk over one."""

    __slots__ = ("statement",)

    def __init__(self, statement: Stmt) -> None:
        self.statement = statement

    def __hash__(self) -> int:
        return id(self.statement)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.statement is other.statement


def accesses_of(statement: Stmt) -> Accesses:
    """The accesses of `statement`, which are looked up once: passes ask for each pair of statements."""
    return _accesses_of(_Key(statement))


@lru_cache(maxsize=512)
def _accesses_of(key: _Key) -> Accesses:
    read: dict[str, list[tuple[Index, ...]]] = {}
    written: dict[str, list[tuple[Index, ...]]] = {}
    for load in loads_of(key.statement):
        read.setdefault(load.buffer, []).append(load.index)
    for store in stores_of(key.statement):
        written.setdefault(store.buffer, []).append(store.index)
    return Accesses(read, written, frozenset((*read, *written)))


def buffers_of(statement: Stmt) -> frozenset[str]:
    """Names of the buffers that `statement` reads or writes, a loop's body included."""
    return accesses_of(statement).buffers


def buffers_in(statements: Iterable[Stmt]) -> frozenset[str]:
    """Names of the buffers that any of `statements` reads or writes."""
    return frozenset[str]().union(*map(buffers_of, statements))


# ------------------------------------------------------------------ substitution


@overload
def substitute(root: Expr, replacement: Mapping[str, Expr]) -> Expr: ...
@overload
def substitute(root: tuple[Stmt, ...], replacement: Mapping[str, Expr]) -> tuple[Stmt, ...]: ...
def substitute(root: Expr | tuple[Stmt, ...], replacement: Mapping[str, Expr]) -> Expr | tuple[Stmt, ...]:
    """`root` with free variables replaced.

    Names are unique in their scope, so a name that `root` binds itself is never one that `replacement` mentions.
    """
    if isinstance(root, tuple):
        bound = {name for statement in walk_statements(root) for name in _bound_by(statement)}
        captured = bound & {name for expr in replacement.values() for name in free_variables(expr)}
        assert not captured, f"{sorted(captured)} would be captured by the substitution"
        outer = {name: expr for name, expr in replacement.items() if name not in bound}
        return map_statements(root, lambda expr: substitute(expr, outer)) if outer else root
    return _substitute(root, replacement) if replacement else root


def _substitute(root: Expr, replacement: Mapping[str, Expr]) -> Expr:
    def changed(expr: Expr) -> Expr:
        match expr:
            case Var(name):
                return replacement.get(name, expr)
            case Reduce(function, variable, size, value):
                used = free_variables(value) - {variable}
                captured = [name for name in used & replacement.keys() if variable in free_variables(replacement[name])]
                assert not captured, f"{variable} would be captured by the substitution of {sorted(captured)}"
                inner = {name: new for name, new in replacement.items() if name != variable}
                new_size, new_value = changed(size), _substitute(value, inner)
                if new_size is size and new_value is value:
                    return expr
                return Reduce(function, variable, new_size, new_value)
            case _:
                return map_children(expr, changed)

    return changed(root)


def _bound_by(statement: Stmt) -> tuple[str, ...]:
    match statement:
        case For(variable):
            return (variable,)
        case Let(name):
            return (name,)
        case Store() | Check() | Prefetch() | Barrier():
            return ()
        case _:
            assert_never(statement)
