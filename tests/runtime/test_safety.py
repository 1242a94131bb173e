"""Nothing that a user passes makes the machine code read or write outside of a buffer, or the compiler give up."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers, ops
from rnncc.errors import ArgumentError, DTypeError, ShapeError, TokenError, UnsupportedError
from rnncc.layers import weights
from rnncc.runtime import compiled, ready, repeat
from rnncc.runtime import frame as frames

TABLE = np.arange(10, dtype=np.float32)


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("number", [1 << 40, 9, -2, -(1 << 62)])
def test_computed_ids_are_checked_before_they_are_used(number: int, level: int) -> None:
    fn = rnncc.compile(rnncc.trace(lambda ids: ops.take(TABLE, ids + 1), ("int64", ("B",))), level=level)
    assert fn(np.array([8, -1])).tolist() == [9.0, 0.0]
    with pytest.raises(TokenError, match="outside the table of 10 rows"):
        fn(np.array([3, number]))


def test_ids_fed_back_by_a_scan_are_checked() -> None:
    def model(x: Any) -> Any:
        _, ys = rnncc.scan(lambda h, v: (h + v, ops.take(TABLE, ops.maximum(h, v))), ops.zeros(("B",), "int64"), x)
        return ys

    fn = rnncc.compile(rnncc.trace(model, ("int64", ("T", "B"))))
    assert fn(np.array([[1, 2], [3, 4]])).shape == (2, 2)
    with pytest.raises(TokenError):
        fn(np.array([[1, 2], [3, 1 << 40]]))


def test_position_of_computed_ids_in_a_long_sequence() -> None:
    """The projection is made for some steps at a time; the place that is named is that in all of them."""
    table, kernel = np.eye(9, 16, dtype=np.float32), np.eye(16, dtype=np.float32)

    def model(ids: Any, shift: Any) -> Any:
        x = ops.tanh(ops.take(table, ids + shift))
        h, _ = rnncc.scan(lambda h, v: (ops.tanh(v @ kernel + h @ kernel), ()), ops.zeros(("B", 16)), x)
        return h

    fn = rnncc.compile(rnncc.trace(model, ("int64", ("T", "B")), ("int64", ("T", "B"))))
    shift = np.zeros((150, 3), np.int64)
    shift[100, 2] = 77
    with pytest.raises(TokenError, match=r"holds 78 at position \(100, 2\)"):
        fn(np.ones((150, 3), np.int64), shift)
    assert fn.memory(B=3, T=1000) - fn.memory(B=3, T=900) < 100 * 3 * 8 + 64  # just the ids are kept


@pytest.mark.parametrize("rank", [1, 8, 9, 15, 16, 17, 24])
def test_position_of_any_rank_has_room(rank: int) -> None:
    ids = np.zeros((2, *(1,) * (rank - 1)), np.int64)
    ids[1] = 99
    fn = rnncc.compile(rnncc.trace(lambda i: ops.take(TABLE, i), ("int64", ids.shape)))
    with pytest.raises(TokenError, match="holds 99 at position"):
        fn(ids)


def chain(length: int) -> Callable[[Any], Any]:
    def model(x: Any) -> Any:
        for _ in range(length):
            x = x * ops.abs(x) * 0.5 + x * 0.5
        return x

    return model


@pytest.mark.parametrize("length", [3, 30, 120])
def test_long_chains_compile(length: int) -> None:
    graph = rnncc.trace(chain(length), ("float32", ("B", 5)))
    x = np.linspace(-1, 1, 10, dtype=np.float32).reshape(2, 5)
    assert np.allclose(rnncc.compile(graph)(x), rnncc.evaluate(graph, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 5, 16])
def test_one_column_of_a_wide_weight(size: int) -> None:
    weight = np.arange(size, dtype=np.float32)[None]
    graph = rnncc.trace(lambda x: ops.sum(ops.expand_dims(x, 1) * weight, 2), ("float32", ("B", size)))
    x = np.ones((3, size), np.float32)
    assert np.allclose(rnncc.compile(graph)(x), rnncc.evaluate(graph, x))


def test_empty_part_of_a_concatenation() -> None:
    graph = rnncc.trace(lambda x: ops.concatenate([ops.zeros(("B", 0)), x], 1), ("float32", ("B", 3)))
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(rnncc.compile(graph)(x), x)


@pytest.mark.parametrize(
    ("dtype", "array"),
    [
        ("int32", np.array([2**40 + 3])),
        ("int64", np.array([2**63 + 5], np.uint64)),
        ("int64", np.array([1e30])),
        ("bool", np.array([0.5])),
        ("float32", np.ma.masked_array([1.0], [True])),
    ],
)
def test_conversions_that_would_change_a_value_are_refused(dtype: str, array: np.ndarray) -> None:
    graph = rnncc.trace(lambda x: ops.equal(x, x), (dtype, ("B",)))
    for run in (rnncc.compile(graph), lambda x: rnncc.evaluate(graph, x)):
        with pytest.raises(DTypeError):
            run(array)


def running(x: Any) -> Any:
    return rnncc.scan(lambda h, v: (h + v, h), ops.zeros(("B", 4)), ops.transpose(x, (1, 0, 2)))[1]


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lambda x: running(ops.flip(x, 1)), "flip"),
        (lambda x: running(ops.transpose(ops.reshape(x, ("T", "B", 4)), (1, 0, 2))), "reshape"),
        (lambda x: running(x) * ops.cast(ops.reshape(ops.arange("T"), ("T", 1, 1)), "float32"), "iota"),
        (lambda x: running(x + ops.sum(x, 1, keepdims=True)), "sum"),
    ],
)
def test_streams_refuse_what_looks_at_other_steps(model: Callable[[Any], Any], reason: str) -> None:
    fn = rnncc.compile(rnncc.trace(model, ("float32", ("B", "T", 4))))
    with pytest.raises(UnsupportedError, match=reason):
        fn.stream()


def test_steps_of_a_stream_fit() -> None:
    stream = rnncc.compile(rnncc.trace(running, ("float32", ("B", "T", 4)))).stream(batch=3)
    for wrong in (np.ones((1, 4)), 1.0, np.ones((3, 1)), np.ones((3, 5))):
        with pytest.raises(ShapeError, match="step of x"):
            stream.step(wrong)
    for wrong in ([["a"] * 4] * 3, None):
        with pytest.raises(DTypeError):
            stream.step(wrong)
    with pytest.raises(ArgumentError, match="other names"):
        stream.state = {}
    assert stream.step(np.ones((3, 4), np.float64)).tolist() == np.zeros((3, 4)).tolist()


def test_a_stream_keeps_its_weights() -> None:
    rnncc.set_random_seed(0)
    model = rnncc.Sequential([rnncc.layers.Input((None, 2)), rnncc.layers.SimpleRNN(3, return_sequences=True)])
    fn, x = rnncc.compile(model), np.ones((1, 4, 2), np.float32)
    before, stream = fn(x), fn.stream()
    model.set_weights([weight * 0 for weight in model.get_weights()])
    assert np.array_equal(stream.step(x[:, 0]), before[:, 0])
    assert np.array_equal(stream.push(x[:, 1:]), before[:, 1:])
    assert not fn(x).any()


def test_threads_that_load_code_at_once_keep_their_own() -> None:
    """Each of several first calls loads the code, and the last one's is kept: the others must not lose theirs."""
    fn = rnncc.compile(rnncc.trace(lambda x: x * 2.0, ("float32", ("B",))))
    x = np.arange(3, dtype=np.float32)
    fn(x)
    fn._load_native()  # as another thread would have at the same time
    gc.collect()
    assert fn(x).tolist() == [0, 2, 4]


