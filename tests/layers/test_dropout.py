"""Dropout in training: what is computed with the masks, which masks there are, and that the fused path holds.

The masks of a layer are had from `threefry` itself: draw number n of a seed is known, and so are the counters. A layer
is then compared with Keras's own cell, which is handed these masks, and with plain NumPy.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import rnncc
from rnncc import layers, ops
from rnncc.errors import ArgumentError, UnsupportedError
from rnncc.layers.seeds import SeedGenerator
from rnncc.loop.threefry import first_word
from tests.tolerances import KERAS_ATOL, KERAS_RTOL

CLOSE = {"rtol": KERAS_RTOL, "atol": KERAS_ATOL}

B, T, F, N = 5, 4, 7, 6
ENOUGH = 40
"""Numbers: no two masks of as many are the same by chance."""
X = np.random.default_rng(0).normal(size=(B, T, F)).astype(np.float32)


def mask_of(
    seed: int, draw: int, rows: int, width: int, rate: float, stream: int = 0, step: int | None = None
) -> np.ndarray:
    """Mask number `draw` of a layer with this seed, at a step of the loop around, computed number by number."""
    generator = SeedGenerator("test", seed, stream)
    for _ in range(draw):
        generator.draw()
    key = generator.draw()
    if step is not None:
        key = np.array([first_word(key[0], key[1], np.int32(step), np.int32(word)) for word in (-1, -2)])
    words = first_word(key[0], key[1], np.arange(rows)[:, None], np.arange(width)[None])
    kept = words.astype(np.int64) + 2**31 >= round(rate * 2**32)
    return (kept / (1 - rate)).astype(np.float32)


def in_training(layer: Any, x: np.ndarray = X) -> np.ndarray:
    """The output of a compiled model of this layer, in the first call for training."""
    return np.asarray(rnncc.Sequential([layers.Input(x.shape[1:]), layer])(x, training=True))


# ------------------------------------------------------------------ what is computed with the masks

CELLS = {
    "simple_rnn": (layers.SimpleRNN, keras.layers.SimpleRNNCell, {}),
    "lstm": (layers.LSTM, keras.layers.LSTMCell, {}),
    "gru": (layers.GRU, keras.layers.GRUCell, {}),
    "gru_reset_before": (layers.GRU, keras.layers.GRUCell, {"reset_after": False}),
}
RATES = [{"dropout": 0.3}, {"recurrent_dropout": 0.4}, {"dropout": 0.3, "recurrent_dropout": 0.4}]


def keras_loop(cell: Any, masks: tuple[Any, Any], weights: list[np.ndarray]) -> np.ndarray:
    """The last output of Keras's cell over X, with our masks in the place of its own."""
    cell.build((B, F))
    cell.set_weights(weights)
    cell._dropout_mask, cell._recurrent_dropout_mask = masks
    states = [np.zeros((B, N), np.float32) for _ in range(2 if isinstance(cell, keras.layers.LSTMCell) else 1)]
    for t in range(T):
        output, states = cell(X[:, t], states, training=True)
    return np.asarray(output)


def shares(rates: dict[str, float]) -> list[tuple[float, int]]:
    """What is dropped of the inputs and of the state, and their widths."""
    return [(rates.get("dropout", 0), F), (rates.get("recurrent_dropout", 0), N)]


@pytest.mark.parametrize("rates", RATES, ids=str)
@pytest.mark.parametrize("name", CELLS)
def test_a_layer_computes_what_keras_computes_with_its_masks(name: str, rates: dict[str, float]) -> None:
    kind, keras_kind, options = CELLS[name]
    layer = kind(N, **options, **rates, seed=17)
    actual = in_training(layer)
    cell = keras_kind(N, **options, **rates)
    count = getattr(cell, "dropout_mask_count", None)  # newer Kerases want a mask for each gate: the same one, then
    draws = iter(range(2))
    drawn = [mask_of(17, next(draws), B, width, rate) if rate else None for rate, width in shares(rates)]
    masks = [mask if mask is None or count is None else [mask] * count for mask in drawn]
    np.testing.assert_allclose(actual, keras_loop(cell, (masks[0], masks[1]), layer.get_weights()), **CLOSE)


