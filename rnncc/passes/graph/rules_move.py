"""Rules of `simplify` for ops that only move elements: reshape, slice, concatenate, broadcast_to, flip."""

from __future__ import annotations

from rnncc.graph.ir import Node
from rnncc.graph.value import Value
from rnncc.passes.graph.axes import varies_along
from rnncc.passes.graph.site import Rule, Site
from rnncc.types import Dim


def drop_identity(site: Site, node: Node) -> Value | None:
    """reshape, slice, broadcast_to(x) -> x when the shape stays"""
    (x,) = node.inputs
    return x if x.type == node.output.type else None


def merge_same(site: Site, node: Node) -> Value | None:
    """reshape(reshape(x)) -> reshape(x);  broadcast_to(broadcast_to(x)) -> broadcast_to(x)"""
    inner = site.definition(node.inputs[0], node.op.name)
    return site.emit(node.op.name, inner.inputs[0], like=node, **node.attrs) if inner else None


def merge_slices(site: Site, node: Node) -> Value | None:
    """slice(slice(x)) -> slice(x)"""
    inner = site.definition(node.inputs[0], "slice")
    if inner is None:
        return None
    starts = tuple(a + b for a, b in zip(inner.attrs["starts"], node.attrs["starts"], strict=True))
    return site.emit("slice", inner.inputs[0], like=node, starts=starts, sizes=node.attrs["sizes"])


def slice_one_part(site: Site, node: Node) -> Value | None:
    """slice(concatenate(a, b), inside b) -> slice(b)"""
    joined = site.definition(node.inputs[0], "concatenate")
    if joined is None:
        return None
    axis = joined.attrs["axis"]
    first, size = node.attrs["starts"][axis], node.attrs["sizes"][axis]
    start = 0
    for part in joined.inputs:
        extent = part.type.shape[axis]
        assert isinstance(extent, int), "concatenate joins axes of fixed size"
        if start <= first and first + size <= start + extent:
            starts = _with(node.attrs["starts"], axis, first - start)
            return site.emit("slice", part, like=node, starts=starts, sizes=node.attrs["sizes"])
        start += extent
    return None


def _with(items: tuple[int, ...], position: int, item: int) -> tuple[int, ...]:
    return (*items[:position], item, *items[position + 1 :])


def slice_broadcast(site: Site, node: Node) -> Value | None:
    """slice(broadcast_to(x)) -> broadcast_to(x) when only repeated axes are cut"""
    broadcast = site.definition(node.inputs[0], "broadcast_to")
    if broadcast is None:
        return None
    (x,) = broadcast.inputs
    sizes: tuple[Dim, ...] = node.attrs["sizes"]
    cut = [old != new for old, new in zip(broadcast.attrs["shape"], sizes, strict=True)][len(sizes) - x.type.rank :]
    if any(is_cut and dim != 1 for is_cut, dim in zip(cut, x.type.shape, strict=True)):
        return None
    return site.emit("broadcast_to", x, like=node, shape=sizes)


def drop_single(site: Site, node: Node) -> Value | None:
    """concatenate(x) -> x"""
    return node.inputs[0] if len(node.inputs) == 1 else None


def flatten_concatenate(site: Site, node: Node) -> Value | None:
    """concatenate(concatenate(a, b), c) -> concatenate(a, b, c) on one axis"""
    axis = node.attrs["axis"]
    parts: list[Value] = []
    for value in node.inputs:
        inner = site.definition(value, "concatenate")
        joins = inner is not None and inner.attrs["axis"] == axis and site.is_read_once(value)
        parts.extend(inner.inputs if inner is not None and joins else (value,))
    return site.emit("concatenate", *parts, like=node, axis=axis) if len(parts) > len(node.inputs) else None


def join_slices(site: Site, node: Node) -> Value | None:
    """concatenate(x[:, 0:4], x[:, 4:8]; axis=1) -> x[:, 0:8]"""
    axis = node.attrs["axis"]
    parts: list[Value] = []
    for value in node.inputs:
        joined = _union(site, parts[-1], value, axis, node) if parts else None
        if joined is None:
            parts.append(value)
        else:
            parts[-1] = joined
    return site.emit("concatenate", *parts, like=node, axis=axis) if len(parts) < len(node.inputs) else None


def _union(site: Site, left: Value, right: Value, axis: int, like: Node) -> Value | None:
    """The slice that covers two slices which touch on `axis`, or None."""
    a, b = site.definition(left, "slice"), site.definition(right, "slice")
    if a is None or b is None or a.inputs != b.inputs:
        return None
    starts, sizes = a.attrs["starts"], a.attrs["sizes"]
    end = starts[axis] + sizes[axis]
    if b.attrs["starts"] != _with(starts, axis, end):
        return None
    total = _with(sizes, axis, sizes[axis] + b.attrs["sizes"][axis])
    return site.emit("slice", a.inputs[0], like=like, starts=starts, sizes=total)


def drop_order(site: Site, node: Node) -> Value | None:
    """max(tanh(flip(x, axis=1)), axis=1) -> max(tanh(x), axis=1); the same for min and sum, and with or without tanh"""
    (x,) = node.inputs
    turned = _turned(site, x, node.attrs["axis"] - x.type.rank)
    return site.emit(node.op.name, turned, like=node, **node.attrs) if turned is not None else None


def _turned(site: Site, value: Value, axis: int) -> Value | None:
    """`value` in the reverse order along `axis`, counted from behind, where that is made by leaving out a flip."""
    node = site.any_definition(value)
    if node is None:
        return None
    if node.op.name == "flip" and node.attrs["axis"] == axis + value.type.rank:
        return node.inputs[0]
    if not node.op.elementwise or not site.is_read_once(value):
        return None
    same = {operand for operand in node.inputs if not varies_along(operand.type, axis)}
    operands = [operand if operand in same else _turned(site, operand, axis) for operand in node.inputs]
    found = [operand for operand in operands if operand is not None]
    if len(found) < len(operands) or same.issuperset(node.inputs):
        return None
    return site.emit(node.op.name, *found, like=node, **node.attrs)


RULES: dict[str, tuple[Rule, ...]] = {
    **dict.fromkeys(("sum", "max", "min"), (drop_order,)),
    "reshape": (drop_identity, merge_same),
    "slice": (drop_identity, merge_slices, slice_one_part, slice_broadcast),
    "broadcast_to": (drop_identity, merge_same),
    "concatenate": (drop_single, flatten_concatenate, join_slices),
}
