"""Streams: step by step, in pieces and as a whole give the same bits; what cannot be streamed says why."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers, ops
from rnncc.errors import ArgumentError, DTypeError, MemoryLimitError, ShapeError, TokenError, UnsupportedError


@pytest.fixture(scope="module")
def tagger() -> rnncc.Sequential:
    rnncc.set_random_seed(3)
    return rnncc.Sequential(
        [
            layers.Embedding(23, 6),
            layers.LSTM(17, return_sequences=True),
            layers.GRU(9, return_sequences=True),
            layers.Dense(5),
        ]
    )


def tokens(batch: int, length: int) -> np.ndarray:
    return np.random.default_rng(batch * 100 + length).integers(0, 23, (batch, length))


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_steps_are_the_bits_of_the_whole(tagger: rnncc.Sequential, batch: int) -> None:
    fn, x = rnncc.compile(tagger), tokens(batch, 11)
    stream = fn.stream(batch=batch)
    steps = np.stack([stream.step(x[:, t]) for t in range(11)], axis=1)
    assert np.array_equal(steps, fn(x))


def test_pieces_are_the_bits_of_the_whole(tagger: rnncc.Sequential) -> None:
    fn, x = rnncc.compile(tagger), tokens(3, 12)
    stream = fn.stream(batch=3)
    pieces = [stream.push(x[:, :5]), stream.push(x[:, 5:5]), stream.step(x[:, 5])[:, None], stream.push(x[:, 6:])]
    assert np.array_equal(np.concatenate(pieces, axis=1), fn(x))


def test_reset_and_state(tagger: rnncc.Sequential) -> None:
    fn, x = rnncc.compile(tagger), tokens(2, 6)
    stream = fn.stream(batch=2)
    first = stream.push(x)
    stream.reset()
    stream.push(x[:, :3])
    kept = stream.state
    rest = stream.push(x[:, 3:])
    assert np.array_equal(rest, first[:, 3:])
    stream.state = kept
    assert np.array_equal(stream.push(x[:, 3:]), rest)
    with pytest.raises(ShapeError, match="another shape"):
        stream.state = {**kept, next(iter(kept)): np.zeros((2, 1))}


def test_last_output_only_grows_with_the_sequence() -> None:
    model = rnncc.Sequential([layers.Input(shape=(None, 3)), layers.SimpleRNN(4), layers.Dense(2)])
    fn, x = rnncc.compile(model), np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    stream = fn.stream(batch=2)
    for t in range(5):
        assert np.array_equal(stream.step(x[:, t]), fn(x[:, : t + 1]))


def test_errors(tagger: rnncc.Sequential) -> None:
    stream = rnncc.compile(tagger).stream()
    with pytest.raises(TokenError, match="holds 23"):
        stream.step([23])
    with pytest.raises(ArgumentError, match="takes 1 input, 2 given"):
        stream.step([1], [2])


def test_what_looks_at_the_whole_sequence_is_named() -> None:
    backwards = rnncc.Sequential([layers.Input(shape=(None, 3)), layers.LSTM(4, go_backwards=True, name="back")])
    with pytest.raises(UnsupportedError, match="back runs from the end"):
        rnncc.compile(backwards).stream()

    def pooled(x: object) -> object:
        _, ys = rnncc.scan(lambda h, step: (h + step, h), ops.zeros(("B", 3)), ops.transpose(x, (1, 0, 2)))
        return ops.max(ys, axis=0)

    with pytest.raises(UnsupportedError, match="max in max looks at the whole sequence"):
        rnncc.compile(rnncc.trace(pooled, ("float32", ("B", "T", 3)))).stream()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", ">f4", ">f8"])
def test_a_prepared_step_takes_what_the_first_one_takes(dtype: str) -> None:
    """Other types, byte orders, layouts and classes of arrays, after the way of the plain ones is in place."""
    rnncc.set_random_seed(4)
    fn = rnncc.compile(rnncc.Sequential([layers.Input(shape=(None, 3)), layers.GRU(5, return_sequences=True)]))
    x = np.random.default_rng(1).integers(-3, 4, (2, 6, 3)).astype(dtype)
    stream = fn.stream(batch=2)
    given = [
        x[:, 0].astype("float32"),
        x[:, 1],
        x[:, 2].tolist(),
        np.asfortranarray(x[:, 3]),
        x[:, 4].view(Own),
        x[:, 5],
    ]
    steps = [stream.step(item) for item in given]
    assert np.array_equal(np.stack(steps, axis=1), fn(x))


class Own(np.ndarray):
    """A class of arrays that is not numpy's."""


