"""Random numbers as functions of a key: every element's bits depend on the key and on its own indices, nothing else.

So they are the same at every batch size and on any number of lanes and threads, and a row's do not depend on how many
rows there are. A key is a pair of i32 scalars; whoever calls the compiled function gives another one every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnncc.graph.symbolic import Tensor, apply
from rnncc.ops.functions import arange, cast, less_equal, reshape
from rnncc.types import Dim, DType

Key = tuple[Tensor, Tensor]
"""Two words of 32 bits."""

_FOLD = (-1, -2)
"""Positions in a row that no tensor has: the bits there are the words of another key."""


def random_bits(key: Key, shape: Sequence[Dim]) -> Tensor:
    """32 random bits for each element, as i32: those of an element depend on its row and its position in the row.

    Args:
        key: two i32 scalars; another key gives other bits.
        shape: of the result; its first axis counts the rows.

    Source: Threefry2x32-20 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011).
    """
    row, *others = [_index(shape, axis) for axis in range(len(shape))] or [_word(0)]
    position = _word(0)
    stride: Dim = 1
    for axis, index in reversed(list(enumerate(others, 1))):
        if isinstance(stride, int):
            position = position + index * stride
            stride = stride * dim if isinstance(dim := shape[axis], int) else dim
        else:  # how far apart its elements are is known only at the call: each has a key of its own
            key = folded_key(key, index)
    return apply("threefry", *key, row, position)


def folded_key(key: Key, number: Any) -> Key:
    """The key number `number` (an i32 tensor) of all that can be made of `key`."""
    first, second = (apply("threefry", *key, number, _word(position)) for position in _FOLD)
    return first, second


def random_choice(key: Key, shape: Sequence[Dim], share: float) -> Tensor:
    """A bool tensor that is false for the given share (0 to 1) of its elements, each by itself and at random."""
    bound = min(round(share * 2**32) - 2**31, 2**31 - 1)
    return less_equal(bound, random_bits(key, shape))


def _index(shape: Sequence[Dim], axis: int) -> Tensor:
    """The index on one axis, as i32, so that it broadcasts against `shape`."""
    numbers = cast(arange(shape[axis]), DType.I32)
    return reshape(numbers, (shape[axis], *(1,) * (len(shape) - 1 - axis)))


def _word(number: int) -> Tensor:
    return apply("constant", value=number, dtype=DType.I32)
