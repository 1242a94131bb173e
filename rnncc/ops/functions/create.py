"""Tensors from nothing but a shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnncc.errors import ArgumentError, ShapeError, caller
from rnncc.graph.symbolic import Tensor, apply, as_tensor, shown
from rnncc.numeric import whole_number
from rnncc.ops.functions.arrange import broadcast_to, expand_dims, moveaxis
from rnncc.ops.functions.pointwise import cast, equal, less_equal, where
from rnncc.types import Dim, DType, as_shape, dtype_of


def full(shape: Sequence[Dim], fill_value: float, dtype: Any = DType.F32) -> Tensor:
    """A tensor of `shape` (ints and names of extents) filled with one number."""
    return broadcast_to(as_tensor(fill_value, dtype_of(dtype)), shape)


def zeros(shape: Sequence[Dim], dtype: Any = DType.F32) -> Tensor:
    """Zeros."""
    return full(shape, 0, dtype)


def ones(shape: Sequence[Dim], dtype: Any = DType.F32) -> Tensor:
    """Ones."""
    return full(shape, 1, dtype)


def zeros_like(x: Tensor) -> Tensor:
    """Zeros with the type of x."""
    return full(x.type.shape, 0, x.dtype)


def ones_like(x: Tensor) -> Tensor:
    """Ones with the type of x."""
    return full(x.type.shape, 1, x.dtype)


def full_like(x: Any, fill_value: float, dtype: Any = None) -> Tensor:
    """One number in the shape of x, and with its type unless another is given."""
    tensor = as_tensor(x)
    return full(tensor.type.shape, fill_value, dtype or tensor.dtype)


def arange(start: Dim, stop: int | None = None, step: int = 1, dtype: Any = DType.I64) -> Tensor:
    """0, 1, ..., start - 1 (which may be the name of an extent), or from `start` to below `stop` by `step`."""
    if stop is None and step == 1:
        return cast(apply("iota", size=as_shape((start,))[0]), dtype)
    if isinstance(start, str):
        raise ArgumentError(f"arange starts at a number, not at the extent {start}", place=caller())
    first, last = (0, start) if stop is None else (start, stop)
    if any(whole_number(number) is None for number in (first, last, step)) or not step:
        raise ArgumentError(
            "arange counts in whole numbers, and its step is not 0",
            f"start, stop, step: {start!r}, {stop!r}, {step!r}",
            place=caller(),
            remedy="of other numbers, multiply: rnncc.ops.arange(5, dtype='float32') * 0.2",
        )
    whole = range(first, last, step)
    return cast(apply("iota", size=len(whole)) * step + whole.start, dtype)


def eye(rows: int, columns: int | None = None, k: int = 0, dtype: Any = DType.F32) -> Tensor:
    """Ones on diagonal number `k`, zeros elsewhere."""
    columns = rows if columns is None else columns
    return cast(equal(expand_dims(arange(rows), 1) + k, arange(columns)), dtype)


def tri(rows: int, columns: int | None = None, k: int = 0, dtype: Any = DType.F32) -> Tensor:
    """Ones up to diagonal number `k`, zeros above it."""
    columns = rows if columns is None else columns
    return cast(less_equal(arange(columns), expand_dims(arange(rows), 1) + k), dtype)


def tril(x: Any, k: int = 0) -> Tensor:
    """x with zeros above diagonal number `k` of its last two axes."""
    return _triangle(as_tensor(x), k, above=False)


def triu(x: Any, k: int = 0) -> Tensor:
    """x with zeros below diagonal number `k` of its last two axes."""
    return _triangle(as_tensor(x), k, above=True)


def _triangle(x: Tensor, k: int, *, above: bool) -> Tensor:
    if x.ndim < 2:
        raise ShapeError("a triangle is one of a matrix, of two axes at least", shown(x), place=caller())
    rows, columns = x.type.shape[-2:]
    diagonal, column = expand_dims(arange(rows), 1) + k, arange(columns)
    return where(less_equal(diagonal, column) if above else less_equal(column, diagonal), x, 0)


def one_hot(x: Any, num_classes: int, axis: int = -1, dtype: Any = DType.F32) -> Tensor:
    """Whole numbers as vectors with a one at their place, along a new axis; zeros for numbers outside."""
    tensor = as_tensor(x)
    found = cast(equal(expand_dims(cast(tensor, DType.I64), -1), arange(num_classes)), dtype)
    return moveaxis(found, -1, axis)