def test_a_prepared_step_turns_down_what_the_first_one_does() -> None:
    rnncc.set_random_seed(4)
    fn = rnncc.compile(rnncc.Sequential([layers.Input(shape=(None, 3)), layers.GRU(5, return_sequences=True)]))
    x = np.random.default_rng(1).normal(size=(2, 4, 3)).astype("float32")
    stream = fn.stream(batch=2)
    steps = [stream.step(x[:, 0])]
    for wrong in (x[:1, 0], x[0, 0], x[:, :1, 0], x, np.float32(1)):  # numpy would spread most of them
        with pytest.raises(ShapeError, match="another shape"):
            stream.step(wrong)
    for wrong in (x[:, 0] + 1j, x[:, 0].astype("U8")):
        with pytest.raises(DTypeError):
            stream.step(wrong)
    for count in (0, 2):
        with pytest.raises(ArgumentError, match=f"a step takes 1 input, {count} given"):
            stream.step(*[x[:, 0]] * count)
    steps += [stream.step(x[:, t]) for t in range(1, 4)]  # and nothing of that moved the states
    assert np.array_equal(np.stack(steps, axis=1), fn(x))


def test_a_step_that_failed_did_not_happen(tagger: rnncc.Sequential) -> None:
    fn, x = rnncc.compile(tagger), tokens(2, 6)
    stream = fn.stream(batch=2)
    steps = []
    for t in range(6):
        with pytest.raises(TokenError):
            stream.step(np.array([3, 23]))
        steps.append(stream.step(x[:, t]))
    assert np.array_equal(np.stack(steps, axis=1), fn(x))


def test_several_inputs_and_outputs_step_by_step() -> None:
    rng = np.random.default_rng(2)
    kernel, recurrent_kernel = rng.normal(size=(5, 4)), rng.normal(size=(4, 4))

    def model(a: Any, b: Any) -> tuple[Any, Any]:
        def step(h: Any, x: Any) -> tuple[Any, Any]:
            h = ops.tanh(x @ kernel + h @ recurrent_kernel)
            return h, h

        x = ops.transpose(ops.concatenate([a, b], axis=2), (1, 0, 2))
        return ops.transpose(rnncc.scan(step, ops.zeros(("B", 4)), x)[1], (1, 0, 2)), ops.exp(b)

    fn = rnncc.compile(rnncc.trace(model, ("float32", ("B", "T", 2)), ("float32", ("B", "T", 3))))
    xs = [rng.normal(size=(3, 5, width)).astype("float32") for width in (2, 3)]
    stream = fn.stream(batch=3)
    steps = [stream.step(*(x[:, t] for x in xs)) for t in range(5)]
    for number, whole in enumerate(fn(*xs)):
        assert np.array_equal(np.stack([step[number] for step in steps], axis=1), whole)
    with pytest.raises(ArgumentError, match="a step takes 2 inputs, 1 given"):
        stream.step(xs[0][:, 0])


@pytest.mark.parametrize("kind", ["product", "query", "second layer", "initial state"])
def test_steps_that_need_the_end_of_the_sequence_are_refused(kind: str) -> None:
    """The last state belongs to the whole sequence: a piece would take that of its own last step."""
    x = layers.Input((None, 3))
    ys, h = layers.GRU(4, return_sequences=True, return_state=True)(x)
    results = {
        "product": lambda: ys * ops.expand_dims(ys[:, -1], 1),
        "query": lambda: ops.sum(ys * ops.expand_dims(ops.tanh(h), 1), -1),
        "second layer": lambda: layers.RNN(Added(4), return_sequences=True)(ys, constants=h),
        "initial state": lambda: layers.GRU(4, return_sequences=True)(ys, initial_state=h),
    }
    fn = rnncc.compile(rnncc.Model(x, results[kind]()))
    with pytest.raises(
        UnsupportedError, match=r"cannot be streamed: (steps of .* need a state from the end|the initial)"
    ):
        fn.stream()