def test_a_call_in_the_middle_of_a_call() -> None:
    """A signal handler, or a finalizer, may call the model that was just called, between any two lines."""
    rnncc.set_random_seed(0)
    fn = rnncc.compile(rnncc.Sequential([layers.Input((None, 8)), layers.GRU(16)]))
    one, other = np.random.default_rng(0).normal(size=(2, 3, 30, 8)).astype(np.float32)
    larger = np.concatenate([other, other])
    expected, lines = fn(one), []
    between = [other, larger]

    def interrupt(frame: Any, event: str, arg: Any) -> Any:
        if frame.f_code.co_filename not in (compiled.__file__, frames.__file__, ready.__file__, repeat.__file__):
            return None
        if event == "line":
            sys.settrace(None)
            lines.append((frame.f_code.co_filename, frame.f_lineno))
            for x in between:
                fn(x)
            sys.settrace(interrupt)
        return interrupt

    for before in (one, larger, None):  # a call like the one before, like an earlier one, and one like none
        if before is None:
            fn._frames.own.forget()
            between[0] = other[:2]
        else:
            fn(before)
        sys.settrace(interrupt)
        try:
            result = fn(one)
        finally:
            sys.settrace(None)
        assert np.array_equal(result, expected)
    assert len(set(lines)) > 50
    assert np.array_equal(fn(one), expected)


def test_an_assignment_that_is_interrupted_is_seen_or_never_was() -> None:
    model = rnncc.Sequential([layers.Input((3,)), layers.Dense(2, kernel_initializer="ones")])
    fn, x = rnncc.compile(model), np.ones((1, 3), np.float32)
    (kernel, _), values = model.weights, []
    take, start = weights.Weight.take.__code__, weights.Weight.take.__code__.co_firstlineno
    for line in {line for *_, line in take.co_lines() if line is not None and line > start}:

        def interrupt(frame: Any, event: str, arg: Any, line: int = line) -> Any:
            if event == "line" and frame.f_code is take and frame.f_lineno == line:
                raise KeyboardInterrupt
            return interrupt

        fn(x)
        sys.settrace(interrupt)
        try:
            with pytest.raises(KeyboardInterrupt):
                kernel.assign(kernel.value + 1)
        finally:
            sys.settrace(None)
        values.append(float(kernel.value[0, 0]))
        assert fn(x).tolist() == [[3 * values[-1]] * 2]
    assert len(values) > 2
    assert values[0] < values[-1]


def test_a_call_goes_on_after_one_that_failed() -> None:
    fn = rnncc.compile(rnncc.trace(lambda ids: ops.take(TABLE, ids), ("int64", ("B",))))
    for _ in range(2):
        with pytest.raises(TokenError):
            fn(np.array([99]))
        assert fn(np.array([3])).tolist() == [3.0]
    assert not fn._frames.own.is_busy
