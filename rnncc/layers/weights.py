"""Weight: a named array that a layer owns, and the symbolic leaf that stands for it in graphs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from rnncc.arrays import as_numpy
from rnncc.errors import DTypeError, ShapeError, caller
from rnncc.graph.symbolic import Tensor, weight_tensor
from rnncc.locks import lock_over_fork
from rnncc.memory import available_memory, memory_limit
from rnncc.types import DType, TensorType

_ASSIGNING = lock_over_fork()


class Last:
    """`Last.assignment` is another object after every assignment to any weight: while it is the same, none changed."""

    assignment = object()


def together() -> AbstractContextManager[object]:
    """Inside, weights change together: nobody who reads several in here sees some old and some new ones."""
    return _ASSIGNING


class Weight:
    """A variable of a layer: ``lstm/kernel``. It computes like a symbolic tensor and holds its numbers.

    Attributes:
        name: the short name, ``kernel``.
        path: the name with its layer's, ``lstm/kernel``; graphs show it as ``lstm_kernel``.
        tensor: the symbolic leaf.
        trainable: False for statistics and frozen weights.
        version: counts assignments, so that compiled models see when their copy is out of date.
    """

    __array_priority__ = 1000  # numpy must leave `array + weight` to us

    def __init__(self, value: np.ndarray, name: str, path: str, dtype: DType, trainable: bool = True) -> None:
        self.name = name
        self.path = path
        self.trainable = trainable
        self.version = 0
        self.tensor: Tensor = weight_tensor(TensorType(dtype, tuple(value.shape)), path, self)
        self._value = _frozen(value, dtype)

    @property
    def value(self) -> np.ndarray:
        """The numbers as they are now, read-only; `assign` replaces them."""
        return self._value

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of all dims."""
        return tuple(self._value.shape)

    @property
    def dtype(self) -> DType:
        """Element type."""
        return self.tensor.dtype

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(self._value.size)

    def numpy(self) -> np.ndarray:
        """A copy of the numbers."""
        return self._value.copy()

    def assign(self, value: Any) -> None:
        """Replace the numbers. Raises ShapeError or DTypeError when they do not fit."""
        self.take(self.converted(value))

    def take(self, value: np.ndarray) -> None:
        """Replace the numbers by what `converted` returned."""
        Last.assignment = object()  # first, for an interrupt may come between any two lines
        self._value, self.version = value, self.version + 1
        Last.assignment = object()  # and last, for threads that have looked at the old numbers since

    def converted(self, value: Any) -> np.ndarray:
        """`value` as this weight keeps it. Raises ShapeError or DTypeError when it does not fit."""
        array = as_numpy(self.path, value)
        if array.shape != self.shape:
            raise ShapeError(
                f"{self.path} cannot take an array of another shape",
                f"{self.path}: {self.shape}",
                f"given: {array.shape}",
                place=caller(),
            )
        if array.dtype.kind not in "fiub":
            raise DTypeError(
                f"{self.path} cannot take elements of type {array.dtype}", f"{self.path}: {self.dtype}", place=caller()
            )
        return _frozen(array, self.dtype)

    def __repr__(self) -> str:
        return f"<Weight {self.path}: {self.tensor.type}>"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._value, dtype=dtype)

    def __add__(self, other: object) -> Tensor:
        return self.tensor + other

    def __radd__(self, other: object) -> Tensor:
        return other + self.tensor

    def __sub__(self, other: object) -> Tensor:
        return self.tensor - other

    def __rsub__(self, other: object) -> Tensor:
        return other - self.tensor

    def __mul__(self, other: object) -> Tensor:
        return self.tensor * other

    def __rmul__(self, other: object) -> Tensor:
        return other * self.tensor

    def __truediv__(self, other: object) -> Tensor:
        return self.tensor / other

    def __rtruediv__(self, other: object) -> Tensor:
        return other / self.tensor

    def __matmul__(self, other: object) -> Any:
        return self.tensor @ other

    def __rmatmul__(self, other: object) -> Any:
        return other @ self.tensor

    def __neg__(self) -> Tensor:
        return -self.tensor

    def __pow__(self, other: object) -> Tensor:
        result: Tensor = self.tensor**other
        return result

    def __abs__(self) -> Tensor:
        return abs(self.tensor)

    def __getitem__(self, key: object) -> Tensor:
        result: Tensor = self.tensor[key]
        return result


def _frozen(value: np.ndarray, dtype: DType) -> np.ndarray:
    array = np.array(value, dtype=dtype.numpy, order="C")
    array.flags.writeable = False
    return array


FEWER_WEIGHTS = "use fewer units, a smaller vocabulary, or a machine with more memory"
"""What to do when a model is too large."""

_COPIES_WHILE_MADE = 3
"""A float32 weight is drawn as float64 and then converted: three times its size, for a moment."""


def check_memory(path: str, shape: Sequence[int], dtype: DType) -> None:
    """Raise MemoryLimitError when a weight of this shape does not fit into the memory that is free now."""
    needed = dtype.size
    for dim in shape:
        needed *= dim
    if _COPIES_WHILE_MADE * needed > available_memory():
        detail = f" for {TensorType(dtype, tuple(shape))}"
        raise memory_limit(f"the weight {path}", needed, FEWER_WEIGHTS, detail=detail)
