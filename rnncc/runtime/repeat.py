"""A call of machine code like the one before: a function that has at hand what stays.

What was in the caches before a call is not there after it. What takes 2 us around a call of nothing takes 8 around
0.18 ms of machine code, and 20 where that reads more than the level 2 cache holds: every object that is looked at on
the way comes from memory. A function that has all it needs in its closure looks at few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from rnncc.graph.arguments import converted, converts
from rnncc.memory import as_memory_limit, memory_errors

Shape = tuple[int, ...]

Shaped = tuple[Shape, np.dtype[Any]]
"""What an array is like."""


class Repeat(Protocol):
    """A call for one array per input."""

    def __call__(self, arrays: Sequence[Any], *, fit: bool = False) -> list[np.ndarray] | None:
        """The outputs; None if an array has another shape, or a type that needs a closer look. `fit`: none has."""


class Port(NamedTuple):
    """An input or output of a call: where its address goes, and memory of its own if its bytes are few.

    To copy few bytes takes a tenth of the time of asking an array for its address.
    """

    name: str
    like: Shaped
    pointers: tuple[int, ...]
    spare: np.ndarray | None


def address_of(array: np.ndarray) -> int:
    """Where the elements start. Three times as fast as `array.ctypes.data`."""
    start: int = array.__array_interface__["data"][0]
    return start


def repeat_of(
    table: Any,
    inputs: Sequence[Port],
    outputs: Sequence[Port],
    native: Callable[[], int],
    failed: Callable[[int], Exception],
    draws: Sequence[Callable[[], np.ndarray]] = (),
) -> Repeat:
    """What calls `native` for other arrays of the same shapes and types; `table` has the addresses that it reads.

    It raises what `failed` returns when `native` returns a number. `draws` make the arrays of the last inputs, once for
    every call that takes place.
    """
    count, array_type = len(inputs) - len(draws), np.ndarray
    likes = [port.like for port in inputs[:count]]
    given = [(port.spare, port) for port in inputs]
    small = [(number, port.spare.copy) for number, port in enumerate(outputs) if port.spare is not None]
    large = [(number, port.like, port.pointers) for number, port in enumerate(outputs) if port.spare is None]
    unfilled: list[Any] = [None] * len(outputs)

    def repeat(arrays: Sequence[Any], *, fit: bool = False) -> list[np.ndarray] | None:
        if len(arrays) != count:
            return None
        are_alike = True
        for array, (shape, dtype) in zip(arrays, likes, strict=True) if not fit else ():
            if array.__class__ is not array_type or array.shape != shape:
                return None
            # numpy has one object for each type of elements, but for arrays that come out of pickles.
            if array.dtype is not dtype and array.dtype != dtype:
                if not converts(array.dtype, dtype):
                    return None
                are_alike = False
        if not are_alike:
            arrays = [converted(port.name, array, port.like[1]) for port, array in zip(inputs, arrays, strict=False)]
        if draws:
            arrays = [*arrays, *(draw() for draw in draws)]
        kept = []  # arrays that were converted must live until the call is over
        for array, (spare, port) in zip(arrays, given, strict=True):
            if spare is not None:
                spare[...] = array
                continue
            about = array.__array_interface__
            address = about["data"][0]
            if about["strides"] is not None or address % array.itemsize:
                kept.append(_row_major(port.name, array))
                address = address_of(kept[-1])
            for pointer in port.pointers:
                table[pointer] = address
        results = unfilled.copy()
        for number, like, pointers in large:
            results[number] = result = _empty(like)
            for pointer in pointers:
                table[pointer] = address_of(result)
        code = native()
        if code:
            raise failed(code)
        for number, copy in small:
            results[number] = copy()
        return results

    return repeat


def _row_major(name: str, array: np.ndarray) -> np.ndarray:
    """`array` as the machine code reads it: aligned, the last axis fastest."""
    with memory_errors(f"a copy of {name} in row-major order"):
        return np.require(array, None, ["C", "A"])


def _empty(like: Shaped) -> np.ndarray:
    """Memory for a result."""
    try:
        return np.empty(*like)
    except MemoryError as error:
        raise as_memory_limit(error, "the results of this call") from None
