"""Read through copies: a buffer that only moves elements of another is never filled.

    for i in parallel(0, B):                        for i in parallel(0, B):
        for j in parallel(0, 64):                       for j in parallel(0, 32):
            x[i, j] = table[ids[i], j]       ->             y[i, j] = tanh(table[ids[i], j + 32])
    for i in parallel(0, B):
        for j in parallel(0, 32):
            y[i, j] = tanh(x[i, j + 32])

Requires: the naive form of `lower`, where a buffer that is read is not written again before its last reader ran.
"""

from __future__ import annotations

from dataclasses import replace

from rnncc.loop.ir import Const, Expr, For, Load, Procedure, Stmt
from rnncc.loop.visit import map_expr, map_statement
from rnncc.passes.loop.nest import Definition, definition_of, nest_of


def inline_moves(procedure: Procedure) -> Procedure:
    """Replace every load of a moved-only temporary by the load behind it, and drop the temporary."""
    shapes = {buffer.name: buffer.shape for buffer in procedure.buffers if buffer.space == "temporary"}
    moves: dict[str, Definition] = {}

    def through(expr: Expr) -> Expr:
        if isinstance(expr, Load) and expr.buffer in moves:
            return moves[expr.buffer].at(expr.index)
        return expr

    def block(statements: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
        kept: list[Stmt] = []
        for statement in statements:
            if isinstance(statement, For) and statement.kind == "range":
                kept.append(replace(statement, body=block(statement.body)))
                continue
            changed = map_statement(statement, lambda expr: map_expr(expr, through))
            definition = _move(changed, shapes)
            if definition is None:
                kept.append(changed)
            else:
                moves[definition.buffer] = definition
        return tuple(kept)

    body = block(procedure.body)
    if not moves:
        return procedure
    buffers = tuple(buffer for buffer in procedure.buffers if buffer.name not in moves)
    return replace(procedure, buffers=buffers, body=body)


def _move(statement: Stmt, shapes: dict[str, tuple[Expr, ...]]) -> Definition | None:
    nest = nest_of(statement)
    if nest is None or not nest.stores:
        return None
    definition = definition_of(nest, shapes.get(nest.stores[0].buffer))
    if definition is None or not isinstance(definition.value, Load | Const):
        return None
    return definition
