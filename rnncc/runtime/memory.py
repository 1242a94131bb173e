"""The memory of calls: sizes of buffers once the extents are known, and one reused block for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rnncc.loop.functions import FUNCTIONS
from rnncc.loop.ir import Buffer, Call, Const, Expr, Var
from rnncc.memory import SMALLER_CALL, available_memory, memory_errors, memory_limit

ALIGNMENT = 64
"""Buffers start at multiples of a cache line."""


def evaluate_size(size: Expr, extents: Mapping[str, int]) -> int:
    """A size as a number."""
    match size:
        case Const(value):
            return int(value)
        case Var(name):
            return extents[name]
        case Call(function, args):
            return int(FUNCTIONS[function].numpy(*(evaluate_size(arg, extents) for arg in args)))
        case _:
            raise AssertionError(f"{size} is not a size")


def shape_of(buffer: Buffer, extents: Mapping[str, int]) -> tuple[int, ...]:
    """The shape of a buffer at a call."""
    return tuple(evaluate_size(size, extents) for size in buffer.shape)


def slot_offsets(buffers: Sequence[Buffer], extents: Mapping[str, int]) -> tuple[dict[int, int], int]:
    """Where each slot of the arena starts, and how many bytes all of them need."""
    sizes: dict[int, int] = {}
    for buffer in buffers:
        if buffer.slot is not None:
            count = 1
            for size in shape_of(buffer, extents):
                count *= size
            sizes[buffer.slot] = max(sizes.get(buffer.slot, 0), count * buffer.dtype.size)
    offsets, total = {}, 0
    for slot in sorted(sizes):
        offsets[slot] = total
        total += -(-sizes[slot] // ALIGNMENT) * ALIGNMENT
    return offsets, total


class Arena:
    """Scratch memory: a block that grows and is kept."""

    def __init__(self) -> None:
        self._block: np.ndarray = aligned(0)

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self._block.nbytes

    def reserve(self, size: int) -> int:
        """The address of at least `size` bytes. Raises MemoryLimitError when there are not as many."""
        if self._block.nbytes < size:
            self._block = aligned(0)  # let go of the old block first
            self._block = aligned(size)
        return int(self._block.ctypes.data)


def aligned(size: int) -> np.ndarray:
    """`size` bytes that start at a multiple of ALIGNMENT."""
    check_available(size, "the intermediate values of this call")
    with memory_errors("the intermediate values of this call"):
        block = np.empty(size + ALIGNMENT, np.uint8)
    start = -block.ctypes.data % ALIGNMENT
    return block[start : start + size]


def aligned_copy(array: np.ndarray) -> np.ndarray:
    """`array` in row-major order from a multiple of ALIGNMENT on: a vector load that crosses a line costs two."""
    block = aligned(array.nbytes).view(array.dtype).reshape(array.shape)
    block[...] = array
    return block


def check_available(size: int, what: str) -> None:
    """Raise MemoryLimitError when `size` bytes are more than can be had. Small requests are not looked at."""
    if size > 1 << 28 and size > available_memory():
        raise memory_limit(what, size, SMALLER_CALL)
