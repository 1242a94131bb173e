"""Wrong weights, and weights that there are not yet."""

from __future__ import annotations

import numpy as np

from rnncc.layers import (
    GRU,
    Dense,
    Embedding,
    Input,
    SimpleRNN,
)
from rnncc.layers.sequential import Sequential


def weights_before_the_first_call() -> None:
    Dense(4).set_weights([np.zeros((3, 4)), np.zeros(4)])


def count_before_the_first_call() -> None:
    Dense(4).count_params()


def shape_before_the_first_call() -> None:
    _ = Dense(4).output_shape


def too_few_weights() -> None:
    Sequential([Input((3,)), Dense(4)]).set_weights([np.zeros((3, 4))])


def weights_as_a_number() -> None:
    Sequential([Input((3,)), Dense(4)]).set_weights(3)  # type: ignore[arg-type]


def weights_as_nothing() -> None:
    Sequential([Input((3,)), Dense(4)]).set_weights(None)  # type: ignore[arg-type]


def weights_of_ragged_rows() -> None:
    Sequential([Input((3,)), Dense(4)]).set_weights([[[1, 2], [3]], [0]])


def weight_of_another_shape() -> None:
    Sequential([Input((None, 3)), GRU(4)]).set_weights([np.zeros((3, 12)), np.zeros((4, 12)), np.zeros(12)])


def transposed_weight() -> None:
    Sequential([Input((3,)), Dense(4)]).set_weights([np.zeros((4, 3)), np.zeros(4)])


def weight_assigned_another_shape() -> None:
    layer = Dense(4)
    layer(Input((3,)))
    layer.weights[0].assign(np.zeros((2, 2)))


def weight_of_words() -> None:
    layer = Dense(1, use_bias=False)
    layer(Input((1,)))
    layer.weights[0].assign([["a"]])


def table_of_another_shape() -> None:
    Embedding(10, 4, weights=np.zeros((10, 5)))


def model_too_big_for_memory() -> None:
    Embedding(10**9, 512)(Input((None,)))


def layer_too_big_for_memory() -> None:
    SimpleRNN(10**11)(np.zeros((2, 3, 4), np.float32))
