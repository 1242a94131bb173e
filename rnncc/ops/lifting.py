"""Helpers for `lift` rules: what it takes to give an op one more leading axis (time, when hoisting out of a scan)."""

from __future__ import annotations

from collections.abc import Sequence

from rnncc.graph.op import Attrs, Emit
from rnncc.graph.value import Value
from rnncc.types import TensorType


def align(emit: Emit, value: Value, lifted: bool, rank: int) -> Value:
    """A lifted operand of lower rank with ones behind its new axis, so that it still broadcasts from the right.

    Without it ``f32[T, N]`` (an N-vector per step) would meet ``f32[B, N]`` row by row.
    """
    missing = rank - (value.type.rank - 1)
    if not lifted or missing == 0:
        return value
    time, *rest = value.type.shape
    return emit("reshape", value, shape=(time, *(1,) * missing, *rest))


def lift_elementwise(
    op_name: str,
    emit: Emit,
    inputs: Sequence[Value],
    lifted: Sequence[bool],
    attrs: Attrs,
    output: TensorType,
) -> Value:
    """Lift an elementwise op: align the operands, apply it again."""
    aligned = [align(emit, value, up, output.rank) for value, up in zip(inputs, lifted, strict=True)]
    return emit(op_name, *aligned, **attrs)
