"""Table lookup: rows of a table by integer index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from rnncc.errors import DTypeError, ShapeError
from rnncc.graph.op import Attrs, Emit, Op, register
from rnncc.graph.value import Value
from rnncc.loop.builder import call, integer, size_of, subtract
from rnncc.loop.ir import Expr
from rnncc.ops.lifting import lift_elementwise
from rnncc.ops.lowering import Guard, Operand, Point
from rnncc.ops.refusals import refusal, refused, size_text
from rnncc.types import Dim, DType, TensorType


def _infer(types: Sequence[TensorType], attrs: Attrs) -> tuple[TensorType, ...]:
    table, index = types
    if index.dtype is not DType.I64:
        raise DTypeError("indices must be i64", f"indices: {index}", remedy="convert with rnncc.ops.cast")
    if table.rank < 1 or table.shape[0] == 0:
        raise ShapeError("the table has no rows", f"table: {table}")
    return (TensorType(table.dtype, index.shape + table.shape[1:]),)


def _eval(arrays: Sequence[np.ndarray], attrs: Attrs, extents: Mapping[str, int]) -> tuple[np.ndarray, ...]:
    table, index = arrays
    wrong = np.argwhere((index < 0) | (index >= len(table)))
    if len(wrong):
        position = tuple(map(int, wrong[0]))
        raise refused(out_of_range(len(table), index.ndim), int(index[position]), position, extents)
    return (table[index],)


def out_of_range(rows: Dim, rank: int) -> str:
    """What is said of an index outside of a table; a single index was written by the user: it is not a token."""
    if not rank:
        return refusal("row", f"row {{value}} is wanted of an axis of {size_text(rows)} rows (counted from 0)")
    table = f"the table of {size_text(rows)} rows" + (f" (0 to {rows - 1})" if isinstance(rows, int) else "")
    return refusal("token", f"{{name}} holds {{value}} at position {{position}}, outside {table}")


def _lower(point: Point) -> Expr:
    """The row is clamped as well as checked: an array that another thread changes meanwhile is never read beyond."""
    table, index = point.operands
    row = index.at(point.index[: index.type.rank])
    last = subtract(size_of(table.type.shape[0]), integer(1))
    inside = call("max", integer(0), call("min", row, last))
    return table.at([inside, *point.index[index.type.rank :]])


def _guard(operands: Sequence[Operand], attrs: Attrs) -> Guard:
    table, index = operands

    def inside(at: Sequence[Expr]) -> Expr:
        row = index.at(at)
        return call(
            "logical_and",
            call("less_equal", integer(0), row),
            call("less", row, size_of(table.type.shape[0])),
        )

    return Guard(index.type.shape, inside, index.at, out_of_range(table.type.shape[0], index.type.rank))


def _lift(
    emit: Emit, inputs: Sequence[Value], lifted: Sequence[bool], attrs: Attrs, output: TensorType
) -> Value | None:
    return None if lifted[0] else emit("take", *inputs)


TAKE = register(Op("take", infer=_infer, eval=_eval, lower=_lower, lift=_lift, guard=_guard, arity=2, cheap=True))
"""take(table, index): rows of `table`; the result has shape index.shape + table.shape[1:]. Out of range is an error."""


def _infer_not_empty(types: Sequence[TensorType], attrs: Attrs) -> tuple[TensorType, ...]:
    (type_,) = types
    return (type_,)


def _eval_not_empty(arrays: Sequence[np.ndarray], attrs: Attrs, extents: Mapping[str, int]) -> tuple[np.ndarray, ...]:
    (array,) = arrays
    if not extents[attrs["rows"]]:
        raise refused(out_of_range(attrs["rows"], 0), 0, (), extents)
    return (array,)


def _guard_not_empty(operands: Sequence[Operand], attrs: Attrs) -> Guard:
    def holds_any(at: Sequence[Expr]) -> Expr:
        return call("less", integer(0), size_of(attrs["rows"]))

    return Guard((), holds_any, lambda at: integer(0), out_of_range(attrs["rows"], 0))


NOT_EMPTY = register(
    Op(
        "not_empty",
        attrs=("rows",),
        infer=_infer_not_empty,
        eval=_eval_not_empty,
        lower=lambda point: point.operands[0].at(point.index),
        lift=partial(lift_elementwise, "not_empty"),
        guard=_guard_not_empty,
        arity=1,
        cheap=True,
    )
)
"""not_empty(x, rows=): x as it is, where a row of an axis was wanted that has the extent `rows`: 0 is an error."""
