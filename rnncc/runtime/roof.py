"""The roof of this machine: how fast it multiplies and adds, and reads from each cache, in code that we compile.

Every figure is the best of several short runs of a kernel (see `codegen.roof_code`), with as many threads at once as
are asked for, and the sum over these threads. What a meeting of the threads takes depends on how far apart their cores
are. On a virtual machine all of that changes from second to second, with what else its host does, and whether two cores
are two: who has the time measures again and again (`RoofMeter`).
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache, partial
from time import perf_counter_ns

import numpy as np

from rnncc.codegen.native import compile_module
from rnncc.codegen.roof_code import meet_text, pairs_text, peak_text, read_text
from rnncc.codegen.target import Target
from rnncc.codegen.team import BARRIER_BYTES, SLOT_BYTES
from rnncc.records import record
from rnncc.runtime.caches import Caches, caches
from rnncc.runtime.jit import Loaded, load
from rnncc.runtime.memory import aligned
from rnncc.types import DType

RUNS = 60
PLACES = 4
"""Blocks that fill half of level 2: where the pages of one are in the machine's memory decides how much of it stays."""
RUN_NANOSECONDS = 1_000_000
MEETINGS = 1000
_CHAINS = {32: 24, 16: 12}
"""Independent accumulators by number of vector registers: enough to hide the latency, few enough not to spill."""
_SUMS = 8
_PAIRS_BYTES = 2048
"""A vector for each of 32 chains, or a tile and its stride."""
_MEMORY_BYTES = 256 << 20


@record(frozen=True, slots=True)
class Roof:
    """What `threads` cores reach together: float32 operations (a multiply-add is two) and bytes read, per nanosecond.

    Those are GFLOP/s and GB/s.
    """

    threads: int
    flops: float
    l1: float
    l2: float
    l3: float
    memory: float
    caches: Caches
    register_bytes: int
    meeting: float = 0.0
    """Nanoseconds in which all threads meet once."""
    pairs: float = 0.0
    """Like `flops`, of products of pairs of bfloat16; 0 where no instruction adds them."""

    def rate(self, *, pairs: bool) -> float:
        """Operations a nanosecond: of products of pairs of bfloat16, or of float32."""
        return self.pairs if pairs and self.pairs else self.flops

    def best_with(self, other: Roof) -> Roof:
        """The better of each figure, of two measurements of one machine."""
        better = {name: max(getattr(self, name), getattr(other, name)) for name in _RATES}
        return replace(self, **better, meeting=min(self.meeting, other.meeting))

    @property
    def text(self) -> str:
        """In one line."""
        pairs = f", of bfloat16 pairs {self.pairs:.0f}" if self.pairs else ""
        return (
            f"{self.flops:.0f}{pairs} GFLOP/s; read L1 {self.l1:.0f}, L2 {self.l2:.0f}, L3 {self.l3:.0f}, "
            f"memory {self.memory:.0f} GB/s"
        )


_RATES = ("flops", "pairs", "l1", "l2", "l3", "memory")


@cache
def measure_roof(threads: int = 1) -> Roof:
    """Measure the roof for so many threads. Takes about a second, once per process."""
    return RoofMeter(threads).measure()


