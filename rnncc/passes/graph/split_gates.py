"""Compute by slices what is only read by slices, so that every gate is an expression of its own.

    z = add(matmul(h, u), b)                          i = add(matmul(h, slice(u, 0:4)), slice(b, 0:4))
    i, f = slice(z, 0:4), slice(z, 4:8)        ->     f = add(matmul(h, slice(u, 4:8)), slice(b, 4:8))

Cells with one wide kernel and cells with a kernel for every gate look alike from here on, each gate can be hoisted as
far as it goes, and columns that nothing reads are not computed. `fuse_gates` puts the matmuls together again.

Requires: slices that overlap stay as they are, since the work would be done twice; so do products with a right operand
that is not fixed, whose slices would be copies at run time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from rnncc.graph.deps import needed_nodes
from rnncc.graph.ir import Graph, Node
from rnncc.graph.op import Attrs
from rnncc.graph.rewrite import Rewriter, map_bodies, rewriter_for
from rnncc.graph.value import Value
from rnncc.passes.graph.dataflow import definitions, invariants, readers, stem


def split_gates(graph: Graph) -> Graph:
    """`graph` with slices moved in front of elementwise ops and matmuls, in bodies too."""
    graph = map_bodies(graph, _split)
    return _split(graph)


def _split(graph: Graph) -> Graph:
    while True:
        result = _step(graph)
        if result is graph:
            return graph
        graph = result


def _step(graph: Graph) -> Graph:
    """Move slices in front of the ops that they read, one op far."""
    fixed, defined, read_by = invariants(graph), definitions(graph), readers(graph)
    build = rewriter_for(graph)
    changed = False
    for node in graph.nodes:
        source = defined.get(node.inputs[0]) if node.op.name == "slice" else None
        if source is None or node.inputs[0] in graph.outputs or not _is_split(source, read_by[node.inputs[0]], fixed):
            build.emit_node(node)
            continue
        changed = True
        cut = _cut_matmul if source.op.name == "matmul" else _cut_elementwise
        build.emit_node(replace(source, inputs=cut(build, source, node), outputs=node.outputs))
    return replace(graph, nodes=needed_nodes(build.nodes, graph.outputs)) if changed else graph


def _is_split(source: Node, cuts: Sequence[Node], fixed: set[Value]) -> bool:
    """True when the result of `source` is read by slices only, which do not overlap."""
    if source.outputs[0] in fixed or any(cut.op.name != "slice" for cut in cuts):
        return False
    if source.op.name == "matmul":
        *lead, _ = source.output.type.shape
        right = source.inputs[1]
        whole_rows = all(list(cut.attrs["sizes"][:-1]) == lead for cut in cuts)
        return right in fixed and right.type.rank == 2 and whole_rows and _are_disjoint(cuts)
    return source.op.elementwise and _are_disjoint(cuts)


def _are_disjoint(cuts: Sequence[Node]) -> bool:
    return all(_is_apart(one.attrs, other.attrs) for one, other in combinations(cuts, 2))


def _is_apart(one: Attrs, other: Attrs) -> bool:
    """True when two boxes have no element in common: on some axis, one ends before the other starts."""
    return any(
        isinstance(a_size, int) and isinstance(b_size, int) and (a + a_size <= b or b + b_size <= a)
        for a, a_size, b, b_size in zip(one["starts"], one["sizes"], other["starts"], other["sizes"], strict=True)
    )


def _cut_matmul(build: Rewriter, source: Node, cut: Node) -> tuple[Value, ...]:
    left, right = source.inputs
    starts, sizes = (0, cut.attrs["starts"][-1]), (right.type.shape[0], cut.attrs["sizes"][-1])
    return left, build.emit("slice", right, like=cut, hint=stem(right.name), starts=starts, sizes=sizes)


def _cut_elementwise(build: Rewriter, source: Node, cut: Node) -> tuple[Value, ...]:
    """The operands of `source`, each cut as far as it is not broadcast."""
    inputs = []
    for value in source.inputs:
        skipped = len(cut.attrs["starts"]) - value.type.rank
        repeated = [dim == 1 for dim in value.type.shape]
        starts, sizes = (cut.attrs[key][skipped:] for key in ("starts", "sizes"))
        starts = tuple(0 if one else start for one, start in zip(repeated, starts, strict=True))
        sizes = tuple(1 if one else size for one, size in zip(repeated, sizes, strict=True))
        is_whole = sizes == value.type.shape
        inputs.append(
            value
            if is_whole
            else build.emit("slice", value, like=cut, hint=stem(value.name), starts=starts, sizes=sizes)
        )
    return tuple(inputs)
