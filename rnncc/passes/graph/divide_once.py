"""A product of two quotients takes one division: sigmoid and tanh are computed as one number over another one.

    i = sigmoid(x)
    g = tanh(z)
    y = mul(i, g)          ->          y = sigmoid_times_tanh(x, z)

On wide vectors a division is a third of what such a function costs. The product is rounded otherwise than the two
functions are, so that nothing but the product itself decides: not who reads a factor besides, which is another question
in a model that is streamed; not whether gates are cut out of one sigmoid or are sigmoids of what was cut out, which is
how somebody writes a cell. What moves elements is looked through for that, and the pass is the first one, for others
move it. Factors that are broadcast stay: they would be computed anew for every element.
"""

from __future__ import annotations

from rnncc.graph.ir import Graph, Node
from rnncc.graph.value import Value
from rnncc.loop.functions import PRODUCTS_OF_QUOTIENTS, QUOTIENTS
from rnncc.passes.graph.site import Site, rewritten

_MOVES = ("slice", "take", "transpose", "flip", "reshape")
"""Ops whose result has elements of their first operand, in other places."""


def divide_once(graph: Graph) -> Graph:
    """`graph` with a function of two arguments for every such product, in bodies too."""
    return rewritten(graph, {"mul": (_product,)})


def _product(site: Site, node: Node) -> Value | None:
    """mul(sigmoid(x), tanh(z)) -> sigmoid_times_tanh(x, z), whichever comes first"""
    if any(value.type != node.output.type for value in node.inputs) or node.inputs[0] is node.inputs[1]:
        return None  # a square divides once as it is
    left, right = (_quotient(site, value) for value in node.inputs)
    if left is None or right is None:
        return None
    for first, second in ((left, right), (right, left)):
        product = PRODUCTS_OF_QUOTIENTS.get((first[0].op.name, second[0].op.name))
        if product is not None:
            return site.emit(product, *(_argument(site, *one) for one in (first, second)), like=node)
    raise AssertionError("there is a product of each quotient and each other one")


def _quotient(site: Site, value: Value) -> tuple[Node, list[Node]] | None:
    """The sigmoid or tanh whose elements `value` has, and what moves them, the last move first."""
    moves = []
    while (move := site.definition(value, *_MOVES)) is not None:
        moves.append(move)
        value = move.inputs[0]
    quotient = site.definition(value, *QUOTIENTS)
    return None if quotient is None else (quotient, moves)


def _argument(site: Site, quotient: Node, moves: list[Node]) -> Value:
    """The argument of `quotient`, moved like its result."""
    (value,) = quotient.inputs
    for move in reversed(moves):
        value = site.emit(move.op.name, value, *move.inputs[1:], like=move, **move.attrs)
    return value
