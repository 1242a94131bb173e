"""What a step makes of its states alone, for a product with weights, the step before makes: it has the states at hand.

    def step(u, mask, /, h, *, x):                     def step(u, mask, /, h, masked, *, x):
        masked = mul(h, mask)                              product = matmul(masked, u)
        product = matmul(masked, u)          ->            new = tanh(add(x, product))
        new = tanh(add(x, product))                        return new, mul(new, mask)
        return new                                     h, _ = scan(u, mask, h0, mul(h0, mask), x, body=step)
    h = scan(u, mask, h0, x, body=step)

A product needs all of its left operand, so that what makes it is a loop of its own, and threads that share the weights
meet once more in every step. At the end of a step it is one more operation on what is in registers. The loop is as
rotated loops of compilers are: what its first step needs is made before, and the last step makes some for nobody.
"""

from __future__ import annotations

from dataclasses import replace

from rnncc.graph.deps import needed_nodes
from rnncc.graph.ir import Graph, Node, is_scan
from rnncc.graph.rewrite import Rewriter, map_bodies, rewriter_for
from rnncc.graph.value import Value
from rnncc.passes.graph.dataflow import invariants, readers
from rnncc.passes.graph.scans import ScanEdit, copy_outside


def rotate_scan(graph: Graph) -> Graph:
    """`graph` with such values as states of their scans, innermost scans first."""
    return _rotate(map_bodies(graph, _rotate))


def _rotate(graph: Graph) -> Graph:
    build = rewriter_for(graph)
    changed = False
    for node in graph.nodes:
        scan = ScanEdit.of(node) if is_scan(node) else None
        rotated = _rotated(scan) if scan else []
        if scan is None or not rotated:
            build.emit_node(node)
        else:
            changed = True
            _carry(build, scan, rotated)
    return replace(graph, nodes=tuple(build.nodes)) if changed else graph


def _rotated(scan: ScanEdit) -> list[Value]:
    """The values of the body that become states: left factors that are nothing else, made of states element by element.

    Of what they are made of, and something else needs as well, no costly function is computed twice.
    """
    body = scan.body
    fixed, read_by = invariants(body), readers(body)
    of_states = {inside for inside, _, _, _ in scan.carry}
    made = []
    for node in body.nodes:
        is_of_states = of_states.union(fixed).issuperset(node.inputs) and not of_states.isdisjoint(node.inputs)
        if node.op.elementwise and is_of_states:
            of_states.add(node.output)
            made.append(node)
    leaving: set[Node] = set()
    for node in reversed(made):
        others = [reader for reader in read_by[node.output] if not _is_factor(node.output, reader)]
        if node.output not in body.outputs and leaving.issuperset(others):
            leaving.add(node)
    costly = {node for node in made if not node.op.cheap}
    return [
        node.output
        for node in made
        if read_by[node.output]
        and all(_is_factor(node.output, reader) for reader in read_by[node.output])
        and node in leaving
        and leaving.issuperset(costly.intersection(needed_nodes(made, [node.output])))
    ]


def _is_factor(value: Value, reader: Node) -> bool:
    """True when `value` is the left factor of a product, and not the right one too."""
    return reader.op.name == "matmul" and reader.inputs[1] is not value


def _carry(build: Rewriter, scan: ScanEdit, rotated: list[Value]) -> None:
    """Append the scan with `rotated` as states, and before it what they are to begin with."""
    body = scan.body
    fixed = invariants(body)
    needed = needed_nodes(body.nodes, rotated)
    first = dict([*scan.consts, *((inside, init) for inside, _, init, _ in scan.carry)])
    for node in needed:
        copy_outside(build, node, first)
    inner = rewriter_for(body)
    for node in body.nodes:
        if node.outputs[0] not in rotated:
            inner.emit_node(node)
    following = {value: value for value in fixed} | {inside: after for inside, after, _, _ in scan.carry}
    for node in needed:
        if not fixed.issuperset(node.outputs):
            copy_outside(inner, node, following)
    for value in rotated:
        final = Value(build.unique(value.name), value.type)
        scan.carry.append((value, following[value], first[value], final))
    outputs = [*(after for _, after, _, _ in scan.carry), *(inside for inside, _ in scan.ys)]
    build.emit_node(scan.result(needed_nodes(inner.nodes, outputs)))
