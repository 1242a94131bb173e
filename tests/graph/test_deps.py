"""The dependence view."""

from __future__ import annotations

import itertools
import re

import networkx as nx
import pytest
from hypothesis import given, settings

from rnncc.graph.deps import critical_path, dependences, dependents_of, is_convex, levels, to_dot
from rnncc.graph.ir import Graph, is_scan
from rnncc.graph.parser import parse
from tests.graph.random_graphs import graphs, random_graph

#        x   y
#        |   |
#        0   1      0 tanh(x)    1 exp(y)
#       / \ / \
#      2   3   |    2 neg(0)     3 add(0, 1)
#       \ /    |
#        4     |    4 mul(2, 3)
#         \   /
#           5       5 sub(4, 1)
DIAMOND = parse("""
    def f(x: f32[3], y: f32[3]):
        n0 = tanh(x)
        n1 = exp(y)
        n2 = neg(n0)
        n3 = add(n0, n1)
        n4 = mul(n2, n3)
        n5 = sub(n4, n1)
        return n5
""")
X, Y = DIAMOND.inputs


def test_dependences() -> None:
    view = dependences(DIAMOND)
    assert list(view) == [0, 1, 2, 3, 4, 5]
    assert sorted(view.edges) == [(0, 2), (0, 3), (1, 3), (1, 5), (2, 4), (3, 4), (4, 5)]


def test_dependents() -> None:
    assert dependents_of(DIAMOND, [X]) == {0, 2, 3, 4, 5}
    assert dependents_of(DIAMOND, [Y]) == {1, 3, 4, 5}
    assert dependents_of(DIAMOND, [DIAMOND.nodes[2].output]) == {4, 5}
    assert dependents_of(DIAMOND, DIAMOND.outputs) == set()


def test_dependents_pass_through_scans() -> None:
    graph = parse("""
        def f(x: f32[T, 3], h: f32[3], k: f32[3]):
            def step(h: f32[3], *, x: f32[3]):
                return x, h
            last, ys = scan(h, x, body=step, reverse=False, length=T, unroll=1)
            a = tanh(ys)
            b = tanh(k)
            return a, b, last
    """)
    assert dependents_of(graph, [graph.inputs[0]]) == {0, 1}
    assert sorted(dependences(graph).edges) == [(0, 1)]


@pytest.mark.parametrize(
    ("nodes", "convex"),
    [([], True), ([0], True), ([0, 2], True), ([0, 1], True), ([0, 4], False), ([0, 2, 4], False), ([0, 2, 3, 4], True),
     ([1, 5], False), ([0, 5], False), ([2, 3], True), (range(6), True)],
)  # fmt: skip
def test_convexity(nodes: list[int], convex: bool) -> None:
    assert is_convex(dependences(DIAMOND), nodes) is convex


def test_levels_and_critical_path() -> None:
    view = dependences(DIAMOND)
    assert levels(view) == [[0, 1], [2, 3], [4], [5]]
    assert critical_path(view) == [0, 2, 4, 5]
    assert critical_path(view, lambda node: 10.0 if node in (1, 3) else 1.0) == [1, 3, 4, 5]
    assert critical_path(nx.DiGraph()) == []


@given(graphs())
@settings(deadline=None, max_examples=40)
def test_views_of_random_graphs(graph: Graph) -> None:
    view = dependences(graph)
    assert nx.is_directed_acyclic_graph(view)
    assert all(before < after for before, after in view.edges)
    for position, node in enumerate(graph.nodes):
        assert dependents_of(graph, node.outputs) == nx.descendants(view, position)
    depth = {node: level for level, generation in enumerate(levels(view)) for node in generation}
    assert all(depth[before] < depth[after] for before, after in view.edges)
    path = critical_path(view)
    assert len(path) == len(levels(view))
    assert all(view.has_edge(a, b) for a, b in itertools.pairwise(path))
    for chosen in (path[:1], path, [*path[:1], *path[-1:]], list(view)):
        inside = set(chosen)
        between = {
            n for n in view for a in inside for b in inside if nx.has_path(view, a, n) and nx.has_path(view, n, b)
        }
        assert is_convex(view, chosen) is (between <= inside)


# ------------------------------------------------------------------ DOT

_STRING = r'"(?:[^"\\\n]|\\.)*"'
_ID = rf"(?:[A-Za-z_]\w*|{_STRING})"
_ATTRS = rf"\[{_ID}={_ID}(?:, {_ID}={_ID})*\]"
_STATEMENT = re.compile(
    rf"{_ID} {_ATTRS};|{_ID} -> {_ID} {_ATTRS};|{_ID}={_ID};|(?P<open>subgraph {_ID} \{{)|(?P<close>\}})"
)


def dot_nodes(text: str) -> tuple[set[str], int]:
    """Names of the nodes and the number of clusters, after checking the grammar line by line."""
    first, *lines = text.splitlines()
    assert re.fullmatch(rf"digraph {_ID} \{{", first)
    depth, clusters, nodes = 1, 0, set()
    for line in lines:
        assert depth
        match = _STATEMENT.fullmatch(line.strip())
        assert match, line
        depth += 1 if match["open"] else -1 if match["close"] else 0
        clusters += bool(match["open"])
        if named := re.match(r"(n\w*) \[", line.strip()):
            assert named[1] not in nodes
            nodes.add(named[1])
    assert depth == 0
    ends = {end for pair in re.findall(r"^ *(\w+) -> (\w+)", text, re.MULTILINE) for end in pair}
    assert ends <= nodes
    return nodes, clusters


def count_scans(graph: Graph) -> int:
    return sum(1 + count_scans(node.attrs["body"]) for node in graph.nodes if is_scan(node))


@pytest.mark.parametrize("seed", range(25))
def test_dot_is_well_formed(seed: int) -> None:
    graph = random_graph(seed, 12)
    nodes, clusters = dot_nodes(to_dot(graph))
    assert clusters == count_scans(graph)
    assert len(nodes) >= len(graph.nodes) + len(graph.parameters) + 1


def test_dot_text() -> None:
    graph = parse("def f(x: f32[B]):\n    y: f32[B] = tanh(x)\n    return y")
    assert to_dot(graph) == (
        'digraph "f" {\n'
        "    node [shape=box];\n"
        '    n_p0 [label="x: f32[B]", shape=ellipse];\n'
        '    n_0 [label="tanh()\\ny: f32[B]"];\n'
        '    n_p0 -> n_0 [label="x"];\n'
        '    n_return [label="return", shape=ellipse];\n'
        '    n_0 -> n_return [label="y"];\n'
        "}\n"
    )
