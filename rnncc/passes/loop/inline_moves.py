"""Read through copies: a buffer that only moves elements of another is never filled.

    for i in parallel(0, B):                        for i in parallel(0, B):
        for j in parallel(0, 64):                       for j in parallel(0, 32):
            x[i, j] = table[ids[i], j]       ->             y[i, j] = tanh(table[ids[i], j + 32])
    for i in parallel(0, B):
        for j in parallel(0, 32):
            y[i, j] = tanh(x[i, j + 32])

Elements that a product reads column by column, for several rows, stay side by side: what puts them there is kept.
Scores of 100 places for 100 queries of 64 numbers each, 32 times: 907 us where each score is a sum by itself, 432 and
103 for turning the places. Weights are packed by tiles however they lie.

Requires: the naive form of `lower`, where a buffer that is read is not written again before its last reader ran.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from rnncc.loop.builder import ONE
from rnncc.loop.ir import Const, Expr, For, Load, Procedure, Reduce, Stmt
from rnncc.loop.visit import free_variables, map_expr, map_statement, walk_exprs
from rnncc.passes.loop.nest import Definition, definition_of, nest_of, walks


def inline_moves(procedure: Procedure) -> Procedure:
    """Replace every load of a moved-only temporary by the load behind it, and drop the temporary."""
    shapes = {buffer.name: buffer.shape for buffer in procedure.buffers if buffer.space == "temporary"}
    columns = set(_columns(procedure.body))
    weights = {buffer.name for buffer in procedure.buffers if buffer.space == "weight"}
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
            if definition is None or (definition.buffer in columns and _turns(definition, weights)):
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


def _columns(statements: Sequence[Stmt]) -> Iterator[str]:
    """Buffers that a product reads column by column, and that are the same for rows of another axis."""
    for statement in statements:
        nest = nest_of(statement)
        if isinstance(statement, For) and statement.kind == "range":
            yield from _columns(statement.body)
        elif nest is not None and nest.variables:
            sums = [part for part in walk_exprs(nest.body) if isinstance(part, Reduce) and part.function == "add"]
            loads = [part for one in sums for part in walk_exprs(one.value) if isinstance(part, Load)]
            *rows, j = nest.variables
            for load in loads:
                others = [size for row, size in zip(rows, nest.sizes, strict=False) if row not in free_variables(load)]
                if walks(load.index, j, (1,)) and any(size != ONE for size in others):
                    yield load.buffer


def _turns(definition: Definition, weights: Collection[str]) -> bool:
    """True for a move of something else than weights that puts elements side by side which were not."""
    source = definition.value
    if not isinstance(source, Load) or source.buffer in weights:
        return False
    return not walks(source.index, definition.variables[-1], (0, 1))
