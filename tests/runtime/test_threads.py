"""Threads that share a call: the same bits as one thread, whatever the model, the sizes, and how work is divided."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers, ops
from rnncc.errors import ArgumentError, DTypeError, TokenError, UnsupportedError
from rnncc.layers.weights import Weight
from rnncc.options import Options
from rnncc.pipeline import compile_graph
from rnncc.runtime import threads as threads_module
from rnncc.runtime.threads import ROWS_TO_PART, part_rows
from tests.graph.random_graphs import random_extents, random_graph, random_inputs

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="teams are made of POSIX threads")
THREADS = (2, 3)
SIZES = ((1, 9), (2, 40), (5, 7), (13, 11), (31, 8), (3, 0), (0, 4))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def one_lstm() -> rnncc.Model:
    return rnncc.Sequential([layers.Input(shape=(None, 130)), layers.LSTM(160)])


def stacked() -> rnncc.Model:
    """Three phases a step, sequences between the layers, and sizes that panels do not divide."""
    gru = layers.GRU(170, reset_after=False, return_sequences=True)
    return rnncc.Sequential([layers.Input(shape=(None, 90)), gru, layers.SimpleRNN(210), layers.Dense(3)])


def both_ways() -> rnncc.Model:
    lstm = layers.Bidirectional(layers.LSTM(140, return_sequences=True))
    return rnncc.Sequential([layers.Input(shape=(None, 33)), lstm, layers.GRU(150, return_sequences=True)])


MODELS: dict[str, Callable[[], rnncc.Model]] = {"lstm": one_lstm, "stacked": stacked, "both ways": both_ways}


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("name", MODELS)
def test_same_bits_as_one_thread(name: str, threads: int, rng: np.random.Generator) -> None:
    model = MODELS[name]()
    alone, team = rnncc.compile(model), rnncc.compile(model, threads=threads)
    assert "barrier()" in team.ir("scheduled")
    assert "barrier()" not in alone.ir("scheduled")
    for batch, length in SIZES:
        x = rng.standard_normal((batch, length, model.input_shape[-1])).astype(np.float32)
        assert np.array_equal(team(x), alone(x)), (batch, length)


@pytest.mark.parametrize("seed", range(40, 60))
@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
def test_random_graphs_have_the_same_bits(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the work is: everything that can be shared is."""
    monkeypatch.setattr("rnncc.passes.loop.share_threads.WORTH_BYTES", 1)
    monkeypatch.setattr("rnncc.runtime.compiled.WORTH_PRODUCTS", 0)
    graph = random_graph(seed)
    alone, team = rnncc.compile(graph, cache=False), rnncc.compile(graph, threads=2 + seed % 2, cache=False)
    for number in range(3):
        extents = {dim: (size * (1, 5, 9)[number]) for dim, size in random_extents(graph, seed + number).items()}
        arrays = random_inputs(graph, extents, seed)[len(graph.consts) :]
        for one, other in zip(alone.call(*arrays), team.call(*arrays), strict=True):
            assert one.tobytes() == other.tobytes(), extents