class RoofMeter:
    """Measures the roof of `threads` cores as often as it is asked to, and keeps the best that it saw."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._target, self._caches = Target.parse("host"), caches()
        self._kernels = _Kernels(self._target)
        self._best: Roof | None = None

    def measure(self) -> Roof:
        """Measure once more, which takes about half a second; the best so far."""
        roof = self._once()
        self._best = roof if self._best is None else self._best.best_with(roof)
        return self._best

    def _once(self) -> Roof:
        threads, kernels, sizes = self._threads, self._kernels, self._caches
        blocks = (
            (sizes.l1 // 2, 1),
            (sizes.l2 // 2, PLACES),
            (min(sizes.l3 // 2, 8 * sizes.l2) // threads, 1),
            (min(max(4 * sizes.l3, _MEMORY_BYTES // 4), _MEMORY_BYTES) // threads, 1),
        )
        with ThreadPoolExecutor(threads) as pool:
            flops = _best(pool, threads, kernels.peak_runner)
            pairs = _best(pool, threads, kernels.pairs_runner) if kernels.has_pairs else 0.0
            l1, l2, l3, memory = (
                _best(pool, threads, partial(kernels.read_runner, size), places) for size, places in blocks
            )
            meeting = _meeting(pool, threads, kernels)
        register_bytes = self._target.registers * self._target.vector_bits // 8
        return Roof(threads, flops, l1, l2, l3, memory, sizes, register_bytes, meeting, pairs)


def read_time(size: int, roof: Roof, resident: int | None = None) -> tuple[str, float]:
    """Where `size` bytes are read from, and the nanoseconds that takes.

    They are part of `resident` bytes (by default all of them) that are used over and over.
    """
    resident = size if resident is None else resident
    share = resident / roof.threads
    if share <= roof.register_bytes:
        return "registers", 0.0
    if share <= roof.caches.l1:
        return "L1", size / roof.l1
    if share <= roof.caches.l2:
        return "L2", size / roof.l2
    from_l2 = size * roof.caches.l2 / share
    if resident <= roof.caches.l3:
        return "L3", from_l2 / roof.l2 + (size - from_l2) / roof.l3
    from_l3 = max(size * roof.caches.l3 / resident - from_l2, 0)
    return "memory", from_l2 / roof.l2 + from_l3 / roof.l3 + (size - from_l2 - from_l3) / roof.memory


Runner = tuple[Callable[[int], object], int]
"""A function of a number of repeats, and the units of work (operations or bytes) in one repeat."""


class _Kernels:
    """The kernels in executable memory."""

    def __init__(self, target: Target) -> None:
        self._lanes = target.lanes(DType.F32)
        self._chains = _CHAINS[32 if target.registers >= 32 else 16]
        peak = peak_text(self._lanes, self._chains, has_fma=target.has_fma)
        pairs, self._products = pairs_text(target, self._chains) or ("", 0)
        text = peak + pairs + read_text(self._lanes, _SUMS) + meet_text(target)
        self._loaded: Loaded = load(compile_module(text, target).object_code, target)
        prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
        self._peak = prototype(self._loaded.address("peak"))
        self._pairs = prototype(self._loaded.address("pairs")) if pairs else None
        self._read = prototype(self._loaded.address("read"))
        meet = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
        self._meet = meet(self._loaded.address("meet"))

    @property
    def has_pairs(self) -> bool:
        """True where the machine has an instruction for products of pairs."""
        return self._pairs is not None

    def peak_runner(self) -> Runner:
        """Multiply-adds; one repeat is one of every chain."""
        block = aligned(4 * self._lanes * self._chains).view(np.float32)
        block[:] = 0.5
        return lambda repeats: self._peak(block.ctypes.data, repeats, 0), 2 * self._lanes * self._chains

    def pairs_runner(self) -> Runner:
        """Products of pairs; one repeat is one instruction of every chain, or one with every tile of sums."""
        block = aligned(_PAIRS_BYTES)
        block[:] = 0
        pairs = self._pairs
        assert pairs is not None, "see has_pairs"
        return lambda repeats: pairs(block.ctypes.data, repeats, 0), 2 * self._products

    def read_runner(self, size: int) -> Runner:
        """Reads of a block of about `size` bytes; one repeat is the whole block."""
        step = 4 * self._lanes * _SUMS
        block = aligned(max(size // step, 1) * step)
        block[:] = 1  # so that every page exists
        return lambda repeats: self._read(block.ctypes.data, repeats, block.nbytes // step), block.nbytes

    def meeting_runners(self, threads: int) -> list[Runner]:
        """One for each thread; one repeat is one meeting."""
        block = aligned(BARRIER_BYTES + threads * SLOT_BYTES)
        block[:] = 0

        def runner(number: int) -> Runner:
            return lambda repeats: self._meet(block.ctypes.data, repeats, number, threads), 1

        return [runner(number) for number in range(threads)]


def _meeting(pool: ThreadPoolExecutor, threads: int, kernels: _Kernels) -> float:
    """Nanoseconds of a meeting, in the best run; no time for one thread."""
    if threads == 1:
        return 0.0
    times: list[int] = []
    while len(times) < RUNS and sum(times) < RUNS * RUN_NANOSECONDS:  # busy cores meet a thousand times as slowly
        times.append(_time_once(pool, kernels.meeting_runners(threads), MEETINGS))
    return min(times) / MEETINGS


def _best(pool: ThreadPoolExecutor, threads: int, make: Callable[[], Runner], places: int = 1) -> float:
    """Units of work per nanosecond of all threads together, in the best run with one of so many sets of runners."""
    sets = [[make() for _ in range(threads)] for _ in range(places)]
    work = sets[0][0][1]
    repeats = 1
    while (taken := _time_once(pool, sets[0], repeats)) < RUN_NANOSECONDS:
        repeats *= max(2, min(1000, RUN_NANOSECONDS // max(taken, 1)))
    return max(threads * work * repeats / _time_once(pool, sets[run % places], repeats) for run in range(RUNS))


def _time_once(pool: ThreadPoolExecutor, runners: list[Runner], repeats: int) -> int:
    """Nanoseconds from the start of the first to the end of the last thread (foreign calls let others run)."""
    barrier = threading.Barrier(len(runners))

    def run(runner: Runner) -> tuple[int, int]:
        barrier.wait()
        start = perf_counter_ns()
        runner[0](repeats)
        return start, perf_counter_ns()

    spans = list(pool.map(run, runners))
    return max(end for _, end in spans) - min(start for start, _ in spans)
