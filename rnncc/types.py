"""The types both IRs share: element types, dims and tensor types.

A dim is an int or the name of an extent (``"B"``, ``"T"``) that is bound when a compiled model is called.
"""

from __future__ import annotations

import keyword
import unicodedata
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

import numpy as np

from rnncc.errors import ArgumentError, DTypeError, caller
from rnncc.numeric import whole_number
from rnncc.records import record

Dim = int | str


class DType(Enum):
    """Element type of a tensor, a buffer or a register."""

    F32 = "f32"
    F64 = "f64"
    I32 = "i32"
    I64 = "i64"
    BOOL = "bool"

    __hash__ = object.__hash__  # that of Enum is ten times as slow, and expressions are hashed all the time

    @property
    def numpy(self) -> np.dtype[Any]:
        """The same type in numpy's words."""
        return _NUMPY[self]

    @property
    def size(self) -> int:
        """Bytes of one element in memory."""
        return _NUMPY[self].itemsize

    @property
    def is_float(self) -> bool:
        """True for floating point types."""
        return self in (DType.F32, DType.F64)

    @property
    def is_integer(self) -> bool:
        """True for signed integer types (bool is not one)."""
        return self in (DType.I32, DType.I64)

    def __str__(self) -> str:
        return self.value


_NUMPY: dict[DType, np.dtype[Any]] = {
    DType.F32: np.dtype(np.float32),
    DType.F64: np.dtype(np.float64),
    DType.I32: np.dtype(np.int32),
    DType.I64: np.dtype(np.int64),
    DType.BOOL: np.dtype(np.bool_),
}
_FROM_NUMPY = {dtype.name: ours for ours, dtype in _NUMPY.items()}


def dtype_of(spec: object) -> DType:
    """The DType that a user means by ``"float32"``, ``"f32"``, ``np.float32`` or an array's dtype."""
    if isinstance(spec, DType):
        return spec
    if isinstance(spec, str) and spec in DType._value2member_map_:
        return DType(spec)
    try:
        if spec is None:  # numpy would take that for float64
            raise TypeError
        return _FROM_NUMPY[np.dtype(spec).name]  # type: ignore[call-overload]
    except (TypeError, KeyError):
        known = ", ".join(_FROM_NUMPY)
        raise DTypeError(f"unknown element type {spec!r}", f"known: {known}", place=caller()) from None


@record(frozen=True, slots=True)
class TensorType:
    """Element type and shape of a value: ``f32[B, T, 64]``; a scalar is ``f32[]``."""

    dtype: DType
    shape: tuple[Dim, ...]

    @property
    def rank(self) -> int:
        """Number of dims."""
        return len(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


def bind_shape(shape: tuple[Dim, ...], extents: Mapping[str, int]) -> tuple[int, ...]:
    """`shape` with every named extent replaced by its size."""
    return tuple(dim if isinstance(dim, int) else extents[dim] for dim in shape)


def named_dims(shapes: tuple[tuple[Dim, ...], ...]) -> tuple[str, ...]:
    """Names of the extents in `shapes`, each once, in order of appearance."""
    return tuple(dict.fromkeys(dim for shape in shapes for dim in shape if isinstance(dim, str)))


def as_shape(dims: Iterable[object]) -> tuple[Dim, ...]:
    """`dims` as a shape: whole numbers of any kind become ints, names of extents stay; else an ArgumentError."""
    wanted = tuple(dims)
    return tuple(_as_dim(dim, wanted) for dim in wanted)


def _as_dim(dim: object, shape: tuple[object, ...]) -> Dim:
    if isinstance(dim, str):
        return dim
    size = whole_number(dim, 0)
    if size is None:
        raise ArgumentError(
            f"{dim} in the shape {shape} is not a dim",
            place=caller(),
            remedy="a dim is a whole number or the name of an extent; x.type.shape has those of x",
        )
    return size


RESERVED = frozenset({"inf", "nan", *(dtype.value for dtype in DType)})
"""Bare names that mean something else than an extent when a graph is printed."""


def is_name(word: str) -> bool:
    """True when `word` can name a value: an identifier that Python reads back unchanged."""
    return word.isidentifier() and not keyword.iskeyword(word) and unicodedata.normalize("NFKC", word) == word


def is_extent_name(word: str) -> bool:
    """True when `word` can name an extent."""
    return is_name(word) and word not in RESERVED
