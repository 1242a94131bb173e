"""What an op's `lower` rule sees: one point of its output, and its operands as functions of an index.

A rule returns the loop IR expression of that point. An op whose output is made of several boxes (concatenation) says
so with `regions`; one that must refuse some operand values (a table lookup) says so with `guard`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rnncc.graph.op import Attrs
from rnncc.loop.builder import ZERO
from rnncc.loop.ir import Expr
from rnncc.records import record
from rnncc.types import Dim, TensorType


@record(frozen=True, slots=True)
class Operand:
    """An operand: its type, and its element at an index."""

    type: TensorType
    at: Callable[[Sequence[Expr]], Expr]


@record(frozen=True, slots=True)
class Point:
    """One point of an op's output: `index` has one expression per output dim, relative to region number `region`."""

    operands: Sequence[Operand]
    index: Sequence[Expr]
    attrs: Attrs
    type: TensorType
    region: int
    fresh: Callable[[str], str]
    """A new variable name, for a reduction."""


@record(frozen=True, slots=True)
class Region:
    """A box of the output: its corner and its shape."""

    start: tuple[int, ...]
    shape: tuple[Dim, ...]


@record(frozen=True, slots=True)
class Guard:
    """A condition that must hold at every point of a box before the op's output may be computed.

    When it does not, the call fails with `message`, which `rnncc.ops.refusals` makes; its {name} is that of the buffer,
    {value} the offending number, {position} the point.
    """

    shape: tuple[Dim, ...]
    condition: Callable[[Sequence[Expr]], Expr]
    value: Callable[[Sequence[Expr]], Expr]
    message: str


def broadcast_index(index: Sequence[Expr], operand: TensorType, output: TensorType) -> list[Expr]:
    """The operand's index at an output index, by numpy's broadcasting rules."""
    offset = output.rank - operand.rank
    return [
        ZERO if dim == 1 and output.shape[offset + axis] != 1 else index[offset + axis]
        for axis, dim in enumerate(operand.shape)
    ]
