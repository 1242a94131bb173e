"""Rebuild a scan node by the kinds of its operands and results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rnncc.graph.ir import Graph, Node, Scan, Value, scan_view
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
            outputs=(*(after for _, after, _, _ in self.carry), *(inside for inside, _ in self.ys)),
        )
        operands = (
            *(outside for _, outside in self.consts),
            *(init for _, _, init, _ in self.carry),
            *(outside for _, outside in self.xs),
        )
        results = (*(final for _, _, _, final in self.carry), *(outside for _, outside in self.ys))
        return replace(self.node, inputs=operands, outputs=results, attrs={**self.node.attrs, "body": body})

    @property
    def length(self) -> Dim:
        """The number of steps."""
        length = self.node.attrs["length"]
        assert isinstance(length, int | str), length
        return length

    def over_time(self, type: TensorType) -> TensorType:
        """`type` with the time axis of this scan in front."""
        return TensorType(type.dtype, (self.length, *type.shape))
