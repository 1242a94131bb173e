"""States that stay from call to call: a sequence in pieces is the sequence; reset; another batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers
from rnncc.errors import ArgumentError, ShapeError
from rnncc.layers.execution import evaluate
from rnncc.layers.sequential import Sequential
from tests.layers.test_masks import loops

KINDS = ["SimpleRNN", "LSTM", "GRU"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("run", ["compiled", "evaluated", "layer"])
def test_pieces_are_the_whole(kind: str, run: str) -> None:
    layer = getattr(layers, kind)(7, return_sequences=True, stateful=True)
    model = Sequential([layers.Input((None, 3)), layer])
    plain = Sequential([layers.Input((None, 3)), getattr(layers, kind)(7, return_sequences=True)])
    plain.set_weights(model.get_weights())
    call: Any = {"compiled": model, "evaluated": lambda x: evaluate(model, x), "layer": layer}[run]
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
    assert len(fn.inputs) == 1 + 4, "a compiled graph shows the states as its last inputs and outputs"
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    first, second = model(x), model(x)
    assert not np.allclose(first, second)
    model.reset_state()
    np.testing.assert_array_equal(model(x), first)


def test_no_initial_state() -> None:
    with pytest.raises(ArgumentError, match="is stateful and takes no initial_state"):
        layers.GRU(3, stateful=True)(np.zeros((2, 3, 4)), initial_state=np.zeros((2, 3)))
