"""The projection of a looked-up row is a row of a projected table, which depends on weights only.

    x = take(e, ids)                                  table = add(matmul(e, w), b)
    y = add(matmul(x, w), b)               ->         y = take(table, ids)

Done for matmuls and elementwise ops whose other operands are fixed, as long as a table has at most `table_bytes`.

A table that a scan body needs is made outside of it, with all that `hoist_scan` moves.

Requires: `hoist_scan` before, which brings input projections next to their lookups.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import prod

from rnncc.graph.deps import needed_nodes
from rnncc.graph.ir import Graph, Node, is_scan, scan_view
from rnncc.graph.rewrite import Rewriter, rewriter_for
from rnncc.graph.value import Value
from rnncc.ops.lookup import TAKE
from rnncc.passes.graph.dataflow import invariants, stem
from rnncc.passes.graph.hoist_scan import hoist_scan
from rnncc.passes.manager import Note, nobody

Lookups = dict[Value, tuple[Value, Value]]
"""Values that are rows of a fixed table: the table and the indices."""


def fold_embedding(graph: Graph, table_bytes: int = 64 << 20, note: Note = nobody) -> Graph:
    """`graph` with fixed work on looked-up rows done on the table instead, in bodies too."""
    folded = _fold(graph, graph.consts, table_bytes, note)
    return graph if folded is graph else hoist_scan(folded)  # a table made in every step would be no gain


def _fold(graph: Graph, weights: Iterable[Value], table_bytes: int, note: Note) -> Graph:
    """`weights` are those consts of `graph` that depend on nothing but weights."""
    fixed = invariants(graph, weights)
    build = rewriter_for(graph)
    lookups: Lookups = {}
    changed = False
    for node in graph.nodes:
        if node.op is TAKE and node.inputs[0] in fixed and node.inputs[1] not in fixed:
            table, ids = node.inputs
            lookups[node.output] = (table, ids)
        folded = _on_table(build, node, lookups, fixed, table_bytes, note)
        if folded is not None:
            lookups[node.output] = folded
            fixed.add(folded[0])
            node = replace(node, op=TAKE, inputs=folded, attrs={})
            changed = True
        elif is_scan(node):
            scan = scan_view(node)
            inner = [inside for inside, value in zip(scan.body.consts, scan.consts, strict=True) if value in fixed]
            body = _fold(scan.body, inner, table_bytes, note)
            if body is not scan.body:
                node = replace(node, attrs={**node.attrs, "body": body})
                changed = True
        build.emit_node(node)
    return replace(graph, nodes=needed_nodes(build.nodes, graph.outputs)) if changed else graph


def _on_table(
    build: Rewriter, node: Node, lookups: Lookups, fixed: set[Value], table_bytes: int, note: Note
) -> tuple[Value, Value] | None:
    """The table and the indices that `node` is a lookup of, or None; appends what makes the table."""
    rows = [lookups[value] for value in node.inputs if value in lookups]
    others = [value for value in node.inputs if value not in lookups]
    if not rows or any(value not in fixed for value in others):
        return None
    (table, ids), *more = rows
    size = table.type.shape[0]
    if any(index is not ids or other.type.shape[0] != size for other, index in more):
        return None
    if node.op.name == "matmul":
        if node.inputs[0] not in lookups or node.inputs[1].type.rank != 2 or table.type.rank < 2:
            return None
    elif not node.op.elementwise or not _fits_rows(node, lookups, ids):
        return None
    dims = (size, *node.output.type.shape[ids.type.rank :])
    if any(isinstance(dim, str) for dim in dims):
        return None
    size_in_bytes = prod(dim for dim in dims if isinstance(dim, int)) * node.output.type.dtype.size
    what = f"{size:,} rows, {size_in_bytes >> 10:,} KiB (at most {table_bytes >> 10:,})"
    if size_in_bytes > table_bytes:
        note(f"{node.output.name}: no table, it would have {what}")
        return None
    note(f"{node.output.name}: a table of {what}")
    operands = [lookups[value][0] if value in lookups else value for value in node.inputs]
    made = build.emit(node.op.name, *operands, like=node, hint=f"{stem(node.output.name)}_table", **node.attrs)
    assert made.type.shape == dims, f"a table of {made.type} does not have the rows of {node.output.type}"
    return made, ids


def _fits_rows(node: Node, lookups: Lookups, ids: Value) -> bool:
    """True when every operand of the elementwise `node` meets whole rows, never the axes of the indices."""
    row_ranks = {value.type.rank - ids.type.rank for value in node.inputs if value in lookups}
    return len(row_ranks) == 1 and all(
        value in lookups or value.type.rank <= next(iter(row_ranks)) for value in node.inputs
    )
