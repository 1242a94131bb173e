"""The cells of papers against plain NumPy loops: evaluated, compiled to one loop over time, and built wrongly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers
from rnncc.errors import ArgumentError, ShapeError
from rnncc.layers.execution import evaluate
from rnncc.layers.model import Model

Weights = dict[str, np.ndarray]
Step = Callable[[Weights, np.ndarray, list[np.ndarray]], tuple[np.ndarray, list[np.ndarray]]]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def normalized(w: Weights, name: str, x: np.ndarray) -> np.ndarray:
    scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return scaled * w[f"{name}_gain"] + w[f"{name}_shift"]


def gates(w: Weights, x: np.ndarray, h: np.ndarray, count: int = 4) -> list[np.ndarray]:
    return np.split(x @ w["kernel"] + h @ w["recurrent_kernel"] + w["bias"], count, -1)


def layer_norm_lstm(w: Weights, x: np.ndarray, states: list[np.ndarray]) -> Any:
    h, c = states
    z = normalized(w, "input", x @ w["kernel"]) + normalized(w, "recurrent", h @ w["recurrent_kernel"]) + w["bias"]
    i, f, g, o = np.split(z, 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(normalized(w, "cell", c))
    return h, [h, c]


def peephole_lstm(w: Weights, x: np.ndarray, states: list[np.ndarray]) -> Any:
    h, c = states
    i, f, g, o = gates(w, x, h)
    p_i, p_f, p_o = w["peephole"]
    c = sigmoid(f + p_f * c) * c + sigmoid(i + p_i * c) * np.tanh(g)
    h = sigmoid(o + p_o * c) * np.tanh(c)
    return h, [h, c]


def projected_lstm(w: Weights, x: np.ndarray, states: list[np.ndarray]) -> Any:
    h, c = states
    i, f, g, o = gates(w, x, h)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = (sigmoid(o) * np.tanh(c)) @ w["projection_kernel"]
    return h, [h, c]


def coupled_gate_lstm(w: Weights, x: np.ndarray, states: list[np.ndarray]) -> Any:
    h, c = states
    f, g, o = gates(w, x, h, 3)
    c = sigmoid(f) * c + (1 - sigmoid(f)) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return h, [h, c]


def zoneout_lstm(w: Weights, x: np.ndarray, states: list[np.ndarray]) -> Any:
    h, c = states
    i, f, g, o = gates(w, x, h)
    new_c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    new_h = sigmoid(o) * np.tanh(new_c)
    return (h := 0.2 * h + 0.8 * new_h), [h, 0.4 * c + 0.6 * new_c]


def layer_norm_gru(w: Weights, x: np.ndarray, states: list[np.ndarray]) -> Any:
    (h,) = states
    size = 2 * h.shape[-1]
    wx, uh, b = x @ w["kernel"], h @ w["recurrent_kernel"], w["bias"]
    zr = normalized(w, "input_gates", wx[:, :size]) + normalized(w, "recurrent_gates", uh[:, :size]) + b[:size]
    z, r = np.split(sigmoid(zr), 2, -1)
    from_x, from_h = normalized(w, "input_candidate", wx[:, size:]), normalized(w, "recurrent_candidate", uh[:, size:])
    h = (1 - z) * h + z * np.tanh(from_x + r * from_h + b[size:])
    return h, [h]


def minimal_gru(w: Weights, x: np.ndarray, states: list[np.ndarray]) -> Any:
    (h,) = states
    size = h.shape[-1]
    w_f, w_g = np.split(w["kernel"], 2, -1)
    u_f, u_g = np.split(w["recurrent_kernel"], 2, -1)
    f = sigmoid(x @ w_f + h @ u_f + w["bias"][:size])
    h = (1 - f) * h + f * np.tanh(x @ w_g + (f * h) @ u_g + w["bias"][size:])
    return h, [h]


def ind_rnn(w: Weights, x: np.ndarray, states: list[np.ndarray]) -> Any:
    h = np.maximum(x @ w["kernel"] + w["recurrent_kernel"] * states[0] + w["bias"], 0)
    return h, [h]


def sru(w: Weights, x: np.ndarray, states: list[np.ndarray]) -> Any:
    (c,) = states
    size = c.shape[-1]
    parts = np.split(x @ w["kernel"], w["kernel"].shape[1] // size, -1)
    f = sigmoid(parts[1] + w["recurrent_kernel"][0] * c + w["bias"][0])
    r = sigmoid(parts[2] + w["recurrent_kernel"][1] * c + w["bias"][1])
    c = f * c + (1 - f) * parts[0]
    return r * c + (1 - r) * 1.5 * (parts[3] if len(parts) == 4 else x), [c]


CELLS: list[tuple[str, Step, dict[str, Any]]] = [
    ("LayerNormLSTMCell", layer_norm_lstm, {}),
    ("PeepholeLSTMCell", peephole_lstm, {}),
    ("ProjectedLSTMCell", projected_lstm, {"projection": 4}),
    ("CoupledGateLSTMCell", coupled_gate_lstm, {}),
    ("ZoneoutLSTMCell", zoneout_lstm, {"zoneout_c": 0.4, "zoneout_h": 0.2}),
    ("LayerNormGRUCell", layer_norm_gru, {}),
    ("MinimalGRUCell", minimal_gru, {}),
    ("IndRNNCell", ind_rnn, {}),
    ("SRUCell", sru, {"highway_scale": 1.5}),
]
SIZES = [(1, 1, 1, 1), (3, 1, 5, 9), (2, 7, 9, 9), (5, 6, 17, 33)]
"""batch, time, width, units"""


def loop(step: Step, weights: Weights, x: np.ndarray, states: list[np.ndarray]) -> list[np.ndarray]:
    """All outputs and the last states, in float64."""
    outputs = []
    for t in range(x.shape[1]):
        output, states = step(weights, x[:, t].astype(np.float64), states)
        outputs.append(output)
    return [np.stack(outputs, 1), *states]


def model_of(kind: str, width: int, units: int, arguments: dict[str, Any]) -> tuple[Model, Weights, list[int]]:
    """The cell in an RNN, and its weights by name, drawn at random."""
    cell = getattr(layers, kind)(units, **arguments)
    inputs = layers.Input((None, width))
    model = Model(inputs, layers.RNN(cell, return_sequences=True, return_state=True)(inputs))
    random = np.random.default_rng(7)
    spread = [min(0.5, weight.shape[0] ** -0.5) for weight in model.weights]
    values = [random.normal(0, s, w.shape).astype(np.float32) for s, w in zip(spread, model.weights, strict=True)]
    model.set_weights(values)
    sizes = cell.state_size if isinstance(cell.state_size, list) else [cell.state_size]
    return model, dict(zip([weight.name for weight in model.weights], values, strict=True)), sizes


@pytest.mark.parametrize(("kind", "step", "arguments"), CELLS, ids=[kind for kind, _, _ in CELLS])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_against_a_numpy_loop(kind: str, step: Step, arguments: dict[str, Any], size: tuple[int, ...]) -> None:
    batch, time, width, units = size
    model, weights, sizes = model_of(kind, width, units, arguments)
    x = np.random.default_rng(8).normal(size=(batch, time, width)).astype(np.float32)
    expected = loop(step, weights, x, [np.zeros((batch, size)) for size in sizes])
    fn = rnncc.compile(model)
    for results in (evaluate(model, x), fn(x)):
        for result, wanted in zip(results, expected, strict=True):
            np.testing.assert_allclose(result, wanted, rtol=1e-5, atol=2e-6)
    assert fn.ir("scheduled").count("for t in range") == 1, "one loop over time"


@pytest.mark.parametrize(("kind", "step", "arguments"), CELLS, ids=[kind for kind, _, _ in CELLS])
def test_last_output_and_arguments(kind: str, step: Step, arguments: dict[str, Any]) -> None:
    cell = getattr(layers, kind)(8, **arguments)
    assert layers.RNN(cell)(layers.Input((None, 3))).shape == (None, cell.output_size)
    with pytest.raises(ArgumentError, match=f"{kind} has no argument 'unit'"):
        getattr(layers, kind)(unit=8)
    with pytest.raises(ArgumentError, match=f"units of {kind} must be a whole number"):
        getattr(layers, kind)(0, **arguments)
    with pytest.raises(ShapeError, match="needs an input of rank 2"):
        getattr(layers, kind)(8, **arguments)(layers.Input((None, 3)), [])


@pytest.mark.parametrize(
    ("kind", "part"), [("LayerNormLSTMCell", 1), ("PeepholeLSTMCell", 1), ("CoupledGateLSTMCell", 0)]
)
def test_a_new_cell_remembers(kind: str, part: int) -> None:
    cell = getattr(layers, kind)(3)
    cell.build((None, 2))
    bias = cell.bias.numpy().reshape(cell.gates, 3)
    expected = np.zeros_like(bias)
    expected[part] = 1
    np.testing.assert_array_equal(bias, expected)