class Added(layers.Layer):
    """A cell that adds a constant to its input."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.state_size = self.output_size = units

    def call(self, x: Any, states: Any, constants: Any) -> Any:
        h = ops.tanh(x + states[0] + constants[0])
        return h, [h]


class Halves(layers.Layer):
    """A cell of two states that have nothing to do with each other; its output is the first."""

    state_size = (4, 4)

    def build(self, shape: Any) -> None:
        self.kernels = [self.add_weight(name, (shape[-1], 4)) for name in "ab"]

    def call(self, x: Any, states: Any) -> Any:
        h, c = (ops.tanh(x @ kernel + state) for kernel, state in zip(self.kernels, states, strict=True))
        return h, [h, c]


def test_a_state_that_only_the_stream_keeps() -> None:
    """The whole model needs one column of the embedding's table in two: its numbers are the same."""
    rnncc.set_random_seed(1)
    embedding = layers.Embedding(30, 48, rnncc.initializers.RandomNormal(stddev=1.0))
    fn = rnncc.compile(rnncc.Sequential([embedding, layers.RNN(Halves(), return_sequences=True)]))
    x = np.random.default_rng(0).integers(0, 30, (3, 40))
    assert np.array_equal(fn.stream(3).push(x), fn(x))


def _with_state() -> rnncc.Model:
    x, start = layers.Input((None, 3), name="x"), layers.Input((5,), name="start")
    return rnncc.Model([x, start], layers.GRU(4, return_sequences=True)(x, initial_state=layers.Dense(4)(start)))


def test_initial_states_that_are_computed_from_inputs() -> None:
    """They come once, when a sequence begins, and not with every piece."""
    random = np.random.default_rng(2)
    x, start = (random.normal(size=shape).astype(np.float32) for shape in ((2, 7, 3), (2, 5)))
    fn = rnncc.compile(_with_state())
    whole = fn(x, start)
    stream = fn.stream(2, start=start)
    assert np.array_equal(np.concatenate([stream.push(x[:, :4]), stream.push(x=x[:, 4:])], 1), whole)
    stream.reset(start=start)
    assert np.array_equal(np.stack([stream.step(x[:, t]) for t in range(7)], 1), whole)
    for call, message in (
        (lambda: fn.stream(2), "computed from start\n  missing: start\n"),
        (stream.reset, "computed from start"),
        (lambda: fn.stream(2, star=start, start=start), "no input 'star'"),
    ):
        with pytest.raises(ArgumentError, match=message):
            call()
    with pytest.raises(ShapeError, match=r"this stream has 3 sequences side by side"):
        fn.stream(3, start=start)


def _with_wide_start() -> tuple[rnncc.Model, list[np.ndarray]]:
    rnncc.set_random_seed(7)
    x, start = layers.Input((None, 3), name="x"), layers.Input((37,), name="start")
    h = layers.Dense(16, activation="tanh")(start)
    model = rnncc.Model([x, start], layers.GRU(16, return_sequences=True)(x, initial_state=h))
    random = np.random.default_rng(4)
    return model, [random.normal(size=shape).astype(np.float32) for shape in ((5, 9, 3), (5, 37))]


@pytest.mark.parametrize("options", [{}, {"threads": 2}, {"precision": "bfloat16"}, {"dtype": "float64"}], ids=str)
def test_initial_states_have_the_bits_of_the_whole(options: dict[str, Any]) -> None:
    model, arrays = _with_wide_start()
    fn = rnncc.compile(model, **options)
    assert np.array_equal(fn.stream(5, start=arrays[1]).push(arrays[0]), fn(*arrays))


