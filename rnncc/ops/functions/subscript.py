"""Subscripts: what ``x[key]`` makes of a symbolic tensor."""

from __future__ import annotations

from typing import Any

from rnncc.errors import ArgumentError, ShapeError, caller
from rnncc.graph.symbolic import Tensor, apply, as_tensor, shown
from rnncc.numeric import whole_number
from rnncc.ops.functions.axes import unchanged
from rnncc.types import Dim, DType


def get_item(x: Any, key: object) -> Tensor:
    """``x[key]`` for ints, slices, None and ..., as in NumPy. A size that the call binds bounds ints at the call."""
    tensor = as_tensor(x)
    keys = list(key) if isinstance(key, tuple) else [key]
    keys = [item if whole_number(item) is None else whole_number(item) for item in keys]
    known = [item is None or item is ... or type(item) in (int, slice) for item in keys]
    if not all(known) or keys.count(...) > 1:
        raise ArgumentError(
            f"cannot index {tensor.name} with {key!r}",
            shown(tensor),
            place=caller(),
            remedy="ints, slices, None and one ... are known; rnncc.ops.take looks up rows by a tensor of indices",
        )
    given = sum(item is not None and item is not ... for item in keys)
    if given > tensor.ndim:
        raise ShapeError(f"{given} indices for {tensor.ndim} dims", shown(tensor), place=caller())
    missing = [slice(None)] * (tensor.ndim - given)
    at = next((number for number, item in enumerate(keys) if item is ...), len(keys))
    keys = keys[:at] + missing + keys[at + 1 :]
    part, keys = _rows(tensor, keys)
    tensor, strides = part, []
    starts: list[int] = []
    sizes: list[Dim] = []
    shape: list[Dim] = []
    axis = 0
    for item in keys:
        if item is None:
            shape.append(1)
            continue
        start, size, step = _interval(tensor, axis, item)
        starts.append(start)
        sizes.append(size)
        if isinstance(item, slice):
            if step != 1:
                strides.append((len(shape), step))
            shape.append(size)
        axis += 1
    if tuple(sizes) != tensor.type.shape:
        part = apply("slice", tensor, starts=tuple(starts), sizes=tuple(sizes))
    part = part if tuple(shape) == part.type.shape else apply("reshape", part, shape=tuple(shape))
    for at, step in strides:
        part = _every(part, at, step)
    return unchanged(part)


def _rows(tensor: Tensor, keys: list[Any]) -> tuple[Tensor, list[Any]]:
    """Take the ints among `keys` whose axis gets its size at the call, where they are checked; the rest is left."""
    rest: list[Any] = []
    for item in keys:
        axis = sum(each is not None for each in rest)
        if isinstance(item, int) and isinstance(tensor.type.shape[axis], str):
            behind = tensor if item >= 0 else apply("flip", tensor, axis=axis)
            others = (each for each in range(tensor.ndim) if each != axis)
            rows = apply("transpose", behind, axes=(axis, *others)) if axis else behind
            tensor = apply("take", rows, as_tensor(item if item >= 0 else -1 - item, DType.I64))
        else:
            rest.append(item)
    return tensor, rest


def _every(tensor: Tensor, axis: int, step: int) -> Tensor:
    """Every `step`-th slice along an axis, from the last one when it is negative."""
    if step < 0:
        tensor, step = apply("flip", tensor, axis=axis), -step
    if step == 1:
        return tensor
    before, size, behind = tensor.type.shape[:axis], tensor.type.shape[axis], tensor.type.shape[axis + 1 :]
    assert isinstance(size, int), "an extent is not cut"
    count = -(-size // step)
    if missing := count * step - size:
        zero = as_tensor(0 if tensor.dtype is not DType.BOOL else False, tensor.dtype)
        rest = apply("broadcast_to", zero, shape=(*before, missing, *behind))
        tensor = apply("concatenate", tensor, rest, axis=axis)
    rows = apply("reshape", tensor, shape=(*before, count, step, *behind))
    return get_item(rows, (*(slice(None),) * (axis + 1), 0))


def _interval(tensor: Tensor, axis: int, item: object) -> tuple[int, Dim, int]:
    """Start, size and step of what an int or slice takes from one axis; a negative step still starts in front."""
    dim = tensor.type.shape[axis]
    if isinstance(item, slice) and item.start is None and item.stop is None and item.step in (None, 1, -1):
        return 0, dim, item.step or 1
    if not isinstance(dim, int):
        raise ShapeError(
            f"axis {axis} of {tensor.name} has the extent {dim}, known only at the call: it cannot be sliced",
            shown(tensor),
            place=caller(),
            remedy="one index can: x[:, -1]; else give the axis a size, Input(shape=(10, 8)), or use rnncc.scan",
        )
    if isinstance(item, int):
        if not -dim <= item < dim:
            raise ShapeError(
                f"index {item} is outside axis {axis} of size {dim}",
                shown(tensor),
                place=caller(),
            )
        return item % dim, 1, 1
    assert isinstance(item, slice)
    taken = range(dim)[item]
    if not taken:
        return 0, 0, 1
    first, last = min(taken[0], taken[-1]), max(taken[0], taken[-1])
    return first, last - first + 1, taken.step
