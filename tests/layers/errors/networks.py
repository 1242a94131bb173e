"""Models that cases have in common."""

from __future__ import annotations

from rnncc.layers import (
    GRU,
    Embedding,
    Input,
)
from rnncc.layers.model import Model


def two_inputs() -> Model:
    first, second = Input((None, 3), name="first"), Input((None, 3), name="second")
    state = GRU(4)(first)
    return Model([first, second], GRU(4)(second, initial_state=state))


def tokens() -> Model:
    ids = Input((None,), name="ids")
    return Model(ids, Embedding(10, 4)(ids))