def test_bits_do_not_depend_on_who_reads_a_gate() -> None:
    """In a stream, states that nobody reads are results, and what makes initial states is computed by itself."""
    rng = np.random.default_rng(6)
    kernel, recurrent, gates = (rng.normal(0, 0.4, (8, 8)).astype(np.float32) for _ in range(3))

    def model(x: Any, start: Any) -> Any:
        open_ = ops.sigmoid(start @ gates)

        def step(states: Any, x_t: Any) -> Any:
            h, _ = states
            unread = ops.tanh(x_t @ kernel + h @ recurrent)
            h = ops.sigmoid(x_t @ gates + h @ kernel) * unread
            return [h * open_, unread], h

        first = [open_ * ops.tanh(start @ kernel), ops.zeros(("B", 8))]
        _, ys = rnncc.scan(step, first, ops.transpose(x, (1, 0, 2)))
        return ops.transpose(ys, (1, 0, 2))

    x, start = rng.normal(size=(3, 7, 8)).astype(np.float32), rng.normal(size=(3, 8)).astype(np.float32)
    graph = rnncc.trace(model, ("float32", ("B", "T", 8)), ("float32", ("B", 8)))
    fn = rnncc.compile(graph)
    stream = fn.stream(3, start=start)
    assert np.array_equal(np.stack([stream.step(x[:, t], start) for t in range(7)], 1), fn(x, start))


def test_bits_do_not_depend_on_who_reads_a_product_that_is_normalized() -> None:
    """The mean of its columns may be taken from weights; in a stream, more reads the product than in the whole."""
    rng = np.random.default_rng(7)
    kernel, recurrent = (rng.normal(0.3, 0.4, (8, 8)).astype(np.float32) for _ in range(2))

    def normalized(y: Any) -> Any:
        return y - ops.mean(y, axis=-1, keepdims=True)

    def model(x: Any, start: Any) -> Any:
        first = start @ kernel

        def step(states: Any, x_t: Any) -> Any:
            h, _ = states
            unread = h @ recurrent
            h = ops.tanh(normalized(unread) + normalized(first) + x_t @ kernel)
            return [h, unread], h

        _, ys = rnncc.scan(step, [ops.tanh(first), ops.zeros(("B", 8))], ops.transpose(x, (1, 0, 2)))
        return ops.transpose(ys, (1, 0, 2))

    x, start = rng.normal(size=(3, 7, 8)).astype(np.float32), rng.normal(size=(3, 8)).astype(np.float32)
    fn = rnncc.compile(rnncc.trace(model, ("float32", ("B", "T", 8)), ("float32", ("B", 8))))
    stream = fn.stream(3, start=start)
    assert np.array_equal(np.stack([stream.step(x[:, t], start) for t in range(7)], 1), fn(x, start))


def test_the_steps_of_a_stream_make_nothing_for_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rotated = []
    monkeypatch.setattr("rnncc.pipeline.rotate_scan", lambda graph: rotated.append(graph.name) or graph)
    fn = rnncc.compile(rnncc.Sequential([layers.Input((None, 3)), layers.GRU(4)]), cache=False)
    assert len(rotated) == 1
    fn.stream(1).step(np.zeros((1, 3), np.float32))
    assert len(rotated) == 1


def test_a_stream_keeps_its_weights() -> None:
    model, arrays = _with_wide_start()
    fn = rnncc.compile(model)
    before = fn(*arrays)
    stream = fn.stream(5, start=arrays[1])
    model.set_weights([1.5 * weight for weight in model.get_weights()])
    stream.reset(start=arrays[1])
    assert np.array_equal(stream.push(arrays[0]), before)
    assert np.array_equal(fn.stream(5, start=arrays[1]).push(arrays[0]), fn(*arrays))


