"""Reductions over one axis: sum, max, min."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from rnncc.errors import DTypeError, ShapeError
from rnncc.graph.op import Attrs, Emit, Op, register
from rnncc.graph.value import Value
from rnncc.loop.builder import size_of
from rnncc.loop.functions import identity_of
from rnncc.loop.ir import Expr, Reduce, Var
from rnncc.ops.lowering import Point
from rnncc.types import DType, TensorType, dtype_of


def _infer(types: Sequence[TensorType], attrs: Attrs) -> tuple[TensorType, ...]:
    (source,) = types
    axis = attrs["axis"]
    if not 0 <= axis < source.rank:
        raise ShapeError(f"axis {axis} does not exist in {source}")
    if not (source.dtype.is_float or source.dtype.is_integer):
        raise DTypeError(f"{source.dtype} cannot be reduced", remedy="convert with rnncc.ops.cast")
    return (TensorType(source.dtype, source.shape[:axis] + source.shape[axis + 1 :]),)


def _eval(
    combine: str, arrays: Sequence[np.ndarray], attrs: Attrs, extents: Mapping[str, int]
) -> tuple[np.ndarray, ...]:
    function = {"add": np.add, "max": np.maximum, "min": np.minimum}[combine]
    (array,) = arrays
    start = identity_of(combine, _dtype(array))
    return (np.asarray(function.reduce(array, axis=attrs["axis"], dtype=array.dtype, initial=start)),)


def _dtype(array: np.ndarray) -> DType:
    return dtype_of(array.dtype)


def _lower(combine: str, point: Point) -> Expr:
    axis = point.attrs["axis"]
    (operand,) = point.operands
    k = Var(point.fresh("k"))
    value = operand.at([*point.index[:axis], k, *point.index[axis:]])
    return Reduce(combine, k.name, size_of(operand.type.shape[axis]), value)


def _lift(
    name: str, emit: Emit, inputs: Sequence[Value], lifted: Sequence[bool], attrs: Attrs, output: TensorType
) -> Value:
    return emit(name, inputs[0], axis=attrs["axis"] + 1)


def _define(name: str, combine: str) -> Op:
    return register(
        Op(
            name,
            attrs=("axis",),
            infer=_infer,
            eval=partial(_eval, combine),
            lower=partial(_lower, combine),
            lift=partial(_lift, name),
            arity=1,
        )
    )


SUM = _define("sum", "add")
"""sum(x, axis=): the sum along one axis, which disappears."""
MAX = _define("max", "max")
"""max(x, axis=): the largest element along one axis; -inf for none."""
MIN = _define("min", "min")
"""min(x, axis=): the smallest element along one axis; inf for none."""
