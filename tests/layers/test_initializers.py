"""Initializers: ranges, moments, orthogonality, seeds, and the ways to name one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rnncc.errors import ArgumentError
from rnncc.layers import GRU, LSTM, Dense, Embedding, Input, initializers
from rnncc.layers.initializers import set_random_seed
from tests.layers.keras_reference import keras


@pytest.fixture(autouse=True)
def _seeded() -> None:
    set_random_seed(1)


def built(layer: Any, shape: tuple[int | None, ...]) -> list[np.ndarray]:
    layer(Input(shape))
    weights: list[np.ndarray] = layer.get_weights()
    return weights


def test_glorot_uniform() -> None:
    kernel, bias = built(Dense(300), (200,))
    limit = np.sqrt(6 / 500)
    assert np.abs(kernel).max() <= limit
    assert np.abs(kernel).max() > 0.999 * limit
    assert abs(kernel.mean()) < 0.01 * limit
    assert abs(kernel.std() - limit / np.sqrt(3)) < 0.01 * limit
    assert not bias.any()
    assert kernel.dtype == bias.dtype == np.float32


def test_glorot_normal_is_cut_off_at_two_deviations() -> None:
    values = initializers.GlorotNormal()((200, 300))
    deviation = np.sqrt(2 / 500)
    assert abs(values.std() / deviation - 1) < 0.01
    assert np.abs(values).max() <= 2 * deviation / 0.8796 + 1e-6


@pytest.mark.parametrize("shape", [(300, 200), (5, 60, 70), (20000,)], ids=str)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {}) for name in ("HeNormal", "HeUniform", "LecunNormal", "LecunUniform", "GlorotNormal")),
        ("GlorotUniform", {}),
        ("TruncatedNormal", {"mean": 0.3, "stddev": 0.2}),
        *(
            ("VarianceScaling", {"scale": 1.7, "mode": mode, "distribution": distribution})
            for mode, distribution in (
                ("fan_in", "uniform"),
                ("fan_out", "truncated_normal"),
                ("fan_avg", "untruncated_normal"),
            )
        ),
    ],
)
def test_distributions_are_those_of_keras(name: str, options: dict[str, Any], shape: tuple[int, ...]) -> None:
    ours = getattr(initializers, name)(seed=1, **options)(shape)
    theirs = np.asarray(getattr(keras.initializers, name)(seed=1, **options)(shape))
    assert ours.shape == theirs.shape and ours.dtype == np.float32
    deviation = theirs.std()
    assert abs(ours.mean() - theirs.mean()) < 0.04 * deviation
    assert abs(ours.std() / deviation - 1) < 0.03
    if "untruncated" not in str(options):
        assert abs(np.abs(ours).max() / np.abs(theirs).max() - 1) < 0.01
    assert np.array_equal(getattr(initializers, name)(seed=1, **options)(shape), ours)


def test_names_of_initializers() -> None:
    for name in ("he_normal", "HeUniform", "lecun_normal", "lecun_uniform", "truncated_normal", "variance_scaling"):
        (kernel, _) = built(Dense(30, kernel_initializer=name), (20,))
        assert 0 < kernel.std() < 0.5
    for options, message in (
        ({"scale": 0}, "scale of VarianceScaling must be above 0"),
        ({"scale": "2"}, "scale of VarianceScaling must be above 0"),
        ({"scale": np.complex64(2)}, "scale of VarianceScaling must be above 0"),
        ({"mode": "fan"}, "VarianceScaling has no mode 'fan'"),
        ({"distribution": "even"}, "VarianceScaling has no distribution 'even'"),
    ):
        with pytest.raises(ArgumentError, match=message):
            initializers.VarianceScaling(**options)


def test_uniform() -> None:
    (table,) = built(Embedding(500, 40), (None,))
    assert table.shape == (500, 40)
    assert -0.05 <= table.min() < -0.0499
    assert 0.0499 < table.max() <= 0.05


def test_random_normal() -> None:
    values = initializers.RandomNormal(mean=3.0, stddev=0.5)((400, 100))
    assert abs(values.mean() - 3) < 0.02
    assert abs(values.std() - 0.5) < 0.02


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 12), (2, 3, 4), (1, 1)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    matrix = initializers.Orthogonal(gain=2.0)(shape).reshape(-1, shape[-1]) / 2
    product = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-5)


@pytest.mark.parametrize("shape", [(130, 65), (67, 268), (5, 40, 70)])
def test_large_orthogonal_matrices_are_those_of_the_qr_factorization(shape: tuple[int, ...]) -> None:
    matrix = initializers.Orthogonal(seed=3)(shape).reshape(-1, shape[-1])
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    normal = np.random.default_rng(3).standard_normal(tall.shape, np.float32)
    q, r = np.linalg.qr(normal.astype(np.float64))
    np.testing.assert_allclose(tall, q * np.sign(np.diagonal(r)), atol=3e-7)
    np.testing.assert_allclose(tall.T @ tall, np.eye(tall.shape[1]), atol=2e-6)


def test_orthogonal_has_no_preferred_sign() -> None:
    corners = [initializers.Orthogonal()((4, 4))[0, 0] for _ in range(100)]
    assert 20 < sum(corner > 0 for corner in corners) < 80


def test_recurrent_kernels_are_orthogonal_and_forget_gates_open() -> None:
    kernel, recurrent, bias = built(LSTM(6), (None, 3))
    assert (kernel.shape, recurrent.shape) == ((3, 24), (6, 24))
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(6), atol=1e-5)
    assert bias.tolist() == [0.0] * 6 + [1.0] * 6 + [0.0] * 12
    assert not built(LSTM(6, unit_forget_bias=False), (None, 3))[2].any()
    assert built(GRU(4), (None, 3))[2].shape == (2, 12)
    assert built(GRU(4, reset_after=False), (None, 3))[2].shape == (12,)


def test_same_seed_same_weights() -> None:
    def draw() -> list[np.ndarray]:
        return built(LSTM(5), (None, 3)) + built(Dense(2), (3,))

    set_random_seed(7)
    first = draw()
    set_random_seed(7)
    assert all((a == b).all() for a, b in zip(first, draw(), strict=True))
    assert any((a != b).any() for a, b in zip(first, draw(), strict=True))
    own = initializers.RandomUniform(seed=3)
    assert (own((4,)) == own((4,))).all()


@pytest.mark.parametrize(
    ("spec", "check"),
    [
        ("ones", lambda x: (x == 1).all()),
        ("GlorotUniform", lambda x: x.any()),
        ("identity", lambda x: (x == np.eye(3)).all()),
        (initializers.Constant(0.25), lambda x: (x == 0.25).all()),
        (initializers.Zeros, lambda x: not x.any()),
        (lambda shape: np.full(shape, 2.0), lambda x: (x == 2).all()),
        (lambda shape, dtype: np.full(shape, 3.0, dtype), lambda x: (x == 3).all()),
        (lambda shape, dtype=None: np.full(shape, 4), lambda x: (x == 4).all()),
    ],
)
def test_ways_to_give_one(spec: Any, check: Callable[[np.ndarray], bool]) -> None:
    kernel = built(Dense(3, kernel_initializer=spec), (3,))[0]
    assert kernel.dtype == np.float32
    assert check(kernel)


def test_an_error_inside_an_initializer_is_not_hidden() -> None:
    def broken(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        raise TypeError("from inside")

    with pytest.raises(TypeError, match="from inside"):
        built(Dense(3, kernel_initializer=broken), (3,))
