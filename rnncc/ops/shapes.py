"""Ops that move elements and compute nothing: reshape, transpose, flip, slice, concatenate, broadcast_to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rnncc.errors import DTypeError, ShapeError
from rnncc.graph.op import Attrs, Emit, Op, register
from rnncc.graph.value import Value
from rnncc.loop.builder import add, floordiv, integer, mod, multiply, product, size_of, subtract
from rnncc.loop.ir import Expr
from rnncc.ops.lowering import Point, Region, broadcast_index
from rnncc.types import Dim, TensorType, bind_shape

# ------------------------------------------------------------------ reshape


def factors(shape: Sequence[Dim]) -> tuple[int, tuple[str, ...]]:
    """A shape's number of elements: its integer factor and its named extents, sorted."""
    number = 1
    for dim in shape:
        number *= dim if isinstance(dim, int) else 1
    return number, tuple(sorted(dim for dim in shape if isinstance(dim, str)))


def _infer_reshape(types: Sequence[TensorType], attrs: Attrs) -> tuple[TensorType, ...]:
    (source,) = types
    shape = attrs["shape"]
    if factors(source.shape) != factors(shape):
        raise ShapeError(
            "the number of elements differs",
            f"from: {source}",
            f"to:   {TensorType(source.dtype, shape)}",
        )
    return (TensorType(source.dtype, shape),)


def _lower_reshape(point: Point) -> Expr:
    source, target = point.operands[0].type.shape, point.type.shape
    index: list[Expr] = [integer(0)] * len(source)
    if 0 in source:  # nobody asks for an element of nothing
        return point.operands[0].at(index)
    i = j = 0
    while i < len(source) or j < len(target):
        group, i, j = _equal_group(source, target, i, j)
        _unflatten(source, group[0], _flatten(target, group[1], point.index), index)
    return point.operands[0].at(index)


def _equal_group(source: Sequence[Dim], target: Sequence[Dim], i: int, j: int) -> tuple[tuple[range, range], int, int]:
    """The shortest runs of source and target axes from i and j on that hold equally many elements."""
    start_i, start_j = i, j
    while True:
        if i < len(source) and (j >= len(target) or source[i] == 1) and start_i == i and start_j == j:
            return (range(i, i + 1), range(j, j)), i + 1, j
        if j < len(target) and (i >= len(source) or target[j] == 1) and start_i == i and start_j == j:
            return (range(i, i), range(j, j + 1)), i, j + 1
        left, right = factors(source[start_i:i]), factors(target[start_j:j])
        if i > start_i and j > start_j and left == right:
            return (range(start_i, i), range(start_j, j)), i, j
        need_source = i == start_i or (j > start_j and _smaller(left, right))
        if (need_source and i < len(source)) or j >= len(target):
            i += 1
        else:
            j += 1


def _smaller(left: tuple[int, tuple[str, ...]], right: tuple[int, tuple[str, ...]]) -> bool:
    return (len(left[1]), left[0]) < (len(right[1]), right[0])


def _flatten(shape: Sequence[Dim], axes: range, index: Sequence[Expr]) -> Expr:
    linear: Expr = integer(0)
    for axis in axes:
        linear = add(multiply(linear, size_of(shape[axis])), index[axis])
    return linear


def _unflatten(shape: Sequence[Dim], axes: range, linear: Expr, index: list[Expr]) -> None:
    for position, axis in enumerate(axes):
        inner = product([size_of(shape[later]) for later in axes[position + 1 :]])
        part = floordiv(linear, inner)
        index[axis] = part if position == 0 else mod(part, size_of(shape[axis]))


def _lift_reshape(
    emit: Emit, inputs: Sequence[Value], lifted: Sequence[bool], attrs: Attrs, output: TensorType
) -> Value:
    (value,) = inputs
    return emit("reshape", value, shape=(value.type.shape[0], *output.shape))


RESHAPE = register(
    Op(
        "reshape",
        attrs=("shape",),
        infer=_infer_reshape,
        eval=lambda arrays, attrs, extents: (np.reshape(arrays[0], bind_shape(attrs["shape"], extents)),),
        lower=_lower_reshape,
        lift=_lift_reshape,
        arity=1,
        cheap=True,
    )
)
"""reshape(x, shape=): the same elements in row-major order under another shape."""

# ------------------------------------------------------------------ transpose


