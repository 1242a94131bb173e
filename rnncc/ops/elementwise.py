"""Elementwise ops: one table row each. Operands of one dtype broadcast as in numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from rnncc.errors import DTypeError, ShapeError
from rnncc.graph.op import Attrs, Op, register
from rnncc.loop.builder import call
from rnncc.loop.functions import FUNCTIONS, PRODUCTS_OF_QUOTIENTS, converted
from rnncc.loop.ir import Expr
from rnncc.ops.lifting import lift_elementwise
from rnncc.ops.lowering import Point, broadcast_index
from rnncc.records import record
from rnncc.types import Dim, DType, TensorType


@record(frozen=True, slots=True)
class _Row:
    """Op `name` is function `function` of the loop IR on operands of the dtypes in `takes`."""

    name: str
    takes: str  # "float", "number" (floats and integers), "bool", "i32", "any"
    function: str = ""
    commutes: bool = False


_ROWS = (
    _Row("add", "number", commutes=True),
    _Row("sub", "number"),
    _Row("mul", "number", commutes=True),
    _Row("div", "float"),
    _Row("maximum", "number", "max", commutes=True),
    _Row("minimum", "number", "min", commutes=True),
    _Row("neg", "number"),
    _Row("abs", "number"),
    _Row("floor", "float"),
    _Row("sqrt", "float"),
    _Row("exp", "float"),
    _Row("log", "float"),
    _Row("log1p", "float"),
    _Row("tanh", "float"),
    _Row("sigmoid", "float"),
    *(_Row(product, "float") for product in PRODUCTS_OF_QUOTIENTS.values()),
    _Row("erf", "float"),
    _Row("less", "number"),
    _Row("less_equal", "number"),
    _Row("equal", "any", commutes=True),
    _Row("not_equal", "any", commutes=True),
    _Row("logical_and", "bool", commutes=True),
    _Row("logical_or", "bool", commutes=True),
    _Row("logical_not", "bool"),
    _Row("where", "any"),
    _Row("threefry", "i32"),
)


def broadcast_shapes(shapes: Sequence[tuple[Dim, ...]]) -> tuple[Dim, ...]:
    """The common shape by numpy's rules, or a ShapeError that names the two dims."""
    rank = max(map(len, shapes), default=0)
    result: list[Dim] = []
    for axis in range(-rank, 0):
        dims = [shape[axis] for shape in shapes if len(shape) >= -axis]
        wide: Dim = 1
        for dim in dims:
            if dim != 1 and wide not in (1, dim):
                remedy = None
                if isinstance(dim, str) or isinstance(wide, str):
                    remedy = 'give both inputs the same name for this extent, e.g. Input(shape=("T", 8))'
                raise ShapeError("shapes do not broadcast", f"axis {axis}: {wide} != {dim}", remedy=remedy)
            wide = dim if dim != 1 else wide
        result.append(wide)
    return tuple(result)


def _infer(row: _Row, arity: int, types: Sequence[TensorType], attrs: Attrs) -> tuple[TensorType, ...]:
    if len(types) != arity:
        raise ShapeError(f"{arity} operands are needed, {len(types)} given")
    operands = types
    if row.name == "where":
        condition, *operands = types
        if condition.dtype is not DType.BOOL:
            raise DTypeError("the condition must be bool", f"condition: {condition}")
    dtypes = {type.dtype for type in operands}
    if len(dtypes) > 1:
        names = " and ".join(str(type.dtype) for type in operands)
        raise DTypeError(f"operands have different dtypes: {names}", remedy="convert one with rnncc.ops.cast")
    (dtype,) = dtypes
    allowed = {
        "float": dtype.is_float,
        "number": dtype.is_float or dtype.is_integer,
        "bool": dtype is DType.BOOL,
        "i32": dtype is DType.I32,
        "any": True,
    }[row.takes]
    if not allowed:
        raise DTypeError(f"operands must be of kind {row.takes}, not {dtype}", remedy="rnncc.ops.cast converts")
    result = FUNCTIONS[row.function or row.name].result or dtype
    return (TensorType(result, broadcast_shapes([type.shape for type in types])),)


def _eval(
    function: str, arrays: Sequence[np.ndarray], attrs: Attrs, extents: Mapping[str, int]
) -> tuple[np.ndarray, ...]:
    return (np.asarray(FUNCTIONS[function].numpy(*arrays)),)


def _lower(function: str, point: Point) -> Expr:
    args = [operand.at(broadcast_index(point.index, operand.type, point.type)) for operand in point.operands]
    return call(function, *args)


def _define(row: _Row) -> Op:
    name = row.function or row.name
    function = FUNCTIONS[name]
    return register(
        Op(
            row.name,
            infer=partial(_infer, row, function.arity),
            eval=partial(_eval, name),
            lower=partial(_lower, name),
            lift=partial(lift_elementwise, row.name),
            arity=function.arity,
            elementwise=True,
            cheap=function.cheap,
            commutes=row.commutes,
        )
    )


ELEMENTWISE = tuple(map(_define, _ROWS))
"""Every op of the table."""


def _infer_cast(types: Sequence[TensorType], attrs: Attrs) -> tuple[TensorType, ...]:
    (source,) = types
    dtype = attrs["dtype"]
    if dtype is DType.BOOL:
        raise DTypeError("nothing is cast to bool", remedy="compare instead: x != 0")
    return (TensorType(dtype, source.shape),)


CAST = register(
    Op(
        "cast",
        attrs=("dtype",),
        infer=_infer_cast,
        eval=lambda arrays, attrs, extents: (converted(arrays[0], attrs["dtype"]),),
        lower=lambda point: call(point.type.dtype.value, point.operands[0].at(point.index)),
        lift=partial(lift_elementwise, "cast"),
        arity=1,
        elementwise=True,
        cheap=True,
    )
)
"""cast(x, dtype=): convert the elements; floats are cut towards zero."""
