"""Which extent counts rows: parts of the input along which every result depends on its own part alone.

    for b in parallel(0, B):
        for j in parallel(0, 10):
            y[b, j] = sum(x[b, k] * w[k, j] for k in range(64))        B counts rows: y[b] needs x[b] only

A call may be cut along such an extent, and its pieces computed side by side, with nothing to wait for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rnncc.loop.ir import Expr, For, Index, Load, Procedure, Reduce, Stmt, Store, Var
from rnncc.loop.visit import children, expressions_of, free_variables, index_exprs


def row_extent(procedure: Procedure) -> str | None:
    """The extent of a procedure as `lower` makes it that counts rows, if there is one."""
    ports = [buffer for buffer in procedure.buffers if buffer.space in ("input", "output")]
    for dim in procedure.dims:
        rows = Var(dim)
        first_only = all(
            rows not in buffer.shape[1:]
            and not _mentions(buffer.shape[1:], dim)
            and _is_or_lacks(buffer.shape[:1], dim)
            for buffer in ports
        )
        in_outputs = all(buffer.shape[:1] == (rows,) for buffer in ports if buffer.space == "output")
        if first_only and in_outputs and _Rows(procedure, dim).are_apart():
            return dim
    return None


def _mentions(exprs: Sequence[Expr], dim: str) -> bool:
    return any(dim in free_variables(expr) for expr in exprs)


def _is_or_lacks(exprs: Sequence[Expr], dim: str) -> bool:
    return all(expr == Var(dim) or dim not in free_variables(expr) for expr in exprs)


class _Rows:
    """Looks whether every access stays in the row of the loops around it."""

    def __init__(self, procedure: Procedure, dim: str) -> None:
        self.procedure = procedure
        self.dim = dim
        self.axes = {
            buffer.name: [axis for axis, size in enumerate(buffer.shape) if size == Var(dim)]
            for buffer in procedure.buffers
        }

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
        """True when `expr` uses rows as indices of rows only."""
        if isinstance(expr, Var):
            return expr.name not in (self.dim, row)
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


def _roots(statement: Stmt) -> Iterator[Expr]:
    """The expressions of a statement; of a store its value, the index is looked at as an access."""
    if isinstance(statement, Store):
        yield statement.value
    else:
        yield from expressions_of(statement)