def _infer_transpose(types: Sequence[TensorType], attrs: Attrs) -> tuple[TensorType, ...]:
    (source,) = types
    axes = attrs["axes"]
    if sorted(axes) != list(range(source.rank)):
        raise ShapeError(f"axes {axes} are not a permutation of the {source.rank} axes")
    return (TensorType(source.dtype, tuple(source.shape[axis] for axis in axes)),)


def _lower_transpose(point: Point) -> Expr:
    axes = point.attrs["axes"]
    return point.operands[0].at([point.index[axes.index(axis)] for axis in range(len(axes))])


def _lift_transpose(
    emit: Emit, inputs: Sequence[Value], lifted: Sequence[bool], attrs: Attrs, output: TensorType
) -> Value:
    return emit("transpose", inputs[0], axes=(0, *(axis + 1 for axis in attrs["axes"])))


TRANSPOSE = register(
    Op(
        "transpose",
        attrs=("axes",),
        infer=_infer_transpose,
        eval=lambda arrays, attrs, extents: (np.transpose(arrays[0], attrs["axes"]),),
        lower=_lower_transpose,
        lift=_lift_transpose,
        arity=1,
        cheap=True,
    )
)
"""transpose(x, axes=): output axis i is input axis axes[i]."""

# ------------------------------------------------------------------ flip


def _infer_flip(types: Sequence[TensorType], attrs: Attrs) -> tuple[TensorType, ...]:
    (source,) = types
    axis = attrs["axis"]
    if not 0 <= axis < source.rank:
        raise ShapeError(f"axis {axis} does not exist in rank {source.rank}")
    return (source,)


def _lower_flip(point: Point) -> Expr:
    axis = point.attrs["axis"]
    last = add(size_of(point.type.shape[axis]), integer(-1))
    index = list(point.index)
    index[axis] = subtract(last, index[axis])
    return point.operands[0].at(index)


def _lift_flip(emit: Emit, inputs: Sequence[Value], lifted: Sequence[bool], attrs: Attrs, output: TensorType) -> Value:
    return emit("flip", inputs[0], axis=attrs["axis"] + 1)


FLIP = register(
    Op(
        "flip",
        attrs=("axis",),
        infer=_infer_flip,
        eval=lambda arrays, attrs, extents: (np.flip(arrays[0], attrs["axis"]),),
        lower=_lower_flip,
        lift=_lift_flip,
        arity=1,
        cheap=True,
    )
)
"""flip(x, axis=): x with the elements along one axis in reverse order."""

# ------------------------------------------------------------------ slice


def _infer_slice(types: Sequence[TensorType], attrs: Attrs) -> tuple[TensorType, ...]:
    (source,) = types
    starts, sizes = attrs["starts"], attrs["sizes"]
    if not len(starts) == len(sizes) == source.rank:
        raise ShapeError(f"{len(starts)} starts and {len(sizes)} sizes for {source.rank} dims")
    for axis, (start, size, dim) in enumerate(zip(starts, sizes, source.shape, strict=True)):
        if isinstance(dim, str):
            if start != 0 or size != dim:
                raise ShapeError(f"axis {axis} has the extent {dim} and can only be taken whole")
        elif isinstance(size, str) or start < 0 or size < 0 or start + size > dim:
            raise ShapeError(f"elements {start} to {start} + {size} are outside axis {axis} of size {dim}")
    return (TensorType(source.dtype, tuple(sizes)),)


def _eval_slice(arrays: Sequence[np.ndarray], attrs: Attrs, extents: Mapping[str, int]) -> tuple[np.ndarray, ...]:
    sizes = bind_shape(attrs["sizes"], extents)
    return (arrays[0][tuple(slice(a, a + n) for a, n in zip(attrs["starts"], sizes, strict=True))],)


def _lift_slice(emit: Emit, inputs: Sequence[Value], lifted: Sequence[bool], attrs: Attrs, output: TensorType) -> Value:
    time = inputs[0].type.shape[0]
    return emit("slice", inputs[0], starts=(0, *attrs["starts"]), sizes=(time, *attrs["sizes"]))


SLICE = register(
    Op(
        "slice",
        attrs=("starts", "sizes"),
        infer=_infer_slice,
        eval=_eval_slice,
        lower=lambda point: point.operands[0].at(
            [add(i, integer(start)) for i, start in zip(point.index, point.attrs["starts"], strict=True)]
        ),
        lift=_lift_slice,
        arity=1,
        cheap=True,
    )
)
"""slice(x, starts=, sizes=): a box of x."""

# ------------------------------------------------------------------ concatenate


