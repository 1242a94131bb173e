"""Repeat the body of a scan that asks for it, where the number of steps is fixed.

    h, ys = scan(h0, x, body=step, length=2, unroll=2)    ->    h1, y0 = step(h0, x[0])
                                                                h, y1 = step(h1, x[1])
                                                                ys = concatenate(y0, y1)

A scan that asks for as many steps as it has, or more, disappears. One that asks for fewer gets a body of so many steps,
if they divide its length. With any other length, or one that is known only at the call, the wish stays on the scan:
the loop passes see to it. `most` bounds the copies of a body.

Requires: `hoist_scan` before, so that the copies hold only what a step must do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rnncc.graph.ir import Graph, Node, Scan, is_scan, scan_view
from rnncc.graph.rewrite import Rewriter, map_bodies, rewriter_for, substitute, substitute_outputs
from rnncc.graph.value import Value
from rnncc.passes.graph.dataflow import stem
from rnncc.types import Dim, TensorType


def unroll(graph: Graph, most: int = 64) -> Graph:
    """`graph` with the bodies of scans repeated as they ask, at most `most` times, innermost scans first."""

    def change(part: Graph) -> Graph:
        return _unroll(part, most)

    return change(map_bodies(graph, change))


def _unroll(graph: Graph, most: int) -> Graph:
    build = rewriter_for(graph)
    replacement: dict[Value, Value] = {}
    changed = False
    for old in graph.nodes:
        node = substitute(old, replacement)
        count = _copies(node, most)
        if count == 0:
            build.emit_node(node)
            continue
        changed = True
        scan = scan_view(node)
        if count == scan.length:
            results = _repeat(build, node, scan.consts, scan.init, scan.xs, count)
        else:
            results = _repeat_in_turns(build, node, count)
        replacement.update(zip(old.outputs, results, strict=True))
    return substitute_outputs(graph, build.nodes, replacement) if changed else graph


def _copies(node: Node, most: int) -> int:
    """How many copies of its body `node` is to become or to hold; 0 leaves it alone."""
    if not is_scan(node):
        return 0
    scan = scan_view(node)
    if isinstance(scan.length, str) or scan.length == 0:
        return 0
    count = min(scan.unroll, scan.length)
    if count > most or scan.length % count:
        return 0
    return count if count > 1 or scan.length == 1 else 0


def _repeat(
    build: Rewriter, node: Node, consts: Sequence[Value], carry: Sequence[Value], xs: Sequence[Value], count: int
) -> list[Value]:
    """Append `count` steps of the scan `node` over the slices of `xs`; returns the carry behind them and the ys."""
    scan = scan_view(node)
    collected: list[tuple[Value, ...]] = []
    for step in reversed(range(count)) if scan.reverse else range(count):
        slices = [_element(build, value, step, node) for value in xs]
        results = _copy(build, scan.body, [*consts, *carry, *slices])
        carry = results[: len(carry)]
        collected.append(tuple(_with_time(build, value, node) for value in results[len(carry) :]))
    columns = zip(*(reversed(collected) if scan.reverse else collected), strict=True)
    return [*carry, *(build.emit("concatenate", *column, like=node, hint="ys", axis=0) for column in columns)]


def _element(build: Rewriter, value: Value, step: int, like: Node) -> Value:
    """value[step]"""
    shape = value.type.shape[1:]
    starts, sizes = (step, *(0 for _ in shape)), (1, *shape)
    row = build.emit("slice", value, like=like, hint=stem(value.name), starts=starts, sizes=sizes)
    return build.emit("reshape", row, like=like, hint=stem(value.name), shape=shape)


def _with_time(build: Rewriter, value: Value, like: Node) -> Value:
    return build.emit("reshape", value, like=like, hint=stem(value.name), shape=(1, *value.type.shape))


def _copy(build: Rewriter, body: Graph, arguments: Sequence[Value]) -> list[Value]:
    """Append the nodes of `body` with new names; returns what stands for its outputs."""
    new = dict(zip(body.parameters, arguments, strict=True))
    for node in body.nodes:
        outputs = tuple(Value(build.unique(stem(value.name)), value.type) for value in node.outputs)
        build.emit_node(replace(substitute(node, new), outputs=outputs))
        new.update(zip(node.outputs, outputs, strict=True))
    return [new[value] for value in body.outputs]


def _repeat_in_turns(build: Rewriter, node: Node, count: int) -> list[Value]:
    """Append a scan with `count` steps of the scan `node` in its body; returns the results of `node`."""
    scan = scan_view(node)
    body = scan.body
    assert isinstance(scan.length, int), "only a fixed number of steps is cut into turns"
    turns = scan.length // count
    xs = tuple(Value(value.name, _over(count, value.type)) for value in body.xs)
    inside = Rewriter(value.name for value in (*body.consts, *body.inputs, *xs))
    outputs = tuple(_repeat(inside, node, body.consts, body.inputs, xs, count))
    wide = Graph(body.name, body.consts, body.inputs, xs, tuple(inside.nodes), outputs)
    outer_xs = [
        build.emit("reshape", value, like=node, hint=stem(value.name), shape=(turns, count, *value.type.shape[1:]))
        for value in scan.xs
    ]
    ys = [Value(build.unique(value.name), _over(turns, inner.type)) for value, inner in _ys_of(scan, wide)]
    final = [Value(build.unique(value.name), value.type) for value in scan.final]
    attrs = {**node.attrs, "body": wide, "length": turns, "unroll": 1}
    operands = (*scan.consts, *scan.init, *outer_xs)
    build.emit_node(replace(node, inputs=operands, outputs=(*final, *ys), attrs=attrs))
    whole = [
        build.emit("reshape", value, like=node, shape=old.type.shape) for value, old in zip(ys, scan.ys, strict=True)
    ]
    return [*final, *whole]


def _ys_of(scan: Scan, wide: Graph) -> list[tuple[Value, Value]]:
    """The collected results of `scan`, each with what one turn gives for it."""
    return list(zip(scan.ys, wide.outputs[len(scan.init) :], strict=True))


def _over(count: Dim, type: TensorType) -> TensorType:
    return TensorType(type.dtype, (count, *type.shape))