@pytest.mark.parametrize("kind", [layers.SimpleRNN, layers.LSTM, layers.GRU])
@pytest.mark.parametrize("rate", ["dropout", "recurrent_dropout"])
def test_a_share_of_one_is_keras(kind: Any, rate: str) -> None:
    layer = kind(N, **{rate: 1.0})
    reference = getattr(keras.layers, kind.__name__)(N, **{rate: 1.0})
    actual = in_training(layer)
    reference.build(X.shape)
    reference.set_weights(layer.get_weights())
    np.testing.assert_allclose(actual, np.asarray(reference(X, training=True)), **CLOSE)


def test_dropout_scales_what_it_keeps() -> None:
    x = X[:, 0]
    expected = x * mask_of(3, 0, B, F, 0.25)
    np.testing.assert_allclose(layers.Dropout(0.25, seed=3)(x, training=True), expected, rtol=1e-6)
    np.testing.assert_array_equal(layers.Dropout(0.25, seed=3)(x), x)
    np.testing.assert_array_equal(layers.Dropout(0.0)(x, training=True), x)
    np.testing.assert_array_equal(layers.Dropout(1.0)(x, training=True), 0 * x)
    x = np.full((1, 1000), np.inf, np.float32)
    assert set(np.unique(layers.Dropout(0.5)(x, training=True))) == {0.0, np.inf}  # selected, as in Keras: no NaN


def test_masks_are_shared_along_axes() -> None:
    ones = np.ones((B, T, F), np.float32)
    spatial = in_training(layers.SpatialDropout1D(0.5, seed=4), ones)
    np.testing.assert_array_equal(spatial, np.broadcast_to(mask_of(4, 0, B, F, 0.5)[:, None], ones.shape))
    for noise_shape, axes in [
        ((None, 1, F), (1,)),
        ((1, None, None), (0,)),
        ([None, T, 1], (2,)),
        ((1, 1, None), (0, 1)),
    ]:
        mask = in_training(layers.Dropout(0.5, noise_shape, seed=4), ones)
        for axis in axes:
            assert np.ptp(mask, axis).max() == 0
        assert len(np.unique(mask.sum(axes))) > 1
    with pytest.raises(ArgumentError, match="seed of Dropout must be a whole number"):
        layers.Dropout(0.5, seed="a")  # type: ignore[arg-type]


# ------------------------------------------------------------------ which masks there are


def dropper(seed: int | None = None) -> Any:
    return rnncc.Sequential([layers.Input((F,)), layers.Dropout(0.5, seed=seed)])


def test_calls_differ_and_runs_with_a_seed_are_the_same() -> None:
    ones = np.ones((B, F), np.float32)
    first, second = dropper(5), dropper(5)
    masks = [first(ones, training=True) for _ in range(4)]
    assert len({mask.tobytes() for mask in masks}) == 4
    for mask in masks:
        np.testing.assert_array_equal(second(ones, training=True), mask)
    np.testing.assert_array_equal(layers.Dropout(0.5, seed=5)(ones, training=True), masks[0])
    np.testing.assert_array_equal(rnncc.compile(dropper(5), training=True)(ones), masks[0])


def test_layers_without_a_seed_differ_and_set_random_seed_repeats_them() -> None:
    ones = np.ones((B, F), np.float32)

    def run() -> list[bytes]:
        rnncc.set_random_seed(8)
        models = [dropper(), dropper()]
        return [model(ones, training=True).tobytes() for model in models]

    assert run() == run()
    assert len(set(run())) == 2


