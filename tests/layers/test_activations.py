"""Every activation against Keras and against float64, evaluated and compiled, by itself and as part of a cell."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers
from rnncc.errors import ArgumentError, ShapeError
from rnncc.layers import activations
from rnncc.layers.execution import evaluate
from rnncc.layers.model import Model
from tests.layers.keras_reference import assert_close, keras, quietly

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's variables

NAMES = sorted(set(activations.KNOWN) - {"hard_sigmoid_keras2", "sparsemax"})
"""Keras 3.15's sparsemax does not sum to 1 on its NumPy backend: it cannot be the reference."""
WITH_ARGUMENTS: list[tuple[str, dict[str, Any]]] = [
    ("relu", {"negative_slope": 0.3}),
    ("relu", {"max_value": 1.5}),
    ("relu", {"max_value": 6.0}),
    ("relu", {"threshold": 0.75}),
    ("relu", {"threshold": -0.75}),
    ("relu", {"negative_slope": 0.1, "max_value": 1.5, "threshold": 0.5}),
    ("relu", {"negative_slope": 0.1, "max_value": 1.5, "threshold": -0.5}),
    ("relu", {"negative_slope": 0.1, "threshold": 0.5}),
    ("leaky_relu", {"negative_slope": 0.01}),
    ("elu", {"alpha": 0.7}),
    ("celu", {"alpha": 0.7}),
    ("gelu", {"approximate": True}),
    ("gelu", {"approximate": False}),
    ("squareplus", {"b": 1.0}),
    ("squareplus", {"b": 0.0}),
    ("soft_shrink", {"threshold": 1.0}),
    ("hard_shrink", {"threshold": 1.0}),
    ("threshold", {"threshold": 0.5, "default_value": -2.0}),
    ("softmax", {"axis": 1}),
    ("log_softmax", {"axis": 1}),
    ("glu", {"axis": 1}),
]
ELEMENTWISE = sorted(set(NAMES) - {"softmax", "log_softmax", "glu"})


def numbers() -> np.ndarray:
    """Around every bend, on both sides, and far from 0."""
    bends = [-3, -1, -0.5, 0, 0.5, 0.75, 1, 1.5, 3, 6, -20, 20, -88, 88, -1e4, 1e4, -1e-6, 1e-6]
    random = np.random.default_rng(1).normal(0, 2, 138)
    return np.concatenate([bends, random]).astype(np.float32).reshape(3, 4, 13)[..., :12]


def exactly(name: str, x: np.ndarray, **arguments: Any) -> np.ndarray:
    """Keras's function in float64: in float32 some of its formulas lose what ours keep (squareplus in both)."""
    theirs = getattr(keras.activations, name, None) or keras.activations.get(name)
    function = squareplus if name == "squareplus" else theirs
    with np.errstate(all="ignore"):
        return np.asarray(quietly(function, x.astype(np.float64), **arguments)).astype(np.float32)


def squareplus(x: np.ndarray, b: float = 4) -> np.ndarray:
    return (x + np.sqrt(x * x + b)) / 2


def compiled_and_evaluated(function: Any, x: np.ndarray) -> list[np.ndarray]:
    inputs = layers.Input(x.shape[1:])
    model = Model(inputs, layers.Activation(function)(inputs))
    return [evaluate(model, x), rnncc.compile(model)(x)]


def test_keras_has_no_other_names() -> None:
    from keras.src.activations import ALL_OBJECTS_DICT

    assert sorted({*ALL_OBJECTS_DICT, "hard_sigmoid_keras2"} - {"threshold"}) == sorted(activations.KNOWN)


@pytest.mark.parametrize("name", NAMES)
def test_names(name: str) -> None:
    x = numbers()
    expected = exactly(name, x)
    for result in compiled_and_evaluated(name, x):
        assert_close(result, [expected])


@pytest.mark.parametrize(("name", "arguments"), WITH_ARGUMENTS, ids=str)
def test_arguments(name: str, arguments: dict[str, Any]) -> None:
    x = numbers()
    expected = exactly(name, x, **arguments)
    for result in compiled_and_evaluated(partial(getattr(activations, name), **arguments), x):
        assert_close(result, [expected])


def test_the_hard_sigmoid_of_keras_2() -> None:
    x = numbers()
    for result in compiled_and_evaluated("hard_sigmoid_keras2", x):
        assert_close(result, [np.clip(np.float32(0.2) * x + np.float32(0.5), 0, 1)])


