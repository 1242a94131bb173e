"""Pooling over the steps of a sequence, with masks, against Keras and NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers
from rnncc.errors import ArgumentError, ShapeError
from rnncc.layers.execution import evaluate
from rnncc.layers.model import Model
from tests.layers.keras_reference import ATOL, RTOL, keras

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's variables

X = np.random.default_rng(5).normal(size=(4, 7, 3)).astype(np.float32)
MASK = np.arange(7) < np.array([[7], [3], [1], [0]])
"""The last row has no step that counts: its mean is NaN, in Keras as well."""


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize("options", [{}, {"keepdims": True}], ids=str)
def test_the_mean_of_steps_that_count(options: dict[str, Any]) -> None:
    expected = np.asarray(keras.layers.GlobalAveragePooling1D(**options)(X, mask=MASK))
    x, mask = layers.Input(("T", 3)), layers.Input(("T",), dtype="bool")
    layer = layers.GlobalAveragePooling1D(**options)
    model = Model([x, mask], layer(x, mask=mask))
    for found in (rnncc.compile(model)(X, MASK), evaluate(model, X, MASK), layer(X, mask=MASK)):
        np.testing.assert_allclose(found, expected, rtol=RTOL, atol=ATOL)
    first = layers.GlobalAveragePooling1D(data_format="channels_first", **options)
    turned = np.asarray(
        keras.layers.GlobalAveragePooling1D(data_format="channels_first", **options)(X.transpose(0, 2, 1), mask=MASK)
    )
    np.testing.assert_allclose(first(X.transpose(0, 2, 1), mask=MASK), turned, rtol=RTOL, atol=ATOL)


def test_a_mask_that_travels() -> None:
    """Embedding(mask_zero) -> GRU -> mean: the mean of what the words gave, and no mask behind it."""
    ids = np.array([[4, 2, 0, 0, 0], [1, 2, 3, 4, 5]])
    tokens = layers.Input((None,), dtype="int64")
    steps = layers.GRU(6, return_sequences=True)(layers.Embedding(9, 5, mask_zero=True)(tokens))
    pooled = layers.GlobalAveragePooling1D()(steps)
    assert pooled.mask is None
    fn = rnncc.compile(Model(tokens, [pooled, steps]))
    for batch in (ids, ids[:1]):
        mean, each = fn(batch)
        counts = (batch != 0)[..., None]
        np.testing.assert_allclose(mean, (each * counts).sum(1) / counts.sum(1), rtol=RTOL, atol=ATOL)


def test_the_maximum_sees_all_steps() -> None:
    x = layers.Input((None, 3))
    with pytest.warns(UserWarning, match="does not pass on the mask"):
        model = Model(x, layers.GlobalMaxPooling1D()(layers.Masking()(x)))
    np.testing.assert_array_equal(rnncc.compile(model)(X), X.max(1))


def test_one_compilation_for_all_lengths() -> None:
    x = layers.Input((None, 3))
    fn = rnncc.compile(Model(x, [layers.GlobalAveragePooling1D()(x), layers.GlobalMaxPooling1D()(x)]))
    for time in (1, 2, 6, 7):
        mean, largest = fn(X[:, :time])
        np.testing.assert_allclose(mean, X[:, :time].mean(1), rtol=RTOL, atol=ATOL)
        np.testing.assert_array_equal(largest, X[:, :time].max(1))


def test_wrong_use() -> None:
    with pytest.raises(ArgumentError, match="data_format of GlobalMaxPooling1D"):
        layers.GlobalMaxPooling1D("last")
    with pytest.raises(ShapeError, match="needs an input of rank"):
        layers.GlobalAveragePooling1D()(layers.Input((3,)))