def test_dropout_does_not_change_first_weights() -> None:
    rnncc.set_random_seed(8)
    plain = layers.GRU(N)
    plain(X)
    rnncc.set_random_seed(8)
    dropping = layers.GRU(N, dropout=0.5)
    dropping(X)
    for a, b in zip(plain.get_weights(), dropping.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_row_has_the_same_bits_at_every_batch_size() -> None:
    def rows(count: int) -> np.ndarray:
        options = {"dropout": 0.2, "recurrent_dropout": 0.2, "return_sequences": True, "seed": 2}
        stack = [layers.LSTM(N, kernel_initializer="ones", recurrent_initializer="ones", **options)]
        model = rnncc.Sequential([layers.Input((None, F)), *stack, layers.Dropout(0.3, seed=3)])
        return np.asarray(model(np.resize(X, (count, T, F)), training=True))

    whole = rows(37)
    for count in (1, 2, 5, 8):
        np.testing.assert_array_equal(rows(count), whole[:count])


def test_masks_are_the_same_on_any_number_of_threads() -> None:
    recurrent = layers.LSTM(96, dropout=0.2, recurrent_dropout=0.3, seed=2, return_sequences=True)
    model = rnncc.Sequential([layers.Input((None, 32)), recurrent, layers.Dropout(0.3, seed=3)])
    x = np.random.default_rng(1).normal(size=(70, 9, 32)).astype(np.float32)
    results = []
    for threads in (1, 2, 3):
        for feed in model.graph(training=True).feeds.values():
            feed.restart()
        results.append(rnncc.compile(model, training=True, threads=threads)(x))
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])


def test_interpreted_and_compiled_masks_are_the_same_bits() -> None:
    ones = np.ones((37, T, F), np.float32)
    for noise_shape in (None, (None, 1, None)):
        model = rnncc.Sequential([layers.Input((None, F)), layers.Dropout(0.3, noise_shape, seed=6)])
        again = rnncc.Sequential([layers.Input((None, F)), layers.Dropout(0.3, noise_shape, seed=6)])
        np.testing.assert_array_equal(model(ones, training=True), rnncc.evaluate(again.graph(training=True), ones))


def test_both_directions_have_their_own_masks() -> None:
    """The same weights in both directions, and a sequence of one step: only masks can tell them apart."""
    for seed in (None, 7):
        pattern = layers.SimpleRNN(50, recurrent_dropout=0.0, dropout=0.5, seed=seed, kernel_initializer="ones")
        layer = layers.Bidirectional(pattern, merge_mode=None)
        forward, backward = layer(X[:, :1], training=True)
        assert not np.array_equal(forward, backward)
        np.testing.assert_array_equal(*layer(X[:, :1]))
    expected = X[:, 0] * mask_of(7, 0, B, F, 0.5)
    np.testing.assert_allclose(forward[:, 0], np.tanh(expected.sum(-1)), rtol=1e-5)


def test_every_step_of_time_distributed_has_its_own_masks() -> None:
    ones = np.ones((B, T, 3, F), np.float32)
    dropped = in_training(layers.TimeDistributed(layers.Dropout(0.5)), ones)
    assert len({dropped[:, t].tobytes() for t in range(T)}) == T
    model = rnncc.Sequential(
        [layers.Input((None, 3, F)), layers.TimeDistributed(layers.LSTM(ENOUGH, recurrent_dropout=0.5))]
    )
    rows = model(np.resize(X[0, 0], (2, T, 3, F)), training=True)
    assert len({row.tobytes() for row in rows.reshape(-1, ENOUGH)}) == 2 * T


def test_a_layer_in_a_cell_has_other_masks_at_every_step_of_that_cell() -> None:
    """They are the same at all steps of its own loop, and of none around it."""

    class Outer(layers.Layer):
        state_size = 1

        def __init__(self) -> None:
            super().__init__()
            self.inner = layers.SimpleRNN(N, dropout=0.5)

        def call(self, inputs: Any, states: Any) -> Any:
            return self.inner(inputs), states

    rows = in_training(layers.RNN(Outer(), return_sequences=True), np.resize(X[0, 0], (2, T, 3, ENOUGH)))
    assert len({row.tobytes() for row in rows.reshape(-1, N)}) == 2 * T


def test_cells_in_a_stack_have_their_own_masks() -> None:
    cells = [layers.SimpleRNNCell(F, dropout=0.5, seed=number) for number in (1, 2)]
    layer = layers.RNN(cells)
    h = X[:, 0]
    actual = in_training(layer, X[:, :1])
    for cell, number in zip(cells, (1, 2), strict=True):
        h = np.tanh(h * mask_of(number, 0, B, F, 0.5) @ cell.kernel.value + cell.bias.value)
    np.testing.assert_allclose(actual, h, **CLOSE)


