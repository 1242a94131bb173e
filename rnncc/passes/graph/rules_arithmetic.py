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


def center_weights(site: Site, node: Node) -> Value | None:
    """sub(y, c * sum of y over columns) -> matmul(x, sub(w, c * sum of w over columns)), where y = matmul(x, w).

    That is how layer normalization begins: the mean need not be taken from each row of the product when it is taken
    from each row of the weights, once. Of a sum of products and fixed vectors, it is taken from every term.
    """
    y, mean = node.inputs
    scale = _scale_of_sum(site, mean, y)
    if scale is None or site.count_reads(y) != 2 or site.is_invariant(y) or not _has_weights(site, y):
        return None
    return _centered(site, y, scale, node)


def _scale_of_sum(site: Site, value: Value, y: Value) -> Value | None:
    """c, a number, when `value` is c * sum of y over columns, and there is no other use of that."""
    scaled = site.definition(value, "mul")
    for total, scale in (scaled.inputs, scaled.inputs[::-1]) if scaled else ():
        column = site.definition(total, "reshape")
        whole = site.definition(column.inputs[0], "sum") if column else None
        if (
            whole is not None
            and whole.inputs[0] is y
            and whole.attrs["axis"] == y.type.rank - 1
            and total.type.shape == (*y.type.shape[:-1], 1)
            and number(site, scale) is not None
            and scale.type.rank == 0
            and all(map(site.is_read_once, (value, total, whole.output)))
        ):
            return scale
    return None


def _has_weights(site: Site, value: Value) -> bool:
    """True for a product with weights, and for a sum of such products and what is fixed, of nothing broadcast."""
    if site.is_invariant(value):
        return True
    product = site.definition(value, "matmul")
    if product is not None:
        weights = product.inputs[1]
        return site.is_invariant(weights) and weights.type.rank == 2
    total = site.definition(value, "add")
    return total is not None and all(
        term.type.shape[-1:] == value.type.shape[-1:] and site.is_read_once(term) and _has_weights(site, term)
        for term in total.inputs
    )


def _centered(site: Site, value: Value, scale: Value, like: Node) -> Value:
    """`value` less `scale` times the sum of its columns: of a product, the weights are."""
    if site.is_invariant(value):
        axis = value.type.rank - 1
        row_sums = site.emit("sum", value, like=like, axis=axis)
        column = site.emit("reshape", row_sums, like=like, shape=(*value.type.shape[:axis], 1))
        return site.emit("sub", value, site.emit("mul", column, scale, like=like), like=like)
    product = site.definition(value, "matmul")
    if product is not None:
        x, weights = product.inputs
        return site.emit("matmul", x, _centered(site, weights, scale, like), like=product)
    total = site.definition(value, "add")
    assert total is not None, "what has weights is a product or a sum"
    left, right = (_centered(site, term, scale, like) for term in total.inputs)
    return site.emit("add", left, right, like=total)


_ELEMENTWISE = tuple(op.name for op in all_ops() if op.elementwise)

RULES: dict[str, tuple[Rule, ...]] = dict.fromkeys(_ELEMENTWISE, (drop_operand_broadcast,))
for _name in ("add", "sub", "mul", "div"):
    RULES[_name] += (drop_neutral,)
RULES["div"] += (invert_root,)
for _name in ("neg", "logical_not"):
    RULES[_name] += (drop_involution,)
RULES["sub"] += (center_weights,)
RULES["cast"] += (drop_same_cast,)
RULES["where"] += (drop_choice,)
RULES["matmul"] = (split_contraction,)
