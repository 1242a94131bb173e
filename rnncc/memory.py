"""How much memory there is, how sizes are written, and the one error for too little of it."""

from __future__ import annotations

import math
import os

from rnncc.errors import MemoryLimitError, caller

try:
    import resource
except ImportError:  # not a Unix
    resource = None  # type: ignore[assignment]

SMALLER_CALL = "call with fewer samples at a time (model.predict has batch_size=), or with shorter sequences"
"""What to do when a call is too large."""


def available_memory() -> int:
    """Bytes that this process can take without swapping: what the system has, or what its own limit leaves."""
    return int(min(_free_of_system(), _free_of_process()))


def _free_of_system() -> int:
    try:
        with open("/proc/meminfo") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _free_of_process() -> float:
    """What a limit on the address space (``ulimit -v``) leaves; infinite without one."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0] if resource else -1
    if limit < 0:  # RLIM_INFINITY
        return math.inf
    try:
        with open("/proc/self/statm") as sizes:
            used = int(sizes.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        used = 0
    return max(0, limit - used)


def memory_size(size: float) -> str:
    """Bytes for people, as Keras writes them: ``641.04 KB``."""
    for unit in ("Byte", "KB", "MB", "GB", "TB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} PB"


def memory_limit(what: str, size: int | None, remedy: str, *, detail: str = "") -> MemoryLimitError:
    """The error for `size` bytes, wanted for `what` ("the results of this call"), that cannot be had."""
    return MemoryLimitError(
        f"not enough memory for {what}",
        *([] if size is None else [f"needed: {memory_size(size)}{detail}"]),
        f"free:   {memory_size(available_memory())}",
        place=caller(),
        remedy=remedy,
    )


class memory_errors:
    """In a ``with`` block: numpy's error for an array that is too large becomes a MemoryLimitError for `what`."""

    __slots__ = ("_remedy", "_what")

    def __init__(self, what: str, remedy: str = SMALLER_CALL) -> None:
        self._what, self._remedy = what, remedy

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, MemoryError):
            raise as_memory_limit(error, self._what, self._remedy) from None


def as_memory_limit(error: MemoryError, what: str, remedy: str = SMALLER_CALL) -> MemoryLimitError:
    """The same error in our form, with the bytes that numpy asked for, if it says how many."""
    if isinstance(error, MemoryLimitError):
        return error
    shape, dtype = getattr(error, "shape", None), getattr(error, "dtype", None)
    size = None if shape is None or dtype is None else math.prod(shape) * int(dtype.itemsize)
    return memory_limit(what, size, remedy)
