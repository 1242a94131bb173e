"""The passes in the order that these tests run them in, and helpers to look at the result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from rnncc.graph.ir import Graph, Node, is_scan
from rnncc.graph.rewrite import map_bodies
from rnncc.graph.value import Value
from rnncc.graph.verify import verify
from rnncc.passes.graph.accumulate import accumulate
from rnncc.passes.graph.cse import cse
from rnncc.passes.graph.dataflow import invariants
from rnncc.passes.graph.dce import dce
from rnncc.passes.graph.fold import fold
from rnncc.passes.graph.fold_embedding import fold_embedding
from rnncc.passes.graph.fuse_gates import fuse_gates
from rnncc.passes.graph.hoist_scan import hoist_scan
from rnncc.passes.graph.last_step import last_step
from rnncc.passes.graph.reassociate import reassociate
from rnncc.passes.graph.scans import ScanEdit
from rnncc.passes.graph.simplify import simplify
from rnncc.passes.graph.sink_scan import sink_scan
from rnncc.passes.graph.split_gates import split_gates
from rnncc.passes.graph.unroll import unroll

ORDER = (
    simplify,
    fold,
    last_step,
    cse,
    dce,
    accumulate,
    split_gates,
    reassociate,
    hoist_scan,
    fuse_gates,
    fold_embedding,
    hoist_scan,
    sink_scan,
    unroll,
    simplify,
    fold,
    cse,
    dce,
)


def optimized(graph: Graph) -> Graph:
    """`graph` after all passes, verified after each."""
    for run in ORDER:
        graph = run(graph)
        verify(graph, after=run.__name__)
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
