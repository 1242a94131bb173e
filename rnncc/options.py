"""What can be chosen about a compilation, and what is said when a choice has no meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rnncc.errors import ArgumentError, DTypeError, caller
from rnncc.numeric import whole_number
from rnncc.passes.loop.schedule import Schedule
from rnncc.types import DType, dtype_of

PRECISIONS = ("float32", "bfloat16", "float32-bf16x6")
"""What factors of products with weights are: as they are, rounded to bfloat16, or sums of three numbers of bfloat16."""


@dataclass(frozen=True, slots=True)
class Options:
    """Everything that can be chosen about a compilation."""

    dtype: DType = DType.F32
    target: str = "host"
    unroll: int | None = None
    table_bytes: int = 64 << 20
    """The largest table that an embedding and the projection behind it may be folded into."""
    level: int = 2
    """Optimization level of LLVM, 0 to 3."""
    threads: int = 1
    """How many threads work on a call."""
    precision: str = "float32"
    """What products with weights are computed in: see `PRECISIONS`."""
    schedule: Schedule = ()
    """What is not left to the cost model: register tiles, copies of weights, the order of walking."""
    is_stream: bool = False
    """Whether calls are the steps of a stream: the last step of a call is then the first one as well."""
    counts_cycles: bool = False
    """Whether the code counts the cycles of every kernel, as a last output."""


def float_type(dtype: Any) -> DType:
    """The float type that `dtype` names. Raises DTypeError for any other."""
    try:
        known = dtype_of(dtype)
    except DTypeError:
        known = None
    if known is None or not known.is_float:
        raise DTypeError(f"a model cannot compute in {known or repr(dtype)}", "known: float32, float64", place=caller())
    return known


def optimization_level(level: object) -> int:
    """`level` as an int. Raises ArgumentError for one that LLVM has not."""
    known = whole_number(level, 0, 3)
    if known is None:
        raise ArgumentError(f"level must be 0, 1, 2 or 3, not {level!r}", place=caller())
    return known


def table_limit(table_bytes: object) -> int:
    """`table_bytes` as an int. Raises ArgumentError unless it is a number of bytes."""
    size = whole_number(table_bytes, 0)
    if size is None:
        raise ArgumentError(f"table_bytes must be a number of bytes, not {table_bytes!r}", place=caller())
    return size


def check_cache(cache: object) -> None:
    """Raise ArgumentError for what does not say whether there is one."""
    if not isinstance(cache, bool):
        raise ArgumentError(
            f"cache must be True or False, not {cache!r}",
            place=caller(),
            remedy="the environment variable RNNCC_CACHE_DIR says which folder is used",
        )


def check_precision(precision: object, dtype: Any) -> str:
    """`precision` as it is. Raises ArgumentError for one that has no meaning."""
    if precision not in PRECISIONS:
        raise ArgumentError(f"unknown precision {precision!r}", f"known: {', '.join(PRECISIONS)}", place=caller())
    if precision != "float32" and dtype_of(dtype) is not DType.F32:
        raise ArgumentError(f"precision={precision!r} is of float32 models, not of dtype={dtype!r}", place=caller())
    return str(precision)


def unroll_factor(unroll: int | None) -> int | None:
    """`unroll` as an int. Raises ArgumentError unless it is a number of steps."""
    factor = whole_number(unroll, 1, 64)
    if unroll is not None and factor is None:
        raise ArgumentError(f"unroll must be a number of steps from 1 to 64, not {unroll!r}", place=caller())
    return factor
