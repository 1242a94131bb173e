"""Bidirectional and TimeDistributed against Keras, compiled and evaluated; one loop over time for each direction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers
from rnncc.errors import ArgumentError, ShapeError
from rnncc.layers.execution import evaluate
from rnncc.layers.model import Model
from rnncc.layers.sequential import Sequential
from tests.layers.keras_reference import keras, quietly
from tests.layers.test_keras import random_weights
from tests.layers.test_masks import loops, make_mask, same

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's variables

MODES = ["sum", "mul", "concat", "ave", None]
SIZES = [(1, 1, 1, 1), (3, 5, 7, 3), (4, 6, 5, 33)]
"""batch, time, width, units"""


def build(source: Any, kind: str, units: int, options: dict[str, Any], **own: Any) -> Any:
    return source.Bidirectional(getattr(source, kind)(units, **options), **own)


def check(ours: Any, theirs: Any, size: tuple[int, int, int], *, states: list[np.ndarray] | None = None) -> None:
    """The same weights and inputs through both; plain and with masks; two loops."""
    batch, time, width = size
    x_in, mask_in = layers.Input(("T", width)), layers.Input(("T",), dtype="bool")
    state_in = [layers.Input(state.shape[1:]) for state in states or ()]
    given = {"initial_state": state_in} if states else {}
    plain = Model([x_in, *state_in], ours(x_in, **given))
    masked = Model([x_in, *state_in, mask_in], ours(x_in, mask=mask_in, **given))
    quietly(theirs.build, (None, None, width))
    assert [w.shape for w in ours.get_weights()] == [w.shape for w in theirs.get_weights()]
    ours.set_weights(random_weights(theirs, 2))
    theirs.set_weights(ours.get_weights())
    x = np.random.default_rng(1).normal(size=(batch, time, width)).astype(np.float32)
    arrays, options = [x, *(states or ())], {"initial_state": states} if states else {}
    fn = rnncc.compile(plain)
    assert loops(fn) == 2
    expected = quietly(theirs, x, **options)
    same(fn(*arrays), expected)
    same(evaluate(plain, *arrays), expected)
    fn = rnncc.compile(masked)
    assert loops(fn) == 2
    for name in ("right", "holes", "some rows empty"):
        mask = make_mask(name, batch, time)
        expected = quietly(theirs, x, mask=mask, **options)
        same(fn(*arrays, mask), expected)
        same(evaluate(masked, *arrays, mask), expected)


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("options", [{}, {"return_sequences": True}, {"return_state": True}], ids=str)
def test_bidirectional(kind: str, mode: str | None, options: dict[str, Any]) -> None:
    for batch, time, width, units in SIZES if mode == "concat" else SIZES[1:2]:
        check(*(build(s, kind, units, options, merge_mode=mode) for s in (layers, keras.layers)), (batch, time, width))


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_states_in_and_out(kind: str) -> None:
    options = {"return_sequences": True, "return_state": True}
    count = 4 if kind == "LSTM" else 2
    states = [np.random.default_rng(n).normal(size=(3, 6)).astype(np.float32) for n in range(count)]
    ours, theirs = (build(s, kind, 6, options) for s in (layers, keras.layers))
    check(ours, theirs, (3, 4, 5), states=states)


def test_a_backward_layer_of_its_own() -> None:
    def make(source: Any) -> Any:
        back = source.GRU(4, go_backwards=True, return_sequences=True, activation="relu", name="back")
        return source.Bidirectional(source.LSTM(3, return_sequences=True), backward_layer=back)

    check(make(layers), make(keras.layers), (3, 5, 2))


def test_turned_around() -> None:
    def make(source: Any) -> Any:
        back = source.LSTM(3, return_sequences=True)
        there = source.LSTM(3, return_sequences=True, go_backwards=True)
        return source.Bidirectional(there, backward_layer=back, merge_mode="sum")

    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    ours = make(layers)
    result = ours(x)
    forward, backward = ours.forward_layer(x)[:, ::-1], ours.backward_layer(x)
    np.testing.assert_allclose(result, forward + backward, rtol=1e-6)


def test_cells_stacks_and_names() -> None:
    layer = layers.Bidirectional(
        layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)], return_state=True, name="rnn"), name="both"
    )
    x = np.zeros((2, 4, 3), np.float32)
    outputs = layer(x)
    assert outputs[0].shape == (2, 4)
    assert [len(item) for item in outputs[1:]] == [2, 1, 2, 1]
    assert [weight.path.split("/")[:2] for weight in layer.weights[::6]] == [
        ["both", "forward_rnn"],
        ["both", "backward_rnn"],
    ]
    assert len({id(weight) for weight in layer.weights}) == 12
    pattern = layers.Bidirectional(layers.LSTM(3, name="m"))
    assert (pattern.forward_layer.name, pattern.backward_layer.name) == ("forward_m", "backward_m")
    weights = [np.full(w.shape, n, np.float32) for n, w in enumerate(_built(pattern).weights)]
    again = _built(layers.Bidirectional(layers.LSTM(3), weights=weights))
    assert [w[..., 0].flat[0] for w in again.get_weights()] == [0, 1, 2, 3, 4, 5]


def _built(layer: Any) -> Any:
    layer(layers.Input((None, 2)))
    return layer


def test_masks_through_stacked_wrappers() -> None:
    def make(source: Any, model: Any) -> Any:
        ids = source.Input((None,))
        x = source.Embedding(9, 4, mask_zero=True)(ids)
        x = source.Bidirectional(source.GRU(3, return_sequences=True))(x)
        x = source.TimeDistributed(source.Dense(5, activation="tanh"))(x)
        return model(ids, source.Bidirectional(source.LSTM(2), merge_mode="ave")(x))

    ours, theirs = make(layers, Model), quietly(make, keras.layers, keras.Model)
    ours.set_weights(random_weights(theirs, 3))
    theirs.set_weights(ours.get_weights())
    fn = rnncc.compile(ours)
    assert loops(fn) == 4
    ids = np.random.default_rng(5).integers(1, 9, (4, 6)) * make_mask("holes", 4, 6)
    same(evaluate(ours, ids), quietly(theirs, ids))
    same(fn(ids), quietly(theirs, ids))


INNER: list[tuple[str, Any, tuple[int | None, ...], int]] = [
    ("dense", lambda s: s.Dense(4, activation="softmax"), (None, 3), 0),
    ("activation", lambda s: s.Activation("tanh"), (None, 3), 0),
    ("lstm", lambda s: s.LSTM(4), (None, 5, 3), 1),
    ("gru", lambda s: s.GRU(7, return_sequences=True, go_backwards=True), (None, 5, 3), 1),
    ("embedding", lambda s: s.Embedding(5, 3), (None, 4), 1),
    ("nested", lambda s: s.TimeDistributed(s.Dense(2)), (None, 4, 3), 1),
]


@pytest.mark.parametrize(("make", "shape", "steps"), [case[1:] for case in INNER], ids=[case[0] for case in INNER])
def test_time_distributed(make: Any, shape: tuple[int | None, ...], steps: int) -> None:
    start = layers.Input(shape)
    ours, theirs = layers.TimeDistributed(make(layers)), keras.layers.TimeDistributed(make(keras.layers))
    model = Model(start, ours(start))
    fn = rnncc.compile(model)
    random = np.random.default_rng(0)
    for time in (1, 3):
        x = random.integers(0, 5, (2, time, *shape[1:])).astype(np.float32)
        quietly(theirs.build, x.shape)
        theirs.set_weights(ours.get_weights())
        expected = quietly(theirs, x)
        same(evaluate(model, x), expected)
        same(fn(x), expected)
    assert loops(fn) <= steps, "the steps of a layer without a loop are computed together"


def test_a_model_and_several_outputs_at_every_step() -> None:
    model = Sequential([layers.Input((6, 3)), layers.Dense(4, activation="tanh"), layers.LSTM(2)])
    x = np.random.default_rng(0).normal(size=(2, 5, 6, 3)).astype(np.float32)
    result = layers.TimeDistributed(model)(x)
    np.testing.assert_allclose(result, np.stack([evaluate(model, x[:, t]) for t in range(5)], 1), rtol=1e-5, atol=1e-6)
    inner = layers.GRU(3, return_state=True)
    output, state = layers.TimeDistributed(inner)(x)
    np.testing.assert_array_equal(output, state)
    np.testing.assert_allclose(output[:, 2], inner(x[:, 2])[0], rtol=1e-5, atol=1e-6)


def test_a_mask_of_every_step() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype(np.float32)
    mask = np.random.default_rng(1).random((2, 3, 5)) < 0.6
    inner = layers.LSTM(3)
    result = layers.TimeDistributed(inner)(x, mask=mask)
    for t in range(3):
        np.testing.assert_allclose(result[:, t], inner(x[:, t], mask=mask[:, t]), rtol=1e-5, atol=1e-6)


def test_wrong_use() -> None:
    x = layers.Input((None, 3))
    with pytest.raises(ArgumentError, match=r"no merge_mode 'concatenate'\n.*\n.*\n +did you mean 'concat'"):
        layers.Bidirectional(layers.LSTM(3), merge_mode="concatenate")
    with pytest.raises(ArgumentError, match="must be a recurrent layer"):
        layers.Bidirectional(layers.Dense(3))
    with pytest.raises(ArgumentError, match="run in the same direction"):
        layers.Bidirectional(layers.LSTM(3), backward_layer=layers.LSTM(3))
    with pytest.raises(ArgumentError, match="differ in return_sequences"):
        back = layers.LSTM(3, go_backwards=True, return_sequences=True)
        layers.Bidirectional(layers.LSTM(3), backward_layer=back)
    with pytest.raises(ShapeError, match=r"(?s)merge_mode 'mul'.*f32\[B, 3\].*f32\[B, 4\]"):
        layers.Bidirectional(layers.LSTM(3), "mul", backward_layer=layers.LSTM(4, go_backwards=True))(x)
    with pytest.raises(ArgumentError, match="has 4 states, initial_state has 2"):
        layers.Bidirectional(layers.LSTM(3))(x, initial_state=[layers.Input((3,)), layers.Input((3,))])
    with pytest.raises(ArgumentError, match="needs a layer"):
        layers.TimeDistributed("dense")
    with pytest.raises(ShapeError, match="needs an input of rank 2 or more"):
        layers.TimeDistributed(layers.Dense(3))(layers.Input(()))
    with pytest.raises(ShapeError, match="must have the first dims of its input"):
        layers.TimeDistributed(layers.LSTM(3))(layers.Input((4, 5, 3)), mask=np.ones((2, 4, 6), bool))
