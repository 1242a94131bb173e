"""Long sequences of many rows go in chunks of few steps: the numbers of the graph's interpreter, and no byte beside."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import rnncc
from rnncc import layers, ops
from rnncc.errors import TokenError
from rnncc.graph.symbolic import Tensor
from rnncc.layers.base import Layer
from tests.tolerances import DEEP, assert_close

_RNG = np.random.default_rng(6)
Rows = int | None


def _stack(rows: Rows) -> list[Layer]:
    recurrent = [layers.LSTM(9, return_sequences=True), layers.GRU(5, return_sequences=True), layers.SimpleRNN(3)]
    return [layers.Input(batch_shape=(rows, None, 7)), *recurrent]


def _normalized(rows: Rows) -> list[Layer]:
    first, last = layers.LSTM(9, return_sequences=True), layers.LSTM(5)
    normalization = [layers.LayerNormalization() for _ in range(2)]
    return [layers.Input(batch_shape=(rows, None, 7)), normalization[0], first, normalization[1], last]


def _masked(rows: Rows) -> list[Layer]:
    recurrent = [layers.LSTM(9, return_sequences=True), layers.GRU(5, return_sequences=True)]
    return [
        layers.Input(batch_shape=(rows, None, 7)),
        layers.Masking(),
        *recurrent,
        layers.GlobalAveragePooling1D(),
    ]


def _both_ways(rows: Rows) -> list[Layer]:
    first = layers.Bidirectional(layers.GRU(5, return_sequences=True))
    return [layers.Input(batch_shape=(rows, None, 7)), first, layers.LSTM(9, go_backwards=True)]


def _largest_of_both_ways(rows: Rows) -> list[Layer]:
    first = layers.Bidirectional(layers.LSTM(5, return_sequences=True))
    return [layers.Input(batch_shape=(rows, None, 7)), first, layers.GlobalMaxPooling1D(), layers.Dense(3)]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("rows", [None, 64])
@pytest.mark.parametrize("make", [_stack, _normalized, _masked, _both_ways, _largest_of_both_ways])
def test_chunks_of_every_length(make: Callable[[Rows], list[Layer]], rows: Rows, threads: int) -> None:
    rnncc.set_random_seed(4)
    model = rnncc.Sequential(make(rows))
    fn = rnncc.compile(model, threads=threads)
    for batch in (1, 3, 33, 130) if rows is None else (rows,):
        for length in (1, 3, 65, 131):
            x = _RNG.standard_normal((batch, length, 7)).astype(np.float32)
            x[:, length // 2 :: 3] = 0.0  # steps that `Masking` leaves out
            assert_close(fn(x), rnncc.evaluate(model, x), DEEP, f"{batch} x {length}")


@pytest.mark.parametrize("batch", [1, 33, 129])
def test_a_matrix_of_64_rows_is_no_chunk(batch: int) -> None:
    """It is made in the call, of an input, and read at every step."""
    weights = _RNG.uniform(-0.5, 0.5, (8, 8)).astype(np.float32)

    def model(x: Tensor, table: Tensor) -> Tensor:
        made = ops.tanh(table)
        start = ops.zeros((x.type.shape[1], 8))
        h, _ = rnncc.scan(lambda h, v: (ops.tanh(v @ made + h @ weights), None), start, x)
        return h

    graph = rnncc.trace(model, ("float32", ("T", "B", 64)), ("float32", (64, 8)))
    x = _RNG.standard_normal((70, batch, 64)).astype(np.float32)
    table = _RNG.uniform(-0.2, 0.2, (64, 8)).astype(np.float32)
    h = np.zeros((batch, 8))
    for step in x.astype(np.float64):
        h = np.tanh(step @ np.tanh(table.astype(np.float64)) + h @ weights)
    assert_close(rnncc.compile(graph)(x, table), h.astype(np.float32), DEEP, f"{batch} rows")


def test_what_a_check_protects_stays_behind_it() -> None:
    """The second loop looks up tokens and reads what the first one makes, in the same chunks."""
    table = _RNG.uniform(-0.5, 0.5, (11, 6)).astype(np.float32)
    weights = [_RNG.uniform(-0.3, 0.3, shape).astype(np.float32) for shape in ((3, 6), (6, 6), (12, 6), (6, 6))]

    def model(x: Tensor, tokens: Tensor) -> Tensor:
        def layer(sequence: Tensor, kernel: np.ndarray, recurrent: np.ndarray) -> tuple[Tensor, Tensor]:
            def step(h: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
                h = ops.tanh(v @ kernel + h @ recurrent)
                return h, h

            h, steps = rnncc.scan(step, ops.zeros((x.type.shape[1], 6)), sequence)
            return h, steps

        _, first = layer(x, *weights[:2])
        last, _ = layer(ops.concatenate([first, ops.take(table, tokens)], axis=-1), *weights[2:])
        return last

    graph = rnncc.trace(model, ("float32", ("T", "B", 3)), ("int64", ("T", "B")))
    for threads in (1, 2):
        fn = rnncc.compile(graph, threads=threads)
        for batch, length in ((1, 131), (33, 65)):
            x = _RNG.standard_normal((length, batch, 3)).astype(np.float32)
            tokens = _RNG.integers(0, 11, (length, batch))
            assert_close(fn(x, tokens), rnncc.evaluate(graph, x, tokens), DEEP)
            tokens[length - 2, batch - 1] = tokens[length - 1, 0] = 1 << 40
            with pytest.raises(TokenError, match=rf"\({length - 2}, {batch - 1}\)"):
                fn(x, tokens)


def _residual() -> rnncc.Model:
    x = layers.Input(shape=(None, 8))
    whole = layers.Add()([x, layers.LSTM(8, return_sequences=True)(x)])
    return rnncc.Model(x, layers.GRU(5)(layers.LayerNormalization()(whole)))


def _between(*members: Layer) -> Callable[[], rnncc.Model]:
    first, last = layers.LSTM(9, return_sequences=True), layers.GRU(5)
    return lambda: rnncc.Sequential([layers.Input(shape=(None, 7)), first, *members, last])


def _through(*members: Layer) -> Callable[[], rnncc.Model]:
    return lambda: rnncc.Sequential([layers.Input(shape=(None, 7)), *members, layers.Dense(2)])


def _pooled(*members: layers.Layer) -> Callable[[], rnncc.Model]:
    """Both pools of what `members` make."""

    def model() -> rnncc.Model:
        x = sequence = layers.Input(shape=(None, 7))
        for member in members:
            sequence = member(sequence)
        pools = [layers.GlobalMaxPooling1D()(sequence), layers.GlobalAveragePooling1D()(sequence)]
        return rnncc.Model(x, layers.Dense(2)(layers.concatenate(pools)))

    return model


def _both_ways() -> layers.Layer:
    return layers.Bidirectional(layers.GRU(9, return_sequences=True))


SHORT = {
    "plain": _between(),
    "normalized": _between(layers.LayerNormalization()),
    "normalized twice": _between(layers.LayerNormalization(), layers.LayerNormalization()),
    "mean square": _between(layers.RMSNormalization()),
    "softmax": _between(layers.Dense(6, activation="softmax")),
    "residual": _residual,
    "masked": _through(layers.Masking(), layers.LSTM(9, return_sequences=True), layers.GRU(5)),
    "largest": _through(_both_ways(), layers.GlobalMaxPooling1D()),
    "largest, activated": _through(_both_ways(), layers.Activation("tanh"), layers.GlobalMaxPooling1D()),
    "largest, backwards": _through(
        layers.LSTM(9, return_sequences=True, go_backwards=True), layers.Activation("relu"), layers.GlobalMaxPooling1D()
    ),
    "both pools": _pooled(_both_ways()),
    "both pools, activated": _pooled(_both_ways(), layers.Activation("tanh")),
    "mean": _through(
        layers.LSTM(9, return_sequences=True), layers.LayerNormalization(), layers.GlobalAveragePooling1D()
    ),
}
"""Models that pass sequences on and return none."""


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", SHORT)
def test_memory_does_not_grow_with_the_sequence(name: str, threads: int) -> None:
    fn = rnncc.compile(SHORT[name](), threads=threads)
    assert fn.memory(B=3, T=50_000) == fn.memory(B=3, T=500)


def test_a_layer_behind_keeps_no_sequence() -> None:
    """Not that of the states: the results are in the order of users, and the states in that of time."""
    labels = [layers.LSTM(32, return_sequences=True), layers.Dense(2, activation="relu")]
    fn = rnncc.compile(rnncc.Sequential([layers.Input((None, 3)), *labels]))
    assert fn.memory(B=2, T=10_000) == fn.memory(B=2, T=1_000)
    x = np.random.default_rng(0).normal(size=(3, 150, 3)).astype(np.float32)
    np.testing.assert_array_equal(fn(x)[:, :70], fn(x[:, :70]))


@pytest.mark.parametrize("threads", [1, 2])
def test_of_two_failures_the_first_is_reported(threads: int) -> None:
    first, second = layers.Input(("T",), name="first"), layers.Input(("T",), name="second")
    states = layers.LSTM(5, return_sequences=True)(layers.Embedding(7, 3)(first))
    joined = layers.Concatenate()([states, layers.Embedding(9, 2)(second)])
    fn = rnncc.compile(rnncc.Model([first, second], layers.Dense(4)(joined)), threads=threads)
    a, b = np.zeros((3, 70), int), np.zeros((3, 70), int)
    a[2, 1], b[0, 68] = 7, 11
    with pytest.raises(TokenError, match=r"first holds 7 at position \(2, 1\)"):
        fn(a, b)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_softmax_over_a_sequence_is_written_over_its_scores(threads: int) -> None:
    model = rnncc.Sequential(
        [
            layers.Input((None, 5)),
            layers.GRU(7, return_sequences=True),
            layers.Dense(300, activation="softmax"),
        ]
    )
    fn = rnncc.compile(model, threads=threads)
    assert fn.memory(B=3, T=2000) - fn.memory(B=3, T=1000) <= 2 * 3 * 1000 * 4  # a maximum and a sum for each step
    x = np.random.default_rng(0).normal(size=(3, 90, 5)).astype(np.float32)
    np.testing.assert_allclose(fn(x), rnncc.evaluate(model, x), rtol=1e-5, atol=1e-7)
