"""Helpers that passes share: rebuild a graph with values replaced, map over bodies, append nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from rnncc.graph.ir import Graph, Node, is_scan
from rnncc.graph.op import Attr, find_op
from rnncc.graph.value import Value
from rnncc.names import unused
from rnncc.types import Dim, TensorType


class Rewriter:
    """Builds a node list: `emit` appends, `unique` names. Passes take their nodes from `nodes` at the end."""

    def __init__(self, taken: Iterable[str]) -> None:
        self.nodes: list[Node] = []
        self._taken = set(taken)

    def unique(self, hint: str) -> str:
        """A name that no value of the graph has yet."""
        name = unused(hint, self._taken)
        self._taken.add(name)
        return name

    def emit_node(self, node: Node) -> None:
        """Append a node as it is."""
        self.nodes.append(node)
        self._taken.update(value.name for value in node.outputs)

    def emit(
        self, op_name: str, *inputs: Value, hint: str | None = None, like: Node | None = None, **attrs: Attr
    ) -> Value:
        """Append `op_name(inputs)` and return its only output; `like` gives scope and place."""
        op = find_op(op_name)
        (type_,) = op.infer([value.type for value in inputs], attrs)
        output = Value(self.unique(hint or op_name), type_)
        scope, place = (like.scope, like.place) if like else ("", None)
        self.nodes.append(Node(op, inputs, (output,), attrs, scope, place))
        return output


def rewriter_for(graph: Graph) -> Rewriter:
    """A rewriter that knows every name of `graph`."""
    return Rewriter(value.name for value in graph.values())


def substitute(node: Node, replacement: Mapping[Value, Value]) -> Node:
    """`node` with inputs replaced; the same object when none is."""
    inputs = tuple(replacement.get(value, value) for value in node.inputs)
    return node if inputs == node.inputs else replace(node, inputs=inputs)


def substitute_outputs(graph: Graph, nodes: Iterable[Node], replacement: Mapping[Value, Value]) -> Graph:
    """`graph` with `nodes` and with replaced outputs."""
    outputs = tuple(replacement.get(value, value) for value in graph.outputs)
    return replace(graph, nodes=tuple(nodes), outputs=outputs)


def map_bodies(graph: Graph, change: Callable[[Graph], Graph]) -> Graph:
    """`graph` with `change` applied to every scan body, innermost first; the same object when nothing changed."""
    nodes = []
    changed = False
    for node in graph.nodes:
        if is_scan(node):
            body = node.attrs["body"]
            new_body = change(map_bodies(body, change))
            if new_body is not body:
                node = replace(node, attrs={**node.attrs, "body": new_body})
                changed = True
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes)) if changed else graph


def rename_extents(graph: Graph, names: Mapping[str, str]) -> Graph:
    """`graph` with named extents renamed everywhere: in types, in attrs, in bodies."""
    if not names:
        return graph

    def dim(old: Dim) -> Dim:
        return names.get(old, old) if isinstance(old, str) else old

    def attr(old: Attr) -> Attr:
        if isinstance(old, Graph):
            return rename_extents(old, names)
        if isinstance(old, tuple):
            return tuple(attr(item) for item in old)
        return names.get(old, old) if isinstance(old, str) else old

    new: dict[Value, Value] = {}

    def value(old: Value) -> Value:
        if old not in new:
            new[old] = Value(old.name, TensorType(old.type.dtype, tuple(map(dim, old.type.shape))))
        return new[old]

    def values(old: tuple[Value, ...]) -> tuple[Value, ...]:
        return tuple(map(value, old))

    nodes: list[Any] = [
        replace(
            node,
            inputs=values(node.inputs),
            outputs=values(node.outputs),
            attrs={key: attr(item) for key, item in node.attrs.items()},
        )
        for node in graph.nodes
    ]
    return replace(
        graph,
        consts=values(graph.consts),
        inputs=values(graph.inputs),
        xs=values(graph.xs),
        nodes=tuple(nodes),
        outputs=values(graph.outputs),
    )
