"""What all graph passes make of a graph, and helpers to look at the result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from rnncc.graph.ir import Graph, Node, is_scan
from rnncc.graph.rewrite import map_bodies
from rnncc.graph.value import Value
from rnncc.graph.verify import verify
from rnncc.options import Options
from rnncc.passes.graph.dataflow import invariants
from rnncc.passes.graph.scans import ScanEdit
from rnncc.pipeline import graph_passes


def optimized(graph: Graph) -> Graph:
    """`graph` after all passes, verified after each."""
    for step in graph_passes(Options()):
        graph = step.run(graph)
        verify(graph, after=step.name)
    return graph


def per_call(graph: Graph) -> Graph:
    """`graph` without the nodes that depend on weights only: what they compute becomes a const."""
    fixed = invariants(graph)
    made = [value for node in graph.nodes if node.inputs and fixed.issuperset(node.outputs) for value in node.outputs]
    nodes = tuple(node for node in graph.nodes if not node.inputs or not fixed.issuperset(node.outputs))
    used = {value for node in nodes for value in node.inputs} | set(graph.outputs)
    consts = tuple(value for value in (*graph.consts, *made) if value in used)
    return replace(graph, consts=consts, nodes=nodes, sources={})


def renamed(graph: Graph) -> Graph:
    """`graph` with values named by position, consts in order of use, so that only the structure shows."""
    nodes = tuple(_in_order_of_use(node) if is_scan(node) else node for node in map_bodies(graph, _named).nodes)
    order = _order_of_use(nodes)
    return _named(replace(graph, consts=tuple(sorted(graph.consts, key=order.index)), nodes=nodes))


def _in_order_of_use(node: Node) -> Node:
    scan = ScanEdit.of(node)
    order = _order_of_use(scan.body.nodes)
    scan.consts.sort(key=lambda pair: order.index(pair[0]))
    result = scan.result()
    return replace(result, attrs={**result.attrs, "body": _named(result.attrs["body"])})


def _order_of_use(nodes: Iterable[Node]) -> list[Value]:
    return list(dict.fromkeys(value for node in nodes for value in node.inputs))


def _named(graph: Graph) -> Graph:
    new = {value: Value(f"v{number}", value.type) for number, value in enumerate(graph.values())}

    def values(old: tuple[Value, ...]) -> tuple[Value, ...]:
        return tuple(new[value] for value in old)

    nodes = tuple(replace(node, inputs=values(node.inputs), outputs=values(node.outputs)) for node in graph.nodes)
    consts, inputs, xs = values(graph.consts), values(graph.inputs), values(graph.xs)
    outputs = values(graph.outputs)
    return replace(graph, consts=consts, inputs=inputs, xs=xs, nodes=nodes, outputs=outputs, sources={})


def scans(graph: Graph) -> list[Node]:
    return [node for node in graph.nodes if is_scan(node)]


def op_names(graph: Graph) -> Iterator[str]:
    """Names of the ops in `graph`, without those in bodies."""
    return (node.op.name for node in graph.nodes)
