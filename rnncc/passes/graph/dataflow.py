"""Questions that several passes ask of one graph: who defines a value, who reads it, what does it depend on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from rnncc.graph.deps import dependents_of
from rnncc.graph.ir import Graph, Node
from rnncc.graph.value import Value
from rnncc.types import is_name


def definitions(graph: Graph) -> dict[Value, Node]:
    """The node that defines each value; parameters have none."""
    return {value: node for node in graph.nodes for value in node.outputs}


def readers(graph: Graph) -> dict[Value, list[Node]]:
    """The nodes that read each value, in order, each once. Graph outputs are not readers."""
    found: dict[Value, list[Node]] = {value: [] for value in graph.values()}
    for node in graph.nodes:
        for value in dict.fromkeys(node.inputs):
            found[value].append(node)
    return found


def use_counts(graph: Graph) -> Counter[Value]:
    """How often each value is read, as an operand or as an output of the graph."""
    return Counter([*(value for node in graph.nodes for value in node.inputs), *graph.outputs])


def dependents(graph: Graph, roots: Iterable[Value]) -> set[Value]:
    """`roots` and every value that depends on one of them."""
    found = set(roots)
    for position in dependents_of(graph, found):
        found.update(graph.nodes[position].outputs)
    return found


def invariants(graph: Graph, consts: Iterable[Value] | None = None) -> set[Value]:
    """Every value that depends on nothing but numbers and `consts`: the weights or closed-over values."""
    known = set(graph.consts if consts is None else consts)
    for node in graph.nodes:
        if all(value in known for value in node.inputs):
            known.update(node.outputs)
    return known


def stem(name: str) -> str:
    """`name` without the numbers that made it unique: a hint for the name of something similar."""
    short = re.sub(r"(_\d+)+$", "", name)
    return short if is_name(short) else name
