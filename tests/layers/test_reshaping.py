"""Reshape, Flatten, Permute, RepeatVector, Lambda and Dropout: open extents and wrong use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers, ops
from rnncc.errors import ArgumentError, ShapeError
from rnncc.layers.execution import evaluate
from rnncc.layers.model import Model

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def test_shapes_that_a_call_would_have_to_compute() -> None:
    x = layers.Input((None, 4))
    for layer in (layers.Flatten(), layers.Reshape((-1,)), layers.Reshape((-1, 2))):
        with pytest.raises(ShapeError, match=r"needs a size that would be computed at the call\n(.|\n)*fixed sizes"):
            layer(x)
    assert layers.Reshape((4, -1))(x).shape == (None, 4, None)
    assert layers.Flatten()(layers.Input((None, 1))).shape == (None, None)
    with pytest.raises(ShapeError, match=r"cannot keep all elements\n  input_.*\n  target_shape: \(5,\)"):
        layers.Reshape((5,))(layers.Input((4,)))


def test_on_arrays() -> None:
    np.testing.assert_array_equal(layers.Flatten()(X), X.reshape(2, 12))
    np.testing.assert_array_equal(layers.Reshape((2, -1))(X), X.reshape(2, 2, 6))
    np.testing.assert_array_equal(layers.Permute((2, 1))(X), X.transpose(0, 2, 1))
    np.testing.assert_array_equal(layers.RepeatVector(2)(X[0]), np.repeat(X[0][:, None], 2, 1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.Reshape((-1, -1)), "-1 at most once"),
        (lambda: layers.Reshape((2.5,)), "target_shape of Reshape must be a tuple of whole numbers"),  # type: ignore[arg-type]
        (lambda: layers.Permute((0, 1)), "dims of Permute must hold each of 1 to 2 once"),
        (lambda: layers.RepeatVector(0), "n of RepeatVector must be a whole number above 0"),
        (lambda: layers.Flatten("last"), "data_format of Flatten"),
        (lambda: layers.Dropout(1.5), "rate of Dropout must be a number from 0 to 1"),
        (lambda: layers.Dropout(rat=0.5), "did you mean rate"),  # type: ignore[call-arg]
        (lambda: layers.Lambda(3), "function of Lambda cannot be called"),  # type: ignore[arg-type]
    ],
)
def test_wrong_arguments(make: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make()


def test_wrong_ranks() -> None:
    for layer in (layers.Permute((1,)), layers.RepeatVector(2), layers.SpatialDropout1D(0.1)):
        with pytest.raises(ShapeError, match="needs an input of rank"):
            layer(layers.Input((2, 3, 4)))


def test_lambda() -> None:
    x, y = layers.Input(("T", 4)), layers.Input(("T", 4))
    scaled = layers.Lambda(lambda pair, scale: ops.tanh(pair[0]) * scale + pair[1], arguments={"scale": 2})([x, y])
    model = Model([x, y], scaled)
    np.testing.assert_allclose(evaluate(model, X, X), np.tanh(X) * 2 + X, rtol=1e-6)
    np.testing.assert_allclose(rnncc.compile(model)(X, X), np.tanh(X) * 2 + X, rtol=1e-6)
    first, second = layers.Lambda(lambda x: (x + 1, x + 2))(x)
    assert first.shape == second.shape == (None, None, 4)
    with pytest.raises(ArgumentError, match=r"must return symbolic tensors(.|\n)*rnncc.ops"):
        layers.Lambda(lambda x: 3)(x)


def test_lambda_and_masks() -> None:
    x = layers.Masking()(layers.Input(("T", 4)))
    assert layers.Lambda(lambda x: x, mask=lambda x, mask: mask)(x).mask is not None
    counted = layers.Lambda(lambda x, mask: ops.where(ops.expand_dims(mask, -1), x, 7), mask=lambda x, mask: None)
    assert counted(x).shape == (None, None, 4)
