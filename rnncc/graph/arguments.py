"""Arrays for the inputs of a graph: matched by position or name, converted when no value changes, checked, bound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from rnncc.arrays import PAD_ROWS, as_numpy
from rnncc.errors import ArgumentError, DTypeError, ShapeError, caller, nearest
from rnncc.graph.value import Value
from rnncc.memory import as_memory_limit, memory_errors
from rnncc.types import DType


def bind_arguments(
    title: str, inputs: Sequence[Value], args: Sequence[Any], named: Mapping[str, Any]
) -> tuple[list[np.ndarray], dict[str, int]]:
    """One array per input, with its element type, and the sizes of the named extents.

    Arguments are given one by one, by name, or all together as one list or dict, as in Keras. Lists, pandas columns and
    arrays of any layout or byte order are taken. Raises ArgumentError for a wrong number or
    name, DTypeError when a conversion would change a value, ShapeError when ranks, widths or extents disagree.
    """
    if not named and len(args) == len(inputs):
        bound = _bind_arrays(inputs, args)
        if bound is not None:
            return bound
    given = match_arguments(title, inputs, args, named)
    arrays = [as_input(value.name, item, value.type.dtype) for value, item in zip(inputs, given, strict=True)]
    extents: dict[str, int] = {}
    bound_by: dict[str, str] = {}
    for value, array in zip(inputs, arrays, strict=True):
        _bind(value, array.shape, extents, bound_by)
    return arrays, extents


def match_arguments(title: str, inputs: Sequence[Value], args: Sequence[Any], named: Mapping[str, Any]) -> list[Any]:
    """What is given for each input, as it is given. Raises ArgumentError for a wrong number or name."""
    args, named = spread_arguments([value.type.rank for value in inputs], args, named)
    given = _matched(title, inputs, args, named)
    return [given[value.name] for value in inputs]


def _bind_arrays(inputs: Sequence[Value], args: Sequence[Any]) -> tuple[list[np.ndarray], dict[str, int]] | None:
    """The arrays and the sizes of the extents when every argument is an array of the right shape, and of the right type
    or one that converts without a question; None otherwise.

    This is the way of the first call of its shapes, so that it is short; what it turns down is looked at again, with
    care.
    """
    extents: dict[str, int] = {}
    arrays: list[np.ndarray] = []
    for value, array in zip(inputs, args, strict=True):
        type_ = value.type
        if type(array) is not np.ndarray or array.ndim != len(type_.shape):
            return None
        for dim, size in zip(type_.shape, array.shape, strict=True):
            if (dim if isinstance(dim, int) else extents.setdefault(dim, size)) != size:
                return None
        if array.dtype != type_.dtype.numpy:
            if not converts(array.dtype, type_.dtype.numpy):
                return None
            array = converted(value.name, array, type_.dtype.numpy)
        arrays.append(array)
    return arrays, extents


@cache
def converts(given: np.dtype[Any], needed: np.dtype[Any]) -> bool:
    """True when every number of one type is one of the other, or a float for one that is needed."""
    if needed.kind == "f":
        return given.kind in "fiub"
    return given.kind in "iub" and needed.kind == "i" and np.can_cast(given, needed)


def converted(name: str, array: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """`array`, which is given for `name`, with elements of another type."""
    try:
        if array.dtype.kind != "f":  # no integer is too large for a float
            return array.astype(dtype, copy=False)
        with np.errstate(over="ignore"):
            return array.astype(dtype, copy=False)
    except MemoryError as error:  # to write what it is for takes longer than most conversions
        raise as_memory_limit(error, f"{name} as an array of {dtype}") from None


def spread_arguments(
    ranks: Sequence[int], args: Sequence[Any], named: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """One item per input, by position and by name, when all of them may have come as one list or one dict.

    `ranks` are those of the inputs: a list is the array of an only input, unless it holds nothing but such an array.
    """
    if len(args) != 1 or named:
        return list(args), dict(named)
    (only,) = args
    if isinstance(only, dict):
        return [], dict(only)
    if isinstance(only, list | tuple):
        is_wrapped = len(only) == 1 and not isinstance(only[0], list | tuple) and getattr(only[0], "ndim", -1) in ranks
        if len(ranks) > 1 or is_wrapped:
            return list(only), {}
    return [only], {}


def one_by_one(names: Mapping[str, object], args: Sequence[Any], named: Mapping[str, Any]) -> Sequence[Any] | None:
    """One item for each of `names`, in order, if what is given is clearly that; None if it takes a closer look."""
    if not named:
        if len(args) != 1 or args[0].__class__ not in (list, tuple, dict):
            return args
        only: Any = args[0]
        if only.__class__ is not dict:
            return only if only and len(only) == len(names) else None
        args, named = (), only
    return None if args or named.keys() != names.keys() else [named[name] for name in names]


_INPUT = "make it an input: Model([x, {0}], layer(x, {0}={0}))"
_INSTEAD = {
    "training": "compile it for training: rnncc.compile(model, training=True)",
    "seed": "layers have seeds, and rnncc.set_random_seed is for all of them",
    "batch_size": "a call takes any batch; model.predict has batch_size=",
    **{name: _INPUT.format(name) for name in ("mask", "lengths", "initial_state")},
}
"""What to do about arguments that layers and Keras's models take, and graphs do not."""


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
                remedy=f"did you mean {meant}?" if meant else _INSTEAD.get(name),
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
    with memory_errors(f"{name} as an array of {dtype.numpy}"):
        array = _numbers(name, value, dtype)
        if dtype is DType.BOOL and array.dtype.kind != "b":
            raise DTypeError(f"{name} holds {array.dtype}, bool is needed", place=caller(), remedy="compare: x != 0")
        if dtype.is_integer and array.dtype.kind == "f":
            _check_whole(name, array)
        if dtype.is_integer:
            _check_range(name, array, dtype)
    return converted(name, array, dtype.numpy)


