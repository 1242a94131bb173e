"""Calls of compiled models: small arrays are copied and large ones are not, and nobody can tell."""

from __future__ import annotations

import gc
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers, ops
from rnncc.errors import ArgumentError, DTypeError, ShapeError, TokenError
from rnncc.runtime import compiled, frame, weights

SIZES = [(1, 1), (3, 5), (2, 700), (90, 2), (90, 700)]
"""Batch and length: inputs, outputs, both or none of them are small."""


@pytest.fixture(scope="module")
def fn() -> rnncc.CompiledModel:
    rnncc.set_random_seed(7)
    return rnncc.compile(rnncc.Sequential([layers.Input(shape=(None, 2)), layers.SimpleRNN(13), layers.Dense(11)]))


def samples(batch: int, length: int) -> np.ndarray:
    return np.random.default_rng(batch * 1000 + length).normal(size=(batch, length, 2)).astype("float32")


def test_results_stay_what_they_were(fn: rnncc.CompiledModel) -> None:
    inputs = [samples(*size) + turn for turn in range(3) for size in SIZES]
    results = [fn(x) for x in inputs]
    kept = [result.copy() for result in results]
    again = [fn(x) for x in reversed(inputs)]
    for result, copy, other in zip(results, kept, reversed(again), strict=True):
        assert np.array_equal(result, copy)
        assert np.array_equal(result, other)
        result[...] = 0  # it is the caller's own
    assert np.array_equal(fn(inputs[0]), kept[0])


