"""Wrong arguments of layers and inputs, before anything is computed."""

from __future__ import annotations

import numpy as np

from rnncc.layers import (
    GRU,
    LSTM,
    RNN,
    Activation,
    Dense,
    Dropout,
    Embedding,
    Input,
    LayerNormalization,
    Masking,
    SimpleRNN,
)


def units_of_zero() -> None:
    LSTM(0)


def units_as_float() -> None:
    Dense(2.5)  # type: ignore[arg-type]


def vocabulary_below_one() -> None:
    Embedding(input_dim=-5, output_dim=8)


def unknown_argument() -> None:
    LSTM(4, return_sequence=True)  # type: ignore[call-arg]


def unknown_argument_far_from_all() -> None:
    Activation("tanh", colour="red")  # type: ignore[call-arg]


def unknown_activation() -> None:
    LSTM(4, activation="tahn")


def activation_of_another_kind() -> None:
    GRU(4, recurrent_activation=3)


def unknown_initializer() -> None:
    Dense(4, kernel_initializer="glorot")


def initializer_of_another_kind() -> None:
    Dense(4, bias_initializer=0)


def initializer_returns_another_shape() -> None:
    Dense(4, kernel_initializer=lambda shape: np.zeros(shape[::-1]))(Input((3,)))


def dropout_above_one() -> None:
    SimpleRNN(4, dropout=1.5)


def name_that_is_no_name() -> None:
    Dense(4, name="a/b")


def dtype_too_small() -> None:
    Dense(4, dtype="float16")


def dtype_of_integers() -> None:
    Dense(4, dtype="int32")


def dropout_seed() -> None:
    LSTM(4, dropout=0.5, seed=0.5)


def noise_shape_of_zero() -> None:
    Dropout(0.5, noise_shape=(None, 0))


def noise_shape_of_another_rank() -> None:
    Dropout(0.5, noise_shape=(None, 1))(Input((None, 3)), training=True)


def unroll_without_length() -> None:
    LSTM(4, unroll=True)(Input((None, 3)))


def unroll_of_zero() -> None:
    LSTM(4, unroll=0)


def cell_is_a_number() -> None:
    RNN(64)  # type: ignore[arg-type]


def input_without_shape() -> None:
    Input()


def input_shape_as_a_number() -> None:
    Input(10)  # type: ignore[arg-type]


def input_with_a_negative_size() -> None:
    Input((None, -3))


def input_with_two_shapes() -> None:
    Input((3,), batch_shape=(None, 3))


def sparse_input() -> None:
    Input((3,), sparse=True)


def input_of_an_unknown_type() -> None:
    Input((3,), dtype="complex64")


def mask_value_as_a_word() -> None:
    Masking("a")  # type: ignore[arg-type]


def epsilon_as_a_word() -> None:
    LayerNormalization(epsilon="small")  # type: ignore[arg-type]
