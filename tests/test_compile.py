"""Compiled models against their NumPy meaning: any shape from one compilation, any target, bit by bit the same rows."""

from __future__ import annotations

import itertools
import os
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import rnncc
from rnncc import layers, ops, pipeline
from tests.compiled import TARGETS, as_list, check, made
from tests.tolerances import SAME_SUMS, assert_close

WORDS, OTHER_WORDS = 11, 19


def first() -> Any:
    """The first model of the guide, with odd widths."""
    return rnncc.Sequential([layers.Embedding(WORDS, 5), layers.LSTM(9), layers.Dense(3)])


def second() -> Any:
    steps = [layers.GRU(17, return_sequences=True), layers.SimpleRNN(7)]
    return rnncc.Sequential([layers.Embedding(WORDS, 3), *steps, layers.Dense(5)])


def third() -> Any:
    encoder, decoder = layers.Input((None,), name="encoder_ids"), layers.Input((None,), name="decoder_ids")
    _, h, c = layers.LSTM(13, return_state=True)(layers.Embedding(WORDS, 7)(encoder))
    last = layers.LSTM(13)(layers.Embedding(OTHER_WORDS, 7)(decoder), initial_state=[h, c])
    return rnncc.Model([encoder, decoder], layers.Dense(3)(last))


MODELS: list[Callable[[], Any]] = [first, second, third]


def tokens(model: Any, batch: int, time: int, seed: int = 0) -> list[np.ndarray]:
    """Ids for every input; where there are two, the second sequence is longer by two."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, WORDS, (batch, time + 2 * number)) for number in range(len(model.inputs))]


SHAPES = [(0, 0), (0, 3), (3, 0), (1, 0), (1, 1), (1, 40), (40, 1), (37, 11), (24, 40)]
SHAPES += [(batch, 2) for batch in range(1, 41)]


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_shape_from_one_compilation(make: Any, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    compile_module = pipeline.compile_module
    monkeypatch.setattr(pipeline, "compile_module", lambda *args: (calls.append(args), compile_module(*args))[1])
    model = made(make)
    fn = rnncc.compile(model, dtype=dtype)
    for batch, time in SHAPES:
        check(fn, model, tokens(model, batch, time), dtype)
    assert len(calls) == 1
    fn.ir("asm")
    fn.ir("llvm-opt")
    assert len(calls) == 1


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("target", [name for name in TARGETS if name != "host"])
def test_every_target(make: Any, target: str) -> None:
    model = made(make)
    fn = rnncc.compile(model, target=target)
    for batch, time in [(0, 2), (1, 9), (2, 0), (5, 7), (23, 6)]:
        check(fn, model, tokens(model, batch, time))


@pytest.mark.parametrize(("make", "unroll"), [(first, 2), (first, 3), (first, 7), (second, 2), (third, 3)])
def test_several_steps_a_turn(make: Any, unroll: int) -> None:
    model = made(make)
    fn = rnncc.compile(model, unroll=unroll)
    plain = rnncc.compile(model)
    for batch, time in [(1, time) for time in range(10)] + [(3, 15), (0, 4), (9, 20)]:
        arrays = tokens(model, batch, time)
        check(fn, model, arrays)
        for a, b in zip(as_list(fn(*arrays)), as_list(plain(*arrays)), strict=True):
            np.testing.assert_array_equal(a, b)  # the order of additions does not depend on it


def test_unroll_of_a_layer() -> None:
    """Keras's `unroll=True` on a sequence of fixed length."""
    x = layers.Input((4, 3), name="x")
    model = rnncc.Model(x, layers.LSTM(5, unroll=True)(x))
    fn = rnncc.compile(model)
    assert "for t" not in fn.ir("scheduled")
    for batch in (0, 1, 5, 16):
        check(fn, model, [np.random.default_rng(batch).normal(size=(batch, 4, 3)).astype(np.float32)])


# ------------------------------------------------------------------ the same bits


def stateful(kind: str, width: int, units: int, **options: Any) -> tuple[Any, int]:
    """A layer with its states as inputs and outputs, and how many there are."""
    count = 2 if kind == "LSTM" else 1
    x = layers.Input((None, width), name="x")
    states = [layers.Input((units,), name=f"s{number}") for number in range(count)]
    layer = getattr(layers, kind)(units, return_sequences=True, return_state=True, **options)
    return rnncc.Model([x, *states], list(layer(x, initial_state=states))), count


