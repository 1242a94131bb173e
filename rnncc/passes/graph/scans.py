"""Rebuild a scan node by the kinds of its operands and results."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from rnncc.graph.ir import Graph, Node, Scan, scan_view
from rnncc.graph.rewrite import Rewriter
from rnncc.graph.value import Value
from rnncc.passes.graph.dataflow import stem
from rnncc.types import Dim, TensorType


@dataclass(slots=True)
class ScanEdit:
    """The parts of a scan, each inner value beside its outer one, as lists to change; `node` puts them together again.

    consts: (inside, outside)        carry: (inside, next inside, init outside, final outside)
    xs:     (inside, outside)        ys:    (inside, outside)
    """

    node: Node
    body: Graph
    consts: list[tuple[Value, Value]] = field(default_factory=list)
    carry: list[tuple[Value, Value, Value, Value]] = field(default_factory=list)
    xs: list[tuple[Value, Value]] = field(default_factory=list)
    ys: list[tuple[Value, Value]] = field(default_factory=list)

    @classmethod
    def of(cls, node: Node) -> ScanEdit:
        """The parts of `node`."""
        scan: Scan = scan_view(node)
        body = scan.body
        return cls(
            node,
            body,
            list(zip(body.consts, scan.consts, strict=True)),
            list(zip(body.inputs, scan.next_carry, scan.init, scan.final, strict=True)),
            list(zip(body.xs, scan.xs, strict=True)),
            list(zip(scan.body_ys, scan.ys, strict=True)),
        )

    def result(self, nodes: Sequence[Node] | None = None) -> Node:
        """The scan node with these parts and, where given, other nodes in its body."""
        body = replace(
            self.body,
            consts=tuple(inside for inside, _ in self.consts),
            inputs=tuple(inside for inside, _, _, _ in self.carry),
            xs=tuple(inside for inside, _ in self.xs),
            nodes=self.body.nodes if nodes is None else tuple(nodes),
            outputs=self.body_outputs,
        )
        operands = (
            *(outside for _, outside in self.consts),
            *(init for _, _, init, _ in self.carry),
            *(outside for _, outside in self.xs),
        )
        results = (*(final for _, _, _, final in self.carry), *(outside for _, outside in self.ys))
        return replace(self.node, inputs=operands, outputs=results, attrs={**self.node.attrs, "body": body})

    @property
    def body_outputs(self) -> tuple[Value, ...]:
        """What the body returns: the next states, and what is collected."""
        return (*(after for _, after, _, _ in self.carry), *(inside for inside, _ in self.ys))

    @property
    def length(self) -> Dim:
        """The number of steps."""
        length = self.node.attrs["length"]
        assert isinstance(length, int | str), length
        return length

    def over_time(self, type: TensorType) -> TensorType:
        """`type` with the time axis of this scan in front."""
        return TensorType(type.dtype, (self.length, *type.shape))

    def can_lift(self, node: Node, lifted: Container[Value]) -> bool:
        """True when `node` can be said for all steps at once, given the operands in `lifted` for all steps."""
        if node.op.lift is None:
            return False
        up = [value in lifted for value in node.inputs]
        stand_ins = [
            Value(value.name, self.over_time(value.type) if is_up else value.type)
            for value, is_up in zip(node.inputs, up, strict=True)
        ]
        return node.op.lift(Rewriter(()).emit, stand_ins, up, node.attrs, node.output.type) is not None

    def lift(self, build: Rewriter, node: Node, inputs: Sequence[Value], lifted: Container[Value]) -> Value:
        """Append `node` for all steps at once; `inputs` stand for its operands, those in `lifted` for all steps."""
        assert node.op.lift is not None
        emit = partial(build.emit, like=node, hint=stem(node.output.name))
        up = [value in lifted for value in node.inputs]
        result = node.op.lift(emit, inputs, up, node.attrs, node.output.type)
        assert result is not None and result.type == self.over_time(node.output.type), f"{node.op.name}: wrong lift"
        return result


def copy_outside(build: Rewriter, node: Node, outer: dict[Value, Value]) -> None:
    """Append a copy of a body's `node` whose operands stand in `outer`; adds its results there."""
    outputs = tuple(Value(build.unique(stem(value.name)), value.type) for value in node.outputs)
    build.emit_node(replace(node, inputs=tuple(outer[value] for value in node.inputs), outputs=outputs))
    outer.update(zip(node.outputs, outputs, strict=True))
