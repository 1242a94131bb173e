"""Of the outputs of all steps only those of the last one are wanted: a state of the loop has them at its end.

    h, ys = scan(h0, x), body: ... -> h, h             h = scan(h0, x), body: ... -> h
    s = transpose(ys, axes=(1, 0, 2))                  a = not_empty(h, rows=T)
    s_2 = flip(s, axis=1)                      ->      y = tanh(a)
    t = transpose(s_2, axes=(1, 0, 2))
    y = tanh(take(t, 0))

This is ``layer(x)[:, -1]`` of a layer that returns sequences. What stands between the loop and the index may move axes,
turn them around, be elementwise or a product with weights: it is then done for one step. A sequence without steps has
no last one; `not_empty` says so, as `take` did, when the number of steps is known at the call only. What nobody reads
any more is left to `dce`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from rnncc.graph.ir import Graph, Node, is_scan, scan_view
from rnncc.graph.rewrite import map_bodies
from rnncc.graph.value import Value
from rnncc.passes.graph.rules_arithmetic import number
from rnncc.passes.graph.site import Rule, Site

Make = Callable[[], Value]
"""Appends the nodes that compute one step; called when it is known that all of them can be had."""


def last_step(graph: Graph, *, may_be_empty: bool = False) -> Graph:
    """`graph` with final states for outputs of last steps, in bodies too; unchecked where it `may_be_empty`."""
    rules: dict[str, tuple[Rule, ...]] = {"take": (_taken if may_be_empty else _checked,), "slice": (_sliced,)}

    def walk(one: Graph) -> Graph:
        return Site(one, rules).run()

    return walk(map_bodies(graph, walk))


def _taken(site: Site, node: Node) -> Value | None:
    """take(ys, 0) when row 0 is the last step: the scan runs backwards, or a flip is between them"""
    rows, index = node.inputs
    at = number(site, index) if index.type.rank == 0 else None
    if at is None:
        return None
    make = _Step(site).of(rows, 0, at == 0, at + 1 == rows.type.shape[0])
    return make() if make else None


def _checked(site: Site, node: Node) -> Value | None:
    """The same, and an error when there is no step."""
    found = _taken(site, node)
    steps = node.inputs[0].type.shape[0]
    if found is None or isinstance(steps, int):
        return found
    return site.emit("not_empty", found, like=node, rows=steps)


def _sliced(site: Site, node: Node) -> Value | None:
    """slice(ys) of one step, when their number is known: x[:, 4] of five"""
    (x,) = node.inputs
    shape, starts, sizes = x.type.shape, node.attrs["starts"], node.attrs["sizes"]
    for axis, (dim, start, size) in enumerate(zip(shape, starts, sizes, strict=True)):
        if isinstance(dim, int) and size == 1 < dim:
            make = _Step(site).of(x, axis, start == 0, start == dim - 1)
            if make is not None:
                whole = site.emit("reshape", make(), like=node, shape=(*shape[:axis], 1, *shape[axis + 1 :]))
                rest = (*starts[:axis], 0, *starts[axis + 1 :])
                if whole.type.shape == sizes:
                    return whole
                return site.emit("slice", whole, like=node, starts=rest, sizes=sizes)
    return None


class _Step:
    """The first or the last slice of values along an axis, which is then gone, as far as a state holds it."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.of = cache(self._find)  # what several ops read is looked at once, and made once

    def _find(self, value: Value, axis: int, first: bool, last: bool) -> Make | None:
        """How to have the slice of `value`: its `first` one, its `last` one (of one step, both)."""
        node = self.site.any_definition(value)
        if node is None or not (first or last):
            return None
        if is_scan(node):
            return _state(node, value, axis, first, last)
        if node.op.elementwise:
            return self._pointwise(node, axis, first, last)
        match node.op.name:
            case "transpose":
                return self._moved(node, axis, first, last)
            case "flip":
                return self._turned(node, axis, first, last)
            case "matmul":
                return self._multiplied(node, axis, first, last)
            case "reshape" if node.inputs[0].type == value.type:
                return self.of(node.inputs[0], axis, first, last)
        return None

    def _moved(self, node: Node, axis: int, first: bool, last: bool) -> Make | None:
        axes: tuple[int, ...] = node.attrs["axes"]
        gone = axes[axis]
        make = self.of(node.inputs[0], gone, first, last)
        rest = tuple(each - (each > gone) for each in axes if each != gone)
        if make is None or rest == tuple(range(len(rest))):
            return make
        return cache(lambda: self.site.emit("transpose", make(), like=node, axes=rest))

    def _turned(self, node: Node, axis: int, first: bool, last: bool) -> Make | None:
        turned: int = node.attrs["axis"]
        if turned == axis:
            return self.of(node.inputs[0], axis, last, first)
        make = self.of(node.inputs[0], axis, first, last)
        return make and cache(lambda: self.site.emit("flip", make(), like=node, axis=turned - (turned > axis)))

    def _multiplied(self, node: Node, axis: int, first: bool, last: bool) -> Make | None:
        """matmul(x, w)[:, -1] -> matmul(x[:, -1], w), as long as x keeps two axes"""
        x, w = node.inputs
        if w.type.rank != 2 or x.type.rank < 3 or axis == x.type.rank - 1:
            return None
        make = self.of(x, axis, first, last)
        return make and cache(lambda: self.site.emit("matmul", make(), w, like=node))

    def _pointwise(self, node: Node, axis: int, first: bool, last: bool) -> Make | None:
        """add(x, b)[:, -1] -> add(x[:, -1], b), where b has no steps"""
        makes: list[Make] = []
        for operand in node.inputs:
            own = axis - (node.output.type.rank - operand.type.rank)  # operands of lower rank lack the first axes
            make = self._of_all_steps(node, operand, own) or self.of(operand, own, first, last)
            if make is None:
                return None
            makes.append(make)
        return cache(lambda: self.site.emit(node.op.name, *[make() for make in makes], like=node, **node.attrs))

    def _of_all_steps(self, node: Node, value: Value, axis: int) -> Make | None:
        """An operand of `node` that is the same at all steps, without their axis."""
        shape = value.type.shape
        if axis < 0:
            return lambda: value
        if shape[axis] != 1:
            return None
        return lambda: self.site.emit("reshape", value, like=node, shape=(*shape[:axis], *shape[axis + 1 :]))


def _state(node: Node, value: Value, axis: int, first: bool, last: bool) -> Make | None:
    """The final state of a scan that has the same next value in the body as what was collected as `value`."""
    scan = scan_view(node)
    if axis or value not in scan.ys or not (first if scan.reverse else last):
        return None
    inside = scan.body_ys[scan.ys.index(value)]
    if inside not in scan.next_carry:
        return None
    final = scan.final[scan.next_carry.index(inside)]
    return lambda: final
