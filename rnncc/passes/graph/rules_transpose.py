"""Rules of `simplify` that move transposes towards the inputs, where they cancel or cost least.

A scan then reads its operands as they are: layers take [B, T, ...] and scans walk over [T, B, ...].
"""

from __future__ import annotations

from rnncc.graph.ir import Node
from rnncc.graph.value import Value
from rnncc.passes.graph.axes import moved_axes
from rnncc.passes.graph.site import Rule, Site

Axes = tuple[int, ...]


def drop_identity(site: Site, node: Node) -> Value | None:
    """transpose(x, axes=(0, 1, 2)) -> x"""
    axes: Axes = node.attrs["axes"]
    return node.inputs[0] if axes == tuple(range(len(axes))) else None


def merge_equal(site: Site, node: Node) -> Value | None:
    """transpose(x) -> the transpose(x) that is there already: x has one reader then, and lets transposes through"""
    twin = site.twin(node)
    return twin.output if twin is not None else None


def merge_transposes(site: Site, node: Node) -> Value | None:
    """transpose(transpose(x)) -> transpose(x)"""
    inner = site.definition(node.inputs[0], "transpose")
    if inner is None:
        return None
    axes = tuple(inner.attrs["axes"][axis] for axis in node.attrs["axes"])
    return site.emit("transpose", inner.inputs[0], like=node, axes=axes)


def move_unit_axes(site: Site, node: Node) -> Value | None:
    """transpose(x) -> reshape(x) when only axes of size 1 move"""
    (x,) = node.inputs
    moved = [axis for axis in node.attrs["axes"] if x.type.shape[axis] != 1]
    if moved != sorted(moved):
        return None
    return site.emit("reshape", x, like=node, shape=node.output.type.shape)


def push_through_take(site: Site, node: Node) -> Value | None:
    """transpose(take(table, ids)) -> take(table, transpose(ids)) when the axes of a row stay where they are"""
    take = site.definition(node.inputs[0], "take")
    if take is None:
        return None
    table, ids = take.inputs
    axes: Axes = node.attrs["axes"]
    rank = ids.type.rank
    if axes[rank:] != tuple(range(rank, len(axes))):
        return None
    return site.emit("take", table, site.emit("transpose", ids, like=node, axes=axes[:rank]), like=take)


def push_through_elementwise(site: Site, node: Node) -> Value | None:
    """transpose(add(x, b)) -> add(transpose(x), b), for every elementwise op with one reader"""
    (value,) = node.inputs
    inner = site.any_definition(value)
    if inner is None or not inner.op.elementwise or not site.is_read_once(value):
        return None
    operands = {operand: _transposed(site, operand, node) for operand in dict.fromkeys(inner.inputs)}
    return site.emit(inner.op.name, *(operands[value] for value in inner.inputs), like=inner, **inner.attrs)


def _transposed(site: Site, value: Value, node: Node) -> Value:
    """An operand that broadcasts against the input of the transpose `node`, made to broadcast against its output."""
    axes: Axes = node.attrs["axes"]
    missing = len(axes) - value.type.rank
    if axes[missing:] == tuple(range(missing, len(axes))):
        return value
    whole = value
    if missing:
        whole = site.emit("reshape", value, like=node, shape=((1,) * missing + value.type.shape))
    return site.emit("transpose", whole, like=node, axes=axes)


def push_through_reduction(site: Site, node: Node) -> Value | None:
    """transpose(sum(x)) -> sum(transpose(x)) when it has one reader; the same for max and min"""
    (value,) = node.inputs
    inner = site.definition(value, "sum", "max", "min")
    if inner is None or not site.is_read_once(value):
        return None
    axis: int = inner.attrs["axis"]
    axes = [at if at < axis else at + 1 for at in node.attrs["axes"]]
    axes.insert(axis, axis)
    whole = site.emit("transpose", inner.inputs[0], like=node, axes=tuple(axes))
    return site.emit(inner.op.name, whole, like=inner, axis=axis)


def push_through_matmul(site: Site, node: Node) -> Value | None:
    """transpose(matmul(x, w)) -> matmul(transpose(x), w) when the last axis stays, and the product has one reader"""
    (value,) = node.inputs
    inner = site.definition(value, "matmul")
    axes: Axes = node.attrs["axes"]
    if inner is None or axes[-1] != len(axes) - 1 or not site.is_read_once(value) or inner.inputs[1].type.rank != 2:
        return None
    return site.emit(
        "matmul", site.emit("transpose", inner.inputs[0], like=node, axes=axes), inner.inputs[1], like=inner
    )


def push_through_broadcast(site: Site, node: Node) -> Value | None:
    """transpose(broadcast_to(x)) -> broadcast_to(transpose(x))"""
    inner = site.definition(node.inputs[0], "broadcast_to")
    if inner is None:
        return None
    return site.emit("broadcast_to", _transposed(site, inner.inputs[0], node), like=inner, shape=node.output.type.shape)


def push_through_unit_axes(site: Site, node: Node) -> Value | None:
    """transpose(reshape(x)) -> reshape(transpose(x)) when the reshape only adds or drops axes of size 1"""
    inner = site.definition(node.inputs[0], "reshape")
    if inner is None:
        return None
    (x,) = inner.inputs
    places = moved_axes(inner.output.type.shape, x.type.shape)
    if places is None:
        return None
    order = iter([places[axis] for axis in node.attrs["axes"] if axis in places])
    axes = tuple(next(order) if at in places.values() else at for at in range(x.type.rank))
    moved = site.emit("transpose", x, like=node, axes=axes)
    return site.emit("reshape", moved, like=inner, shape=node.output.type.shape)


def push_through_concatenate(site: Site, node: Node) -> Value | None:
    """transpose(concatenate(a, b)) -> concatenate(transpose(a), transpose(b)) when it has one reader"""
    (value,) = node.inputs
    inner = site.definition(value, "concatenate")
    if inner is None or not site.is_read_once(value):
        return None
    axes: Axes = node.attrs["axes"]
    parts = [site.emit("transpose", part, like=node, axes=axes) for part in inner.inputs]
    return site.emit("concatenate", *parts, like=inner, axis=axes.index(inner.attrs["axis"]))


def push_through_slice(site: Site, node: Node) -> Value | None:
    """transpose(slice(x)) -> slice(transpose(x))"""
    inner = site.definition(node.inputs[0], "slice")
    if inner is None:
        return None
    axes: Axes = node.attrs["axes"]
    whole = site.emit("transpose", inner.inputs[0], like=node, axes=axes)
    starts, sizes = (tuple(inner.attrs[key][axis] for axis in axes) for key in ("starts", "sizes"))
    return site.emit("slice", whole, like=inner, starts=starts, sizes=sizes)


RULES: dict[str, tuple[Rule, ...]] = {
    "transpose": (
        drop_identity,
        merge_equal,
        merge_transposes,
        move_unit_axes,
        push_through_take,
        push_through_elementwise,
        push_through_reduction,
        push_through_matmul,
        push_through_broadcast,
        push_through_unit_axes,
        push_through_concatenate,
        push_through_slice,
    )
}