# ------------------------------------------------------------------ who is told of training


class Phase(layers.Layer):
    """Adds 1 in training; `call` is given what the call around was given."""

    def call(self, x: Any, training: bool = False) -> Any:
        return x + 1 if training else x


class Around(layers.Layer):
    """Calls a layer and says nothing of training."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def call(self, x: Any) -> Any:
        return self.inner(x)


def test_training_reaches_layers_inside_of_layers_and_models() -> None:
    inner = rnncc.Sequential(
        [layers.Input((F,)), Around(Phase()), layers.Lambda(lambda x, training: x + 2 if training else x)]
    )
    x = layers.Input((None, F))
    model = rnncc.Model(x, layers.TimeDistributed(inner)(x * 2) + 0)
    np.testing.assert_allclose(model(X, training=True), 2 * X + 3)
    for inference in (model(X), model(X, training=False), model.predict(X), rnncc.compile(model)(X)):
        np.testing.assert_array_equal(inference, 2 * X)
    np.testing.assert_allclose(rnncc.compile(model, training=True)(X), 2 * X + 3)
    one_step = layers.Input((F,))
    np.testing.assert_allclose(rnncc.Model(one_step, inner(one_step, training=True))(X[:, 0]), X[:, 0] + 3)


def test_a_model_that_is_a_class_is_traced_for_each_phase() -> None:
    class Doubling(rnncc.Model):
        def __init__(self) -> None:
            super().__init__()
            self.drop = layers.Dropout(0.5, seed=4)

        def call(self, x: Any, training: bool = False) -> Any:
            return self.drop(x) * (2 if training else 3)

    model, ones = Doubling(), np.ones((B, F), np.float32)
    np.testing.assert_array_equal(model(ones, training=True), 2 * mask_of(4, 0, B, F, 0.5))
    np.testing.assert_array_equal(rnncc.compile(model)(ones), 3 * ones)
    for inference in (model(ones), model(ones, training=False), model.predict(ones)):
        np.testing.assert_array_equal(inference, 3 * ones)
    np.testing.assert_array_equal(rnncc.compile(model, training=True)(ones), 2 * mask_of(4, 1, B, F, 0.5))


def test_a_nested_model_that_is_called_twice_drops_other_elements() -> None:
    inner, x = dropper(), layers.Input((F,))
    model = rnncc.Model(x, [inner(x), inner(x)])
    first, second = model(np.ones((B, F)), training=True)
    assert not np.array_equal(first, second)


def test_a_layer_that_is_called_for_training_in_a_model_drops_at_inference() -> None:
    x = layers.Input((F,))
    model = rnncc.Model(x, layers.Dropout(0.5)(x, training=True))
    ones = np.ones((B, F), np.float32)
    assert len({model.predict(ones).tobytes() for _ in range(3)}) == 3


def test_each_phase_is_compiled_once() -> None:
    compiled: list[Any] = []

    def compiler(model: Any) -> Any:
        compiled.append(model)
        return rnncc.compile(model)

    rnncc.set_compiler(compiler)
    try:
        model, plain = dropper(), rnncc.Sequential([layers.Input((F,)), layers.Dense(3)])
        for _ in range(2):
            for training in (False, True):
                model(np.ones((B, F)), training=training)
                plain(np.ones((B, F)), training=training)
    finally:
        rnncc.set_compiler(rnncc.compile)
    assert len(compiled) == 3  # nothing is different in training about the second model


def test_a_graph_is_for_training_or_not() -> None:
    model = dropper(1)
    compiled = rnncc.compile(model.graph(training=True))
    assert [port.name for port in compiled.inputs] == [model.input.name]
    assert not np.array_equal(compiled(np.ones((B, F))), np.ones((B, F)))
    with pytest.raises(ArgumentError, match="a graph is for training or not from the start"):
        rnncc.compile(model.graph(), training=True)
    with pytest.raises(ArgumentError, match="training must be True or False"):
        rnncc.compile(model, training="yes")  # type: ignore[arg-type]


# ------------------------------------------------------------------ states and streams


def test_a_stateful_layer_drops() -> None:
    model = rnncc.Sequential([layers.Input((None, F)), layers.SimpleRNN(N, recurrent_dropout=0.5, stateful=True)])
    first = model(X, training=True)
    np.testing.assert_array_equal(model.layers[0]._slots[0].value, first)
    assert not np.array_equal(model(X, training=True), first)


def test_a_stream_keeps_its_masks_until_it_is_reset() -> None:
    model = rnncc.Sequential(
        [layers.Input((None, F)), layers.GRU(N, dropout=0.3, recurrent_dropout=0.5, seed=1, return_sequences=True)]
    )
    whole = rnncc.compile(model, training=True)(X)
    model.layers[0].cell.seed_generator.restart()
    stream = rnncc.compile(model, training=True).stream(batch=B)
    parts = [stream.push(X[:, :1]), *(stream.step(X[:, t])[:, None] for t in (1, 2)), stream.push(X[:, 3:])]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    stream.reset()
    assert not np.array_equal(stream.push(X), whole)


def test_masks_that_differ_over_time_cannot_be_streamed() -> None:
    model = rnncc.Sequential([layers.Input((None, F)), layers.Dropout(0.5), layers.GRU(N)])
    rnncc.compile(model).stream()
    with pytest.raises(UnsupportedError, match=r"dropout.* counts the steps of the whole sequence"):
        rnncc.compile(model, training=True).stream()


# ------------------------------------------------------------------ the fused path


@pytest.mark.parametrize("name", CELLS)
def test_one_loop_over_time_and_masks_in_front_of_it(name: str) -> None:
    kind, _, options = CELLS[name]
    model = rnncc.Sequential([layers.Input((None, F)), kind(N, **options, dropout=0.2, recurrent_dropout=0.2)])
    compiled = rnncc.compile(model, training=True)
    fused, scheduled = compiled.ir("fused"), compiled.ir("scheduled")
    assert fused.count("scan(") == 1
    step = fused.split("    def ")[1].partition("\n    " + model.layers[0].name)[0]
    assert "threefry" not in step and "iota" not in step
    assert step.count("matmul(") == (2 if name == "gru_reset_before" else 1)  # the input projections are outside
    assert scheduled.count("for t in range(") == 1
    in_front, _, loop = scheduled.partition("for t in range(")
    assert "threefry(" in in_front and "threefry(" not in loop


def test_keep_rate_over_layers_and_calls() -> None:
    """Within 5 sigma of the rate, with fixed seeds; and masks of different layers agree as often as coins do."""
    ones = np.ones((200, 50), np.float32)
    masks = [layers.Dropout(0.3, seed=seed)(ones, training=True) > 0 for seed in range(6)]
    for mask in masks:
        assert abs(mask.mean() - 0.7) < 5 * np.sqrt(0.3 * 0.7 / ones.size)
    expected = 0.7**2 + 0.3**2
    for a, b in zip(masks[1:], masks[:-1], strict=True):
        assert abs(np.mean(a == b) - expected) < 5 * np.sqrt(expected * (1 - expected) / ones.size)


@pytest.mark.parametrize("backwards", [False, True])
def test_a_cell_of_a_user_drops_with_the_dropout_layer(backwards: bool) -> None:
    """A layer inside of a cell: another mask at every step, as in Keras."""

    class Cell(layers.Layer):
        state_size = F

        def __init__(self) -> None:
            super().__init__()
            self.drop = layers.Dropout(0.5, seed=9)

        def call(self, inputs: Any, states: Any) -> Any:
            h = ops.tanh(inputs + states[0] * self.drop(ops.ones_like(states[0])))
            return h, [h]

    actual = in_training(layers.RNN(Cell(), go_backwards=backwards))
    h = np.zeros((B, F), np.float32)
    for t in reversed(range(T)) if backwards else range(T):
        h = np.tanh(X[:, t] + h * mask_of(9, 0, B, F, 0.5, step=t))
    np.testing.assert_allclose(actual, h, **CLOSE)
