"""Which extent counts rows: parts of the input along which every result depends on its own part alone.

    for b in parallel(0, B):
        for j in parallel(0, 10):
            y[b, j] = sum(x[b, k] * w[k, j] for k in range(64))        B counts rows: y[b] needs x[b] only

A call may be cut along such an extent, and its pieces computed side by side, with nothing to wait for. A row may depend
on its number, as random numbers do: `number_rows` makes it the number in the whole call, whatever the piece.

    for b in parallel(0, B):                     ->            for b in parallel(0, B):
        mask[b] = threefry(k0, k1, i32(b), 0)                      mask[b] = threefry(k0, k1, i32(b + first_row), 0)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rnncc.loop.builder import add
from rnncc.loop.ir import Expr, For, Index, Load, Procedure, Reduce, Span, Stmt, Store, Var
from rnncc.loop.names import Names
from rnncc.loop.visit import children, expressions_of, free_variables, index_exprs, map_children, map_statement


def row_extent(procedure: Procedure) -> str | None:
    """The extent that counts rows, if there is one, of a procedure as `lower` and `number_rows` make it."""
    return next((dim for dim in procedure.dims if _counts_rows(procedure, dim, may_have_numbers=False)), None)


def number_rows(procedure: Procedure) -> Procedure:
    """`procedure`, as `lower` makes it, with numbers of rows in the whole call, if these alone keep rows together."""
    if row_extent(procedure) is not None:
        return procedure
    for dim in procedure.dims:
        if _counts_rows(procedure, dim, may_have_numbers=True):
            numbered = _Numbered(procedure, dim, Var(Names(procedure).fresh("first_row")))
            body = tuple(numbered.statement(statement, None) for statement in procedure.body)
            return replace(procedure, first_row=numbered.first.name, body=body)
    return procedure


def _counts_rows(procedure: Procedure, dim: str, *, may_have_numbers: bool) -> bool:
    rows = Var(dim)
    ports = [buffer for buffer in procedure.buffers if buffer.space in ("input", "output")]
    first_only = all(
        rows not in buffer.shape[1:] and not _mentions(buffer.shape[1:], dim) and _is_or_lacks(buffer.shape[:1], dim)
        for buffer in ports
    )
    in_outputs = all(buffer.shape[:1] == (rows,) for buffer in ports if buffer.space == "output")
    return first_only and in_outputs and _Rows(procedure, dim, may_have_numbers).are_apart()


def _mentions(exprs: Sequence[Expr], dim: str) -> bool:
    return any(dim in free_variables(expr) for expr in exprs)


def _is_or_lacks(exprs: Sequence[Expr], dim: str) -> bool:
    return all(expr == Var(dim) or dim not in free_variables(expr) for expr in exprs)


class _Rows:
    """Looks whether every access stays in the row of the loops around it."""

    def __init__(self, procedure: Procedure, dim: str, may_have_numbers: bool) -> None:
        self.procedure = procedure
        self.dim = dim
        self.may_have_numbers = may_have_numbers
        self.axes = _row_axes(procedure, dim)

    def are_apart(self) -> bool:
        plain = all(_is_or_lacks(buffer.shape, self.dim) for buffer in self.procedure.buffers)
        single = all(len(axes) <= 1 for axes in self.axes.values())
        return plain and single and self.block(self.procedure.body, None)

    def block(self, statements: Sequence[Stmt], row: str | None) -> bool:
        """True when all `statements` stay in `row`, the variable of the loop over rows around them."""
        return all(self.statement(statement, row) for statement in statements)

    def statement(self, statement: Stmt, row: str | None) -> bool:
        if isinstance(statement, For) and statement.stop == Var(self.dim):
            if row is not None or statement.kind != "parallel" or self.dim in free_variables(statement.start):
                return False
            return self.block(statement.body, statement.variable)
        if isinstance(statement, For) and not self.block(statement.body, row):
            return False
        if isinstance(statement, Store) and not self.access(statement.buffer, statement.index, row):
            return False
        return all(self.expression(expr, row) for expr in _roots(statement))

    def expression(self, expr: Expr, row: str | None) -> bool:
        """True when `expr` uses rows as indices of rows only, or as numbers in the whole call."""
        if isinstance(expr, Var):
            return expr.name != self.dim and (expr.name != row or self.may_have_numbers)
        if row is not None and self.procedure.first_row and expr == add(Var(row), Var(self.procedure.first_row)):
            return True
        if isinstance(expr, Load):
            return self.access(expr.buffer, expr.index, row)
        if isinstance(expr, Reduce) and self.dim in free_variables(expr.size):
            return False
        return all(self.expression(child, row) for child in children(expr))

    def access(self, buffer: str, index: tuple[Index, ...], row: str | None) -> bool:
        axes = self.axes[buffer]
        own = all(row is not None and index[axis] == Var(row) for axis in axes)
        others = tuple(item for axis, item in enumerate(index) if axis not in axes)
        return own and all(self.expression(expr, row) for expr in index_exprs(others))


class _Numbered:
    """Replaces the rows of `dim` by their numbers in the whole call, but where they are indices of rows."""

    def __init__(self, procedure: Procedure, dim: str, first: Var) -> None:
        self.dim = dim
        self.first = first
        self.axes = _row_axes(procedure, dim)

    def statement(self, statement: Stmt, row: str | None) -> Stmt:
        """A statement in a loop whose variable `row` is."""
        if isinstance(statement, For):
            inner = statement.variable if statement.stop == Var(self.dim) else row
            body = tuple(self.statement(one, inner) for one in statement.body)
            start, stop = self.expr(statement.start, row), self.expr(statement.stop, row)
            return replace(statement, start=start, stop=stop, body=body)
        if isinstance(statement, Store):
            index = self.index(statement.buffer, statement.index, row)
            return replace(statement, index=index, value=self.expr(statement.value, row))
        return map_statement(statement, lambda expr: self.expr(expr, row))

    def expr(self, expr: Expr, row: str | None) -> Expr:
        """An expression there."""
        if isinstance(expr, Var):
            return add(expr, self.first) if expr.name == row else expr
        if isinstance(expr, Load):
            return replace(expr, index=self.index(expr.buffer, expr.index, row))
        return map_children(expr, lambda child: self.expr(child, row))

    def index(self, buffer: str, items: tuple[Index, ...], row: str | None) -> tuple[Index, ...]:
        """The index of an access there. `lower` makes no spans."""
        axes = self.axes[buffer]
        return tuple(
            item if axis in axes or isinstance(item, Span) else self.expr(item, row) for axis, item in enumerate(items)
        )


def _row_axes(procedure: Procedure, dim: str) -> dict[str, list[int]]:
    """By buffer: the axes that have as many elements as there are rows."""
    return {
        buffer.name: [axis for axis, size in enumerate(buffer.shape) if size == Var(dim)]
        for buffer in procedure.buffers
    }


def _roots(statement: Stmt) -> Iterator[Expr]:
    """The expressions of a statement; of a store its value, the index is looked at as an access."""
    if isinstance(statement, Store):
        yield statement.value
    else:
        yield from expressions_of(statement)
