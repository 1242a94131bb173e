"""States that stay from call to call: a sequence in pieces is the sequence; reset; another batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers
from rnncc.errors import ArgumentError, ShapeError, TokenError, UnsupportedError
from rnncc.layers.execution import evaluate
from rnncc.layers.sequential import Sequential
from tests.layers.keras_reference import keras, quietly
from tests.layers.test_masks import loops

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's variables

KINDS = ["SimpleRNN", "LSTM", "GRU"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("run", ["model", "compiled", "evaluated", "layer"])
def test_pieces_are_the_whole(kind: str, run: str) -> None:
    layer = getattr(layers, kind)(7, return_sequences=True, stateful=True)
    model = Sequential([layers.Input((None, 3)), layer])
    plain = Sequential([layers.Input((None, 3)), getattr(layers, kind)(7, return_sequences=True)])
    plain.set_weights(model.get_weights())
    call: Any = {
        "model": model,
        "compiled": rnncc.compile(model),
        "evaluated": lambda x: evaluate(model, x),
        "layer": layer,
    }[run]
    for batch in (2, 1, 3):
        x = np.random.default_rng(batch).normal(size=(batch, 6, 3)).astype(np.float32)
        pieces = np.concatenate([call(x[:, :1]), call(x[:, 1:4]), call(x[:, 4:])], axis=1)
        np.testing.assert_allclose(pieces, evaluate(plain, x), rtol=1e-5, atol=1e-6)
        with pytest.raises(ShapeError, match=r"(?s)keeps the state of another batch.*reset_states\(\)"):
            call(np.zeros((4, 2, 3)))
        model.reset_states()


def test_both_ways_and_stacked() -> None:
    model = Sequential(
        [
            layers.Input((None, 3)),
            layers.Bidirectional(layers.GRU(4, return_sequences=True, stateful=True)),
            layers.LSTM(2, stateful=True),
        ]
    )
    fn = rnncc.compile(model)
    assert loops(fn) == 3
    assert [port.name for port in fn.inputs] == [model.inputs[0].name]
    assert len(fn.outputs) == 1
    assert len(fn.graph.inputs) == 1 + 4, "a compiled graph shows the states as its last inputs and outputs"
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    first, second = model(x), model(x)
    assert not np.allclose(first, second)
    model.reset_state()
    np.testing.assert_array_equal(model(x), first)


def test_no_initial_state() -> None:
    with pytest.raises(ArgumentError, match="is stateful and takes no initial_state"):
        layers.GRU(3, stateful=True)(np.zeros((2, 3, 4)), initial_state=np.zeros((2, 3)))


def stateful_gru(*more: Any) -> Sequential:
    return Sequential([layers.Input((None, 3)), layers.GRU(4, stateful=True, return_sequences=True, name="gru"), *more])


def test_a_compiled_model_keeps_its_states() -> None:
    model = stateful_gru()
    fn = rnncc.compile(model)
    x = np.random.default_rng(0).normal(size=(2, 6, 3)).astype(np.float32)
    assert fn.states == {}
    first = fn(x[:, :2])
    second = fn(x[:, 2:])
    np.testing.assert_array_equal(fn.states["gru_h"], second[:, -1])
    model.reset_states()
    np.testing.assert_allclose(np.concatenate([first, second], 1), fn(x), rtol=1e-5, atol=1e-6)
    with pytest.raises(ShapeError, match=r"(?s)gru keeps the state of another batch.*\(2, 4\).*\(5, 4\).*reset_states"):
        fn(np.zeros((5, 2, 3)))
    fn.reset_states()
    assert fn(np.zeros((5, 2, 3))).shape == (5, 2, 4)


def test_the_states_belong_to_the_model() -> None:
    """As the weights do: whoever computes, they go on from one another."""
    model = stateful_gru()
    fn, double = rnncc.compile(model), rnncc.compile(model, dtype="float64")
    x = np.random.default_rng(0).normal(size=(2, 6, 3)).astype(np.float32)
    pieces = [fn(x[:, :1]), model(x[:, 1:2]), evaluate(model, x[:, 2:4]), double(x[:, 4:5]), fn(x[:, 5:])]
    assert pieces[3].dtype == np.float64
    fn.reset_states()
    np.testing.assert_allclose(np.concatenate(pieces, 1), fn(x), rtol=1e-5, atol=1e-6)


def test_a_call_that_fails_leaves_the_states() -> None:
    model = Sequential([layers.Embedding(5, 3), layers.LSTM(4, stateful=True)])
    fn = rnncc.compile(model)
    fn([[1, 2]])
    before = fn.states
    assert sorted(before) == [f"{model.layers[1].name}_{name}" for name in "ch"]
    with pytest.raises(TokenError):
        fn([[1, 7]])
    for name, state in fn.states.items():
        np.testing.assert_array_equal(state, before[name])


def test_predict_in_batches() -> None:
    """As in Keras, a batch goes on where the one before has ended."""
    theirs = keras.Sequential(
        [keras.Input((None, 3), batch_size=2), keras.layers.GRU(4, stateful=True, return_sequences=True)]
    )
    model = stateful_gru()
    model.set_weights(theirs.get_weights())
    x = np.random.default_rng(0).normal(size=(6, 5, 3)).astype(np.float32)
    expected = np.concatenate([np.asarray(quietly(theirs, x[start : start + 2])) for start in (0, 2, 4)])
    np.testing.assert_allclose(model.predict(x, batch_size=2), expected, rtol=1e-5, atol=1e-6)
    before = model.layers[0]._slots[0].value
    with pytest.raises(ArgumentError, match=r"(?s)is stateful: every batch.*samples: 6, batch_size: 4, 2 left over"):
        model.predict(x, batch_size=4)
    assert model.layers[0]._slots[0].value is before, "nothing was computed"
    model.reset_states()
    assert model.predict(x).shape == (6, 5, 4)


def test_no_stream() -> None:
    with pytest.raises(UnsupportedError, match=r"(?s)is stateful, and a stream keeps states of its own\n.*gru"):
        rnncc.compile(stateful_gru()).stream()