@pytest.mark.parametrize("name", [*ELEMENTWISE, "hard_sigmoid_keras2"])
@pytest.mark.parametrize("kind", ["SimpleRNN", "GRU"])
def test_inside_a_cell(kind: str, name: str) -> None:
    x = np.random.default_rng(2).normal(0, 0.3, (2, 3, 5)).astype(np.float32)
    inputs = layers.Input((None, 5))
    gate = {"recurrent_activation": name} if kind == "GRU" else {}
    model = Model(inputs, getattr(layers, kind)(7, activation=name, **gate)(inputs))
    fn = rnncc.compile(model)
    assert_close(fn(x), [evaluate(model, x)])
    assert fn.ir("scheduled").count("for t in range") == 1


EXACT: dict[str, Any] = {
    "softplus": lambda x: np.logaddexp(0, x),
    "log_sigmoid": lambda x: -np.logaddexp(0, -x),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
    "celu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "squareplus": lambda x: np.where(x < 0, 2 / (np.hypot(x, 2) + np.abs(x)), (x + np.hypot(x, 2)) / 2),
    "silu": lambda x: x / (1 + np.exp(-x)),
}


@pytest.mark.parametrize("name", EXACT)
def test_small_results_have_all_their_bits_and_large_ones_do_not_overflow(name: str) -> None:
    x = np.concatenate([np.linspace(-80, 80, 1601), np.linspace(-1e-3, 1e-3, 201), [-1e-30, 1e-30]])
    x = x.astype(np.float32)[None]
    with np.errstate(over="ignore"):
        exact = EXACT[name](x.astype(np.float64))
    for result in compiled_and_evaluated(name, x):
        np.testing.assert_allclose(result, exact, rtol=2e-6, atol=1e-44)


@pytest.mark.parametrize("name", ["softplus", "log_sigmoid", "mish", "elu", "selu", "celu", "gelu", "sparse_plus"])
def test_infinities_and_nan(name: str) -> None:
    x = np.array([[np.inf, 1e38, np.nan, -1e38]], np.float32)
    for plus, large, nan, minus in (result[0] for result in compiled_and_evaluated(name, x)):
        assert plus == (0 if name == "log_sigmoid" else np.inf)
        assert np.isfinite([large, minus]).all()
        assert np.isnan(nan)


def sparsemax(row: np.ndarray) -> np.ndarray:
    """By sorting, as the paper does it (algorithm 1)."""
    falling = np.sort(row)[::-1]
    sums = np.cumsum(falling)
    k = max(n for n in range(1, row.size + 1) if 1 + n * falling[n - 1] > sums[n - 1])
    return np.maximum(row - (sums[k - 1] - 1) / k, 0)


@pytest.mark.parametrize("axis", [-1, 1])
def test_sparsemax(axis: int) -> None:
    x = np.random.default_rng(4).normal(0, 1, (3, 4, 13)).astype(np.float32)
    expected = np.apply_along_axis(sparsemax, axis, x)
    for result in compiled_and_evaluated(partial(activations.sparsemax, axis=axis), x):
        np.testing.assert_allclose(result, expected, atol=1e-6)
        np.testing.assert_allclose(result.sum(axis), 1, rtol=1e-5)


def test_sparsemax_with_ties_and_with_one_winner() -> None:
    x = np.array([[1, 1, 1, 1], [9, 0, 0, 0], [0.5, 0.5, 0, -5]], np.float32)
    expected = np.array([[0.25] * 4, [1, 0, 0, 0], [0.5, 0.5, 0, 0]], np.float32)
    for result in compiled_and_evaluated("sparsemax", x):
        np.testing.assert_allclose(result, expected, atol=1e-6)


def test_glu_halves_its_axis() -> None:
    x = layers.Input((None, 6))
    assert layers.Activation("glu")(x).shape == (None, None, 3)
    with pytest.raises(ShapeError, match="glu halves axis 1, whose size must be fixed and even"):
        layers.Activation(partial(activations.glu, axis=1))(x)
    with pytest.raises(ShapeError, match=r"fixed and even\n(.|\n)*double the units"):
        layers.Dense(5, activation="glu")(x)


@pytest.mark.parametrize(
    ("given", "meant"), [("sofplus", "softplus"), ("hardsigmoid", "hard_sigmoid"), ("Swish", "swish")]
)
def test_an_unknown_name_gets_the_nearest_one(given: str, meant: str) -> None:
    with pytest.raises(ArgumentError, match=rf"no activation '{given}'(.|\n)*did you mean '{meant}'"):
        layers.Activation(given)
