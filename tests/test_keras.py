"""Compiled models against Keras itself: the promise of 1e-5 relative and 1e-6 absolute, in float32."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers
from tests.layers.keras_reference import keras, quietly, run
from tests.tolerances import KERAS_ATOL, KERAS_RTOL

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's variables


def assert_as_keras(ours: Any, theirs: list[np.ndarray], where: object = "") -> None:
    """Same shapes and element types, and close numbers."""
    own = ours if isinstance(ours, list) else [ours]
    for actual, wanted in zip(own, theirs, strict=True):
        assert (actual.shape, actual.dtype) == (wanted.shape, wanted.dtype)
        np.testing.assert_allclose(actual, wanted, KERAS_RTOL, KERAS_ATOL, err_msg=str(where))


def random_weights(model: Any, seed: int) -> list[np.ndarray]:
    """Weights that keep states moderate: their size falls with the number of terms."""
    rng = np.random.default_rng(seed)
    shapes = [weight.shape for weight in model.get_weights()]
    return [rng.normal(0, min(0.3, shape[0] ** -0.5), shape).astype(np.float32) for shape in shapes]


# ------------------------------------------------------------------ the models of the guide


def seed_model(source: Any, number: int, model: Any, sequential: Any) -> Any:
    """Model `number` of the guide with its own sizes, in Keras or here."""
    if number == 0:
        return sequential([source.Embedding(1000, 64), source.LSTM(128), source.Dense(10)])
    if number == 1:
        steps = [source.GRU(256, return_sequences=True), source.SimpleRNN(128)]
        return sequential([source.Embedding(1000, 64), *steps, source.Dense(10)])
    encoder, decoder = source.Input((None,)), source.Input((None,))
    _, h, c = source.LSTM(64, return_state=True)(source.Embedding(1000, 64)(encoder))
    last = source.LSTM(64)(source.Embedding(2000, 64)(decoder), initial_state=[h, c])
    return model([encoder, decoder], source.Dense(10)(last))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_models_of_the_guide(number: int) -> None:
    ours = seed_model(layers, number, rnncc.Model, rnncc.Sequential)
    theirs = quietly(seed_model, keras.layers, number, keras.Model, keras.Sequential)
    if number < 2:
        quietly(theirs.build, (None, None))
    theirs.set_weights(ours.get_weights())
    fn = rnncc.compile(ours)
    rng = np.random.default_rng(number)
    for batch, lengths in [(1, (23, 9)), (3, (1, 1)), (17, (12, 31))]:
        inputs = [rng.integers(0, 1000, (batch, length)) for length in lengths[: len(ours.inputs)]]
        assert_as_keras(fn(*inputs), run(theirs, *inputs), (batch, lengths))
    theirs.set_weights(random_weights(theirs, number))
    ours.set_weights(theirs.get_weights())
    assert_as_keras(fn(*inputs), run(theirs, *inputs))


# ------------------------------------------------------------------ single layers

KINDS: list[tuple[str, dict[str, Any]]] = [
    ("LSTM", {}),
    ("GRU", {"reset_after": True}),
    ("GRU", {"reset_after": False}),
    ("SimpleRNN", {}),
]
WIDTHS = [1, 3, 17, 127, 129]
PAIRS = [(1, 129), (3, 17), (17, 3), (127, 1), (129, 127)]
"""Every width once as features and once as units."""


def both(kind: str, width: int, units: int, states: int, options: dict[str, Any]) -> tuple[Any, Any]:
    """The same layer here and in Keras, with `states` initial states as inputs, and the same weights."""

    def build(source: Any, model: Any) -> Any:
        x = source.Input((None, width))
        initial = [source.Input((units,)) for _ in range(states)]
        layer = getattr(source, kind)(units, **options)
        outputs = layer(x, initial_state=initial) if states else layer(x)
        return model([x, *initial], list(outputs) if options.get("return_state") else outputs)

    ours, theirs = build(layers, rnncc.Model), quietly(build, keras.layers, keras.Model)
    theirs.set_weights(random_weights(theirs, width * 1000 + units))
    ours.set_weights(theirs.get_weights())
    return ours, theirs


@pytest.mark.parametrize(("kind", "options"), KINDS, ids=str)
@pytest.mark.parametrize(("width", "units"), PAIRS)
def test_widths_batches_and_lengths(kind: str, options: dict[str, Any], width: int, units: int) -> None:
    ours, theirs = both(kind, width, units, 0, {**options, "return_sequences": True, "return_state": True})
    fn = rnncc.compile(ours)
    rng = np.random.default_rng(units)
    for batch, time in [(1, 1), (2, 9), (5, 4), (33, 3)]:
        x = rng.normal(size=(batch, time, width)).astype(np.float32)
        assert_as_keras(fn(x), run(theirs, x), (batch, time))


@pytest.mark.parametrize(("kind", "options"), KINDS, ids=str)
@pytest.mark.parametrize(
    ("sequences", "state", "backwards", "initial"),
    [choice for choice in itertools.product((False, True), repeat=4) if sum(choice) in (1, 2, 4)],
)
def test_arguments(
    kind: str, options: dict[str, Any], sequences: bool, state: bool, backwards: bool, initial: bool
) -> None:
    count = (2 if kind == "LSTM" else 1) if initial else 0
    arguments = {"return_sequences": sequences, "return_state": state, "go_backwards": backwards}
    ours, theirs = both(kind, 3, 17, count, {**options, **arguments})
    fn = rnncc.compile(ours)
    rng = np.random.default_rng(0)
    for batch, time in [(1, 6), (7, 5)]:
        x = rng.normal(size=(batch, time, 3)).astype(np.float32)
        states = [rng.normal(size=(batch, 17)).astype(np.float32) for _ in range(count)]
        assert_as_keras(fn(x, *states), run(theirs, x, *states), (batch, time))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("LSTM", {"use_bias": False, "activation": "relu", "recurrent_activation": "tanh"}),
        ("LSTM", {"unit_forget_bias": False, "activation": None, "dropout": 0.5, "recurrent_dropout": 0.5}),
        ("GRU", {"use_bias": False, "activation": "sigmoid"}),
        ("GRU", {"reset_after": False, "use_bias": False, "recurrent_activation": "linear"}),
        ("SimpleRNN", {"activation": "softmax"}),
        ("SimpleRNN", {"activation": "exponential", "use_bias": False}),
    ],
    ids=str,
)
def test_activations_and_biases(kind: str, options: dict[str, Any]) -> None:
    ours, theirs = both(kind, 5, 7, 0, {**options, "return_sequences": True})
    x = 0.1 * np.random.default_rng(0).normal(size=(6, 5, 5)).astype(np.float32)
    assert_as_keras(rnncc.compile(ours)(x), run(theirs, x))