def test_initial_states_of_inputs_without_a_batch() -> None:
    def model(x: Any, start: Any) -> Any:
        h = ops.tanh(ops.broadcast_to(start, (x.type.shape[1], 4)))
        _, ys = rnncc.scan(lambda h, v: (ops.tanh(h + v), h), h, x)
        return ys

    fn = rnncc.compile(rnncc.trace(model, ("float32", ("T", "B", 4)), ("float32", (4,))))
    x, start = np.random.default_rng(0).normal(size=(6, 2, 4)), np.arange(4.0)
    x, start = x.astype(np.float32), start.astype(np.float32)
    stream = fn.stream(2, start=start)
    np.testing.assert_allclose(stream.push(x), fn(x, start), rtol=1e-6)


def test_errors_of_streams_are_about_what_they_were_given() -> None:
    model, arrays = _with_wide_start()
    stream = rnncc.compile(model).stream(5, start=arrays[1])
    with pytest.raises(ShapeError, match=r"this stream has 5 sequences side by side\n  x has shape \(2, 9, 3\)"):
        stream.push(arrays[0][:2])
    with pytest.raises(ShapeError, match=r"x has shape \(5, 9, 2\): axis 2 has size 2 instead of 3"):
        stream.push(arrays[0][:, :, :2])
    words = rnncc.compile(rnncc.Sequential([layers.Embedding(5, 3, name="words"), layers.GRU(4)])).stream(2)
    with pytest.raises(TokenError, match=r"holds 9 at position \(1,\), outside"):
        words.step([1, 9])
    with pytest.raises(TokenError, match=r"holds 9 at position \(1, 2\), outside"):
        words.push([[1, 1, 1], [1, 1, 9]])
    with pytest.raises(MemoryLimitError, match="the states of 1000000000000 sequences"):
        rnncc.compile(model).stream(10**12, start=arrays[1])


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_stream_cannot_be_copied(tagger: rnncc.Sequential, duplicate: Any) -> None:
    stream = rnncc.compile(tagger).stream(3)
    with pytest.raises(UnsupportedError, match=r"other = fn\.stream\(3\); other\.state = stream\.state"):
        duplicate(stream)


def test_an_input_of_the_step_and_of_the_start() -> None:
    x, start = layers.Input((None, 3), name="x"), layers.Input((4,), name="start")
    h = layers.GRU(4, return_sequences=True)(x, initial_state=start)
    fn = rnncc.compile(rnncc.Model([x, start], h * ops.expand_dims(start, 1)))
    arrays = [np.random.default_rng(3).normal(size=shape).astype(np.float32) for shape in ((2, 6, 3), (2, 4))]
    stream = fn.stream(np.int64(2), start=arrays[1])
    assert np.array_equal(stream.push(*arrays), fn(*arrays))


@pytest.mark.parametrize("count", [1, 2])
def test_inputs_of_a_stream_come_as_in_a_call(count: int) -> None:
    inputs = [layers.Input(("T", 3), name=name) for name in ("one", "two")[:count]]
    y = layers.GRU(4, return_sequences=True)(layers.Add()(inputs) if count > 1 else inputs[0])
    fn = rnncc.compile(rnncc.Model(inputs, y))
    xs = [np.random.default_rng(number).normal(size=(2, 5, 3)).astype(np.float32) for number in range(count)]
    named = dict(zip(("one", "two"), xs, strict=False))
    whole = fn(*xs)
    stream = fn.stream(2)
    for give in (lambda f, a: f(*a.values()), lambda f, a: f(list(a.values())), lambda f, a: f(a), lambda f, a: f(**a)):
        stream.reset()
        assert np.array_equal(give(stream.push, named), whole)
        stream.reset()
        steps = [give(stream.step, {name: x[:, t] for name, x in named.items()}) for t in range(5)]
        assert np.array_equal(np.stack(steps, 1), whole)
    what = "1 input" if count == 1 else "2 inputs"
    for call in (stream.push, stream.step):
        with pytest.raises(ArgumentError, match=f"takes {what}, 0 given"):
            call()
        with pytest.raises(ArgumentError, match=f"takes {what}, 3 given"):
            call(*xs[:1] * 3)
        with pytest.raises(ArgumentError, match="no input 'ones'"):
            call(**{**named, "ones": xs[0]})
