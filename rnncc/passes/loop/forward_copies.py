"""Compute a result where it is wanted: a temporary that is copied whole into an output becomes that output.

    for t in range(0, T):                           for t in range(0, T):
        for b in parallel(0, B):                        for b in parallel(0, B):
            ys[t, b] = f(...)                ->             out[b, t] = f(...)
    for i in parallel(0, B):
        for j in parallel(0, T):
            out[i, j] = ys[j, i]

Neighbours stay neighbours: where the copy puts another axis last, it is left alone. The loop that fills the temporary
would have to store every element of a vector by itself.

Requires: `inline_moves`; each temporary is copied to at most one place this way, the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rnncc.loop.ir import Expr, For, Load, Procedure, Stmt, Store, Var
from rnncc.loop.visit import loads_of, map_expr, map_statement
from rnncc.passes.loop.nest import definition_of, last_axis, nest_of, scalars

Axes = tuple[int, ...]
"""For each axis of a target, which axis of its source that is: `out[i, j] = source[j, i]` -> (1, 0)."""


def forward_copies(procedure: Procedure) -> Procedure:
    """Redirect loads and stores of copied temporaries to the outputs they end in."""
    outputs = {buffer.name: buffer.shape for buffer in procedure.buffers if buffer.space == "output"}
    temporaries = {buffer.name: buffer.shape for buffer in procedure.buffers if buffer.space == "temporary"}
    targets: dict[str, tuple[str, Axes]] = {}
    kept: list[Stmt] = []
    for statement in procedure.body:
        found = _copy(statement, outputs, temporaries)
        if found is None or found[0] in targets or _reads_output(procedure.body, found[1]):
            kept.append(statement)
        else:
            source, target, axes = found
            targets[source] = (target, axes)
    if not targets:
        return procedure

    buffers = tuple(buffer for buffer in procedure.buffers if buffer.name not in targets)
    return replace(procedure, buffers=buffers, body=redirected(kept, targets))


def redirected(statements: Sequence[Stmt], targets: Mapping[str, tuple[str, Axes]]) -> tuple[Stmt, ...]:
    """`statements` where every access to a source in `targets` is one to its target."""

    def moved(buffer: str, index: tuple[Expr, ...]) -> tuple[str, tuple[Expr, ...]]:
        target, axes = targets[buffer]
        return target, tuple(index[axis] for axis in axes)

    def load(expr: Expr) -> Expr:
        if isinstance(expr, Load) and expr.buffer in targets:
            name, index = moved(expr.buffer, scalars(expr.index))
            return Load(name, index, expr.dtype)
        return expr

    def redirect(statement: Stmt) -> Stmt:
        if isinstance(statement, For):
            return replace(statement, body=tuple(map(redirect, statement.body)))
        if isinstance(statement, Store) and statement.buffer in targets:
            name, index = moved(statement.buffer, scalars(statement.index))
            return replace(statement, buffer=name, index=index)
        return statement

    return tuple(redirect(map_statement(statement, lambda expr: map_expr(expr, load))) for statement in statements)


def _copy(
    statement: Stmt, outputs: dict[str, tuple[Expr, ...]], temporaries: dict[str, tuple[Expr, ...]]
) -> tuple[str, str, Axes] | None:
    """`(source, target, axes)` when `statement` fills an output with a whole temporary: target axis i is axes[i]."""
    nest = nest_of(statement)
    if nest is None or not nest.stores:
        return None
    definition = definition_of(nest, outputs.get(nest.stores[0].buffer))
    if definition is None or not isinstance(definition.value, Load) or definition.value.buffer not in temporaries:
        return None
    source = definition.value
    axes = axes_at_point(source, temporaries[source.buffer], nest.variables, nest.sizes)
    return None if axes is None else (source.buffer, definition.buffer, axes)


def axes_at_point(load: Load, shape: Sequence[Expr], variables: Sequence[str], sizes: Sequence[Expr]) -> Axes | None:
    """Where each of `variables`, with these `sizes`, stands in the index of `load`, of a source of this `shape`.

    None if they do not go over each element of the source once, or where neighbours would not stay neighbours.
    """
    index = scalars(load.index)
    if len(index) != len(variables) or any(Var(name) not in index for name in variables):
        return None
    axes = tuple(index.index(Var(name)) for name in variables)
    if tuple(shape[axis] for axis in axes) != tuple(sizes):
        return None
    last = last_axis(sizes)
    return axes if last is None or axes[last] == last_axis(shape) else None


def _reads_output(body: tuple[Stmt, ...], target: str) -> bool:
    return any(load.buffer == target for statement in body for load in loads_of(statement))