def test_rows_are_cut_when_there_are_many(rng: np.random.Generator) -> None:
    model = one_lstm()
    team = rnncc.compile(model, threads=2)
    x = rng.standard_normal((2 * ROWS_TO_PART + 3, 20, 130)).astype(np.float32)
    whole = team(x)
    for row in range(len(x)):
        assert np.array_equal(team(x[row : row + 1])[0], whole[row])


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each call that was cut has."""
    rows_of_calls: list[int] = []

    def noting(rows: int, threads: int) -> Iterator[tuple[int, int]]:
        rows_of_calls.append(rows)
        return part_rows(rows, threads)

    monkeypatch.setattr("rnncc.runtime.compiled.part_rows", noting)
    return rows_of_calls


def test_the_more_weights_a_step_has_the_more_rows_a_thread_takes(
    parts: list[int], monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.setattr("rnncc.runtime.compiled.ROW_WEIGHTS", 160 * 640 // 10)
    model = one_lstm()
    alone, team = rnncc.compile(model), rnncc.compile(model, threads=2)
    for rows in (19, 20, 21):
        x = rng.standard_normal((rows, 20, 130)).astype(np.float32)
        assert np.array_equal(team(x), alone(x))
    assert parts == [20, 21]


def test_weights_of_a_step_are_those_of_the_largest_loop() -> None:
    stack = [layers.LSTM(7, return_sequences=True), layers.GRU(9), layers.Dense(1000)]
    graph = rnncc.Sequential([layers.Input(shape=(None, 50)), *stack]).graph()
    assert compile_graph(graph, Options()).artifact().step_weights == 9 * 3 * 9 + 9  # and a bias


@pytest.mark.parametrize(("rows", "threads"), [(12, 2), (13, 2), (64, 3), (19, 3)])
def test_parts_cover_all_rows_once(rows: int, threads: int) -> None:
    parts = list(part_rows(rows, threads))
    assert [row for first, count in parts for row in range(first, first + count)] == list(range(rows))
    assert max(count for _, count in parts) - min(count for _, count in parts) <= 1


def test_rows_with_random_numbers_are_cut(parts: list[int], rng: np.random.Generator) -> None:
    x = rng.standard_normal((3 * ROWS_TO_PART + 1, 20, 130)).astype(np.float32)

    def both_calls(threads: int) -> list[np.ndarray]:
        rnncc.set_random_seed(5)
        layer = layers.LSTM(64, dropout=0.2, recurrent_dropout=0.3, seed=1)
        model = rnncc.Sequential([layers.Input(shape=(None, 130)), layers.Dropout(0.1, seed=2), layer])
        fn = rnncc.compile(model, training=True, threads=threads)
        return [fn(x), fn(x)]

    results = [both_calls(threads) for threads in (1, 2, 3)]
    assert parts == [len(x)] * 2
    assert not np.array_equal(*results[0])
    for first, second in results[1:]:
        assert np.array_equal(first, results[0][0])
        assert np.array_equal(second, results[0][1])


def test_results_that_mix_rows_are_not_cut(rng: np.random.Generator) -> None:
    kernel = (rng.standard_normal((200, 800)) / 20).astype(np.float32)

    def model(x: Any) -> Any:
        last, _ = rnncc.scan(lambda total, row: (total + row, ()), ops.zeros((800,)), x @ kernel)
        return x @ kernel - last

    graph = rnncc.trace(model, ("float32", ("B", 200)))
    x = rng.standard_normal((40, 200)).astype(np.float32)
    assert np.array_equal(rnncc.compile(graph, threads=2)(x), rnncc.compile(graph)(x))


def test_small_calls_stay_on_one_thread(rng: np.random.Generator) -> None:
    model = rnncc.Sequential([layers.Input(shape=(None, 3)), layers.LSTM(5)])
    code = """
        import os, numpy as np, rnncc
        from rnncc import layers
        model = rnncc.Sequential([layers.Input(shape=(None, 3)), layers.LSTM(5)])
        before = len(os.listdir("/proc/self/task"))
        rnncc.compile(model, threads=4)(np.zeros((2, 9, 3), "f4"))
        print(len(os.listdir("/proc/self/task")) - before)
    """
    if os.path.isdir("/proc/self/task"):
        assert run(code) == "0"
    assert rnncc.compile(model, threads=4)(np.zeros((2, 9, 3), np.float32)).shape == (2, 5)


@pytest.mark.parametrize("batch", [1, 40])
def test_a_failed_check_names_the_place_in_the_whole_input(batch: int) -> None:
    embedding = layers.Embedding(50, 64)
    model = rnncc.Sequential([embedding, layers.Activation("tanh"), layers.LSTM(160)])
    ids = np.zeros((batch, 30), np.int64)
    alone, team = rnncc.compile(model), rnncc.compile(model, threads=2)
    expected = alone(ids)
    bad = ids.copy()
    bad[batch - 1, 17] = 50
    messages = []
    for fn in (alone, team):
        with pytest.raises(TokenError) as info:
            fn(bad)
        messages.append(str(info.value).splitlines()[0])
    assert messages[0] == messages[1]
    assert f"position ({batch - 1}, 17)" in messages[0]
    assert np.array_equal(team(ids), expected)  # the team goes on


def test_python_threads_call_at_once(rng: np.random.Generator) -> None:
    first, second = rnncc.compile(one_lstm(), threads=2), rnncc.compile(stacked(), threads=2)
    cases = []
    for number in range(6):
        fn, width = (first, 130) if number % 2 else (second, 90)
        x = rng.standard_normal((1 + 20 * (number // 3), 25, width)).astype(np.float32)
        cases.append((fn, x, fn(x)))
    wrong: list[int] = []

    def work(number: int) -> None:
        fn, x, expected = cases[number]
        wrong.extend(number for _ in range(5) if not np.array_equal(fn(x), expected))

    callers = [threading.Thread(target=work, args=(number,)) for number in range(len(cases))]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert not wrong
    assert not any(caller.is_alive() for caller in callers)


def test_streams_use_them_too(rng: np.random.Generator) -> None:
    model = rnncc.Sequential([layers.Input(shape=(None, 400)), layers.LSTM(410, return_sequences=True)])
    x = rng.standard_normal((1, 6, 400)).astype(np.float32)
    whole = rnncc.compile(model)(x)
    stream = rnncc.compile(model, threads=2).stream()
    steps = [stream.step(x[:, t]) for t in range(3)]
    assert np.array_equal(np.stack(steps, 1), whole[:, :3])
    assert np.array_equal(stream.push(x[:, 3:]), whole[:, 3:])


def run(code: str, *, timeout: float = 120) -> str:
    """What a fresh process prints that runs `code`."""
    root = Path(rnncc.__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


MODEL = """
        import os, sys, threading, time, numpy as np, rnncc
        from rnncc import layers
        model = rnncc.Sequential([layers.Input(shape=(None, 130)), layers.LSTM(160)])
        fn = rnncc.compile(model, threads=3)
        x = np.random.default_rng(1).standard_normal((1, 30, 130)).astype("f4")
        y = fn(x)
