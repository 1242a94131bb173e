"""Functions of tensors: activations, functions of numpy, traced functions, steps of scans."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnncc import ops
from rnncc.graph.trace import trace
from rnncc.layers import (
    GRU,
    LSTM,
    Activation,
    Dense,
    Input,
)
from rnncc.ops.scan import scan


def activation_changes_the_shape() -> None:
    Activation(lambda x: ops.sum(x, axis=-1))(Input((3,)))


def activation_returns_a_number() -> None:
    GRU(4, activation=lambda x: 3)(Input((None, 3)))


def activation_of_two_tensors() -> None:
    LSTM(4, recurrent_activation=lambda x, y: x)


def activation_from_numpy() -> None:
    LSTM(4, activation=np.tanh)


def activation_from_numpy_without_a_name() -> None:
    Dense(4, activation=np.sin)


def numpy_function_of_a_tensor() -> None:
    np.tanh(Input((3,), name="x"))


def numpy_function_that_there_is_not() -> None:
    np.arctan(Input((3,), name="x"))


def numpy_function_of_tensors() -> None:
    np.concatenate([Input((3,), name="x"), np.zeros((2, 3))])


def array_that_a_tensor_is_added_to() -> None:
    array = np.zeros(3)
    array += Input((3,), name="x")  # type: ignore[misc]


def array_of_a_tensor() -> None:
    np.asarray(Input((3,), name="x"))


def array_of_tensors() -> None:
    ops.exp([Input((3,), name="x"), Input((3,), name="y")])


def number_of_a_tensor() -> None:
    float(Input((3,), name="x"))


def whole_number_of_a_tensor() -> None:
    int(Input((3,), name="x"))


def range_of_a_tensor() -> None:
    range(Input((3,), name="x"))


def length_of_a_tensor() -> None:
    len(Input((None, 3), name="x"))


def loop_over_a_tensor() -> None:
    for _ in Input((None, 3), name="x"):
        pass


def trace_of_a_number() -> None:
    trace(3, ("float32", ("B",)))  # type: ignore[arg-type]


def trace_of_too_few_types() -> None:
    trace(lambda x, y: x + y, ("float32", ("B",)))


def step_without_slices() -> None:
    scan(lambda h: (h, h), 0.0, ops.zeros((5,)))


def step_that_is_no_function() -> None:
    scan(None, 0.0, ops.zeros((5,)))  # type: ignore[arg-type]


def value_from_inside_a_step() -> None:
    kept = []

    def step(h: Any, x: Any) -> Any:
        kept.append(h * x)
        return h + x, None

    trace(lambda x: scan(step, 0.0, x)[0] + kept[0], ("float32", ("T",)))


def value_from_inside_another_step() -> None:
    kept = []

    def first(h: Any, x: Any) -> Any:
        kept.append(x)
        return h + x, None

    def second(h: Any, x: Any) -> Any:
        return h * kept[0], None

    trace(lambda x: scan(first, 0.0, x)[0] + scan(second, 0.0, x)[0], ("float32", ("T",)))


def slice_of_an_extent() -> None:
    Input((None, 3))[:, 1:]


def step_that_returns_one_tensor() -> None:
    scan(lambda h, x: h + x, 0.0, ops.zeros((5,)))


def trace_of_a_shape_as_a_number() -> None:
    trace(lambda x: x, ("float32", 5))  # type: ignore[arg-type]
