"""What several loop passes look at: a perfect nest of parallel loops over whole extents, and what it defines."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import replace
from math import prod
from typing import TypeGuard

from rnncc.loop.builder import ONE, ZERO
from rnncc.loop.functions import FUNCTIONS
from rnncc.loop.index import stride_in
from rnncc.loop.ir import INDEPENDENT, Call, Const, Expr, For, Index, Load, Procedure, Reduce, Span, Stmt, Store, Var
from rnncc.loop.visit import children, free_variables, stores_of, substitute, walk_exprs, walk_statements
from rnncc.records import record


@record(frozen=True, slots=True)
class Nest:
    """`for v1 in parallel(0, s1): for v2 in parallel(0, s2): ... body`, where body has no loops."""

    variables: tuple[str, ...]
    sizes: tuple[Expr, ...]
    body: tuple[Stmt, ...]

    @property
    def stores(self) -> tuple[Store, ...]:
        """The stores of the body."""
        return tuple(statement for statement in self.body if isinstance(statement, Store))


def nest_of(statement: Stmt) -> Nest | None:
    """`statement` as a nest, or None when it is a loop over time, or tiled already."""
    variables: list[str] = []
    sizes: list[Expr] = []
    body: tuple[Stmt, ...] = (statement,)
    while len(body) == 1 and isinstance(body[0], For):
        loop = body[0]
        if loop.kind != "parallel" or loop.start != ZERO or loop.step != 1:
            return None
        variables.append(loop.variable)
        sizes.append(loop.stop)
        body = loop.body
    if any(isinstance(inner, For) for inner in body):
        return None
    return Nest(tuple(variables), tuple(sizes), body)


def loops_of(nest: Nest) -> tuple[Stmt, ...]:
    """The statements that `nest` stands for."""
    body = nest.body
    for variable, size in zip(reversed(nest.variables), reversed(nest.sizes), strict=True):
        body = (For(variable, "parallel", ZERO, size, 1, body),)
    return body


def without_axis(nest: Nest, axis: int) -> Nest:
    """`nest` without one of its loops."""
    variables, sizes = nest.variables, nest.sizes
    return replace(
        nest, variables=(*variables[:axis], *variables[axis + 1 :]), sizes=(*sizes[:axis], *sizes[axis + 1 :])
    )


def last_axis(sizes: Sequence[Expr]) -> int | None:
    """The axis whose elements are neighbours in memory: the last one that has more than one; None if all have one."""
    return max((axis for axis, size in enumerate(sizes) if size != ONE), default=None)


def scalars(index: Sequence[Index]) -> tuple[Expr, ...]:
    """`index` of an access that is not a vector: before `vectorize`, every access."""
    assert not any(isinstance(item, Span) for item in index), "a span before vectorize"
    return tuple(item for item in index if not isinstance(item, Span))


def is_costly(part: Expr) -> bool:
    """True for a function that takes longer than to keep its result in memory."""
    return isinstance(part, Call) and not FUNCTIONS[part.function].cheap


def is_over_steps(statement: Stmt) -> TypeGuard[For]:
    """True for a loop over steps or pieces of time, false for one over rows, panels or k."""
    if not isinstance(statement, For) or statement.kind != "range":
        return False
    inside = walk_statements(statement.body)
    return any(isinstance(inner, For) and inner.kind in INDEPENDENT for inner in inside)


def packed_sizes(procedure: Procedure) -> dict[str, int]:
    """Bytes of every packed buffer, by name. Their shapes are constant."""
    return {
        buffer.name: prod(int(size.value) for size in buffer.shape if isinstance(size, Const)) * buffer.dtype.size
        for buffer in procedure.buffers
        if buffer.space == "packed"
    }


def written_by(procedure: Procedure) -> Callable[[Stmt], str]:
    """A function that says what schedules call a nest, tiled or not: the first of the buffers that it writes."""
    names = all_written_by(procedure)
    return lambda statement: next(iter(names(statement)), "")


def all_written_by(procedure: Procedure) -> Callable[[Stmt], list[str]]:
    """A function that says which buffers a statement writes, in the order in which `procedure` has them."""
    shared = [buffer.name for buffer in procedure.buffers if not buffer.is_private]

    def written(statement: Stmt) -> list[str]:
        own = {store.buffer for store in stores_of(statement)}
        return [name for name in shared if name in own]

    return written


@record(frozen=True, slots=True)
class Definition:
    """A temporary whose every element is written once, as a function of its index: `buffer[variables] = value`."""

    buffer: str
    variables: tuple[str, ...]
    sizes: tuple[Expr, ...]
    value: Expr

    def at(self, index: Sequence[Index]) -> Expr:
        """The value at `index`."""
        place = dict(zip(self.variables, scalars(index), strict=True))
        return substitute(self.value, place)


def definition_of(nest: Nest | None, shape: Sequence[Expr] | None) -> Definition | None:
    """What `nest` defines, when it is one store that covers a buffer of `shape` point by point."""
    if nest is None or shape is None or len(nest.body) != 1:
        return None
    (store,) = nest.body
    if not isinstance(store, Store) or store.combine or store.index != tuple(map(Var, nest.variables)):
        return None
    if nest.sizes != tuple(shape):
        return None
    return Definition(store.buffer, nest.variables, nest.sizes, store.value)


def walks(index: Sequence[Index], variable: str, strides: tuple[int, ...]) -> bool:
    """True when `variable` moves an access in its last axis only, and there by one of `strides`."""
    *lead, last = scalars(index) or (Var(variable),)
    return stride_in(last, variable) in strides and not any(variable in free_variables(item) for item in lead)


def is_packable(load: Load, k: str, j: str) -> bool:
    """True when a load moves with the reduction variable and the column, by one, and with nothing else.

    Of a weight, such elements can be stored in the order in which they are read.
    """
    index = scalars(load.index)
    if any(isinstance(part, Load) for item in index for part in walk_exprs(item)):
        return False
    return free_variables(load) == {k, j} and all(stride_in(item, j) in (0, 1) for item in index)


def is_of_weights(expr: Expr, k: str, j: str, weights: Container[str]) -> bool:
    """True for what is made of `weights` that move with the reduction variable and the column, and of nothing else."""
    loads = [part for part in walk_exprs(expr) if isinstance(part, Load)]
    if not loads or isinstance(expr, Reduce) or _is_value(expr, j) or not free_variables(expr) <= {k, j}:
        return False
    return all(load.buffer in weights and is_packable(load, k, j) for load in loads)


def parts_of_weights(value: Expr, k: str, j: str, weights: Container[str]) -> Iterator[Expr]:
    """The largest parts of `value` that are made `is_of_weights`, in order."""
    if is_of_weights(value, k, j, weights):
        yield value
        return
    for child in children(value):
        yield from parts_of_weights(child, k, j, weights)


def first_buffer(expr: Expr) -> str:
    """The buffer that `expr` reads first; what is stored for it is named after that."""
    return next(part.buffer for part in walk_exprs(expr) if isinstance(part, Load))


def _is_value(expr: Expr, name: str) -> bool:
    """True when the variable `name` is used outside of an index."""
    if isinstance(expr, Load):
        return False
    return (isinstance(expr, Var) and expr.name == name) or any(_is_value(part, name) for part in children(expr))
