"""Layers and cells called on what they do not take, and layers of users that return what they must not."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnncc import ops
from rnncc.layers import (
    GRU,
    LSTM,
    RNN,
    Concatenate,
    Dense,
    Embedding,
    Input,
    Layer,
    LSTMCell,
)
from rnncc.layers.sequential import Sequential


def mask_of_another_length() -> None:
    LSTM(4)(Input((None, 3)), mask=np.ones((1, 2), bool))


def lengths_of_another_batch() -> None:
    LSTM(4)(Input((None, 3)), lengths=Input((2,), dtype="int64"))


def unknown_call_argument() -> None:
    LSTM(4)(Input((None, 3)), length=3)


def a_state_changes_its_shape() -> None:
    class Cell(Layer):
        state_size = 4

        def call(self, inputs: Any, states: Any) -> Any:
            return inputs, [states[0][:, :3]]

    RNN(Cell())(Input((None, 3)))


def stateful_with_another_batch() -> None:
    layer = LSTM(4, stateful=True)
    layer(np.zeros((2, 3, 5)))
    layer(np.zeros((3, 3, 5)))


class _Forgetful(Layer):
    state_size = 3

    def call(self, inputs: Any, states: Any) -> Any:
        return inputs, []


def cell_loses_its_state() -> None:
    RNN(_Forgetful())(Input((None, 3)))


class _Growing(Layer):
    state_size = 3

    def call(self, inputs: Any, states: Any) -> Any:
        return inputs, [ops.concatenate([states[0], inputs], axis=-1)]


def cell_changes_the_shape_of_its_state() -> None:
    RNN(_Growing())(Input((None, 3)))


def cell_called_on_sequences() -> None:
    LSTMCell(4)(Input((None, 3)), [ops.zeros(("B", 4)), ops.zeros(("B", 4))])


def recurrent_layer_on_vectors() -> None:
    LSTM(4)(Input((3,)))


def recurrent_layer_without_sequences_before() -> None:
    Sequential([Embedding(10, 4), GRU(3), LSTM(2)])


def dense_on_token_ids() -> None:
    Dense(4)(Input((None,)))


def dense_on_a_vector() -> None:
    Dense(4)(np.zeros(3))


def recurrent_layer_without_width() -> None:
    LSTM(4)(Input((None, None)))


def another_width() -> None:
    layer = Dense(4)
    layer(Input((3,)))
    layer(Input((5,)))


def another_width_in_time() -> None:
    layer = LSTM(4)
    layer(Input((None, 3)))
    layer(np.zeros((1, 2, 5)))


def embedding_of_booleans() -> None:
    Embedding(10, 4)(Input((None,), dtype="bool"))


def layer_on_a_layer() -> None:
    Dense(4)(LSTM(3))


def layer_on_a_tensor_and_a_layer() -> None:
    LSTM(4)(Input((None, 3)), initial_state=GRU(4))


def layer_on_a_word() -> None:
    Dense(4)("hello")


def layer_without_call() -> None:
    Layer()(Input((3,)))


class _Numbers(Layer):
    def call(self, inputs: Any) -> Any:
        return 3


def call_returns_a_number() -> None:
    _Numbers()(Input((3,)))


def states_that_were_not_asked_for() -> None:
    _output, _h, _c = LSTM(4)(Input((None, 3)))


def states_of_a_wrong_number() -> None:
    LSTM(4)(Input((None, 3)), initial_state=[Input((4,))])


def state_of_a_wrong_width() -> None:
    GRU(4)(Input((None, 3)), initial_state=Input((5,)))


def state_of_a_wrong_batch() -> None:
    GRU(4)(Input((None, 3), batch_size=2), initial_state=np.zeros((3, 4)))


def layer_of_another_library() -> None:
    class LSTM:
        get_weights = None

        def __repr__(self) -> str:
            return "<LSTM name=lstm>"

    Sequential([LSTM()])


def concatenate_two_lengths() -> None:
    Concatenate()([Input((None, 3)), Input((None, 4))])


def concatenate_along_an_extent() -> None:
    ops.concatenate([Input((3,)), Input((4,))], axis=0)


def mask_of_an_input_of_another_length() -> None:
    LSTM(4)(Input((None, 3)), mask=Input((None,), dtype="bool"))


def cell_without_states() -> None:
    LSTMCell(3)(Input((3,)))


def concatenate_of_two_ranks() -> None:
    Concatenate()([Input((3, 4)), Input((3,))])


class _Hasty(Layer):
    """Does not let `Layer` set up what it needs."""

    def __init__(self) -> None:
        pass

    def call(self, x: Any) -> Any:
        return x


def layer_that_is_not_set_up() -> None:
    _Hasty()(Input((3,)))


def cell_that_is_not_set_up() -> None:
    _Hasty.state_size = 3  # type: ignore[attr-defined]
    RNN(_Hasty())(Input((None, 3)))
