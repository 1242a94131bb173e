"""Write out loops of kind `unroll`, and load what several copies read once.

    for m in unroll(0, 2):                                       w = wp[p, k, 0, span(0, 16)]
        acc[m, 0, span(0, 16)] += h[r + m, k] * wp[...]    ->    acc[0, 0, span(0, 16)] += h[r, k] * w
                                                                 acc[1, 0, span(0, 16)] += h[r + 1, k] * w

Registers are indexed by constants from here on.

Requires: `vectorize`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rnncc.loop.builder import folded, folded_index, integer
from rnncc.loop.ir import Check, Const, Expr, For, Let, Load, Procedure, Stmt, Store, Var
from rnncc.loop.visit import map_expr, map_statement, map_statements, substitute, walk_exprs
from rnncc.passes.loop.names import Names


def unroll(procedure: Procedure) -> Procedure:
    """Unroll, fold indices, and share loads within straight lines."""
    names = Names(procedure)
    registers = {buffer.name for buffer in procedure.buffers if buffer.space == "register"}
    body = _share_loads(_block(procedure.body, names), registers, names)
    return procedure if body == procedure.body else replace(procedure, body=body)


def _block(statements: Sequence[Stmt], names: Names) -> tuple[Stmt, ...]:
    result: list[Stmt] = []
    for statement in statements:
        if not isinstance(statement, For):
            result.append(statement)
        elif statement.kind != "unroll":
            result.append(replace(statement, body=_block(statement.body, names)))
        else:
            result += _copies(statement, names)
    return tuple(result)


def _copies(loop: For, names: Names) -> list[Stmt]:
    assert isinstance(loop.start, Const) and isinstance(loop.stop, Const), "an unrolled loop has constant bounds"
    result: list[Stmt] = []
    for turn in range(int(loop.start.value), int(loop.stop.value), loop.step):
        copy = substitute(loop.body, {loop.variable: integer(turn)})
        copy = tuple(map(_folded, map_statements(copy, lambda expr: map_expr(expr, folded))))
        result += _renamed(_block(copy, names), names)
    return result


def _folded(statement: Stmt) -> Stmt:
    """`statement` with the limits of its stores folded."""
    match statement:
        case Store():
            return replace(statement, index=folded_index(statement.index))
        case For():
            return replace(statement, body=tuple(map(_folded, statement.body)))
        case _:
            return statement


def _renamed(statements: Sequence[Stmt], names: Names) -> list[Stmt]:
    """`statements` with a new name for every `Let` among them."""
    new: dict[str, Expr] = {}
    result: list[Stmt] = []
    for statement in statements:
        changed = map_statement(statement, lambda expr: _rename(expr, new))
        if isinstance(changed, Let):
            name = names.fresh(changed.name)
            new[changed.name] = Var(name, changed.value.dtype, changed.value.lanes)
            changed = replace(changed, name=name)
        result.append(changed)
    return result


def _rename(expr: Expr, new: Mapping[str, Expr]) -> Expr:
    return substitute(expr, new)


def _share_loads(statements: Sequence[Stmt], registers: set[str], names: Names) -> tuple[Stmt, ...]:
    """Bind every load that a straight line does more than once, where nothing is stored to its buffer in between."""
    result: list[Stmt] = []
    line: list[Stmt] = []
    for statement in [*statements, None]:
        if statement is not None and not isinstance(statement, For):
            line.append(statement)
            continue
        result += _shared_line(line, registers, names)
        line = []
        if statement is not None:
            result.append(replace(statement, body=_share_loads(statement.body, registers, names)))
    return tuple(result)


def _shared_line(line: Sequence[Stmt], registers: set[str], names: Names) -> list[Stmt]:
    written = {statement.buffer for statement in line if isinstance(statement, Store)} | registers
    count = Counter(
        part
        for statement in line
        if not isinstance(statement, Check)  # it reports where its number was loaded from
        for part in walk_exprs(statement)
        if isinstance(part, Load) and part.index
    )
    bound: dict[Load, Var] = {}
    result: list[Stmt] = []
    for statement in line:
        if isinstance(statement, Check):
            result.append(statement)
            continue

        def shared(expr: Expr) -> Expr:
            if not isinstance(expr, Load) or count[expr] < 2 or expr.buffer in written:
                return expr
            if expr not in bound:
                name = names.fresh(f"{expr.buffer}_at")
                bound[expr] = Var(name, expr.dtype, expr.lanes)
                result.append(Let(name, expr))
            return bound[expr]

        changed = map_statement(statement, lambda expr, shared=shared: map_expr(expr, shared))  # type: ignore[misc]
        result.append(changed)
    return result
