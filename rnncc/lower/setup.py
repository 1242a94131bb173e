"""Split a graph in two: what depends on the weights only (done once) and what depends on the inputs (done per call)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rnncc.graph.deps import needed_nodes
from rnncc.graph.ir import Graph, Node, is_scan, scan_view
from rnncc.graph.op import find_op
from rnncc.graph.rewrite import rewriter_for
from rnncc.graph.value import Value
from rnncc.types import DType


def split_setup(graph: Graph) -> tuple[Graph, Graph]:
    """`(setup, main)`: the outputs of `setup` are the consts of `main`, name by name.

    def g(e, w, /, ids):              def setup(e, w, /):         def g(table, /, ids):
        table = matmul(e, w)     ->       table = matmul(e, w)        return take(table, ids)
        return take(table, ids)           return table

    Numbers are in both: `main` knows those that it reads, which may save it a load or more. Products of float32 are
    added up in float64 in `setup`.
    """
    constant = set(graph.consts)
    numbers: set[Value] = set()
    setup: list[Node] = []
    main: list[Node] = []
    for node in graph.nodes:
        known = all(value in constant or value in numbers for value in node.inputs) and _has_fixed_size(node)
        if known and not constant.isdisjoint(node.inputs):
            constant.update(node.outputs)
            setup.append(node)
            continue
        main.append(node)
        if known:
            numbers.update(node.outputs)
            setup.append(node)
    used = [value for node in main for value in node.inputs] + list(graph.outputs)
    weights = tuple(dict.fromkeys(value for value in used if value in constant))
    needed = needed_nodes(setup, weights)
    setup_graph = replace(graph, name="setup", inputs=(), nodes=needed, outputs=weights)
    return _multiplied_in_double(setup_graph), replace(graph, consts=weights, nodes=tuple(main), sources={}, feeds={})


def _multiplied_in_double(setup: Graph) -> Graph:
    """`setup` with products of float32 added up in float64, and rounded once.

    numpy's last bits of a column depend on how many columns are beside it. The table of an embedding may have others
    in a stream than in the whole model, and the results are to be the same. (That two sums in float64 round to
    different float32 happens once in some ten million elements.)
    """
    build = rewriter_for(setup)
    for node in setup.nodes:
        if node.op.name != "matmul" or node.output.type.dtype is not DType.F32:
            build.emit_node(node)
            continue
        wide = [build.emit("cast", value, dtype=DType.F64, like=node) for value in node.inputs]
        product = build.emit("matmul", *wide, like=node)
        build.emit_node(replace(node, op=find_op("cast"), inputs=(product,), attrs={"dtype": DType.F32}))
    return setup if len(build.nodes) == len(setup.nodes) else replace(setup, nodes=tuple(build.nodes))


def _has_fixed_size(node: Node) -> bool:
    """True when no extent has to be known to compute `node`: setup runs before there is a call."""
    extents = [item for attr in node.attrs.values() for item in (attr if isinstance(attr, tuple) else (attr,))]
    if not _are_fixed(node.outputs) or any(isinstance(item, str) for item in extents):
        return False
    if not is_scan(node):
        return True
    scan = scan_view(node)
    body = scan.body
    return isinstance(scan.length, int) and _are_fixed(body.parameters) and all(map(_has_fixed_size, body.nodes))


def _are_fixed(values: Sequence[Value]) -> bool:
    return all(isinstance(dim, int) for value in values for dim in value.type.shape)


def convert_floats(graph: Graph, dtype: DType) -> Graph:
    """`graph` with every float of type `dtype`: what `compile(dtype=...)` means."""
    return _Retype(dtype).graph(graph)


class _Retype:
    """Rebuilds a graph with another float type."""

    def __init__(self, dtype: DType) -> None:
        self.dtype = dtype

    def graph(self, graph: Graph) -> Graph:
        new: dict[Value, Value] = {}

        def value(old: Value) -> Value:
            if old not in new:
                dtype = self.dtype if old.type.dtype.is_float else old.type.dtype
                new[old] = old if dtype is old.type.dtype else Value(old.name, replace(old.type, dtype=dtype))
            return new[old]

        def values(old: tuple[Value, ...]) -> tuple[Value, ...]:
            return tuple(map(value, old))

        consts, inputs, xs = values(graph.consts), values(graph.inputs), values(graph.xs)
        nodes = tuple(
            replace(
                node,
                inputs=values(node.inputs),
                outputs=values(node.outputs),
                attrs={key: self.attr(item) for key, item in node.attrs.items()},
            )
            for node in graph.nodes
        )
        return replace(graph, consts=consts, inputs=inputs, xs=xs, nodes=nodes, outputs=values(graph.outputs))

    def attr(self, item: object) -> object:
        if isinstance(item, Graph):
            return self.graph(item)
        return self.dtype if isinstance(item, DType) and item.is_float else item
