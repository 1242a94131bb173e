"""Merge layers: lists, open extents, types, masks and wrong use; the numbers are in the table of `compared`."""

from __future__ import annotations

import numpy as np
import pytest

import rnncc
from rnncc import layers
from rnncc.errors import ArgumentError, ShapeError
from rnncc.layers.execution import evaluate
from rnncc.layers.model import Model
from rnncc.types import DType

KINDS = ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"]


def pair(*shape: int | str | None) -> list[rnncc.graph.symbolic.Tensor]:
    return [layers.Input(shape), layers.Input(shape)]


@pytest.mark.parametrize("kind", KINDS)
def test_functions_are_the_layers(kind: str) -> None:
    inputs = pair("T", 5)
    arrays = [np.random.default_rng(seed).normal(size=(2, 3, 5)).astype(np.float32) for seed in (0, 1)]
    as_layer = Model(inputs, getattr(layers, kind)(name="merged")(inputs))
    as_function = Model(inputs, getattr(layers, kind.lower())(inputs, name="merged"))
    assert as_function.layers[-1].name == "merged"
    np.testing.assert_array_equal(evaluate(as_function, *arrays), evaluate(as_layer, *arrays))
    np.testing.assert_allclose(rnncc.compile(as_layer)(*arrays), evaluate(as_layer, *arrays), rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_is_needed(kind: str) -> None:
    x, _ = pair(3)
    with pytest.raises(ArgumentError, match=r"is called on a list of (2 )?tensors\n  given: input_"):
        getattr(layers, kind)()(x)


def test_subtract_takes_two() -> None:
    with pytest.raises(ArgumentError, match=r"Subtract\) is called on a list of 2 tensors"):
        layers.Subtract()([*pair(3), layers.Input((3,))])


def test_open_extents() -> None:
    with pytest.raises(ShapeError, match=r"do not broadcast(.|\n)*same name for this extent"):
        layers.Add()(pair(None, 3))
    with pytest.raises(ShapeError, match=r"Concatenate\) cannot add up sizes of axis 1 (.|\n)*give this axis a size"):
        layers.Concatenate(axis=1)(pair("T", 3))
    with pytest.raises(ShapeError, match="differ in more than axis"):
        layers.Concatenate()([layers.Input((3, 4)), layers.Input((2, 4))])
    with pytest.raises(ArgumentError, match="axis of Concatenate must be a whole number"):
        layers.Concatenate(axis="last")  # type: ignore[arg-type]


def test_integers() -> None:
    whole, real = layers.Input((3,), dtype="int64"), layers.Input((3,))
    assert layers.Add()([whole, whole]).dtype is DType.I64
    assert layers.Add()([whole, real]).dtype is DType.F32
    assert layers.Average()([whole, whole]).dtype is DType.F32


def test_masks() -> None:
    x, y = (layers.Masking()(tensor) for tensor in pair("T", 2))
    plain = layers.Input(("T", 2))
    assert layers.Add()([x, y]).mask is not None
    assert layers.Add()([x, plain]).mask is None
    fixed = [layers.Masking()(layers.Input((steps, 2))) for steps in (3, 4)]
    joined = layers.Concatenate(axis=1)([*fixed, layers.Input((2, 2))])
    assert joined.mask is not None
    assert joined.mask.shape == (None, 9)
    inputs = pair("T", 2)
    merged = layers.Add()([layers.Masking()(tensor) for tensor in inputs])
    model = Model(inputs, layers.SimpleRNN(3)(merged))
    model.set_weights([np.full((2, 3), [0.1, -0.2, 0.3]), np.full((3, 3), 0.2), np.zeros(3)])  # no sum is near zero
    first = np.ones((1, 4, 2), np.float32)
    second = first.copy()
    first[:, 2:], second[:, 3:] = 0, 0
    shorter = evaluate(model, first[:, :3], second[:, :3])
    np.testing.assert_allclose(evaluate(model, first, second), shorter, rtol=1e-6)
    np.testing.assert_allclose(rnncc.compile(model)(first, second), shorter, rtol=1e-5)
