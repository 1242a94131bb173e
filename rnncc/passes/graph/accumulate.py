"""What is added up over the steps of a loop is a state of a loop: no sequence is kept for it.

    h, hs = scan(h0, x, body=step)                      h, hs = scan(h0, x, body=step)
    s = transpose(hs, axes=(1, 0, 2))                   y = scan(zeros, tanh(hs), body=add)
    y = sum(tanh(s), axis=1)                    ->      def add(total, /, *, t):
                                                            return total + t

The same for max and min. It pays where nobody needs the sequence as a whole: everything that is made of it, step by
step, is reduced over the steps or walked over by another loop, all in one direction, and none of that has to wait for
one of the sums (as in a softmax over steps, which divides each by the sum of all). What is joined of two sequences is
reduced one by one, as the second one may come from a loop that runs backwards; so is what elementwise ops make of it,
if all that reads it is reduced like that.

Requires: `simplify`, which has moved transposes away, and `last_step` before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

from rnncc.graph.ir import Graph, Node, is_scan, scan_view
from rnncc.graph.op import find_op
from rnncc.graph.rewrite import Rewriter, map_bodies, rewriter_for
from rnncc.graph.value import Value
from rnncc.loop.functions import identity_of
from rnncc.passes.graph.axes import moved_axes, varies_along
from rnncc.passes.graph.dataflow import dependents, readers
from rnncc.passes.graph.site import Site

_COMBINES = {"sum": ("add", "add", "total"), "max": ("maximum", "max", "largest"), "min": ("minimum", "min", "least")}
"""By the name of a reduction: the op of one step, what its first operand is to begin with, and the name of that."""

Axes = dict[int, frozenset[Node]]
"""By axis of a value: the scans whose steps go along it."""


def accumulate(graph: Graph) -> Graph:
    """`graph` with a scan for every sum over steps that nobody needs as a whole, in bodies too."""

    def walk(one: Graph) -> Graph:
        rule = partial(_split, reduced=_reduced(one))
        return _accumulate(Site(one, dict.fromkeys(_COMBINES, (rule,))).run())

    return walk(map_bodies(graph, walk))


# ------------------------------------------------------------------ what is joined of two sequences


def _reduced(graph: Graph) -> dict[Value, frozenset[int]]:
    """The values that are only reduced, as they are or after elementwise ops, and the axes along which they stay whole.

    These are the axes over which they are reduced, and those along which the other operands of such an op vary.
    """
    found: dict[Value, frozenset[int]] = {}
    read_by = readers(graph)
    for value in reversed(list(graph.values())):
        axes = [_reduced_by(reader, value, found) for reader in read_by[value]]
        if value not in graph.outputs and None not in axes:
            found[value] = frozenset[int]().union(*(one for one in axes if one is not None))
    return found


def _reduced_by(reader: Node, value: Value, found: Mapping[Value, frozenset[int]]) -> frozenset[int] | None:
    if reader.op.name in _COMBINES:
        return frozenset((reader.attrs["axis"],))
    rank = value.type.rank
    if not reader.op.elementwise or reader.output.type.rank != rank or reader.inputs.count(value) > 1:
        return None
    others = [operand.type for operand in reader.inputs if operand != value]
    vary = {axis for axis in range(rank) if any(varies_along(other, axis - rank) for other in others)}
    whole = found.get(reader.output)
    return None if whole is None else whole | vary


def _split(site: Site, node: Node, reduced: Mapping[Value, frozenset[int]]) -> Value | None:
    """sum(concatenate(a, b; axis=2), axis=1) -> concatenate(sum(a, axis=1), sum(b, axis=1); axis=1)"""
    axis: int = node.attrs["axis"]
    joined = _parts(site, node.inputs[0], reduced)
    if joined is None or joined[1] == axis:
        return None
    parts, along = joined
    results = [site.emit(node.op.name, part, like=node, axis=axis) for part in parts]
    return site.emit("concatenate", *results, like=node, axis=along - (along > axis))


def _parts(site: Site, value: Value, reduced: Mapping[Value, frozenset[int]]) -> tuple[list[Value], int] | None:
    """What is joined to `value`, and along which axis: a concatenation, or an elementwise op of one.

    Of each part, all that reads the value does the same: it is not computed as a whole besides.
    """
    node = site.any_definition(value)
    if node is None:
        return None
    if node.op.name == "concatenate":
        return list(node.inputs), node.attrs["axis"]
    if not node.op.elementwise or not (site.is_read_once(value) or value in reduced):
        return None
    rank = value.type.rank
    joined = {at: found for at, operand in enumerate(node.inputs) if (found := _parts(site, operand, reduced))}
    if len(joined) != 1:
        return None
    ((at, (parts, axis)),) = joined.items()
    others = [operand for number, operand in enumerate(node.inputs) if number != at]
    own = axis + rank - node.inputs[at].type.rank
    if own in reduced.get(value, ()) or any(varies_along(operand.type, own - rank) for operand in others):
        return None
    whole = [[*node.inputs[:at], part, *node.inputs[at + 1 :]] for part in parts]
    return [site.emit(node.op.name, *operands, like=node, **node.attrs) for operands in whole], own


def _accumulate(graph: Graph) -> Graph:
    along = _along(graph)
    sums = {
        node: sources
        for node in graph.nodes
        if node.op.name in _COMBINES and (sources := along[node.inputs[0]].get(node.attrs["axis"]))
    }
    wanted = _wanted_whole(graph, along, sums)
    if wanted.issuperset(scan for sources in sums.values() for scan in sources):
        return graph
    build = rewriter_for(graph)
    for node in graph.nodes:
        if node in sums and wanted.isdisjoint(sums[node]):
            _as_scan(build, node, next(iter(sums[node])))
        else:
            build.emit_node(node)
    return replace(graph, nodes=tuple(build.nodes))


# ------------------------------------------------------------------ who needs what


def _along(graph: Graph) -> dict[Value, Axes]:
    """For every value, the axes along which steps of scans go."""
    found: dict[Value, Axes] = {value: {} for value in graph.values()}
    for node in graph.nodes:
        if is_scan(node):
            for value in scan_view(node).ys:
                found[value] = {0: frozenset((node,))}
        elif node.outputs:
            found[node.output] = _kept(node, found)
    return found


def _kept(node: Node, along: dict[Value, Axes]) -> Axes:
    """The axes of a node's result along which it is made step by step of the same steps of its operands."""
    result: Axes = {}
    shape = node.output.type.shape
    for operand in node.inputs:
        for axis, scans in along[operand].items():
            to = _place(node, operand, axis)
            if to is not None and operand.type.shape[axis] == shape[to]:
                result[to] = result.get(to, frozenset()) | scans
    return result


