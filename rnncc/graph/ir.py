"""The graph IR: what a model computes, without memory and without loops other than `scan`.

    graph  ::=  def name(consts, /, inputs, *, xs): nodes; return outputs
    node   ::=  outputs = op(inputs, attrs)
    scan   ::=  final_carry, ys = scan(consts, init, xs; body=graph, reverse, length, unroll)

Everything is immutable. The node list is in topological order; a pass returns a new graph, or the same object when
nothing changed. A value is equal to itself only. In a model, `consts` are the named weights (their payloads live in
`sources`, outside of the IR proper) and `inputs` the arguments, the last of which may be hidden: `feeds` gives them
a new payload at every call. In a scan body, `consts` are the values the body closes over, `inputs` the carry, and
`xs` the slices of one step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from typing import Protocol

import numpy as np

from rnncc.graph.op import Attr, Op
from rnncc.graph.value import Value
from rnncc.records import record
from rnncc.types import named_dims


class Source(Protocol):
    """Where the payload of a weight comes from; read when a compiled model is bound, never by a pass."""

    @property
    def value(self) -> np.ndarray:
        """The array as it is now."""


class Feed(Protocol):
    """Where the payload of a hidden input comes from."""

    def draw(self) -> np.ndarray:
        """The array for the next call."""

    def restart(self) -> None:
        """Let the array of the first call come next."""


@record(frozen=True, slots=True)
class ArraySource:
    """A payload that never changes."""

    value: np.ndarray


@record(frozen=True, slots=True, eq=False)
class Node:
    """One application of an op. `scope` is the layer path and `place` the user's line; neither is printed."""

    op: Op
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    attrs: Mapping[str, Attr] = field(default_factory=dict)
    scope: str = ""
    place: str | None = None

    @property
    def output(self) -> Value:
        """The only output."""
        (value,) = self.outputs
        return value


@record(frozen=True, slots=True, eq=False)
class Graph:
    """A closed computation: see the grammar in this file's first lines."""

    name: str
    consts: tuple[Value, ...]
    inputs: tuple[Value, ...]
    xs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Value, ...]
    sources: Mapping[str, Source] = field(default_factory=dict)
    feeds: Mapping[str, Feed] = field(default_factory=dict)

    def __str__(self) -> str:
        return _printers[0](self) if _printers else repr(self)

    def __repr__(self) -> str:
        count = count_nodes(self)
        return f"<Graph {self.name}: {count} node{'' if count == 1 else 's'}>"

    @property
    def arguments(self) -> tuple[Value, ...]:
        """The inputs that a caller gives: all but those at the end that have a feed."""
        return self.inputs[: len(self.inputs) - len(self.feeds)]

    @property
    def parameters(self) -> tuple[Value, ...]:
        """Every value that is defined outside: consts, inputs, xs, in this order."""
        return self.consts + self.inputs + self.xs

    def values(self) -> Iterator[Value]:
        """Every value of this graph (not of bodies), in order of definition."""
        yield from self.parameters
        for node in self.nodes:
            yield from node.outputs

    @property
    def extents(self) -> tuple[str, ...]:
        """Names of the extents that the parameters' shapes mention, in order of appearance."""
        return named_dims(tuple(value.type.shape for value in self.parameters))


_printers: list[Callable[[Graph], str]] = []


def set_printer(printer: Callable[[Graph], str]) -> None:
    """Install what `str` and `print` make of a graph; the printer is above this file."""
    _printers[:] = [printer]


@record(frozen=True, slots=True)
class Scan:
    """Named access to the three kinds of operand and two kinds of result of a scan node; see `scan_view`."""

    node: Node
    body: Graph
    consts: tuple[Value, ...]
    init: tuple[Value, ...]
    xs: tuple[Value, ...]
    final: tuple[Value, ...]
    ys: tuple[Value, ...]

    @property
    def next_carry(self) -> tuple[Value, ...]:
        """The body's outputs that become the next step's carry."""
        return self.body.outputs[: len(self.init)]

    @property
    def body_ys(self) -> tuple[Value, ...]:
        """The body's outputs that are collected over the steps."""
        return self.body.outputs[len(self.init) :]

    @property
    def reverse(self) -> bool:
        """True when the steps run from the last slice to the first."""
        return bool(self.node.attrs["reverse"])

    @property
    def length(self) -> int | str:
        """Number of steps: a dim."""
        length = self.node.attrs["length"]
        assert isinstance(length, int | str), length
        return length

    @property
    def unroll(self) -> int:
        """Steps that one turn of the compiled loop should hold."""
        unroll = self.node.attrs["unroll"]
        assert isinstance(unroll, int), unroll
        return unroll


def is_scan(node: Node) -> bool:
    """True for the one op that has a body."""
    return "body" in node.attrs


def count_nodes(graph: Graph) -> int:
    """Nodes of a graph, bodies included."""
    return sum(1 + (count_nodes(node.attrs["body"]) if is_scan(node) else 0) for node in graph.nodes)


def scan_view(node: Node) -> Scan:
    """The operands and results of a scan node by kind."""
    body = node.attrs["body"]
    assert isinstance(body, Graph), f"{node.op.name} has no body"
    n_consts, n_carry = len(body.consts), len(body.inputs)
    return Scan(
        node=node,
        body=body,
        consts=node.inputs[:n_consts],
        init=node.inputs[n_consts : n_consts + n_carry],
        xs=node.inputs[n_consts + n_carry :],
        final=node.outputs[:n_carry],
        ys=node.outputs[n_carry:],
    )
