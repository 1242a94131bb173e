"""Teams of threads: a caller and its workers, who work on one call together. What they run is in `codegen.team`.

Workers are started once, by the first call that needs them, and are kept for the whole process: between calls they
sleep. Several Python threads may call at once: each gets a team of its own, and teams that are free are used again.
The child of a fork has none of its parent's threads, and starts its own.
"""

from __future__ import annotations

import atexit
import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

from rnncc.codegen.team import BARRIER_BYTES, FIELDS, SLOT_BYTES
from rnncc.errors import ArgumentError, UnsupportedError, caller
from rnncc.numeric import whole_number
from rnncc.records import record
from rnncc.runtime.jit import Loaded

MOST_THREADS = 256
_ALIGNMENT = 64


WORTH_PRODUCTS = 1 << 19
"""Multiply-adds that take one thread longer than waking another one, about."""

ROWS_TO_PART = 4
"""A thread takes at least so many rows: to read weights that are near takes less time than their multiply-adds. Fewer
rows are shared panel by panel."""

ROW_WEIGHTS = 64 << 10
"""And at least one row for so many weights of a step. Threads that part rows read all of them each, which takes longer
where they come from beyond the level 2 cache, and longer still for all threads at once. On a Zen 3, two threads that
share the panels of a cell of four gates and 1,024 units take 2/3 of the time for 12 rows, 4/5 for 32, the same for 128;
with 512 units, it is all the same from 12 rows on."""


NO_TEAM = (ctypes.c_int64 * (BARRIER_BYTES // 8))()
"""The barrier of a thread that works alone: it has nobody to wait for, and may say so when it leaves."""


@record(frozen=True, slots=True)
class Plan:
    """How threads divide a call: by `rows`, (first, count) of extent number `axis`; when there are none, by panels."""

    threads: int
    rows: tuple[tuple[int, int], ...] = ()
    axis: int = 0


def part_rows(rows: int, threads: int) -> Iterator[tuple[int, int]]:
    """`rows` as (first, count) for every thread, as equal as can be."""
    for number in range(threads):
        first, last = rows * number // threads, rows * (number + 1) // threads
        yield first, last - first


class Job(ctypes.Structure):
    """What one thread does of a call; the layout is that of `codegen.team.JOB`."""

    _fields_ = (
        ("function", ctypes.c_void_p),
        ("pointers", ctypes.c_void_p),
        ("dims", ctypes.c_void_p),
        ("status", ctypes.c_void_p),
        ("thread", ctypes.c_int64),
        ("threads", ctypes.c_int64),
        ("barrier", ctypes.c_void_p),
        ("result", ctypes.c_int64),
    )


class Team:
    """A block of memory and the workers that look at it: `size` threads with the caller."""

    def __init__(self, size: int, code: Loaded) -> None:
        """Start `size` - 1 workers. Raises UnsupportedError when the system does not start all of them."""
        self.size = size
        workers = size - 1
        block = np.zeros(BARRIER_BYTES + workers * SLOT_BYTES + _ALIGNMENT, np.uint8)
        self.address = block.ctypes.data + -block.ctypes.data % _ALIGNMENT
        slots = [self.address + BARRIER_BYTES + number * SLOT_BYTES for number in range(workers)]
        self._alive = (block, code)
        self._own = Job()
        self._jobs = [self._own, *(Job.from_address(slot + FIELDS["job"]) for slot in slots)]
        prototype = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)
        self._call = prototype(code.address("rnncc.team"))
        self._threads: list[Any] = []
        # Workers look at both for as long as they live, whatever becomes of this object: an interrupt may lose it.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._alive))
        try:
            for slot in slots:
                self._threads.append(_start(slot, code.address("rnncc.worker")))
        except BaseException:
            self.end()
            raise

    def run(self, function: int, parts: Sequence[tuple[Any, Any, Any]], *, together: bool) -> tuple[int, int]:
        """Run `function` on every thread; returns the result that is not 0, if any, and the thread that had it.

        Args:
            function: address of the entry point of a model.
            parts: for each thread pointers, dims and status.
            together: the threads share one call, and meet at barriers; else each makes a call of its own.
        """
        for number, (job, (pointers, dims, status)) in enumerate(zip(self._jobs, parts, strict=True)):
            job.function, job.pointers = function, ctypes.addressof(pointers)
            job.dims, job.status = ctypes.addressof(dims), ctypes.addressof(status)
            job.thread, job.threads = (number, self.size) if together else (0, 1)
            job.barrier = self.address
        code = self._call(self.address, self.size - 1, ctypes.addressof(self._own))
        return code & 0xFFFFFFFF, code >> 32

    def end(self) -> None:
        """Let the workers return, and wait for them."""
        for job in self._jobs:
            job.function = None
        self._call(self.address, len(self._threads), ctypes.addressof(self._own))
        for thread in self._threads:
            _system().pthread_join(thread, None)
        ctypes.pythonapi.Py_DecRef(ctypes.py_object(self._alive))


class _Pool:
    """The teams of this process, by size: those that are at work are in nobody's list."""

    def __init__(self) -> None:
        self.free: dict[int, list[Team]] = {}

    @contextmanager
    def team(self, size: int, code: Loaded) -> Iterator[Team]:
        """A team of `size` threads for one call; a new one, with the functions in `code`, when all are at work."""
        free = self.free.setdefault(size, [])
        try:
            team = free.pop()
        except IndexError:
            team = Team(size, code)
        try:
            yield team
        finally:
            free.append(team)

    def end(self) -> None:
        """End the teams that are not at work: code must not go away under a worker that sleeps in it."""
        for teams in self.free.values():
            while teams:
                teams.pop().end()

    def forget(self) -> None:
        """In the child of a fork: the workers are the parent's."""
        self.free = {}


POOL = _Pool()
atexit.register(POOL.end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=POOL.forget)


def check_threads(threads: object) -> int:
    """`threads` as a number. Raises ArgumentError or UnsupportedError."""
    number = whole_number(threads, 1, MOST_THREADS)
    if number is None:
        raise ArgumentError(
            f"threads must be a number from 1 to {MOST_THREADS}, not {threads!r}",
            place=caller(),
            remedy="as many as there are cores to work on the call",
        )
    if number > 1 and not hasattr(_system(), "pthread_create"):
        raise UnsupportedError(f"threads={number}: this system has no POSIX threads", place=caller())
    return number


def _start(slot: int, worker: int) -> Any:
    """A new thread that looks after `slot`."""
    system = _system()
    system.pthread_mutex_init(ctypes.c_void_p(slot + FIELDS["mutex"]), None)
    system.pthread_cond_init(ctypes.c_void_p(slot + FIELDS["condition"]), None)
    thread = ctypes.c_void_p()
    failed = system.pthread_create(ctypes.byref(thread), None, ctypes.c_void_p(worker), ctypes.c_void_p(slot))
    if failed:
        raise UnsupportedError(
            f"the system starts no more threads: {os.strerror(failed)}",
            place=caller(),
            remedy="compile with threads=1, or call fewer models at once",
        )
    return thread


@cache
def _system() -> ctypes.CDLL:
    """The C library that this process runs on."""
    return ctypes.CDLL(None)