@pytest.mark.parametrize("threads", [1, 2])
def test_shapes_in_turn_are_prepared_once(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until a larger one needs more memory for intermediate values: what was ready points at the old one."""
    made: list[tuple[int, ...]] = []

    class Counted(frame.Ready):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(self.layout.inputs[0][0])

    monkeypatch.setattr(frame, "Ready", Counted)
    rnncc.set_random_seed(7)
    model = rnncc.Sequential([layers.Input((None, 2)), layers.GRU(70, return_sequences=True), layers.LSTM(13)])
    fn = rnncc.compile(model, threads=threads)
    inputs = [samples(*size) for size in SIZES]
    results = [[fn(x) for x in inputs] for _ in range(3)]
    shapes = [x.shape for x in inputs]
    again = made[len(shapes) :]
    assert made[: len(shapes)] == shapes
    assert 0 < len(again) == len(set(again)) < len(shapes)
    for result, *others in zip(*results, strict=True):
        for other in others:
            assert np.array_equal(result, other)
    assert np.array_equal(fn(inputs[0].astype("float64")), results[0][0])
    assert np.array_equal(fn(inputs[1].tolist()), results[0][1])
    model.set_weights([weight + 1 for weight in model.get_weights()])
    fresh = rnncc.compile(model, threads=threads)
    for x in inputs:
        assert np.array_equal(fn(x), fresh(x))


@pytest.mark.parametrize("threads", [1, 2])
def test_old_weights_are_gone_with_the_next_call(threads: int) -> None:
    """Without waiting for Python to look for circles."""
    model = rnncc.Sequential([layers.Input((None, 16)), layers.GRU(32)])
    fn, x = rnncc.compile(model, threads=threads), np.ones((64, 9, 16), "float32")
    fn(x)
    gc.collect()
    gc.disable()
    try:
        before = _alive(weights.BoundWeights)
        for _ in range(5):
            model.set_weights(model.get_weights())
            fn(x)
            fn(x[:3])
        assert _alive(weights.BoundWeights) == before
    finally:
        gc.enable()


def _alive(kind: type) -> int:
    return sum(type(one) is kind for one in gc.get_objects())


@pytest.mark.parametrize("size", SIZES)
def test_layouts_do_not_matter(fn: rnncc.CompiledModel, size: tuple[int, int]) -> None:
    x = samples(*size)
    expected = fn(x)
    shifted = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view("float32").reshape(x.shape)
    assert not shifted.flags.aligned
    pickled = pickle.loads(pickle.dumps(x))  # with an object of its own for the type of the elements
    for same in (np.asfortranarray(x), x.repeat(2, axis=1)[:, ::2], shifted, x[::-1][::-1], x.astype(">f4"), pickled):
        assert np.array_equal(fn(same), expected)
    frozen = x.copy()
    frozen.flags.writeable = False
    assert np.array_equal(fn(frozen), expected)


@pytest.mark.parametrize("size", SIZES)
def test_types_that_convert_take_the_short_way_too(fn: rnncc.CompiledModel, size: tuple[int, int]) -> None:
    whole = np.round(samples(*size))
    expected = fn(whole)
    for dtype in ("float64", "float16", ">f4", "int8", "int64"):
        for _ in range(2):
            assert np.array_equal(fn(whole.astype(dtype)), expected)
    far = np.full(whole.shape, 1e300)  # infinite as float32, and no warning
    for _ in range(2):
        np.testing.assert_array_equal(fn(far), fn(np.full(whole.shape, np.inf, "float32")))
    ids = layers.Input((None,), dtype="int32")
    looked_up = rnncc.compile(rnncc.Model(ids, layers.Embedding(9, 4)(ids)))
    tokens = np.random.default_rng(0).integers(0, 9, size)
    expected = looked_up(tokens)
    for dtype in ("int32", "uint8", "uint64", "float32"):
        for _ in range(2):
            assert np.array_equal(looked_up(tokens.astype(dtype)), expected)
    for wrong in (tokens + 0.5, tokens.astype("uint64") + np.uint64(2**63)):
        with pytest.raises((DTypeError, TokenError)):
            looked_up(wrong)


def test_all_ways_to_give_arrays_are_short_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = layers.Input((None, 2), name="a"), layers.Input((3,), name="b")
    model = rnncc.Model([a, b], layers.Concatenate()([layers.GRU(4)(a), layers.Dense(2)(b)]))
    fn, one = rnncc.compile(model), rnncc.compile(rnncc.Model(a, layers.GRU(4)(a)))
    x, y = samples(2, 5), samples(2, 3)[:, :, 0]
    expected, alone = fn(x, y), one(x)
    with monkeypatch.context() as patch:
        patch.delattr(compiled.CompiledModel, "_prepare")
        for result in (fn([x, y]), fn((x, y)), fn(a=x, b=y), fn(b=y, a=x), fn({"b": y, "a": x})):
            assert np.array_equal(result, expected)
        for result in (one([x]), one(a=x), one({"a": x})):
            assert np.array_equal(result, alone)
    assert np.array_equal(fn(x, b=y), expected)
    assert np.array_equal(fn([x.tolist(), y.tolist()]), expected)
    assert np.array_equal(one(x.tolist()), alone)
    for wrong in ({"a": x}, {"a": x, "b": y, "c": y}, {}, [x], [x, y, y], []):
        with pytest.raises(ArgumentError):
            fn(wrong)
    for names in ({"a": x}, {"a": x, "c": y}, {}):
        with pytest.raises(ArgumentError):
            fn(**names)
    with pytest.raises(ArgumentError, match="given twice"):
        fn(x, y, a=x)
    nothing = rnncc.compile(rnncc.trace(lambda: ops.ones((2,))))
    for _ in range(2):  # the same before there was a call and after it
        with pytest.raises(ArgumentError, match="no input 'a'"):
            nothing(a=x)
        with pytest.raises(ArgumentError, match="takes 0 inputs, 1 given"):
            nothing([])
        assert nothing().tolist() == [1, 1]


def test_a_call_like_the_last_one_is_checked_as_well() -> None:
    """It takes a shorter way, which sees nothing but shapes and types."""
    rnncc.set_random_seed(7)
    model = rnncc.Sequential([layers.Input((None, 2)), layers.GRU(5, recurrent_dropout=0.5)])
    fn = rnncc.compile(model, training=True)
    x = samples(3, 4)
    key = np.zeros(2, "int32")  # what such a layer draws for each call: no input of a user's
    fn(x)
    with pytest.raises(ArgumentError, match="takes 1 input, 2 given"):
        fn(x, key)
    with pytest.raises(ShapeError, match="axis 2 has size 3 instead of 2"):
        fn(np.zeros((3, 4, 3), "float32"))
    fn = rnncc.compile(model)
    before = fn(x)
    assert np.array_equal(fn(x.astype("float64")), before)
    model.set_weights([weight * 2 for weight in model.get_weights()])
    assert not np.array_equal(fn(x), before)
    model.set_weights([weight / 2 for weight in model.get_weights()])
    assert np.array_equal(fn(x), before)


def test_weights_that_change_while_others_are_bound_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    rnncc.set_random_seed(7)
    model = rnncc.Sequential([layers.Input((None, 2)), layers.SimpleRNN(5)])
    fn, x = rnncc.compile(model), samples(3, 4)
    others = [weight + 1 for weight in model.get_weights()]
    pack = weights.pack

    def slowly(*args: Any) -> Any:
        packed = pack(*args)
        monkeypatch.undo()
        model.set_weights(others)
        return packed

    monkeypatch.setattr(weights, "pack", slowly)
    before = fn(x)
    after = fn(x)
    assert not np.array_equal(before, after)
    assert np.array_equal(after, rnncc.compile(model)(x))


def test_threads_do_not_share_memory(fn: rnncc.CompiledModel) -> None:
    inputs = [samples(*SIZES[turn % len(SIZES)]) + turn for turn in range(40)]
    expected = [fn(x) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for result, wanted in zip(pool.map(fn, inputs * 5), expected * 5, strict=True):
            assert np.array_equal(result, wanted)


def test_the_position_of_a_number_that_was_computed_says_of_which_axes() -> None:
    """Time may come first there; an input's number has its place in the input."""
    ids = layers.Input((None,), dtype="int32", name="ids")
    looked_up = layers.GRU(2)(layers.Embedding(5, 3)(ids))
    computed = layers.GRU(2)(layers.Embedding(5, 3)(ids + 1))
    given = np.array([[1, 1, 1, 6]])
    with pytest.raises(TokenError, match=r"^ids holds 6 at position \(0, 3\), outside the table of 5 rows"):
        rnncc.compile(rnncc.Model(ids, looked_up))(given)
    with pytest.raises(
        TokenError, match=r"^add\w* holds 7 at position \(3, 0\) of \[T, B\], outside the table of 5 rows"
    ):
        rnncc.compile(rnncc.Model(ids, computed))(given)
