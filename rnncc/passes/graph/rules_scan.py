"""Rules of `simplify` for scans: what looks like an operand or a state of the loop but is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rnncc.graph.ir import Node
from rnncc.graph.op import Attr
from rnncc.graph.rewrite import rewriter_for
from rnncc.graph.value import Value
from rnncc.passes.graph.scans import ScanEdit
from rnncc.passes.graph.site import Rule, Site
from rnncc.types import TensorType

Results = Sequence[Value] | None


def free_unchanged_state(site: Site, node: Node) -> Results:
    """A state that every step returns as it was becomes a value that the body closes over.

    h, k = scan(h0, k0), body: k -> k          ->          h = scan(k0, h0), body closes over k
    """
    scan = ScanEdit.of(node)
    unchanged = [state for state in scan.carry if state[0] is state[1]]
    if not unchanged:
        return None
    scan.carry = [state for state in scan.carry if state[0] is not state[1]]
    scan.consts += [(inside, init) for inside, _, init, _ in unchanged]
    site.emit_scan(scan.result())
    instead = {final: init for _, _, init, final in unchanged}
    return [instead.get(value, value) for value in node.outputs]


def free_passed_slices(site: Site, node: Node) -> Results:
    """ys = scan(h0, x), body: ... -> x          ->          ys = x"""
    scan = ScanEdit.of(node)
    outer = dict(scan.xs)
    passed = {outside: outer[inside] for inside, outside in scan.ys if inside in outer}
    if not passed:
        return None
    scan.ys = [pair for pair in scan.ys if pair[1] not in passed]
    site.emit_scan(scan.result())
    return [passed.get(value, value) for value in node.outputs]


def free_repeated_slices(site: Site, node: Node) -> Results:
    """xs that are the same at every step become a value that the body closes over.

    ys = scan(h0, broadcast_to(v, (T, B, 8)))          ->          ys = scan(v, h0), body: x = broadcast_to(v, (B, 8))
    """
    scan = ScanEdit.of(node)
    for pair in scan.xs:
        inside, outside = pair
        repeat = site.definition(outside, "broadcast_to")
        if repeat is None:
            continue
        (value,) = repeat.inputs
        if value.type.rank == outside.type.rank:
            if value.type.shape[0] != 1:
                continue
            value = site.emit("reshape", value, like=repeat, shape=value.type.shape[1:])
        scan.xs.remove(pair)
        return _close_over(site, scan, inside, repeat, (value,), {"shape": inside.type.shape})
    return None


def move_broadcast_inside(site: Site, node: Node) -> Results:
    """A number or a broadcast that the body closes over is made inside, where it fuses with what reads it.

    h = scan(broadcast_to(b, (B, 8)), h0)          ->          h = scan(b, h0), body: broadcast_to(b, (B, 8))
    """
    scan = ScanEdit.of(node)
    for pair in scan.consts:
        inside, outside = pair
        made = site.definition(outside, "constant", "broadcast_to")
        if made is not None:
            scan.consts.remove(pair)
            return _close_over(site, scan, inside, made, made.inputs, made.attrs)
    return None


def _close_over(
    site: Site, scan: ScanEdit, inside: Value, made: Node, operands: Sequence[Value], attrs: Mapping[str, Attr]
) -> Results:
    """Put `inside = made.op(operands)` first in the body, which closes over the operands."""
    build = rewriter_for(scan.body)
    inner = []
    for operand in operands:
        inner.append(Value(build.unique(operand.name), operand.type))
        scan.consts.append((inner[-1], operand))
    build.emit_node(Node(made.op, tuple(inner), (inside,), attrs, made.scope, made.place))
    site.emit_scan(scan.result([*build.nodes, *scan.body.nodes]))
    return scan.node.outputs


def share_source_of_slices(site: Site, node: Node) -> Results:
    """Slices of one tensor that a scan walks over are taken inside: one operand instead of several.

    ys = scan(h0, x[:, :, 0:4], x[:, :, 4:8])          ->          ys = scan(h0, x), body: x[:, 0:4], x[:, 4:8]
    """
    scan = ScanEdit.of(node)
    sources = [_source_in_time(site, outside) for _, outside in scan.xs]
    shared = next((value for value in sources if value is not None and sources.count(value) > 1), None)
    if shared is None:
        return None
    build = rewriter_for(scan.body)
    whole = Value(build.unique(shared.name), TensorType(shared.type.dtype, shared.type.shape[1:]))
    kept = [(whole, shared)]
    for (inside, outside), source in zip(scan.xs, sources, strict=True):
        cut = site.definition(outside, "slice")
        if source is not shared or cut is None:
            kept.append((inside, outside))
            continue
        attrs = {key: cut.attrs[key][1:] for key in ("starts", "sizes")}
        build.emit_node(Node(cut.op, (whole,), (inside,), attrs, cut.scope, cut.place))
    scan.xs = kept
    site.emit_scan(scan.result([*build.nodes, *scan.body.nodes]))
    return node.outputs


def _source_in_time(site: Site, value: Value) -> Value | None:
    """What `value` is a slice of, if the time axis is whole."""
    cut = site.definition(value, "slice")
    if cut is None or cut.attrs["sizes"][0] != cut.inputs[0].type.shape[0]:
        return None
    return cut.inputs[0]


RULES: dict[str, tuple[Rule, ...]] = {
    "scan": (
        free_unchanged_state,
        free_passed_slices,
        free_repeated_slices,
        move_broadcast_inside,
        share_source_of_slices,
    )
}
