"""Layers that run one chunk behind the other on several threads: the bits of one thread, for every number of steps."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers
from rnncc.errors import TokenError
from rnncc.passes.loop.wavefront import LENGTHS

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="teams are made of POSIX threads")
WIDTH = 11
LAST = LENGTHS[-1]
STEPS = (0, 1, 2, *(length + more for length in (LENGTHS[0], LAST) for more in (-1, 0, 1)), 2 * LAST + 3)


@pytest.fixture(autouse=True)
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it pays or not: in stages, and on all threads."""
    monkeypatch.setattr("rnncc.passes.loop.wavefront.WORTH", float("inf"))
    monkeypatch.setattr("rnncc.runtime.compiled.WORTH_PRODUCTS", 0)


def sequences(kind: Any, units: int, **options: Any) -> layers.Layer:
    layer: layers.Layer = kind(units, return_sequences=True, **options)
    return layer


def chain(*members: layers.Layer) -> rnncc.Model:
    return rnncc.Sequential([layers.Input(shape=(None, WIDTH)), *members])


def equal() -> rnncc.Model:
    return chain(sequences(layers.LSTM, 20), sequences(layers.LSTM, 20), sequences(layers.LSTM, 20), layers.LSTM(20))


def mixed() -> rnncc.Model:
    return chain(
        sequences(layers.GRU, 30), sequences(layers.SimpleRNN, 17), layers.LayerNormalization(), layers.LSTM(9)
    )


def backwards() -> rnncc.Model:
    members = sequences(layers.GRU, 12), sequences(layers.GRU, 13, go_backwards=True), sequences(layers.GRU, 14)
    return chain(*members, layers.SimpleRNN(15))


def masked() -> rnncc.Model:
    return chain(layers.Masking(0.0), sequences(layers.LSTM, 10), sequences(layers.GRU, 12), layers.LSTM(8))


def wanted_whole() -> rnncc.Model:
    """Every sequence and some states are results."""
    x = layers.Input(shape=(None, WIDTH))
    first, h, _ = layers.LSTM(13, return_sequences=True, return_state=True)(x)
    second = layers.GRU(10, return_sequences=True)(first)
    return rnncc.Model(x, [layers.Dense(5)(layers.SimpleRNN(6, return_sequences=True)(second)), first, h])


def state_passed() -> rnncc.Model:
    """The second layer starts with the state that the first one ends with: it must wait for the whole of it."""
    x = layers.Input(shape=(None, WIDTH))
    first, h, c = layers.LSTM(13, return_sequences=True, return_state=True)(x)
    return rnncc.Model(x, layers.LSTM(13)(first, initial_state=[h, c]))


MODELS: dict[str, tuple[Callable[[], rnncc.Model], int]] = {
    "equal": (equal, 1),
    "mixed": (mixed, 1),
    "backwards": (backwards, 2),
    "masked": (masked, 1),
    "wanted whole": (wanted_whole, 2),
    "state passed": (state_passed, 2),
}
"""The models, and how many loops over chunks have stages."""


def pipelines(model: Any) -> int:
    return len(re.findall(r"^ +for front\w* in", model.ir("scheduled"), re.MULTILINE))


def steps_of(rng: np.random.Generator, batch: int, length: int) -> np.ndarray:
    x = rng.standard_normal((batch, length, WIDTH)).astype(np.float32)
    x[rng.random((batch, length)) < 0.2] = 0  # what a mask leaves out
    return x


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("name", MODELS)
def test_same_bits_as_one_thread(name: str, threads: int) -> None:
    make, count = MODELS[name]
    model = make()
    alone, team = rnncc.compile(model, cache=False), rnncc.compile(model, threads=threads, cache=False)
    assert (pipelines(alone), pipelines(team)) == (0, count)
    rng = np.random.default_rng(5)
    for length in STEPS:
        x = steps_of(rng, 1 + length % 3, length)
        for one, other in zip(alone.call(x), team.call(x), strict=True):
            assert np.array_equal(one, other), x.shape


def test_rows_and_ways_to_cut_do_not_matter() -> None:
    model = equal()
    team = rnncc.compile(model, threads=2, cache=False)
    x = steps_of(np.random.default_rng(6), 40, 2 * LAST + 1)
    whole = team(x)  # parts of the rows, each on one thread
    for row in (0, 19, 39):
        assert np.array_equal(team(x[row : row + 1])[0], whole[row])


def test_states_stay_from_call_to_call() -> None:
    members = [sequences(layers.LSTM, 20, stateful=True), sequences(layers.GRU, 12, stateful=True)]
    model = rnncc.Sequential([layers.Input(batch_shape=(2, None, WIDTH)), *members, layers.LSTM(9, stateful=True)])
    rng = np.random.default_rng(7)
    pieces = [steps_of(rng, 2, length) for length in (LAST + 1, 1, 3 * LAST)]
    found = []
    for threads in (1, 2):
        fn = rnncc.compile(model, threads=threads, cache=False)
        assert pipelines(fn) == threads - 1
        model.reset_states()
        found.append([fn(piece) for piece in pieces])
    assert np.array_equal(found[0], found[1])


def test_a_failed_check_is_the_one_of_one_thread() -> None:
    embedding = layers.Embedding(50, 16)
    stack = [sequences(layers.LSTM, 20), sequences(layers.LSTM, 20), layers.LSTM(20)]
    model = rnncc.Sequential([embedding, layers.Activation("tanh"), *stack])
    team = rnncc.compile(model, threads=2, cache=False)
    assert pipelines(team) == 1
    ids = np.zeros((1, 70), np.int64)
    expected = team(ids)
    ids[0, 41] = 50
    with pytest.raises(TokenError, match=r"50 at position \(0, 41\)"):
        team(ids)
    assert np.array_equal(team(np.zeros((1, 70), np.int64)), expected)
