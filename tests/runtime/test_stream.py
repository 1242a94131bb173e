"""Streams: step by step, in pieces and as a whole give the same bits; what cannot be streamed says why."""

from __future__ import annotations

import numpy as np
import pytest

import rnncc
from rnncc import layers, ops
from rnncc.errors import ArgumentError, ShapeError, TokenError, UnsupportedError


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
    with pytest.raises(ArgumentError, match="takes 1 inputs, 2 given"):
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