CELLS: list[tuple[str, dict[str, Any]]] = [
    ("LSTM", {}),
    ("GRU", {}),
    ("GRU", {"reset_after": False}),
    ("SimpleRNN", {}),
    ("SimpleRNN", {"activation": "softmax"}),
]


@pytest.mark.parametrize(("kind", "options"), CELLS, ids=str)
@pytest.mark.parametrize(
    ("width", "units", "target"),
    [(3, 17, "host"), (16, 32, "host"), (5, 1, "host"), (3, 17, TARGETS[-1]), (3, 9, TARGETS[1])],
)
def test_a_row_has_the_same_bits_everywhere(
    kind: str, options: dict[str, Any], width: int, units: int, target: str
) -> None:
    """At every batch size, at every position, alone or with others."""
    model, count = stateful(kind, width, units, **options)
    fn = rnncc.compile(made(lambda: model), target=target)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(41, 5, width)).astype(np.float32)
    states = [rng.normal(size=(41, units)).astype(np.float32) for _ in range(count)]
    whole = fn(x, *states)
    for size in [*range(1, 20), 23, 32, 40]:
        for start in {0, 41 - size, (7 * size) % (42 - size)}:
            rows = slice(start, start + size)
            for part, all_ in zip(fn(x[rows], *(state[rows] for state in states)), whole, strict=True):
                np.testing.assert_array_equal(part, all_[rows], err_msg=f"rows {rows}")
    order = rng.permutation(41)
    for part, all_ in zip(fn(x[order], *(state[order] for state in states)), whole, strict=True):
        np.testing.assert_array_equal(part, all_[order])


@pytest.mark.parametrize(("kind", "options"), CELLS, ids=str)
@pytest.mark.parametrize("unroll", [None, 3])
def test_a_sequence_in_two_runs_has_the_same_bits(kind: str, options: dict[str, Any], unroll: int | None) -> None:
    model, count = stateful(kind, 3, 17, **options)
    fn = rnncc.compile(made(lambda: model), unroll=unroll)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 11, 3)).astype(np.float32)
    start = [rng.normal(size=(6, 17)).astype(np.float32) for _ in range(count)]
    ys, *final = fn(x, *start)
    for cut in range(12):
        head, *between = fn(x[:, :cut], *start)
        tail, *end = fn(x[:, cut:], *between)
        np.testing.assert_array_equal(np.concatenate([head, tail], 1), ys)
        for a, b in zip(end, final, strict=True):
            np.testing.assert_array_equal(a, b)
    states, steps = start, []
    for time in range(11):
        y, *states = fn(x[:, time : time + 1], *states)
        steps.append(y)
    np.testing.assert_array_equal(np.concatenate(steps, 1), ys)


# ------------------------------------------------------------------ weights, threads, processes


def test_weights_are_read_when_they_change() -> None:
    model = made(first)
    fn = rnncc.compile(model)
    arrays = tokens(model, 3, 4)
    before = fn(*arrays)
    model.set_weights([weight * 0.5 for weight in model.get_weights()])
    check(fn, model, arrays)
    assert not np.array_equal(fn(*arrays), before)
    model.layers[0].set_weights([weight + 0.25 for weight in model.layers[0].get_weights()])
    check(fn, model, arrays)


def test_two_models_of_one_layer_share_its_weights() -> None:
    x = layers.Input((None, 3), name="x")
    layer = layers.GRU(5, return_sequences=True)
    one, both = rnncc.Model(x, layer(x)), rnncc.Model(x, layers.Dense(2)(layer(x)))
    array = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    functions = [(rnncc.compile(model), model) for model in (one, both)]
    layer.set_weights([weight + 0.1 for weight in layer.get_weights()])
    for fn, model in functions:
        check(fn, model, [array])


