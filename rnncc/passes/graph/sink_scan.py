"""Move projections of what a scan collects behind it: one matmul over all steps instead of one in every step.

    ys = scan(u, w, h0, xw, body=step)                     hs = scan(u, h0, xw, body=step)
    def step(u, w, /, h, *, x):                            ys = matmul(hs, w)
        k = tanh(x + matmul(h, u))             ->          def step(u, /, h, *, x):
        return k, matmul(k, w)                                 k = tanh(x + matmul(h, u))
                                                               return k, k

What moves: matmuls with a fixed matrix whose results no later step needs, and everything behind them.

Requires: `hoist_scan` before, which moves what is not carried the other way, and `dce`.
"""

from __future__ import annotations

from rnncc.graph.deps import needed_nodes
from rnncc.graph.ir import Graph, Node, is_scan
from rnncc.graph.rewrite import Rewriter, map_bodies, rewriter_for, substitute, substitute_outputs
from rnncc.graph.value import Value
from rnncc.passes.graph.dataflow import invariants, readers
from rnncc.passes.graph.scans import ScanEdit, copy_outside


def sink_scan(graph: Graph) -> Graph:
    """`graph` with every scan relieved of projections of its results, innermost scans first."""
    return _sink(map_bodies(graph, _sink))


def _sink(graph: Graph) -> Graph:
    build = rewriter_for(graph)
    replacement: dict[Value, Value] = {}
    for old in graph.nodes:
        node = substitute(old, replacement)
        scan = ScanEdit.of(node) if is_scan(node) else None
        sinking = _sinking(scan) if scan else []
        if scan is None or not sinking:
            build.emit_node(node)
        else:
            replacement.update(_move(build, scan, sinking))
    return substitute_outputs(graph, build.nodes, replacement) if replacement else graph


def _sinking(scan: ScanEdit) -> list[Node]:
    """The nodes of the body that move behind the scan, in order."""
    body = scan.body
    fixed, read_by = invariants(body), readers(body)
    per_step = set(body.values()) - fixed
    kept = {after for _, after, _, _ in scan.carry}
    last: set[Node] = set()  # what no later step needs, and can be had for all steps at once
    for node in reversed(body.nodes):
        if fixed.issuperset(node.outputs) or not kept.isdisjoint(node.outputs) or not scan.can_lift(node, per_step):
            continue
        if all(reader in last for value in node.outputs for reader in read_by[value]):
            last.add(node)
    moved: set[Value] = set()
    sinking = []
    for node in body.nodes:
        is_projection = node.op.name == "matmul" and node.inputs[0] not in fixed and node.inputs[1] in fixed
        if node in last and (is_projection or not moved.isdisjoint(node.inputs)):
            moved.update(node.outputs)
            sinking.append(node)
    return sinking


def _move(build: Rewriter, scan: ScanEdit, sinking: list[Node]) -> dict[Value, Value]:
    """Append the scan without `sinking`, and these behind it; returns what stands for results of the scan."""
    body = scan.body
    fixed = invariants(body)
    per_step = set(body.values()) - fixed
    moved = {value for node in sinking for value in node.outputs}
    gone = {outside: inside for inside, outside in scan.ys if inside in moved}
    scan.ys = [pair for pair in scan.ys if pair[0] not in moved]
    outer = dict((*scan.consts, *scan.xs, *scan.ys))
    for value in dict.fromkeys(value for node in sinking for value in node.inputs):
        if value not in moved and value not in fixed and value not in outer:
            outer[value] = Value(build.unique(value.name), scan.over_time(value.type))
            scan.ys.append((value, outer[value]))
    read = [value for node in sinking for value in node.inputs if value in fixed]
    for node in needed_nodes(body.nodes, read):
        copy_outside(build, node, outer)
    staying = [node for node in body.nodes if moved.isdisjoint(node.outputs)]
    build.emit_node(scan.result(needed_nodes(staying, scan.body_outputs)))
    for node in sinking:
        outer[node.output] = scan.lift(build, node, [outer[value] for value in node.inputs], per_step)
    return {outside: outer[inside] for outside, inside in gone.items()}
