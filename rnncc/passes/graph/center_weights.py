"""A product less the mean of its columns is the product with weights less the mean of theirs, which is taken once.

    y = matmul(x, w)                                   n = mul(c, sum of w over columns)
    m = mul(c, sum of y over columns)         ->       z = matmul(x, sub(w, n))
    z = sub(y, m)

That is how layer normalization begins. Of a sum of products and fixed vectors, the mean is taken from every term.
Nothing is gained where a product is needed as it is, too, so that its readers decide; and the result is rounded
otherwise. In the pieces of a sequence more is read than in the whole: states that no step and no result needs. So
`passes.streaming` runs this pass on the whole before it takes it apart, and the pass comes before those that drop what
is not read.

Requires: `cse`, which makes one of a mean that is written twice.
"""

from __future__ import annotations

from rnncc.graph.ir import Graph, Node
from rnncc.graph.value import Value
from rnncc.passes.graph.site import Site, rewritten


def center_weights(graph: Graph) -> Graph:
    """`graph` with centered weights for every such product, in bodies too."""
    return rewritten(graph, {"sub": (_difference,)})


def _difference(site: Site, node: Node) -> Value | None:
    """`node`, if it is a product less its mean, as the product with weights less theirs."""
    y, mean = node.inputs
    scale = _scale_of_sum(site, mean, y)
    if scale is None or site.count_reads(y) != 2 or site.is_invariant(y) or not _has_weights(site, y):
        return None
    return _centered(site, y, scale, node)


def _scale_of_sum(site: Site, value: Value, y: Value) -> Value | None:
    """c, one number for all rows, when `value` is c * sum of y over columns, and there is no other use of that."""
    scaled = site.definition(value, "mul")
    for total, scale in (scaled.inputs, scaled.inputs[::-1]) if scaled else ():
        column = site.definition(total, "reshape")
        whole = site.definition(column.inputs[0], "sum") if column else None
        if (
            whole is not None
            and whole.inputs[0] is y
            and whole.attrs["axis"] == y.type.rank - 1
            and total.type.shape == (*y.type.shape[:-1], 1)
            and site.is_invariant(scale)
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
