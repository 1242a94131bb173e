"""The garbage collector rests while something compiles, and runs as before afterwards, whatever happens."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import rnncc
from rnncc import layers
from rnncc.collector import at_rest
from rnncc.options import Options
from rnncc.pipeline import compile_graph


@pytest.fixture(autouse=True)
def _running() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


def test_a_compilation_is_not_interrupted_by_it() -> None:
    model = rnncc.Sequential([layers.Embedding(9, 5), layers.GRU(7, return_sequences=True), layers.LSTM(6)])
    graph = model.graph()
    runs: list[str] = []

    def watch(phase: str, info: dict[str, int]) -> None:
        runs.append(phase)

    gc.collect()
    gc.callbacks.append(watch)
    try:
        compile_graph(graph, Options())
    finally:
        gc.callbacks.remove(watch)
    assert len(runs) <= 2, "one may start when the compilation ends"
    assert gc.isenabled()


def test_the_last_to_leave_lets_it_go_on() -> None:
    with at_rest():
        with at_rest():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_stays_off_for_who_had_it_off() -> None:
    gc.disable()
    with at_rest():
        pass
    assert not gc.isenabled()


def test_it_goes_on_after_an_error() -> None:
    with pytest.raises(KeyboardInterrupt), at_rest():
        raise KeyboardInterrupt
    assert gc.isenabled()


@contextmanager
def _rest_in_another_thread() -> Iterator[None]:
    inside, go_on = threading.Event(), threading.Event()

    def other() -> None:
        with at_rest():
            inside.set()
            go_on.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(10)
    try:
        yield
    finally:
        go_on.set()
        thread.join()


def test_one_thread_does_not_end_the_rest_of_another() -> None:
    with _rest_in_another_thread():
        with at_rest():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_in_a_child_nobody_compiles() -> None:
    with _rest_in_another_thread():
        child = os.fork()
        if child == 0:
            good = gc.isenabled()
            with at_rest():
                good = good and not gc.isenabled()
            os._exit(0 if good and gc.isenabled() else 1)
    assert os.waitpid(child, 0)[1] == 0
