"""What threads are told when they share work: one after the other, then all at once."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np
import pytest

from rnncc.codegen.emit import emit
from rnncc.codegen.emitted import STATUS_VALUES
from rnncc.codegen.native import compile_module
from rnncc.codegen.target import Target
from rnncc.codegen.team import BARRIER_BYTES, FIELDS, SLOT_BYTES
from rnncc.loop.parser import parse
from rnncc.loop.verify import verify
from rnncc.runtime.jit import load
from rnncc.runtime.threads import NO_TEAM, POOL

HOST = Target.parse("host")
THREADS = 3
SHARES = parse("""
def f(N):
    ids = input(i64, [N])
    y = output(f32, [N])
    messages('bad id')
    for share in around(0, 3):
        for j in claimed(min(share * 6, 17), min(share * 6 + 6, 17), 2):
            check(ids[j] < 8, 0, ids[j])
            for i in range(j, min(j + 2, 17)):
                y[i] = y[i] + f32(i)
""")
"""Shares of 6, 6 and 5 numbers, in turns of two: every turn adds what it would not if it ran twice."""

N = 17
ONCE = np.arange(N, dtype=np.float32)
Thread = Callable[[int, int], int]


class Call:
    """A call of `SHARES` whose threads run when they are told to."""

    def __init__(self) -> None:
        verify(SHARES)
        emitted = emit(SHARES, HOST, THREADS)
        self.code = load(compile_module(emitted.text, HOST).object_code, HOST)
        self.address = self.code.address(emitted.entry)
        self.ids, self.y = np.zeros(N, np.int64), np.zeros(N, np.float32)
        arrays = {"ids": self.ids, "y": self.y}
        addresses = [arrays[str(name)].ctypes.data for name in emitted.pointers]
        self.pointers = (ctypes.c_void_p * len(addresses))(*addresses)
        self.dims, self.status = (ctypes.c_int64 * 1)(N), (ctypes.c_int64 * (STATUS_VALUES + 1))()
        self.memory = np.zeros((BARRIER_BYTES + (THREADS - 1) * SLOT_BYTES) // 8, np.int64)
        self.unclaimed = self.memory[(BARRIER_BYTES + FIELDS["unclaimed"] - SLOT_BYTES) // 8 :: SLOT_BYTES // 8]

    def run(self, thread: int, threads: int = THREADS) -> int:
        kinds = [ctypes.c_void_p] * 3 + [ctypes.c_int64] * 2 + [ctypes.c_void_p]
        barrier = ctypes.addressof(NO_TEAM) if threads == 1 else self.memory.ctypes.data
        arguments = (self.pointers, self.dims, self.status, thread, threads, barrier)
        return int(ctypes.CFUNCTYPE(ctypes.c_int32, *kinds)(self.address)(*arguments))


@pytest.fixture
def call() -> Call:
    return Call()


@pytest.mark.parametrize("thread", range(THREADS))
def test_a_thread_does_its_own_share_first(call: Call, thread: int) -> None:
    """And nothing of those that others have not begun."""
    for times in (1, 2):
        assert call.run(thread) == 0
        assert np.array_equal(call.y, np.where(np.arange(N) // 6 == thread, times * ONCE, 0))
        assert not np.any(call.unclaimed > 0), "the counters are not ready for the next loop"


@pytest.mark.parametrize("left", [(0, 1, 2), (0, 2, 0), (0, 0, 1)])
def test_and_then_what_others_leave(call: Call, left: tuple[int, ...]) -> None:
    """Which is the end of a share: its thread has claimed what comes before."""
    call.unclaimed[:] = left
    assert call.run(0) == 0
    turns = np.arange(N) % 6 // 2
    done = turns >= 3 - np.array((3, *left[1:]))[np.arange(N) // 6]
    assert np.array_equal(call.y, np.where(done, ONCE, 0))
    assert not np.any(call.unclaimed > 0)


def test_every_turn_runs_once_whoever_is_faster(call: Call) -> None:
    parts = [(call.pointers, call.dims, call.status)] * THREADS
    with POOL.team(THREADS, call.code) as team:
        for times in range(1, 3001):
            assert team.run(call.address, parts, together=True) == (0, 0)
            assert np.array_equal(call.y, times * ONCE)


def test_a_thread_that_is_alone_claims_nothing(call: Call) -> None:
    before = list(NO_TEAM)  # calls before that failed have said there that they left
    for times in (1, 2):
        assert call.run(0, threads=1) == 0
        assert np.array_equal(call.y, times * ONCE)
    assert list(NO_TEAM) == before


@pytest.mark.parametrize("bad", range(N))
def test_after_a_failure_the_counters_begin_anew(call: Call, bad: int) -> None:
    parts = [(call.pointers, call.dims, (ctypes.c_int64 * (STATUS_VALUES + 1))()) for _ in range(THREADS)]
    with POOL.team(THREADS, call.code) as team:
        for times in range(1, 4):
            call.ids[bad] = 9
            failed, _ = team.run(call.address, parts, together=True)
            assert failed == (bad % 2 == 0)  # only the first of two numbers is looked at
            call.ids[bad], call.y[:] = 0, 0
            assert team.run(call.address, parts, together=True) == (0, 0)
            assert np.array_equal(call.y, ONCE), times