def _place(node: Node, operand: Value, axis: int) -> int | None:
    """Where an axis of an operand is in the result; None when a step of it is not made of one step alone."""
    rank = node.output.type.rank
    if node.op.elementwise or node.op.name == "broadcast_to":
        return axis + rank - operand.type.rank
    match node.op.name:
        case "transpose":
            axes: tuple[int, ...] = node.attrs["axes"]
            return axes.index(axis)
        case "concatenate" if node.attrs["axis"] != axis:
            return axis
        case "slice":
            return axis
        case "matmul" if operand is node.inputs[0] and node.inputs[1].type.rank == 2 and axis < rank - 1:
            return axis
        case "sum" | "max" | "min" if node.attrs["axis"] != axis:
            return axis - int(axis > node.attrs["axis"])
        case "reshape":
            return (moved_axes(operand.type.shape, node.output.type.shape) or {}).get(axis)
    return None


def _wanted_whole(graph: Graph, along: dict[Value, Axes], sums: dict[Node, frozenset[Node]]) -> set[Node]:
    """The scans whose sequences are needed as a whole, for other things than `sums`."""
    read_by = readers(graph)
    outputs = set(graph.outputs)
    wanted: set[Node] = set()
    for scan in {scan for sources in sums.values() for scan in sources}:
        steps = {value for value, axes in along.items() if any(scan in scans for scans in axes.values())}
        late = dependents(graph, [node.output for node, sources in sums.items() if scan in sources])
        if (
            not outputs.isdisjoint(steps)
            or any(sum(scan in scans for scans in along[value].values()) > 1 for value in steps)
            or any(not _is_stepwise(node, value, steps, sums) for value in steps for node in read_by[value])
            or any(not late.isdisjoint(node.inputs) for value in steps for node in read_by[value])
        ):
            wanted.add(scan)
    # A sum of what several scans pass on reads all of them, or none, step by step.
    while True:
        more = {scan for sources in sums.values() if _is_whole(sources, wanted) for scan in sources}
        if wanted.issuperset(more):
            return wanted
        wanted |= more


def _is_stepwise(node: Node, value: Value, steps: set[Value], sums: Iterable[Node]) -> bool:
    """True when a reader of a sequence takes it step by step, and passes on nothing or a sequence."""
    if is_scan(node):
        return node.inputs.count(value) == scan_view(node).xs.count(value)
    return steps.issuperset(node.outputs) or node in sums


def _is_whole(sources: Iterable[Node], wanted: set[Node]) -> bool:
    """True for scans that cannot be followed together: one is wanted as a whole, or they run in two directions."""
    return not wanted.isdisjoint(sources) or len({scan_view(scan).reverse for scan in sources}) > 1


# ------------------------------------------------------------------ what becomes of it


def _as_scan(build: Rewriter, node: Node, source: Node) -> None:
    """Append a reduction as a scan in the direction of `source`."""
    step, combine, name = _COMBINES[node.op.name]
    x, axis, state = node.inputs[0], node.attrs["axis"], node.output.type
    axes = (axis, *(at for at in range(x.type.rank) if at != axis))
    steps = build.emit("transpose", x, like=node, axes=axes) if axis else x
    first = build.emit("constant", like=node, value=identity_of(combine, state.dtype), dtype=state.dtype)
    init = build.emit("broadcast_to", first, like=node, shape=state.shape)
    before, at_step, after = Value(name, state), Value("x", state), Value(f"{name}_next", state)
    body = _body(f"{node.output.name}_step", before, at_step, Node(find_op(step), (before, at_step), (after,), {}))
    attrs = {**source.attrs, "body": body}
    build.emit_node(Node(source.op, (init, steps), node.outputs, attrs, node.scope, node.place))


def _body(name: str, carry: Value, x: Value, *nodes: Node) -> Graph:
    return Graph(name, consts=(), inputs=(carry,), xs=(x,), nodes=nodes, outputs=nodes[-1].outputs)
