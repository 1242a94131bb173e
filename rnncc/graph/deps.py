"""The dependence view of a graph, built on demand with networkx: who needs whom, and what follows from it.

Nodes are the positions of the graph's nodes; an edge i -> j says that node j uses a result of node i.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from rnncc.graph.ir import Graph, Node
from rnncc.graph.printer import show_attr
from rnncc.graph.value import Value

if TYPE_CHECKING:
    import networkx as nx

# networkx takes 0.1 s to import, so that those functions do it that need it.


def dependences(graph: Graph) -> nx.DiGraph:
    """The graph of node positions; nodes and edges are added in the graph's order."""
    import networkx as nx  # noqa: PLC0415

    view = nx.DiGraph()
    maker: dict[Value, int] = {}
    for position, node in enumerate(graph.nodes):
        view.add_node(position)
        view.add_edges_from((maker[value], position) for value in node.inputs if value in maker)
        maker.update((value, position) for value in node.outputs)
    return view


def needed_nodes(nodes: Iterable[Node], outputs: Iterable[Value]) -> tuple[Node, ...]:
    """Those of `nodes` that `outputs` depend on, in order."""
    wanted = set(outputs)
    kept = []
    for node in reversed(tuple(nodes)):
        if not wanted.isdisjoint(node.outputs):
            wanted.update(node.inputs)
            kept.append(node)
    return tuple(reversed(kept))


def dependents_of(graph: Graph, values: Iterable[Value]) -> set[int]:
    """Positions of the nodes that need any of `values` (parameters or results), directly or not."""
    tainted = set(values)
    positions = set()
    for position, node in enumerate(graph.nodes):
        if not tainted.isdisjoint(node.inputs):
            positions.add(position)
            tainted.update(node.outputs)
    return positions


def is_convex(view: nx.DiGraph, nodes: Collection[int]) -> bool:
    """May `nodes` run as one? True when no path leaves the set and comes back."""
    inside = set(nodes)
    waiting = {after for node in inside for after in view.successors(node)} - inside
    seen = set(waiting)
    while waiting:
        after = set(view.successors(waiting.pop()))
        if not inside.isdisjoint(after):
            return False
        waiting |= after - seen
        seen |= after
    return True


def levels(view: nx.DiGraph) -> list[list[int]]:
    """Positions in generations: those of one generation do not need each other."""
    import networkx as nx  # noqa: PLC0415

    return [sorted(generation) for generation in nx.topological_generations(view)]


def critical_path(view: nx.DiGraph, cost: Callable[[int], float] = lambda position: 1.0) -> list[int]:
    """The most expensive chain of dependent nodes, first to last; among equals the one that starts earliest."""
    import networkx as nx  # noqa: PLC0415

    best: dict[int, float] = {}
    follower: dict[int, int] = {}
    for position in reversed(list(nx.lexicographical_topological_sort(view))):
        after = max(sorted(view.successors(position)), key=lambda node: best[node], default=None)
        best[position] = cost(position) + (0.0 if after is None else best[after])
        if after is not None:
            follower[position] = after
    if not best:
        return []
    path = [max(sorted(best), key=lambda node: best[node])]
    while path[-1] in follower:
        path.append(follower[path[-1]])
    return path


# ------------------------------------------------------------------ drawing


def to_dot(graph: Graph) -> str:
    """`graph` in the DOT language of Graphviz: a box per node, an edge per use, a cluster per scan body."""
    lines = [f"digraph {_quote(graph.name)} {{", "    node [shape=box];"]
    lines += (f"    {line}" for line in _dot_lines(graph, "n"))
    return "\n".join([*lines, "}"]) + "\n"


def _dot_lines(graph: Graph, prefix: str) -> Iterator[str]:
    """Statements for one graph; `prefix` keeps the names of bodies apart."""
    maker: dict[Value, str] = {}
    for number, value in enumerate(graph.parameters):
        maker[value] = f"{prefix}_p{number}"
        yield f"{maker[value]} [label={_quote(f'{value.name}: {value.type}')}, shape=ellipse];"
    for position, node in enumerate(graph.nodes):
        name = f"{prefix}_{position}"
        yield f"{name} [label={_quote(_label(node))}];"
        yield from (f"{maker[value]} -> {name} [label={_quote(value.name)}];" for value in node.inputs)
        maker.update((value, name) for value in node.outputs)
        for key, body in node.attrs.items():
            if isinstance(body, Graph):
                yield f"subgraph cluster_{name}_{key} {{"
                yield f"    label={_quote(body.name)};"
                yield from (f"    {line}" for line in _dot_lines(body, f"{name}_{key}"))
                yield "}"
                yield f"{name}_{key}_return -> {name} [style=dotted];"
    yield f'{prefix}_return [label="return", shape=ellipse];'
    yield from (f"{maker[value]} -> {prefix}_return [label={_quote(value.name)}];" for value in graph.outputs)


def _label(node: Node) -> str:
    attrs = [f"{key}={show_attr(attr)}" for key, attr in node.attrs.items() if not isinstance(attr, Graph)]
    results = [f"{value.name}: {value.type}" for value in node.outputs]
    return "\n".join([f"{node.op.name}({', '.join(attrs)})", *results])


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
