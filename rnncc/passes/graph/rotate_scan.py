"""What a step makes of its states alone, for a product with weights, the step before makes: it has the states at hand.

    def step(u, mask, /, h, *, x):                     def step(u, mask, /, h, masked, *, x):
        masked = mul(h, mask)                              product = matmul(masked, u)
        product = matmul(masked, u)          ->            new = tanh(add(x, product))
        new = tanh(add(x, product))                        return new, mul(new, mask)
        return new                                     h, _ = scan(u, mask, h0, mul(h0, mask), x, body=step)
    h = scan(u, mask, h0, x, body=step)

A product needs all of its left operand, so that what makes it is a loop of its own, and threads that share the weights
meet once more in every step. At the end of a step it is one more operation on what is in registers, if it has as many
elements as the states. The loop is as rotated loops of compilers are: what its first step needs is made before, and the
last step makes some for nobody. For a stream, whose calls are one step each, that would be all of it made twice.

What is made on the way by a costly function becomes a state as well where something else in a step needs it.
"""

from __future__ import annotations

from dataclasses import replace

from rnncc.graph.deps import needed_nodes
from rnncc.graph.ir import Graph, Node, is_scan
from rnncc.graph.rewrite import Rewriter, map_bodies, rewriter_for
from rnncc.graph.value import Value
from rnncc.passes.graph.dataflow import invariants
from rnncc.passes.graph.scans import ScanEdit, copy_outside


def rotate_scan(graph: Graph) -> Graph:
    """`graph` with such values as states of their scans, innermost scans first."""
    return _rotate(map_bodies(graph, _rotate))


def _rotate(graph: Graph) -> Graph:
    build = rewriter_for(graph)
    changed = False
    for node in graph.nodes:
        scan = ScanEdit.of(node) if is_scan(node) else None
        factors = _factors(scan) if scan else []
        if scan is None or not factors:
            build.emit_node(node)
        else:
            changed = True
            _carry(build, scan, factors)
    return replace(graph, nodes=tuple(build.nodes)) if changed else graph


def _factors(scan: ScanEdit) -> list[Node]:
    """The nodes of the body that make left operands of products with weights: of states, element by element."""
    body = scan.body
    fixed = invariants(body)
    of_states = {inside for inside, _, _, _ in scan.carry}
    shapes = {value.type.shape for value in of_states}
    made = []
    for node in body.nodes:
        is_of_states = of_states.union(fixed).issuperset(node.inputs) and not of_states.isdisjoint(node.inputs)
        if node.op.elementwise and is_of_states and node.output.type.shape in shapes:
            of_states.add(node.output)
            made.append(node)
    products = [node for node in body.nodes if node.op.name == "matmul" and node.inputs[1] in fixed]
    factors = {node.inputs[0] for node in products}
    return [node for node in made if node.output in factors]


def _carry(build: Rewriter, scan: ScanEdit, factors: list[Node]) -> None:
    """Append the scan with what `factors` make as states, and before it what they are to begin with."""
    body = scan.body
    fixed = invariants(body)
    needed = needed_nodes(body.nodes, [node.output for node in factors])
    made = [node for node in needed if not fixed.issuperset(node.outputs)]
    carried = [node for node in made if node in factors or not node.op.cheap]
    first = dict([*scan.consts, *((inside, init) for inside, _, init, _ in scan.carry)])
    for node in needed:
        copy_outside(build, node, first)
    following = {value: value for value in fixed} | {inside: after for inside, after, _, _ in scan.carry}
    inner = rewriter_for(body)
    for node in body.nodes:
        if node not in carried:
            inner.emit_node(node)
    for node in made:
        copy_outside(inner, node, following)
    wanted = [*scan.body_outputs, *(following[node.output] for node in factors)]
    read = {value for node in needed_nodes(inner.nodes, wanted) for value in node.inputs}.union(wanted)
    for value in (node.output for node in carried):
        if value in read:
            final = Value(build.unique(value.name), value.type)
            scan.carry.append((value, following[value], first[value], final))
    build.emit_node(scan.result(needed_nodes(inner.nodes, scan.body_outputs)))
