"""Dead code: drop what no output needs.

    def model(w, u, /, x):                                   def model(w, /, x):
        a = matmul(x, w)                                         a = matmul(x, w)
        b = matmul(x, u)                              ->         h, = scan(h0, a, body=step)
        h, k, ys = scan(u, h0, k0, a, b, body=step)              return h
        return h

Drops nodes, weights, and of a scan: collected outputs that nothing reads, states that only feed themselves, operands
that the body does not read. Arguments of the model stay, and so does the name of every extent.
"""

from __future__ import annotations

from dataclasses import replace

from rnncc.graph.ir import Graph, Node, is_scan
from rnncc.graph.value import Value
from rnncc.passes.graph.scans import ScanEdit


def dce(graph: Graph) -> Graph:
    """`graph` without what its outputs do not depend on."""
    pruned = _prune(graph)
    used = {value for node in pruned.nodes for value in node.inputs} | set(pruned.outputs)
    consts = tuple(value for value in pruned.consts if value in used)
    if len(consts) == len(pruned.consts):
        return pruned
    names = {value.name for value in consts}
    sources = {name: source for name, source in pruned.sources.items() if name in names}
    return replace(pruned, consts=consts, sources=sources)


def _prune(graph: Graph) -> Graph:
    """`graph` without dead nodes, in bodies too; its parameters stay."""
    wanted = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if wanted.isdisjoint(node.outputs):
            continue
        live = _prune_scan(node, wanted) if is_scan(node) else node
        wanted.update(live.inputs)
        kept.append(live)
    nodes = tuple(reversed(kept))
    return graph if nodes == graph.nodes else replace(graph, nodes=nodes)


def _prune_scan(node: Node, wanted: set[Value]) -> Node:
    """`node` without the states, results and operands that `wanted` does not need; the same object if all are."""
    scan = ScanEdit.of(node)
    ys = [pair for pair in scan.ys if pair[1] in wanted]
    live = {inside for inside, _ in ys} | {after for _, after, _, final in scan.carry if final in wanted}
    while True:  # a state is live when a live value of the next step reads it
        body = _prune(replace(scan.body, outputs=tuple(live)))
        used = live | {value for inner in body.nodes for value in inner.inputs}
        carry = [state for state in scan.carry if state[3] in wanted or state[0] in used]
        reached = live | {after for _, after, _, _ in carry}
        if reached == live:
            break
        live = reached
    consts = [pair for pair in scan.consts if pair[0] in used]
    xs = [pair for pair in scan.xs if pair[0] in used]
    kept = (len(ys), len(carry), len(consts), len(xs), body.nodes)
    if kept == (len(scan.ys), len(scan.carry), len(scan.consts), len(scan.xs), scan.body.nodes):
        return node
    scan.ys, scan.carry, scan.consts, scan.xs = ys, carry, consts, xs
    return scan.result(body.nodes)
