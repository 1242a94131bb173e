"""Wrong networks: models and chains of layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnncc.layers import (
    GRU,
    LSTM,
    Dense,
    Embedding,
    Input,
    InputLayer,
)
from rnncc.layers.model import Model
from rnncc.layers.sequential import Sequential
from tests.layers.errors.networks import two_inputs


def model_that_needs_another_input() -> None:
    first, second = Input((3,)), Input((3,))
    Model(first, Dense(1)(first + second))


def model_with_an_unused_input() -> None:
    first, second = Input((3,)), Input((3,))
    Model([first, second], Dense(1)(first))


def model_with_one_input_twice() -> None:
    first = Input((3,))
    Model([first, first], Dense(1)(first))


def model_from_the_middle() -> None:
    middle = Dense(2)(Input((3,)))
    Model(middle, Dense(1)(middle))


def model_of_a_layer() -> None:
    Model(Input((3,)), Dense(1))


def model_without_outputs() -> None:
    Model(Input((3,)), [])


def two_layers_of_one_name() -> None:
    x = Input((3,))
    Model(x, Dense(1, name="same")(Dense(2, name="same")(x)))


def get_layer_of_an_unknown_name() -> None:
    two_inputs().get_layer("gru1")


def get_layer_of_an_index_outside() -> None:
    two_inputs().get_layer(index=9)


def get_layer_of_nothing() -> None:
    two_inputs().get_layer()


def model_on_too_few_tensors() -> None:
    two_inputs()(Input((None, 3)))


def model_on_a_tensor_of_another_shape() -> None:
    Sequential([Input((None, 3)), GRU(4)])(Input((None, 5)))


def sequential_of_itself() -> None:
    model = Sequential([Input((3,)), Dense(3)])
    model.add(model)


def sequential_around_itself() -> None:
    inner = Sequential([Dense(3)])
    outer = Sequential([Input((3,)), inner])
    inner.add(outer)


def sequential_of_a_class() -> None:
    Sequential([Dense])


def sequential_of_one_layer() -> None:
    Sequential(LSTM(3))  # type: ignore[arg-type]


def sequential_of_a_name() -> None:
    Sequential("encoder")


def sequential_of_two_inputs() -> None:
    Sequential([Input((3,)), InputLayer((3,))])


def sequential_with_several_outputs() -> None:
    Sequential([Embedding(10, 4), LSTM(3, return_state=True)])


def sequential_without_layers() -> None:
    Sequential().summary()


def sequential_that_does_not_know_its_input() -> None:
    Sequential([Dense(3)]).summary()


def sequential_of_one_name_twice() -> None:
    layer = Dense(3)
    Sequential([Input((3,)), layer, layer])


def pop_from_nothing() -> None:
    Sequential().pop()


def model_of_an_array() -> None:
    Model(np.zeros((40, 50, 60)), Input((3,)))


def stream_of_a_model() -> None:
    Sequential([Input((None, 3)), LSTM(4)]).stream(batch=1)


class _Hasty(Model):
    """Does not let `Model` set up what it needs."""

    def __init__(self) -> None:
        self.dense = Dense(3)

    def call(self, x: Any) -> Any:
        return self.dense(x)


def model_that_is_not_set_up() -> None:
    _Hasty().summary()
