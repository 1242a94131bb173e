"""The last output of a layer that returns sequences: the numbers of one that does not, and nothing else is kept."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers
from rnncc.errors import TokenError
from rnncc.graph.ir import is_scan, scan_view
from rnncc.layers.execution import evaluate
from rnncc.layers.model import Model
from tests.layers.keras_reference import ATOL, RTOL, keras, run
from tests.layers.test_keras import random_weights

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's variables

KINDS = ["SimpleRNN", "LSTM", "GRU"]
BATCH, WIDTH, UNITS = 3, 5, 9


def kept(fn: Any) -> list[int]:
    """For each scan of the compiled graph, how many outputs it collects over the steps."""
    return [len(scan_view(node).ys) for node in fn.graph.nodes if is_scan(node)]


def inputs(time: int, batch: int = BATCH) -> np.ndarray:
    return np.random.default_rng(time).normal(size=(batch, time, WIDTH)).astype(np.float32)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_as_keras(kind: str, masked: bool) -> None:
    """Keras keeps all outputs and takes the last one."""
    models = []
    for source in (layers, keras.layers):
        x = source.Input((None, WIDTH))
        sequences = source.Masking()(x) if masked else x
        steps = getattr(source, kind)(UNITS, return_sequences=True)(sequences)
        models.append((Model if source is layers else keras.Model)(x, steps[:, -1]))
    ours, theirs = models
    weights = random_weights(theirs, 3)
    ours.set_weights(weights)
    theirs.set_weights(weights)
    fn = rnncc.compile(ours)
    assert kept(fn) == [0]
    for time in (1, 2, 7):
        x = inputs(time)
        x[1, time // 2 :] = 0
        x[2, 0] = 0
        np.testing.assert_allclose(fn(x), run(theirs, x)[0], rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("shape", [(None, WIDTH), (7, WIDTH)], ids=str)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_head_on_all_steps(shape: tuple[Any, ...], backwards: bool, threads: int) -> None:
    """Dense, activations and the index: all of it is done for one step, with few rows and with many."""
    x = layers.Input(shape)
    steps = layers.GRU(UNITS, return_sequences=True, go_backwards=backwards)(x)
    model = Model(x, layers.Dense(4, activation="gelu")(layers.Activation("tanh")(steps) * 2.0)[:, -1])
    fn = rnncc.compile(model, threads=threads)
    assert kept(fn) == [0]
    for batch in (1, 3, 60):
        given = inputs(7, batch)
        np.testing.assert_allclose(fn(given), evaluate(model, given), rtol=RTOL, atol=ATOL)


def test_outputs_that_are_read_elsewhere_stay() -> None:
    x = layers.Input((None, WIDTH))
    steps = layers.LSTM(UNITS, return_sequences=True)(x)
    model = Model(x, [steps[:, -1], steps])
    fn = rnncc.compile(model)
    assert kept(fn) == [1]
    last, whole = fn(inputs(6))
    np.testing.assert_array_equal(last, whole[:, -1])


@pytest.mark.parametrize("key", [np.s_[:, 0], np.s_[:, -2], np.s_[:, 1]], ids=str)
def test_other_steps_are_none_of_the_states(key: Any) -> None:
    x = layers.Input((None, WIDTH))
    model = Model(x, layers.LSTM(UNITS, return_sequences=True)(x)[key])
    fn, given = rnncc.compile(model), inputs(5)
    assert kept(fn) == [1]
    np.testing.assert_allclose(fn(given), evaluate(model, given), rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("kind", KINDS)
def test_it_streams_as_without_sequences(kind: str) -> None:
    layer = getattr(layers, kind)(UNITS, return_sequences=True)
    plain = getattr(layers, kind)(UNITS)
    x = layers.Input((None, WIDTH))
    model, other = Model(x, layers.Dense(2)(layer(x)[:, -1])), Model(x, layers.Dense(2)(plain(x)))
    other.set_weights(model.get_weights())
    given = inputs(8)
    streams = [rnncc.compile(each).stream(BATCH) for each in (model, other)]
    for t in range(3):
        ours, theirs = (stream.step(given[:, t]) for stream in streams)
        np.testing.assert_array_equal(ours, theirs)
    for piece in (given[:, 3:7], given[:, :0], given[:, 7:]):
        ours, theirs = (stream.push(piece) for stream in streams)
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(ours, rnncc.compile(model)(given))


def test_a_sequence_without_steps_has_no_last_one() -> None:
    """As before: without sequences the state would be zeros, and x[:, -1] of nothing is an error."""
    x = layers.Input((None, WIDTH))
    model = Model(x, layers.GRU(UNITS, return_sequences=True)(x)[:, -1])
    for threads in (1, 2):
        for call in (rnncc.compile(model, threads=threads), partial(evaluate, model)):
            for batch in (2, 60):
                with pytest.raises(TokenError, match="row 0 is wanted of an axis of 0 rows"):
                    call(inputs(0, batch))
