"""Arrays for the inputs of a graph: matched by position or name, converted when no value changes, checked, bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnncc.errors import ArgumentError, DTypeError, ShapeError, caller, nearest
from rnncc.graph.ir import Value
from rnncc.types import DType


def bind_arguments(
    title: str, inputs: Sequence[Value], args: Sequence[Any], named: Mapping[str, Any]
) -> tuple[list[np.ndarray], dict[str, int]]:
    """One array per input, with its element type, and the sizes of the named extents.

    Lists, pandas columns and arrays of any layout or byte order are taken. Raises ArgumentError for a wrong number or
    name, DTypeError when a conversion would change a value, ShapeError when ranks, widths or extents disagree.
    """
    if not named and len(args) == len(inputs):
        sizes = _bind_exact(inputs, args)
        if sizes is not None:
            return list(args), sizes
    given = _matched(title, inputs, args, named)
    arrays = [as_input(value.name, given[value.name], value.type.dtype) for value in inputs]
    extents: dict[str, int] = {}
    bound_by: dict[str, str] = {}
    for value, array in zip(inputs, arrays, strict=True):
        _bind(value, array.shape, extents, bound_by)
    return arrays, extents


def _bind_exact(inputs: Sequence[Value], args: Sequence[Any]) -> dict[str, int] | None:
    """The sizes of the extents when every argument is an array of the right type and shape; None otherwise.

    This is the way of every call in a loop, so that it is short; what it turns down is looked at again, with care.
    """
    extents: dict[str, int] = {}
    for value, array in zip(inputs, args, strict=True):
        type_ = value.type
        if type(array) is not np.ndarray or array.dtype != type_.dtype.numpy or array.ndim != len(type_.shape):
            return None
        for dim, size in zip(type_.shape, array.shape, strict=True):
            if (dim if isinstance(dim, int) else extents.setdefault(dim, size)) != size:
                return None
    return extents


def _matched(title: str, inputs: Sequence[Value], args: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    names = [value.name for value in inputs]
    needs = "needs: " + (", ".join(f"{value.name}: {value.type}" for value in inputs) or "no inputs")
    if len(args) > len(names):
        raise ArgumentError(f"{title} takes {_count(len(names))}, {len(args)} given", needs, place=caller())
    given = dict(zip(names, args, strict=False))
    for name, array in named.items():
        if name not in names:
            meant = nearest(name, names)
            raise ArgumentError(
                f"{title} has no input {name!r}",
                needs,
                place=caller(),
                remedy=f"did you mean {meant}?" if meant else None,
            )
        if name in given:
            raise ArgumentError(f"{title}: {name} is given twice, by position and by name", needs, place=caller())
        given[name] = array
    if missing := [name for name in names if name not in given]:
        raise ArgumentError(
            f"{title} takes {_count(len(names))}, {len(given)} given",
            needs,
            f"missing: {', '.join(missing)}",
            place=caller(),
        )
    return given


def _count(number: int) -> str:
    return f"{number} input" if number == 1 else f"{number} inputs"


def as_input(name: str, value: Any, dtype: DType) -> np.ndarray:
    """`value` as an array of `dtype`, or a DTypeError when that would change its values."""
    try:
        array = np.asarray(value)
    except ValueError:
        raise ShapeError(
            f"{name} has rows of different lengths",
            place=caller(),
            remedy="pad the rows to one length, or call once for each row",
        ) from None
    if array.dtype == object:
        raise DTypeError(f"{name} does not hold numbers", f"elements: {array.dtype}", place=caller())
    if array.dtype.kind not in "fiub":
        raise DTypeError(
            f"{name} holds elements of type {array.dtype}, {dtype} is needed",
            place=caller(),
            remedy="map words to token ids first" if array.dtype.kind in "US" else None,
        )
    if np.ma.isMaskedArray(value):
        raise DTypeError(f"{name} is a masked array", place=caller(), remedy="fill it: array.filled(0)")
    if dtype is DType.BOOL and array.dtype.kind != "b":
        raise DTypeError(f"{name} holds {array.dtype}, bool is needed", place=caller(), remedy="compare: x != 0")
    if dtype.is_integer and array.dtype.kind == "f":
        _check_whole(name, array)
    if dtype.is_integer:
        _check_range(name, array, dtype)
    with np.errstate(over="ignore"):
        return array.astype(dtype.numpy, copy=False)


def _check_whole(name: str, array: np.ndarray) -> None:
    wrong = np.argwhere(~np.isfinite(array) | (array != np.floor(array)))
    if len(wrong):
        position = tuple(map(int, wrong[0]))
        raise DTypeError(
            f"{name} must hold whole numbers, but is {float(array[position])} at position {position}",
            place=caller(),
            remedy="token ids are integers; round them, or pass an integer array",
        )


def _check_range(name: str, array: np.ndarray, dtype: DType) -> None:
    """Raise when a number does not fit into the integers of `dtype`."""
    limits = np.iinfo(dtype.numpy)
    if array.size == 0 or np.can_cast(array.dtype, dtype.numpy):
        return
    for extreme in (array.min(), array.max()):
        if not limits.min <= int(extreme) <= limits.max:
            raise DTypeError(f"{name} holds {int(extreme)}, which no {dtype} can hold", place=caller())


def _bind(value: Value, sizes: tuple[int, ...], extents: dict[str, int], bound_by: dict[str, str]) -> None:
    title = f"{value.name} has shape {sizes}"
    needed = f"{value.name}: {value.type} is needed"
    if len(sizes) != value.type.rank:
        remedy = None
        if len(sizes) == value.type.rank - 1:
            remedy = f"the first axis is the batch; for one sample: {value.name}[None]"
        raise ShapeError(
            f"{title}: rank {len(sizes)} instead of {value.type.rank}", needed, place=caller(), remedy=remedy
        )
    for axis, (dim, size) in enumerate(zip(value.type.shape, sizes, strict=True)):
        if isinstance(dim, int):
            if size != dim:
                raise ShapeError(f"{title}: axis {axis} has size {size} instead of {dim}", needed, place=caller())
        elif extents.setdefault(dim, size) != size:
            other = bound_by[dim]
            raise ShapeError(f"{title}: {dim} is {size} here but {extents[dim]} in {other}", needed, place=caller())
        else:
            bound_by.setdefault(dim, value.name)
