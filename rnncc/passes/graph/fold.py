"""Compute at compile time what depends on numbers only.

    a = constant(value=2.0)                               c = constant(value=0.5)
    b = broadcast_to(constant(value=4.0), shape=(B, 8))   y = broadcast_to(c, shape=(B, 8))
    y = div(a, b)                                  ->

A tensor that holds one number everywhere stays a broadcast of that number, whatever its shape. Weights are not touched:
their payloads are bound later.
"""

from __future__ import annotations

import numpy as np

from rnncc.graph.ir import Graph, Node
from rnncc.graph.op import all_ops
from rnncc.graph.rewrite import map_bodies
from rnncc.graph.value import Value
from rnncc.passes.graph.rules_arithmetic import number
from rnncc.passes.graph.site import Rule, Site


def fold(graph: Graph) -> Graph:
    """`graph` with arithmetic on numbers done, in bodies too."""
    return _walk(map_bodies(graph, _walk))


def _walk(graph: Graph) -> Graph:
    return Site(graph, _RULES).run()


def _compute(site: Site, node: Node) -> Value | None:
    """add(1, 2) -> 3, for every elementwise op."""
    numbers = [number(site, value) for value in node.inputs]
    arrays = [
        np.asarray(known, value.type.dtype.numpy)
        for known, value in zip(numbers, node.inputs, strict=True)
        if known is not None
    ]
    if len(arrays) < len(numbers):
        return None
    with np.errstate(all="ignore"):
        (result,) = node.op.eval(arrays, node.attrs, {})
    return _filled(site, node, result.item())


def _move(site: Site, node: Node) -> Value | None:
    """reshape, transpose, slice(a number everywhere) -> that number everywhere"""
    known = number(site, node.inputs[0])
    return None if known is None else _filled(site, node, known)


def _join(site: Site, node: Node) -> Value | None:
    """concatenate(zeros, zeros) -> zeros"""
    numbers = [number(site, value) for value in node.inputs]
    first = numbers[0]
    is_one_number = all(repr(known) == repr(first) for known in numbers)  # -0.0 is not 0.0, and nan is nan
    return _filled(site, node, first) if first is not None and is_one_number else None


def _filled(site: Site, node: Node, known: float | int | bool) -> Value:
    """A tensor of the type of the result of `node` that is `known` everywhere."""
    type = node.output.type
    scalar = site.emit("constant", like=node, value=known, dtype=type.dtype)
    return scalar if type.rank == 0 else site.emit("broadcast_to", scalar, like=node, shape=type.shape)


_RULES: dict[str, tuple[Rule, ...]] = {
    **{op.name: (_compute,) for op in all_ops() if op.elementwise},
    **dict.fromkeys(("reshape", "transpose", "slice"), (_move,)),
    "concatenate": (_join,),
}
