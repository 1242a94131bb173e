"""A product of two quotients takes one division: sigmoid and tanh are computed as one number over another one.

    i = sigmoid(x)
    g = tanh(z)
    y = mul(i, g)          ->          y = sigmoid_times_tanh(x, z)

On wide vectors a division is a third of what such a function costs. Factors with another reader stay, and so do those
that are broadcast, which would be computed anew for every element. This is the last pass: one factor may have left a
loop that the other one is in.
"""

from __future__ import annotations

from rnncc.graph.ir import Graph, Node
from rnncc.graph.rewrite import map_bodies
from rnncc.graph.value import Value
from rnncc.loop.functions import PRODUCTS_OF_QUOTIENTS
from rnncc.passes.graph.site import Site


def divide_once(graph: Graph) -> Graph:
    """`graph` with a function of two arguments for every such product, in bodies too."""

    def walk(one: Graph) -> Graph:
        return Site(one, {"mul": (_product,)}).run()

    return walk(map_bodies(graph, walk))


def _product(site: Site, node: Node) -> Value | None:
    """mul(sigmoid(x), tanh(z)) -> sigmoid_times_tanh(x, z), whichever comes first"""
    left, right = (site.any_definition(value) for value in node.inputs)
    if left is None or right is None or not all(_is_of(site, value, node) for value in node.inputs):
        return None
    for first, second in ((left, right), (right, left)):
        product = PRODUCTS_OF_QUOTIENTS.get((first.op.name, second.op.name))
        if product is not None:
            return site.emit(product, *first.inputs, *second.inputs, like=node)
    return None


def _is_of(site: Site, value: Value, node: Node) -> bool:
    """True for a factor that nobody else reads and that has as many elements as the product."""
    return site.is_read_once(value) and value.type == node.output.type