def _one_name(types: Sequence[TensorType]) -> str | None:
    """What to do when two extents differ that may well be the same."""
    if any(isinstance(dim, str) for type in types for dim in type.shape):
        return 'give both inputs the same name for this extent, e.g. Input(shape=("T", 8))'
    return None


def _infer_concatenate(types: Sequence[TensorType], attrs: Attrs) -> tuple[TensorType, ...]:
    if not types:
        raise ShapeError("nothing to concatenate")
    axis = attrs["axis"]
    first = types[0]
    if not 0 <= axis < first.rank:
        raise ShapeError(f"axis {axis} does not exist in rank {first.rank}")
    total = 0
    for number, type in enumerate(types):
        if type.dtype != first.dtype:
            raise DTypeError(f"operand {number} is {type.dtype}, operand 0 is {first.dtype}")
        if type.rank != first.rank:
            raise ShapeError(f"operands 0 and {number} have different ranks", f"{first} and {type}")
        if type.shape[:axis] + type.shape[axis + 1 :] != first.shape[:axis] + first.shape[axis + 1 :]:
            raise ShapeError(
                f"operands 0 and {number} differ in more than axis {axis}",
                f"{first} and {type}",
                remedy=_one_name(types),
            )
        dim = type.shape[axis]
        if isinstance(dim, str):
            raise ShapeError(
                f"axis {axis} of operand {number} has the extent {dim}, known only at the call",
                remedy="give this axis a size: Input(shape=(10, 8)); or join along another one: axis=-1",
            )
        total += dim
    return (TensorType(first.dtype, (*first.shape[:axis], total, *first.shape[axis + 1 :])),)


def _regions(types: Sequence[TensorType], attrs: Attrs) -> list[Region]:
    axis = attrs["axis"]
    regions, start = [], 0
    for type in types:
        corner = tuple(start if number == axis else 0 for number in range(type.rank))
        regions.append(Region(corner, type.shape))
        dim = type.shape[axis]
        assert isinstance(dim, int), "infer admits numbers only"
        start += dim
    return regions


def _lift_concatenate(
    emit: Emit, inputs: Sequence[Value], lifted: Sequence[bool], attrs: Attrs, output: TensorType
) -> Value:
    time = next(value.type.shape[0] for value, up in zip(inputs, lifted, strict=True) if up)
    whole = [
        value if up else emit("broadcast_to", value, shape=(time, *value.type.shape))
        for value, up in zip(inputs, lifted, strict=True)
    ]
    return emit("concatenate", *whole, axis=attrs["axis"] + 1)


CONCATENATE = register(
    Op(
        "concatenate",
        attrs=("axis",),
        infer=_infer_concatenate,
        eval=lambda arrays, attrs, extents: (np.concatenate(arrays, attrs["axis"]),),
        lower=lambda point: point.operands[point.region].at(point.index),
        lift=_lift_concatenate,
        regions=_regions,
        cheap=True,
    )
)
"""concatenate(*xs, axis=): operands side by side."""

# ------------------------------------------------------------------ broadcast_to


def _infer_broadcast(types: Sequence[TensorType], attrs: Attrs) -> tuple[TensorType, ...]:
    (source,) = types
    shape = attrs["shape"]
    fits = source.rank <= len(shape) and all(
        dim in (1, wide) for dim, wide in zip(source.shape[::-1], shape[::-1], strict=False)
    )
    if not fits:
        raise ShapeError(f"{source} does not broadcast to {TensorType(source.dtype, shape)}")
    return (TensorType(source.dtype, tuple(shape)),)


def _lift_broadcast(
    emit: Emit, inputs: Sequence[Value], lifted: Sequence[bool], attrs: Attrs, output: TensorType
) -> Value:
    time, *rest = inputs[0].type.shape
    ones = (1,) * (output.rank - len(rest))
    return emit("broadcast_to", emit("reshape", inputs[0], shape=(time, *ones, *rest)), shape=(time, *output.shape))


BROADCAST_TO = register(
    Op(
        "broadcast_to",
        attrs=("shape",),
        infer=_infer_broadcast,
        eval=lambda arrays, attrs, extents: (np.broadcast_to(arrays[0], bind_shape(attrs["shape"], extents)),),
        lower=lambda point: point.operands[0].at(broadcast_index(point.index, point.operands[0].type, point.type)),
        lift=_lift_broadcast,
        arity=1,
        cheap=True,
    )
)
"""broadcast_to(x, shape=): x repeated along new and unit axes."""
