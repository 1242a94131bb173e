"""Lengths of padded sequences, which must lie within the sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from rnncc.errors import DTypeError
from rnncc.graph.op import Attrs, Op, register
from rnncc.loop.builder import call, integer, size_of
from rnncc.loop.ir import Expr
from rnncc.ops.lifting import lift_elementwise
from rnncc.ops.lowering import Guard, Operand
from rnncc.ops.refusals import refusal, refused, size_text
from rnncc.types import Dim, DType, TensorType


def _infer(types: Sequence[TensorType], attrs: Attrs) -> tuple[TensorType, ...]:
    (lengths,) = types
    if lengths.dtype is not DType.I64:
        raise DTypeError("lengths must be i64", f"lengths: {lengths}", remedy="convert with rnncc.ops.cast")
    return (lengths,)


def _eval(arrays: Sequence[np.ndarray], attrs: Attrs, extents: Mapping[str, int]) -> tuple[np.ndarray, ...]:
    (lengths,) = arrays
    steps = attrs["steps"]
    size = extents[steps] if isinstance(steps, str) else steps
    wrong = np.argwhere((lengths < 0) | (lengths > size))
    if len(wrong):
        position = tuple(map(int, wrong[0]))
        raise refused(_too_long(steps), int(lengths[position]), position, extents, "lengths")
    return (lengths,)


def _too_long(steps: Dim) -> str:
    return refusal(
        "length", f"{{name}} holds {{value}} at position {{position}}, but the sequences have {size_text(steps)} steps"
    )


def _guard(operands: Sequence[Operand], attrs: Attrs) -> Guard:
    (lengths,) = operands

    def within(at: Sequence[Expr]) -> Expr:
        length = lengths.at(at)
        return call(
            "logical_and",
            call("less_equal", integer(0), length),
            call("less_equal", length, size_of(attrs["steps"])),
        )

    return Guard(lengths.type.shape, within, lengths.at, _too_long(attrs["steps"]))


LENGTHS = register(
    Op(
        "lengths",
        attrs=("steps",),
        infer=_infer,
        eval=_eval,
        lower=lambda point: point.operands[0].at(point.index),
        lift=partial(lift_elementwise, "lengths"),
        guard=_guard,
        arity=1,
        cheap=True,
    )
)
"""lengths(x, steps=): x as it is; a number that is negative or larger than `steps` is an error."""
