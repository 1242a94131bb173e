"""LayerNormalization and RMSNormalization: order of weights, wrong use; the numbers are in the table of `compared`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers, ops
from rnncc.errors import ArgumentError, ShapeError, StructureError
from rnncc.layers.execution import evaluate
from rnncc.layers.model import Model


def test_weights() -> None:
    layer = layers.LayerNormalization()
    layer(layers.Input((None, 5)))
    assert [weight.name for weight in layer.weights] == ["gamma", "beta"]
    np.testing.assert_array_equal(layer.get_weights(), [np.ones(5), np.zeros(5)])
    plain = layers.LayerNormalization(center=False, scale=False)
    plain(layers.Input((5,)))
    assert plain.weights == []


def test_large_numbers_keep_their_differences() -> None:
    x = (np.random.default_rng(0).normal(size=(2, 8)) + 1000).astype(np.float32)
    inputs = layers.Input((8,))
    model = Model(inputs, layers.LayerNormalization()(inputs))
    wide = x.astype(np.float64)
    expected = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + 1e-3)
    for result in (evaluate(model, x), rnncc.compile(model)(x)):
        np.testing.assert_allclose(result, expected, atol=2e-4)


def test_the_mean_of_a_product_is_taken_from_its_weights() -> None:
    """Also where it is written twice, as a variance does: a step adds up squares, and nothing else."""
    rng = np.random.default_rng(2)
    kernel, recurrent = (rng.normal(0.3, 0.4, (5, 5)).astype(np.float32) for _ in range(2))

    def model(x: Any) -> Any:
        def step(h: Any, x_t: Any) -> Any:
            y = h @ recurrent
            scale = ops.sqrt(ops.var(y, axis=-1, keepdims=True) + 1e-3)
            h = ops.tanh((y - ops.mean(y, axis=-1, keepdims=True)) / scale + x_t @ kernel)
            return h, h

        return rnncc.scan(step, ops.ones(("B", 5)), ops.transpose(x, (1, 0, 2)))[1]

    graph = rnncc.trace(model, ("float32", ("B", "T", 5)))
    fn = rnncc.compile(graph)
    assert fn.ir("fused").count("f32[B] = sum(") == 1
    x = rng.normal(size=(3, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(fn(x), evaluate(graph, x), atol=1e-5)


def test_rms_over_another_axis() -> None:
    x = np.random.default_rng(1).normal(size=(2, 3, 5)).astype(np.float32)
    layer = layers.RMSNormalization(axis=1)
    layer(x)
    layer.set_weights([np.array([1, 2, 3])])
    expected = x / np.sqrt((x * x).mean(1, keepdims=True) + 1e-6) * np.array([1, 2, 3])[:, None]
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5)


def test_wrong_use() -> None:
    for kind in (layers.LayerNormalization, layers.RMSNormalization):
        with pytest.raises(ArgumentError, match=r"axis of .* must be a whole number, or several"):
            kind(axis=0.5)  # type: ignore[arg-type]
        with pytest.raises(StructureError, match="axis of features has no fixed size"):
            kind(axis=1)(layers.Input((None, 3)))
        with pytest.raises(ShapeError, match="has axis=3, its input has rank 2"):
            kind(axis=3)(layers.Input((3,)))


def test_masks_pass() -> None:
    assert layers.LayerNormalization()(layers.Masking()(layers.Input((None, 3)))).mask is not None