def _numbers(name: str, value: Any, dtype: DType) -> np.ndarray:
    """`value` as an array of the numbers in it, of whatever type they are."""
    _check_missing(name, value)
    array = as_numpy(name, value, ragged=PAD_ROWS)
    if array.dtype == object:
        array = _of_objects(name, array, dtype)
    if array.dtype.kind not in "fiub":
        raise DTypeError(
            f"{name} holds elements of type {array.dtype}, {dtype} is needed",
            place=caller(),
            remedy="map words to token ids first" if array.dtype.kind in "US" else None,
        )
    # Most are no kind of array but the plain one: nobody then has to wait until numpy.ma is imported.
    if isinstance(value, np.ndarray) and type(value) is not np.ndarray and np.ma.isMaskedArray(value):
        raise DTypeError(f"{name} is a masked array", place=caller(), remedy="fill it: array.filled(0)")
    return array


def _check_missing(name: str, value: Any) -> None:
    """Raise when a pandas column of a nullable type has a missing value, which would become NaN without a word."""
    if not hasattr(value, "isna"):
        return
    types = value.dtypes if value.ndim > 1 else [value.dtype]
    if all(isinstance(dtype, np.dtype) for dtype in types):
        return
    missing = np.argwhere(np.asarray(value.isna()))
    if len(missing):
        raise _missing(name, tuple(map(int, missing[0])))


def _missing(name: str, position: tuple[int, ...]) -> DTypeError:
    return DTypeError(
        f"{name} has a missing value at position {position}",
        place=caller(),
        remedy="fill or drop missing values first, as with pandas' fillna and dropna",
    )


def _of_objects(name: str, array: np.ndarray, dtype: DType) -> np.ndarray:
    """An array of Python objects, all of which must be numbers, as an array of numbers."""
    for position, item in np.ndenumerate(array):
        if isinstance(item, int | float | np.number | np.bool_):
            continue
        if position and (item is None or type(item).__name__ == "NAType"):  # pandas' NA, wherever it comes from
            raise _missing(name, position)
        raise DTypeError(
            f"{name} does not hold numbers",
            f"at position {position}: {type(item).__name__}" if position else f"given: {type(item).__name__}",
            f"{dtype} is needed",
            place=caller(),
            remedy=_instead_of(name, item),
        )
    numbers = np.asarray(array.tolist()).reshape(array.shape)
    if numbers.dtype == object:
        raise DTypeError(f"{name} holds {max(array.flat, key=abs)}, which no {dtype} can hold", place=caller())
    return numbers


def _instead_of(name: str, item: object) -> str | None:
    """What to pass instead of an array that holds `item`."""
    if isinstance(item, str | bytes):
        return "map words to token ids first"
    if isinstance(item, list | tuple | np.ndarray):
        return f"each element is a row: pass list({name}) when all rows have one length; pad them first when not"
    if isinstance(item, Iterator):
        return "pass a list: list(...)"
    return None


def _check_whole(name: str, array: np.ndarray) -> None:
    wrong = np.argwhere(~np.isfinite(array) | (array != np.floor(array)))
    if len(wrong):
        position = tuple(map(int, wrong[0]))
        raise DTypeError(
            f"{name} must hold whole numbers, but is {float(array[position])} at position {position}",
            place=caller(),
            remedy="fill or drop missing values first"
            if np.isnan(array[position])
            else "it is for counting, as token ids and lengths are: round them, or pass an integer array",
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