def test_many_threads_call_at_once() -> None:
    model = made(second)
    fn = rnncc.compile(model)
    cases = [tokens(model, batch, time, seed=batch * 100 + time) for batch in (1, 2, 7, 16) for time in (0, 1, 5, 30)]
    expected = [rnncc.evaluate(model, *arrays) for arrays in cases]
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        barrier.wait()
        for turn in range(40):
            case = (number * 5 + turn) % len(cases)
            assert_close(fn(*cases[case]), expected[case], SAME_SUMS, f"thread {number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


def test_weights_change_while_threads_call() -> None:
    """Every result is that of some set of weights, never of half of one."""
    x = layers.Input((None, 2), name="x")
    model = rnncc.Model(x, layers.Dense(8)(layers.SimpleRNN(8, activation="linear")(x)))
    fn = rnncc.compile(model)
    ones = [np.full(weight.shape, 1 / 16, np.float32) for weight in model.get_weights()]
    sets = [[weight * factor for weight in ones] for factor in (1.0, 2.0)]
    array = np.ones((3, 4, 2), np.float32)
    known = []
    for weights in sets:
        model.set_weights(weights)
        known.append(fn(array))
    stop = threading.Event()

    def change() -> None:
        for turn in itertools.cycle((0, 1)):
            if stop.is_set():
                return
            model.set_weights(sets[turn])

    def call() -> int:
        return sum(all(np.isfinite(row).all() for row in fn(array)) for _ in range(300))

    with ThreadPoolExecutor(4) as pool:
        changing = pool.submit(change)
        counts = [pool.submit(call) for _ in range(3)]
        assert [count.result() for count in counts] == [300] * 3
        stop.set()
        changing.result()
    for weights, wanted in zip(sets, known, strict=True):
        model.set_weights(weights)
        np.testing.assert_array_equal(fn(array), wanted)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("used_before", [False, True])
@pytest.mark.filterwarnings("ignore:os.fork\\(\\) was called:RuntimeWarning")  # by a library that other tests load
def test_a_forked_child_calls(used_before: bool) -> None:
    model = made(first)
    fn = rnncc.compile(model)
    arrays = tokens(model, 5, 6)
    expected = rnncc.evaluate(model, *arrays)
    if used_before:
        fn(*arrays)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn about threads of other tests
        child = os.fork()
    if child == 0:  # no pytest in here: the exit code is the result
        code = 1
        try:
            code = 0 if np.allclose(fn(*arrays), expected, 1e-5, 1e-5) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    check(fn, model, arrays)


# ------------------------------------------------------------------ arrays of every kind


@cache
def compiled_first() -> Any:
    """The first model, compiled once for the tests that only call it."""
    return rnncc.compile(made(first))


IDS = np.random.default_rng(9).integers(0, WORDS, (4, 6))

ARRAYS: dict[str, Callable[[], Any]] = {
    "turned": lambda: np.ascontiguousarray(IDS.T).T,
    "every second": lambda: np.repeat(IDS, 2, axis=1)[:, ::2],
    "backwards": lambda: np.ascontiguousarray(IDS[::-1, ::-1])[::-1, ::-1],
    "byte-swapped": lambda: IDS.astype(IDS.dtype.newbyteorder()),
    "read-only": lambda: (IDS.copy(), IDS)[0],
    "unaligned": lambda: np.frombuffer(b"x" + IDS.tobytes(), np.int64, IDS.size, 1).reshape(IDS.shape),
    "lists": lambda: IDS.tolist(),
    "tuples": lambda: tuple(map(tuple, IDS.tolist())),
    "list of arrays": lambda: list(IDS),
    "pandas": lambda: pd.DataFrame(IDS),
    "pandas columns": lambda: pd.DataFrame(np.hstack([IDS, IDS]), columns=list("abcdefghijkl"))[list("abcdef")],
    "pandas nullable": lambda: pd.DataFrame(IDS).astype("Int64"),
    "objects": lambda: IDS.astype(object),
    "a list around it": lambda: [IDS],
    "whole floats": lambda: IDS.astype(np.float32),
    **{name: (lambda name=name: IDS.astype(name)) for name in ("int8", "int16", "int32", "uint8", "uint16", "uint64")},
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_ids_of_every_kind(kind: str) -> None:
    fn = compiled_first()
    given = ARRAYS[kind]()
    if isinstance(given, np.ndarray) and kind == "read-only":
        given.flags.writeable = False
    np.testing.assert_array_equal(fn(given), fn(IDS))


def test_a_pandas_column() -> None:
    graph = rnncc.trace(lambda ids, x: ops.cast(ids, "f32") * x, ("int64", ("B",)), ("float32", ("B",)))
    table = pd.DataFrame({"ids": [3, 1, 2], "x": [0.5, 0.25, -1.0], "ok": [True, False, True]}, index=[7, 8, 9])
    fn = rnncc.compile(graph)
    assert fn(table["ids"], table["x"]).tolist() == [1.5, 0.25, -2.0]
    assert fn(table.ok, x=table.ids).tolist() == [3.0, 0.0, 2.0]


def test_inputs_as_one_list_or_dict() -> None:
    """As Keras's models take them."""
    fn = rnncc.compile(rnncc.trace(lambda a, b: a - 2 * b, ("float32", ("B",)), ("float32", ("B",))))
    a, b = np.arange(5.0), np.ones(5)
    for given in ([a, b], (a, b), {"b": b, "a": a}, [a.tolist(), b.tolist()]):
        assert fn(given).tolist() == fn(a, b).tolist() == [-2, -1, 0, 1, 2]
    one_row = rnncc.compile(rnncc.trace(lambda x: x + 1, ("float32", ("B", 3))))
    assert one_row([np.arange(3.0)]).tolist() == [[1, 2, 3]]  # a list of rows, as before


@pytest.mark.parametrize("name", ["float64", "float16", "int32", "bool", ">f4", "longdouble"])
def test_floats_of_every_kind(name: str) -> None:
    x = layers.Input((None, 3), name="x")
    fn = rnncc.compile(rnncc.Model(x, layers.GRU(5)(x)))
    array = np.random.default_rng(0).integers(0, 2, (2, 4, 3)).astype(name)
    np.testing.assert_array_equal(fn(array), fn(array.astype(np.float32)))
    turned = np.asfortranarray(array)
    np.testing.assert_array_equal(fn(turned), fn(array.astype(np.float32)))
    np.testing.assert_array_equal(fn(x=turned), fn(array.astype(np.float32)))


def test_inputs_are_not_written_to() -> None:
    fn, given = compiled_first(), IDS.copy()
    results = [fn(given) for _ in range(3)]
    np.testing.assert_array_equal(given, IDS)
    results[0][:] = 0  # results are the caller's own
    np.testing.assert_array_equal(results[1], fn(given))


def test_one_array_for_two_inputs() -> None:
    model = made(third)
    fn = rnncc.compile(model)
    ids = tokens(model, 3, 5)[0]
    check(fn, model, [ids, ids])


def test_what_a_compiled_model_says_of_itself() -> None:
    model = made(third)
    fn = rnncc.compile(model)
    assert [(port.name, port.dtype, port.shape) for port in fn.inputs] == [
        ("encoder_ids", "int64", (None, None)),
        ("decoder_ids", "int64", (None, None)),
    ]
    assert [(port.dtype, port.shape) for port in fn.outputs] == [("float32", (None, 3))]
    for stage in pipeline.STAGES:
        assert fn.ir(stage)
    array = tokens(model, 2, 3)
    np.testing.assert_array_equal(fn(decoder_ids=array[1], encoder_ids=array[0]), fn(*array))
    np.testing.assert_array_equal(fn(array[0], decoder_ids=array[1]), fn(*array))


def test_calling_a_model_compiles_it() -> None:
    model = made(first)
    np.testing.assert_array_equal(model(IDS), compiled_first()(IDS))
    np.testing.assert_array_equal(model.predict(IDS, batch_size=3, verbose=0), compiled_first()(IDS))


@pytest.mark.parametrize("activation", ["elu", "log_sigmoid", "mish", "selu", "softplus", "tanh_shrink"])
def test_functions_that_wait_for_functions_on_rows_of_two_axes(activation: str) -> None:
    """The end of a tile has stages, and every stage the place of its rows on both axes."""
    model = made(lambda: rnncc.Sequential([layers.Input((None, 4)), layers.Dense(21, activation=activation)]))
    fn = rnncc.compile(model, cache=False)
    for batch, length in [(2, 7), (5, 3), (1, 13), (13, 1)]:
        x = np.random.default_rng(batch).normal(size=(batch, length, 4)).astype(np.float32)
        assert_close(fn(x), rnncc.evaluate(model, x), SAME_SUMS, f"{batch} x {length}")


@pytest.mark.parametrize("names", [("B", "count"), ("count", "turns"), ("given_0", "given_1"), ("value_0", "m")])
def test_extents_may_have_any_name(names: tuple[str, str]) -> None:
    kernel = np.random.default_rng(0).normal(size=(4, 21)).astype(np.float32)
    graph = rnncc.trace(lambda x: ops.tanh(ops.tanh(x @ kernel) * ops.sigmoid(x @ kernel)), ("float32", (*names, 4)))
    fn = rnncc.compile(graph, cache=False)
    for sizes in [(2, 7), (5, 3), (13, 5)]:
        x = np.random.default_rng(1).normal(size=(*sizes, 4)).astype(np.float32)
        assert_close(fn(x), rnncc.evaluate(graph, x), SAME_SUMS, f"at {sizes}")
