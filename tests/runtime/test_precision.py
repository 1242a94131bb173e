"""What precision= does to products with weights, and to nothing else.

"bfloat16": factors are rounded. "float32-bf16x6": they are sums of three numbers of bfloat16, and errors are smaller
than those of float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers, ops
from rnncc.codegen.target import KNOWN_TARGETS, Target
from rnncc.errors import ArgumentError
from rnncc.loop.functions import FUNCTIONS

RUNNABLE = [name for name in KNOWN_TARGETS if Target.parse(name).runs_on_host]
NARROW = ("bfloat16", "float32-bf16x6")
SIZES = ((1, 1), (2, 7), (13, 5), (5, 0), (0, 3))


def rounded(x: Any) -> np.ndarray:
    """float32 rounded to bfloat16, ties to even, by arithmetic: 8 significant bits, as float64."""
    x = np.asarray(x, np.float64)
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.rint(mantissa * 256) / 256, exponent)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def products() -> dict[str, Callable[[Any], Any]]:
    """Products whose columns lie, or are wanted, in unusual places."""

    def dense(units: int) -> Any:
        return layers.Dense(units, use_bias=False)

    return {
        "another axis of one element": lambda x: layers.Reshape((9, 7, 1))(dense(7)(x)),
        "turned": lambda x: layers.Permute((2, 1))(dense(7)(x)),
        "turned under a function": lambda x: ops.tanh(ops.transpose(dense(7)(x), (0, 2, 1))),
        "one column": dense(1),
        "one column, flat": lambda x: layers.Reshape((9,))(dense(1)(x)),
        "heads": lambda x: ops.transpose(ops.reshape(dense(8)(x), (-1, 9, 2, 4)), (0, 2, 1, 3)),
        "states, turned": lambda x: layers.Permute((2, 1))(layers.GRU(6, return_sequences=True)(x)),
    }


@pytest.mark.parametrize("kind", products())
def test_no_product_keeps_float32(kind: str) -> None:
    rnncc.set_random_seed(2)
    x = layers.Input((9, 48))
    model = rnncc.Model(x, layers.Activation("linear")(products()[kind](x)))
    given = np.random.default_rng(0).normal(size=(5, 9, 48)).astype(np.float32)
    exact, narrow = rnncc.compile(model)(given), rnncc.compile(model, precision="bfloat16")(given)
    assert exact.shape == narrow.shape
    assert 1e-4 < abs(exact - narrow).max() < 0.05
    corrected = rnncc.compile(model, precision="float32-bf16x6")(given)
    np.testing.assert_allclose(corrected, exact, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("precision", NARROW)
def test_one_product_and_a_pair_of_them_in_one_nest(precision: str) -> None:
    """A sum over one element has no pairs; that over two has one, so that both are loops of one turn."""
    rnncc.set_random_seed(2)
    x = layers.Input((None, 2))
    model = rnncc.Model(x, layers.RNN([layers.SimpleRNNCell(1), layers.LSTMCell(2)])(x))
    given = np.random.default_rng(0).normal(size=(5, 9, 2)).astype(np.float32)
    np.testing.assert_allclose(rnncc.compile(model, precision=precision)(given), rnncc.compile(model)(given), atol=0.02)


def lstm_loop(
    x: np.ndarray,
    kernel: np.ndarray,
    recurrent: np.ndarray,
    bias: np.ndarray,
    rounded: Callable[[np.ndarray], np.ndarray] = rounded,
) -> np.ndarray:
    """A plain LSTM in float64 whose products have rounded factors."""
    units = recurrent.shape[0]
    h = c = np.zeros((len(x), units))
    for t in range(x.shape[1]):
        z = rounded(x[:, t]) @ rounded(kernel) + bias + rounded(h.astype(np.float32)) @ rounded(recurrent)
        i, f, g, o = (z[:, n * units : (n + 1) * units] for n in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    return h


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize(("width", "units"), [(3, 5), (37, 45), (64, 130)])
def test_lstm_is_a_loop_with_rounded_factors(width: int, units: int, target: str) -> None:
    rng = np.random.default_rng(units)
    lstm = layers.LSTM(units)
    model = rnncc.Sequential([layers.Input(shape=(None, width)), lstm])
    fn = rnncc.compile(model, precision="bfloat16", target=target)
    single = rnncc.compile(model, target=target)
    for batch, length in SIZES:
        x = rng.standard_normal((batch, length, width)).astype(np.float32)
        expected = lstm_loop(x, *lstm.get_weights())
        # A state that lies next to a tie may be rounded the other way: that is one bit in 256 of one factor.
        np.testing.assert_allclose(fn(x), expected, rtol=0, atol=4e-4)
        if batch and length > 1:
            assert np.abs(fn(x) - expected).mean() < 0.2 * np.abs(single(x) - expected).mean()


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("depth", [1, 2, 5, 64, 131])
def test_dense_has_exact_products(depth: int, target: str) -> None:
    rng = np.random.default_rng(depth)
    dense = layers.Dense(19)
    model = rnncc.Sequential([layers.Input(shape=(depth,)), dense])
    x = rng.standard_normal((7, depth)).astype(np.float32)
    kernel, bias = dense.get_weights()
    exact = rounded(x) @ rounded(kernel) + bias if depth > 1 else x @ kernel + bias
    actual = rnncc.compile(model, precision="bfloat16", target=target)(x)
    np.testing.assert_allclose(actual, exact, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize(("depth", "units"), [(5, 1), (64, 19), (131, 40), (512, 33), (1024, 64)])
def test_three_parts_are_more_accurate_than_float32(depth: int, units: int, target: str) -> None:
    rng = np.random.default_rng(depth)
    dense = layers.Dense(units)
    model = rnncc.Sequential([layers.Input(shape=(depth,)), dense])
    x = rng.standard_normal((29, depth)).astype(np.float32)
    dense.set_weights([rng.standard_normal(shape).astype(np.float32) for shape in ((depth, units), (units,))])
    kernel, bias = (array.astype(np.float64) for array in dense.get_weights())
    error, usual = (
        np.abs(rnncc.compile(model, precision=precision, target=target)(x) - (x @ kernel + bias)).mean()
        for precision in ("float32-bf16x6", "float32")
    )
    assert error < (0.6 if depth >= 64 else 1.0) * usual


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e18])
def test_three_parts_are_as_accurate_at_every_size(scale: float) -> None:
    rng = np.random.default_rng(1)
    dense = layers.Dense(17)
    model = rnncc.Sequential([layers.Input(shape=(301,)), dense])
    kernel = rng.standard_normal((301, 17)).astype(np.float32)
    dense.set_weights([kernel * np.float32(scale), np.zeros(17, np.float32)])
    x = rng.standard_normal((5, 301)).astype(np.float32)
    expected = x.astype(np.float64) @ dense.get_weights()[0].astype(np.float64)
    actual = rnncc.compile(model, precision="float32-bf16x6")(x)
    np.testing.assert_allclose(actual / scale, expected / scale, rtol=0, atol=1e-5)


@pytest.mark.parametrize("units", [33, 256])
def test_an_lstm_in_three_parts_is_as_accurate_as_in_float32(units: int) -> None:
    rng = np.random.default_rng(units)
    lstm = layers.LSTM(units)
    model = rnncc.Sequential([layers.Input(shape=(None, 37)), lstm])
    x = rng.standard_normal((13, 21, 37)).astype(np.float32)
    expected = lstm_loop(x, *lstm.get_weights(), rounded=lambda x: x.astype(np.float64))
    error, usual = (
        np.abs(rnncc.compile(model, precision=precision)(x) - expected).mean()
        for precision in ("float32-bf16x6", "float32")
    )
    assert error <= usual


def test_infinities_stay_infinite_in_three_parts() -> None:
    dense = layers.Dense(2)
    model = rnncc.Sequential([layers.Input(shape=(3,)), dense])
    dense.set_weights([np.array([[1, -2], [0.3, 0.3], [1, 1]], np.float32), np.zeros(2, np.float32)])
    fn = rnncc.compile(model, precision="float32-bf16x6")
    x = np.array([[np.inf, 1, 1], [1, -np.inf, 1], [np.inf, -np.inf, 1], [np.nan, 1, 1]], np.float32)
    expected = np.array([[np.inf, -np.inf], [-np.inf, -np.inf], [np.nan, -np.inf], [np.nan, np.nan]])
    np.testing.assert_array_equal(fn(x), expected)


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("units", [1, 19])
@pytest.mark.parametrize("depth", [2, 5, 33])
@pytest.mark.parametrize("precision", NARROW)
def test_one_infinite_weight_makes_an_infinite_sum(precision: str, depth: int, units: int, target: str) -> None:
    dense = layers.Dense(units)
    model = rnncc.Sequential([layers.Input(shape=(depth,)), dense])
    fn = rnncc.compile(model, precision=precision, target=target)
    for place in range(depth):
        kernel = np.ones((depth, units), np.float32)
        kernel[place] = np.inf
        dense.set_weights([kernel, np.zeros(units, np.float32)])
        assert np.all(fn(np.ones((7, depth), np.float32)) == np.inf), place


@pytest.mark.parametrize("precision", NARROW)
def test_rows_have_the_same_bits_at_every_batch_size_and_on_every_thread(precision: str) -> None:
    rng = np.random.default_rng(0)
    model = rnncc.Sequential([layers.Input(shape=(None, 33)), layers.LSTM(200), layers.Dense(4)])
    fn = rnncc.compile(model, precision=precision)
    x = rng.standard_normal((23, 9, 33)).astype(np.float32)
    whole = fn(x)
    assert all(np.array_equal(fn(x[row : row + 1])[0], whole[row]) for row in range(len(x)))
    assert np.array_equal(rnncc.compile(model, precision=precision, threads=2)(x), whole)
    assert np.array_equal(rnncc.compile(model, precision=precision, threads=2)(x[:1]), whole[:1])


def test_pairs_are_rounded_to_nearest_and_even() -> None:
    pair, dot = FUNCTIONS["pair"].numpy, FUNCTIONS["dot"].numpy
    values = np.array(
        [1, 1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8 - 2**-20, 3.4e38, np.inf, -np.inf, 0.0, 2**-130], np.float32
    )
    ones = pair(np.ones_like(values), np.zeros_like(values))
    with np.errstate(invalid="ignore"):
        actual = dot(pair(values, np.zeros_like(values)), ones)
        expected = rounded(values)
    expected[4] = np.inf  # rounds beyond the largest number
    assert np.array_equal(actual, expected.astype(np.float32))
    assert np.isnan(dot(pair(np.float32("nan"), np.float32(0)), ones[:1])).all()


def test_the_rest_is_what_rounding_takes() -> None:
    values = np.array([1, 1 + 2**-8, -1 - 3 * 2**-9, 2**-130, 0.0, 3e38], np.float32)
    assert np.array_equal(FUNCTIONS["rest"].numpy(values), values - rounded(values))
    assert np.isnan(FUNCTIONS["rest"].numpy(np.array([np.inf, -np.inf, np.nan], np.float32))).all()


def test_weights_that_change_are_rounded_again() -> None:
    dense = layers.Dense(3)
    model = rnncc.Sequential([layers.Input(shape=(4,)), dense])
    fn = rnncc.compile(model, precision="bfloat16")
    x = np.ones((1, 4), np.float32)
    fn(x)
    dense.set_weights([np.full((4, 3), 1 + 2**-7, np.float32), np.zeros(3, np.float32)])
    assert fn(x).tolist() == [[4 + 2**-5] * 3]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"precision": "float16"}, ArgumentError, "known: float32, bfloat16"),
        ({"precision": None}, ArgumentError, "unknown precision None"),
        ({"precision": "bfloat16", "dtype": "float64"}, ArgumentError, "of float32 models"),
        ({"precision": "float32-bf16x6", "dtype": "float64"}, ArgumentError, "of float32 models"),
    ],
)
def test_a_precision_that_is_not_there_is_an_error(options: dict[str, Any], error: type[Exception], words: str) -> None:
    model = rnncc.Sequential([layers.Input(shape=(4,)), layers.Dense(3)])
    with pytest.raises(error, match=words) as info:
        rnncc.compile(model, **options)
    assert "test_precision.py" in str(info.value)
