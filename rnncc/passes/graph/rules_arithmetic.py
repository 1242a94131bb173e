"""Rules of `simplify` for elementwise ops and matmul."""

from __future__ import annotations

from itertools import groupby

from rnncc.graph.ir import Node
from rnncc.graph.op import all_ops
from rnncc.graph.value import Value
from rnncc.ops.elementwise import broadcast_shapes
from rnncc.passes.graph.site import Rule, Site


def number(site: Site, value: Value) -> float | int | bool | None:
    """The number that every element of `value` is, if that is known."""
    node = site.definition(value, "constant", "broadcast_to")
    if node is None:
        return None
    if node.op.name == "broadcast_to":
        return number(site, node.inputs[0])
    constant = node.attrs["value"]
    assert isinstance(constant, float | int | bool)
    return constant


def drop_neutral(site: Site, node: Node) -> Value | None:
    """add(x, 0) -> x;  sub(x, 0) -> x;  mul(x, 1) -> x;  div(x, 1) -> x"""
    left, right = node.inputs
    neutral = 0 if node.op.name in ("add", "sub") else 1
    for kept, other in ((left, right), (right, left)) if node.op.commutes else ((left, right),):
        if number(site, other) == neutral:
            shape = node.output.type.shape
            return kept if kept.type.shape == shape else site.emit("broadcast_to", kept, like=node, shape=shape)
    return None


def invert_root(site: Site, node: Node) -> Value | None:
    """div(x, sqrt(v)) -> mul(x, div(1, sqrt(v))) when one root stands for a whole row: it is inverted once.

    That is how normalizations end. No root but 0 and infinity has an inverse that is not a normal number.
    """
    x, root = node.inputs
    if site.definition(root, "sqrt") is None or root.type.shape[-1:] != (1,) or node.output.type.shape[-1] == 1:
        return None
    one = site.emit("constant", like=node, value=1.0, dtype=root.type.dtype)
    return site.emit("mul", x, site.emit("div", one, root, like=node), like=node)


def drop_involution(site: Site, node: Node) -> Value | None:
    """neg(neg(x)) -> x;  logical_not(logical_not(x)) -> x"""
    inner = site.definition(node.inputs[0], node.op.name)
    return inner.inputs[0] if inner else None


def drop_same_cast(site: Site, node: Node) -> Value | None:
    """cast(x, dtype=the dtype of x) -> x"""
    (x,) = node.inputs
    return x if x.type.dtype is node.attrs["dtype"] else None


def drop_choice(site: Site, node: Node) -> Value | None:
    """where(c, a, a) -> a"""
    _, yes, no = node.inputs
    return yes if yes is no and yes.type == node.output.type else None


def drop_operand_broadcast(site: Site, node: Node) -> Value | None:
    """add(x, broadcast_to(y, shape of x)) -> add(x, y), for every elementwise op: it broadcasts by itself."""
    shapes = [value.type.shape for value in node.inputs]
    for position, value in enumerate(node.inputs):
        broadcast = site.definition(value, "broadcast_to")
        if broadcast is None:
            continue
        narrow = [*shapes[:position], broadcast.inputs[0].type.shape, *shapes[position + 1 :]]
        if broadcast_shapes(narrow) == node.output.type.shape:
            operands = [*node.inputs[:position], broadcast.inputs[0], *node.inputs[position + 1 :]]
            return site.emit(node.op.name, *operands, like=node, **node.attrs)
    return None


def split_contraction(site: Site, node: Node) -> Value | None:
    """matmul(concatenate(x, h; last axis), w) -> add(matmul(x, w[:n]), matmul(h, w[n:])) when only h is carried.

    The part that is not carried can then leave the loop.
    """
    left, right = node.inputs
    joined = site.definition(left, "concatenate")
    if joined is None or right.type.rank != 2 or joined.attrs["axis"] != left.type.rank - 1:
        return None
    runs = [(key, list(group)) for key, group in groupby(joined.inputs, site.is_recurrent)]
    if len(runs) == 1:
        return None
    total: Value | None = None
    start = 0
    for _, parts in runs:
        part = parts[0] if len(parts) == 1 else site.emit("concatenate", *parts, like=node, axis=left.type.rank - 1)
        size, columns = part.type.shape[-1], right.type.shape[1]
        assert isinstance(size, int), "concatenate joins axes of fixed size"
        rows = site.emit("slice", right, like=node, starts=(start, 0), sizes=(size, columns))
        product = site.emit("matmul", part, rows, like=node)
        total = product if total is None else site.emit("add", total, product, like=node)
        start += size
    return total


_ELEMENTWISE = tuple(op.name for op in all_ops() if op.elementwise)

RULES: dict[str, tuple[Rule, ...]] = dict.fromkeys(_ELEMENTWISE, (drop_operand_broadcast,))
for _name in ("add", "sub", "mul", "div"):
    RULES[_name] += (drop_neutral,)
RULES["div"] += (invert_root,)
for _name in ("neg", "logical_not"):
    RULES[_name] += (drop_involution,)
RULES["cast"] += (drop_same_cast,)
RULES["where"] += (drop_choice,)
RULES["matmul"] = (split_contraction,)