"""


def test_a_forked_child_starts_its_own_workers() -> None:
    code = (
        MODEL
        + """
        child = os.fork()
        if child == 0:
            os._exit(0 if np.array_equal(fn(x), y) else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert np.array_equal(fn(x), y)
        print("both")
    """
    )
    assert run(code) == "both"


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts the threads of this process")
def test_a_team_that_is_not_complete_goes_away(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    """Workers that were started before the system had enough must not look at memory that is somebody else's by now."""
    start, started = threads_module._start, []

    def start_two(slot: int, worker: int) -> Any:
        if len(started) == 2:
            raise UnsupportedError("the system starts no more threads: no")
        started.append(start(slot, worker))
        return started[-1]

    monkeypatch.setattr(threads_module, "_start", start_two)
    model = one_lstm()
    fn = rnncc.compile(model, threads=7)
    x = rng.standard_normal((1, 30, 130)).astype(np.float32)
    before = set(os.listdir("/proc/self/task"))  # threads of tests before this one may end meanwhile
    with pytest.raises(UnsupportedError, match="starts no more threads"):
        fn(x)
    assert len(started) == 2
    assert not set(os.listdir("/proc/self/task")) - before
    monkeypatch.undo()
    assert np.array_equal(fn(x), rnncc.compile(model)(x))


def test_workers_keep_what_they_look_at() -> None:
    """An interrupt at the wrong moment may lose a team; its workers sleep on."""
    code = rnncc.compile(one_lstm(), threads=2)._load()
    team = threads_module.Team(2, code)
    block = weakref.ref(team._alive[0])
    del team
    gc.collect()
    assert block() is not None


def test_workers_sleep_between_calls() -> None:
    code = (
        MODEL
        + """
        time.sleep(0.1)
        before = time.process_time()
        time.sleep(0.5)
        print(time.process_time() - before < 0.1)
    """
    )
    assert run(code) == "True"


def test_the_process_ends_while_a_daemon_calls() -> None:
    code = (
        MODEL
        + """
        def forever():
            while True:
                fn(x)
        threading.Thread(target=forever, daemon=True).start()
        time.sleep(0.2)
        print("over")
    """
    )
    assert run(code) == "over"


def test_ctrl_c_between_calls_leaves_the_team_whole() -> None:
    fn = rnncc.compile(one_lstm(), threads=2)
    x = np.ones((1, 50, 130), np.float32)
    expected = fn(x)
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            end = time.monotonic() + 60
            while time.monotonic() < end:
                fn(x)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert np.array_equal(fn(x), expected)


@pytest.mark.parametrize("threads", [0, -1, 257, 1.5, True, "2", None])
def test_a_number_of_threads_has_a_meaning(threads: object) -> None:
    with pytest.raises(ArgumentError, match="threads must be a number from 1 to 256") as info:
        rnncc.compile(one_lstm(), threads=threads)  # type: ignore[arg-type]
    assert "test_threads.py" in str(info.value)


def test_a_call_sees_all_new_weights_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    rnncc.set_random_seed(1)
    model = rnncc.Sequential([layers.Input((None, 3)), layers.GRU(5), layers.Dense(4)])
    fn, x = rnncc.compile(model), np.random.default_rng(0).normal(size=(2, 6, 3)).astype(np.float32)
    old, weights = fn(x), model.get_weights()
    half, go_on, take = threading.Event(), threading.Event(), Weight.take

    def slow_take(self: Weight, value: np.ndarray) -> None:
        if self.path.endswith("bias"):
            half.set()
            go_on.wait(10)
        take(self, value)

    monkeypatch.setattr(Weight, "take", slow_take)
    setter = threading.Thread(target=model.set_weights, args=([2 * weight for weight in weights],))
    setter.start()
    assert half.wait(10)
    threading.Timer(0.1, go_on.set).start()
    result = fn(x)
    setter.join()
    assert np.array_equal(result, fn(x))
    assert not np.array_equal(result, old)


def test_weights_that_do_not_fit_change_nothing() -> None:
    model = rnncc.Sequential([layers.Input((3,)), layers.Dense(4)])
    before = model.get_weights()
    with pytest.raises(DTypeError):
        model.set_weights([before[0] + 1, np.array(["a", "b", "c", "d"])])
    assert all(map(np.array_equal, before, model.get_weights()))
