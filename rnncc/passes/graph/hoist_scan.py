"""Move out of a scan what its steps do not carry: work on weights as it is, work on xs over all steps at once.

    h = scan(w, u, h0, x, body=step)                          xw = matmul(x, w)
    def step(w, u, /, h, *, x_t):                             h = scan(u, h0, xw, body=step)
        a = matmul(x_t, w)                       ->           def step(u, /, h, *, a):
        b = matmul(h, u)                                          b = matmul(h, u)
        return tanh(a + b)                                        return tanh(a + b)

What moves: everything that is not `cheap`, what it needs, and cheap ops behind it that leave no more to keep per step
(a bias behind a projection). A lone cheap op stays: outside it would write and read memory and save nothing. What moves
over time must have a `lift` rule that can say it with one axis more. Numbers stay inside, as literals. From a scan that
carries nothing all of it moves, if all of it can.

Requires: `reassociate`, which brings the terms that are not carried together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rnncc.graph.deps import needed_nodes
from rnncc.graph.ir import Graph, Node, is_scan
from rnncc.graph.rewrite import Rewriter, map_bodies, rewriter_for, substitute, substitute_outputs
from rnncc.graph.value import Value
from rnncc.ops.shapes import factors
from rnncc.passes.graph.dataflow import invariants, readers
from rnncc.passes.graph.scans import ScanEdit, copy_outside
from rnncc.types import TensorType


def hoist_scan(graph: Graph) -> Graph:
    """`graph` with every scan relieved of what its steps do not carry, innermost scans first."""
    return _hoist(map_bodies(graph, _hoist))


def _hoist(graph: Graph) -> Graph:
    build = rewriter_for(graph)
    replaced: dict[Value, Value] = {}
    changed = False
    for old in graph.nodes:
        node = substitute(old, replaced)
        plan = _Plan(ScanEdit.of(node)) if is_scan(node) else None
        if plan is None or not (plan.leaving or plan.is_map):
            build.emit_node(node)
            continue
        outer = _move(build, plan)
        if plan.is_map:
            replaced.update({outside: outer[inside] for inside, outside in plan.scan.ys})
        else:
            build.emit_node(_rest(plan, outer))
        changed = True
    return substitute_outputs(graph, build.nodes, replaced) if changed else graph


class _Plan:
    """What leaves one scan."""

    def __init__(self, scan: ScanEdit) -> None:
        body = scan.body
        self.scan = scan
        self.fixed = invariants(body)
        self.lifted = self._liftable()
        """Values that exist per step, and that can be had for all steps at once."""
        self.leaving: set[Value] = set()
        """Values that the body gets from outside from now on."""
        self.is_map = not body.inputs and self.lifted.issuperset(body.outputs)
        """Nothing is carried, and all results can be had at once: no loop needs to stay."""
        self._numbers = invariants(body, ())
        self._readers = readers(body)
        for node in body.nodes:
            if self._leaves(node) or (self.is_map and self.lifted.issuperset(node.outputs)):
                self.leaving.update(node.outputs)
        self.outside = needed_nodes(body.nodes, self.leaving)
        """Nodes to be computed outside: what leaves and what it needs. The latter may stay inside as well."""

    def _liftable(self) -> set[Value]:
        body = self.scan.body
        lifted = set(body.xs)
        for node in body.nodes:
            is_fixed = [value in self.fixed for value in node.inputs]
            known = all(one or value in lifted for one, value in zip(is_fixed, node.inputs, strict=True))
            if known and not all(is_fixed) and self.scan.can_lift(node, lifted):
                lifted.update(node.outputs)
        return lifted

    def _leaves(self, node: Node) -> bool:
        if all(value in self.fixed for value in node.outputs):
            return not node.op.cheap or self._keeps_size(node)
        if not all(value in self.lifted for value in node.outputs):
            return False
        return not node.op.cheap or self._follows(node)

    def _keeps_size(self, node: Node) -> bool:
        """True for a cheap op on what the body closes over, when its result takes no more room than an operand."""
        type = node.output.type
        if node.output in self._numbers:
            return False
        return not factors(type.shape)[1] or any(_is_at_most(type, [value.type]) for value in node.inputs)

    def _follows(self, node: Node) -> bool:
        """True for a cheap op that takes the place of what leaves anyway: a bias behind a projection."""
        if not any(value in self.leaving for value in node.inputs):
            return False
        freed = [
            value.type
            for value in node.inputs
            if value in self.lifted and self._readers[value] == [node] and value not in self.scan.body.outputs
        ]
        return _is_at_most(node.output.type, freed)


def _is_at_most(type: TensorType, others: Iterable[TensorType]) -> bool:
    """True when `type` has surely no more elements than `others` together."""
    number, names = factors(type.shape)
    sizes = [factors(other.shape) for other in others]
    return number <= sum(size for size, other_names in sizes if other_names == names)


def _move(build: Rewriter, plan: _Plan) -> dict[Value, Value]:
    """Append to `build` what leaves; returns what values of the body are outside."""
    outer = dict((*plan.scan.consts, *plan.scan.xs))
    for node in plan.outside:
        if plan.fixed.issuperset(node.outputs):
            copy_outside(build, node, outer)
        else:
            inputs = [outer[value] for value in node.inputs]
            outer[node.output] = plan.scan.lift(build, node, inputs, plan.lifted)
    return outer


def _rest(plan: _Plan, outer: Mapping[Value, Value]) -> Node:
    """The scan without what has left."""
    scan = plan.scan
    staying = [node for node in scan.body.nodes if plan.leaving.isdisjoint(node.outputs)]
    inside = needed_nodes(staying, scan.body.outputs)
    read = {value for node in inside for value in node.inputs} | set(scan.body.outputs)
    for value in scan.body.values():
        if value in plan.leaving and value in read:
            (scan.xs if value in plan.lifted else scan.consts).append((value, outer[value]))
    return scan.result(inside)
