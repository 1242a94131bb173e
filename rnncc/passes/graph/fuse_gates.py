"""One matmul for all that share the left operand, and that the same loop over steps reads, if one does.

    a = matmul(h, ua)                             u = concatenate(ua, ub; axis=1)
    b = matmul(h, ub)                             z = matmul(h, u)
                                      ->          a = slice(z, columns of ua)
                                                  b = slice(z, columns of ub)

The right operands must be fixed: weights, or what a scan body closes over (the concatenation is then the same at every
step, and `hoist_scan` moves it out). Elementwise ops that follow every one of the products in the same way, with a
fixed vector each (biases), are done once for all columns too. What two directions make of their sequence stays apart:
each loop wants its own in its own order, and some steps of it at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rnncc.graph.ir import Graph, Node
from rnncc.graph.rewrite import Rewriter, map_bodies, rewriter_for
from rnncc.graph.value import Value
from rnncc.ops.scan import SCAN
from rnncc.ops.shapes import SLICE
from rnncc.passes.graph.dataflow import invariants, readers, stem
from rnncc.types import TensorType

Row = tuple[Node, ...]
"""The same op for every gate."""


def fuse_gates(graph: Graph) -> Graph:
    """`graph` with matmuls that share the left operand as one, in bodies too."""
    return _fuse(map_bodies(graph, _fuse))


def _fuse(graph: Graph) -> Graph:
    fixed = invariants(graph)
    rows = {row[0]: [row, *_followers(graph, row, fixed)] for row in _products(graph, fixed)}
    if not rows:
        return graph
    fused = {node for group in rows.values() for row in group for node in row}
    build = rewriter_for(graph)
    late = []
    for node in graph.nodes:  # fixed values first: all gates' weights are known where the first product was
        if fixed.issuperset(node.outputs):
            build.emit_node(node)
        else:
            late.append(node)
    for node in late:
        if node in rows:
            _emit_fused(build, rows[node])
        elif node not in fused:
            build.emit_node(node)
    return replace(graph, nodes=tuple(build.nodes))


def _products(graph: Graph, fixed: set[Value]) -> list[Row]:
    """Two or more matmuls of one left operand with fixed matrices, that one scan reads or none."""
    by_left: dict[Value, list[Node]] = {}
    for node in graph.nodes:
        if node.op.name == "matmul":
            left, right = node.inputs
            if left not in fixed and right in fixed and right.type.rank == 2:
                by_left.setdefault(left, []).append(node)
    read_by = readers(graph)
    groups: dict[tuple[Value, Node | None], list[Node]] = {}
    for left, nodes in by_left.items():
        for node in nodes if len(nodes) > 1 else ():
            groups.setdefault((left, _loop_behind(node, read_by)), []).append(node)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def _loop_behind(node: Node, read_by: Mapping[Value, Sequence[Node]]) -> Node | None:
    """The one scan that reads what elementwise ops make of `node`; None if it is no scan, or several nodes."""
    seen = {node}
    found: set[Node] = set()
    waiting = [node]
    while waiting:
        for reader in read_by[waiting.pop().output]:
            if not reader.op.elementwise:
                found.add(reader)
            elif reader not in seen:
                seen.add(reader)
                waiting.append(reader)
    loop = found.pop() if len(found) == 1 else None
    return loop if loop is not None and loop.op is SCAN else None


def _followers(graph: Graph, row: Row, fixed: set[Value]) -> list[Row]:
    """Rows of equal elementwise ops behind `row`, one behind the other."""
    read_by = readers(graph)
    found: list[Row] = []
    while True:
        nexts = [read_by[node.output] for node in row if node.output not in graph.outputs]
        if len(nexts) < len(row) or any(len(nodes) != 1 for nodes in nexts):
            return found
        behind = tuple(nodes[0] for nodes in nexts)
        if len(set(behind)) < len(behind) or not _is_row(row, behind, fixed):
            return found
        found.append(behind)
        row = behind


def _is_row(row: Row, behind: Row, fixed: set[Value]) -> bool:
    """True when the nodes `behind` do the same to the results of `row`, each with one fixed vector."""
    op = behind[0].op
    if not op.elementwise or any(node.op is not op or len(node.inputs) != 2 for node in behind):
        return False
    sides = {_side(node, next_node) for node, next_node in zip(row, behind, strict=True)}
    return (op.commutes or len(sides) == 1) and all(
        next_node.output.type == node.output.type and _is_vector(_other(node, next_node), node.output.type, fixed)
        for node, next_node in zip(row, behind, strict=True)
    )


def _is_vector(value: Value, type: TensorType, fixed: set[Value]) -> bool:
    """True for a fixed vector with an element for every column of `type`."""
    return value in fixed and value.type.shape == type.shape[-1:]


def _side(node: Node, next_node: Node) -> int:
    return next_node.inputs.index(node.output)


def _other(node: Node, next_node: Node) -> Value:
    return next_node.inputs[1 - _side(node, next_node)]


def _emit_fused(build: Rewriter, rows: Sequence[Row]) -> None:
    """Append the fused form of `rows` and the slices that define what their last row defined."""
    products, *followers = rows
    first = products[0]
    weights = [node.inputs[1] for node in products]
    kernel = build.emit("concatenate", *weights, like=first, hint=f"{stem(weights[0].name)}_all", axis=1)
    wide = build.emit("matmul", first.inputs[0], kernel, like=first, hint=f"{stem(first.output.name)}_all")
    before = products
    for row in followers:
        vectors = [_other(node, next_node) for node, next_node in zip(before, row, strict=True)]
        vector = build.emit("concatenate", *vectors, like=row[0], hint=f"{stem(vectors[0].name)}_all", axis=0)
        operands = (wide, vector) if _side(before[0], row[0]) == 0 else (vector, wide)
        wide = build.emit(row[0].op.name, *operands, like=row[0], hint=f"{stem(row[0].output.name)}_all")
        before = row
    *lead, _ = wide.type.shape
    start = 0
    for node in before:
        columns = node.output.type.shape[-1]
        assert isinstance(columns, int), "weights have fixed sizes"
        attrs = {"starts": (*(0 for _ in lead), start), "sizes": (*lead, columns)}
        build.emit_node(Node(SLICE, (wide,), node.outputs, attrs, node.scope, node.place))
        start += columns
