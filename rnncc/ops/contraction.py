"""Matrix multiplication."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnncc.errors import DTypeError, ShapeError
from rnncc.graph.op import Attrs, Emit, Op, register
from rnncc.graph.value import Value
from rnncc.loop.builder import call, size_of
from rnncc.loop.ir import Expr, Reduce, Var
from rnncc.ops.lowering import Point
from rnncc.types import TensorType


def _infer(types: Sequence[TensorType], attrs: Attrs) -> tuple[TensorType, ...]:
    left, right = types
    if left.dtype != right.dtype or not left.dtype.is_float:
        raise DTypeError("operands must be floats of one dtype", f"{left.dtype} and {right.dtype}")
    if left.rank < 1 or right.rank < 2 or (right.rank > 2 and left.rank != right.rank):
        raise ShapeError("operands must be [..., K] and [K, N], or [..., M, K] and [..., K, N]")
    if left.shape[-1] != right.shape[-2]:
        raise ShapeError("inner dimensions differ", f"{left.shape[-1]} != {right.shape[-2]}")
    if right.rank > 2 and left.shape[:-2] != right.shape[:-2]:
        raise ShapeError("leading dimensions differ", f"{left} and {right}")
    return (TensorType(left.dtype, (*left.shape[:-1], right.shape[-1])),)


def _lower(point: Point) -> Expr:
    left, right = point.operands
    *lead, column = point.index
    k = Var(point.fresh("k"))
    batch = lead[:-1] if right.type.rank > 2 else []
    product = call("mul", left.at([*lead, k]), right.at([*batch, k, column]))
    return Reduce("add", k.name, size_of(left.type.shape[-1]), product)


def _lift(
    emit: Emit, inputs: Sequence[Value], lifted: Sequence[bool], attrs: Attrs, output: TensorType
) -> Value | None:
    left, right = inputs
    if not lifted[1]:
        return emit("matmul", left, right) if right.type.rank == 2 else None
    time = right.type.shape[0]
    if not lifted[0]:
        left = emit("broadcast_to", left, shape=(time, *left.type.shape))
    return emit("matmul", left, right) if left.type.rank == right.type.rank else None


MATMUL = register(
    Op(
        "matmul",
        infer=_infer,
        eval=lambda arrays, attrs, extents: (np.matmul(arrays[0], arrays[1]),),
        lower=_lower,
        lift=_lift,
        arity=2,
    )
)
"""matmul(a, b): [..., K] x [K, N] -> [..., N], or with equal leading dims [..., M, K] x [..., K, N] -> [..., M, N]."""
