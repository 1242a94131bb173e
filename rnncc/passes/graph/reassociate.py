"""Sum what is carried last, so that all the rest of a sum can be computed before the loop.

    a = add(xw, hu)                    s = add(xw, b)
    y = add(a, b)          ->          y = add(s, hu)             in a body where only hu depends on the carry

The terms of a chain of additions come in this order: what depends on xs, what is fixed (weights and numbers; they are
summed by themselves), what is carried. Outside of bodies the arguments count as carried: y = (x + b1) + b2 becomes
x + (b1 + b2), and the sum of weights is then done once. Values change by rounding only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

from rnncc.graph.deps import needed_nodes
from rnncc.graph.ir import Graph, Node
from rnncc.graph.rewrite import Rewriter, map_bodies, rewriter_for
from rnncc.graph.value import Value
from rnncc.passes.graph.dataflow import definitions, dependents, invariants, use_counts

Tree: TypeAlias = "Value | tuple[Tree, Tree]"


def reassociate(graph: Graph) -> Graph:
    """`graph` with the terms of every sum in the order above, in bodies too."""
    return _reassociate(map_bodies(graph, _reassociate))


def _reassociate(graph: Graph) -> Graph:
    fixed, carried = invariants(graph), dependents(graph, graph.inputs)
    defined, counts = definitions(graph), use_counts(graph)
    sums = [node for node in graph.nodes if node.op.name == "add"]
    inner = {value for node in sums for value in node.inputs if counts[value] == 1}

    def tree(value: Value) -> Tree:
        node = defined.get(value)
        if node is None or node.op.name != "add":
            return value
        left, right = (tree(operand) if operand in inner else operand for operand in node.inputs)
        return left, right

    build = rewriter_for(graph)
    changed = False
    for node in graph.nodes:
        if node.op.name != "add" or node.output in inner:
            build.emit_node(node)
            continue
        before = tree(node.output)
        after = _in_order(before, fixed, carried)
        if after == before:
            build.emit_node(node)
        else:
            changed = True
            _emit_sum(build, after, node)
    return replace(graph, nodes=needed_nodes(build.nodes, graph.outputs)) if changed else graph


def _terms(tree: Tree) -> Iterator[Value]:
    if isinstance(tree, Value):
        yield tree
    else:
        yield from _terms(tree[0])
        yield from _terms(tree[1])


def _in_order(tree: Tree, fixed: set[Value], carried: set[Value]) -> Tree:
    """The sum of the terms of `tree`: per step, fixed, carried; fixed ones are summed by themselves."""
    terms = list(_terms(tree))
    last = [term for term in terms if term in carried]
    still = [term for term in terms if term in fixed]
    first = [term for term in terms if term not in carried and term not in fixed]
    if len(terms) in (len(last), len(still), len(first)):
        return tree  # of one kind: nothing to bring together
    middle = [_chain(still)] if still else []
    return _chain([*first, *middle, *last] if first else [*last, *middle])


def _chain(parts: Sequence[Tree]) -> Tree:
    """((a, b), c), and so on."""
    total, *rest = parts
    for part in rest:
        total = (total, part)
    return total


def _emit_sum(build: Rewriter, tree: Tree, root: Node) -> None:
    """Append the additions of `tree`; the last one defines what `root` defined."""
    assert not isinstance(tree, Value)

    def value(part: Tree) -> Value:
        return part if isinstance(part, Value) else build.emit("add", value(part[0]), value(part[1]), like=root)

    build.emit_node(replace(root, inputs=(value(tree[0]), value(tree[1]))))
