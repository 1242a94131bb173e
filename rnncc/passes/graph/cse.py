"""Common subexpressions: compute what is the same once.

    a = add(x, y)
    b = add(y, x)                  a = add(x, y)
    z = mul(a, b)          ->      z = mul(a, a)

Two nodes are the same when op, operands (in any order where the op commutes) and attrs are. In scans, operands of one
kind that are the same value outside become one, and so do results that are the same value inside.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace

from rnncc.graph.ir import Graph, Node, is_scan
from rnncc.graph.op import Attr
from rnncc.graph.rewrite import substitute, substitute_outputs
from rnncc.graph.value import Value
from rnncc.passes.graph.scans import ScanEdit


def cse(graph: Graph) -> Graph:
    """`graph` with every expression computed once, in bodies too."""
    order = {value: number for number, value in enumerate(graph.values())}
    known: dict[Hashable, Node] = {}
    replacement: dict[Value, Value] = {}
    nodes: list[Node] = []
    for old in graph.nodes:
        node = substitute(old, replacement)
        if is_scan(node):
            node = _merge_scan(node, replacement)
        first = known.setdefault(_key(node, order), node)
        if first is node:
            nodes.append(node)
        else:
            replacement.update(zip(node.outputs, first.outputs, strict=True))
    if tuple(nodes) == graph.nodes:
        return graph
    return substitute_outputs(graph, nodes, replacement)


def _key(node: Node, order: Mapping[Value, int]) -> Hashable:
    inputs = [order[value] for value in node.inputs]
    attrs = tuple((name, _frozen(node.attrs[name])) for name in sorted(node.attrs))
    return node.op, tuple(sorted(inputs) if node.op.commutes else inputs), attrs


def _frozen(attr: Attr) -> Hashable:
    """An attr as a key: 1, 1.0 and True differ, and so do 0.0 and -0.0; a body is equal to itself only."""
    return attr if isinstance(attr, Graph) else (type(attr).__name__, repr(attr))


def _merge_scan(node: Node, replacement: dict[Value, Value]) -> Node:
    """`node` without operands and results that are there twice; adds to `replacement` what stands for the latter."""
    merged = _merge_operands(node)
    body: Graph = merged.attrs["body"]
    smaller = cse(body)
    if smaller is not body:
        merged = replace(merged, attrs={**merged.attrs, "body": smaller})
    scan = ScanEdit.of(merged)
    first: dict[Value, Value] = {}
    for inside, outside in scan.ys:
        if first.setdefault(inside, outside) is not outside:
            replacement[outside] = first[inside]
    if len(first) == len(scan.ys):
        return merged
    scan.ys = list(first.items())
    return scan.result()


def _merge_operands(node: Node) -> Node:
    """`node` with each value closed over once and walked over once."""
    scan = ScanEdit.of(node)
    inner: dict[Value, Value] = {}
    consts, xs = _first_of_each(scan.consts, inner), _first_of_each(scan.xs, inner)
    if not inner:
        return node
    scan.consts, scan.xs = consts, xs
    scan.carry = [(inside, inner.get(after, after), init, final) for inside, after, init, final in scan.carry]
    scan.ys = [(inner.get(inside, inside), outside) for inside, outside in scan.ys]
    return scan.result([substitute(inside, inner) for inside in scan.body.nodes])


def _first_of_each(pairs: Iterable[tuple[Value, Value]], inner: dict[Value, Value]) -> list[tuple[Value, Value]]:
    """`pairs` of inner and outer value with every outer value once; adds to `inner` what stands for the others."""
    first: dict[Value, Value] = {}
    for inside, outside in pairs:
        if first.setdefault(outside, inside) is not inside:
            inner[inside] = first[outside]
    return [(inside, outside) for outside, inside in first.items()]
