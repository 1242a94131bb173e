"""Cells that somebody writes with `rnncc.scan`: the same pipeline makes them as right as the built-in ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers, ops
from rnncc.graph.ir import ArraySource, Graph
from rnncc.graph.symbolic import Tensor, input_tensor, weight_tensor
from rnncc.graph.trace import build_graph
from rnncc.types import DType, TensorType
from tests.tolerances import SAME_SUMS, assert_close

WIDTH, UNITS, PLACES = 5, 9, 6

State = tuple[Tensor, ...]
Step = Callable[[State, Tensor], State]


class Weights:
    """Makes random weights."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def __call__(self, *shape: int) -> Tensor:
        array = self.rng.uniform(-0.4, 0.4, shape).astype(np.float32)
        return weight_tensor(TensorType(DType.F32, shape), "w", ArraySource(array))


def normalized(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    centred = x - ops.mean(x, -1, keepdims=True)
    return centred / ops.sqrt(ops.mean(ops.square(centred), -1, keepdims=True) + 1e-3) * scale + shift


def layer_norm_lstm(w: Weights) -> tuple[int, Step]:
    """Ba et al., Layer Normalization, 2016: both products and the cell state are normalized."""
    kernel, recurrent, bias = w(WIDTH, 4 * UNITS), w(UNITS, 4 * UNITS), w(4 * UNITS)
    norms = [(1 + w(size), w(size)) for size in (4 * UNITS, 4 * UNITS, UNITS)]

    def step(state: State, x: Tensor) -> State:
        h, c = state
        sums = normalized(x @ kernel, *norms[0]) + normalized(h @ recurrent, *norms[1]) + bias
        i, f, g, o = ops.split(sums, 4, -1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        return ops.sigmoid(o) * ops.tanh(normalized(c, *norms[2])), c

    return 2, step


def squashed_rnn(w: Weights) -> tuple[int, Step]:
    """What is made of the states alone: for a product, for two, for one and something else, with a costly function."""
    kernel, recurrent, other, scale = w(WIDTH, UNITS), w(UNITS, UNITS), w(UNITS, UNITS), w(UNITS)

    def step(state: State, x: Tensor) -> State:
        h, c = state
        bent = ops.tanh(h * scale)
        moved = bent + c
        new = ops.tanh(x @ kernel + bent @ recurrent + moved @ other - bent * c)
        return new, ops.sigmoid(new @ recurrent) * ops.tanh(ops.sigmoid(c) @ other)

    return 2, step


def peephole_lstm(w: Weights) -> tuple[int, Step]:
    """Gers and Schmidhuber, Recurrent Nets that Time and Count, 2000: gates see the cell state."""
    kernel, recurrent, bias = w(WIDTH, 4 * UNITS), w(UNITS, 4 * UNITS), w(4 * UNITS)
    p_i, p_f, p_o = w(UNITS), w(UNITS), w(UNITS)

    def step(state: State, x: Tensor) -> State:
        h, c = state
        i, f, g, o = ops.split(x @ kernel + h @ recurrent + bias, 4, -1)
        new = ops.sigmoid(f + p_f * c) * c + ops.sigmoid(i + p_i * c) * ops.tanh(g)
        return ops.sigmoid(o + p_o * new) * ops.tanh(new), new

    return 2, step


def reset_before_gru(w: Weights) -> tuple[int, Step]:
    """Cho et al., 2014: the reset gate acts before the product, so that a step has two phases."""
    kernel, gates, candidate, bias = w(WIDTH, 3 * UNITS), w(UNITS, 2 * UNITS), w(UNITS, UNITS), w(3 * UNITS)

    def step(state: State, x: Tensor) -> State:
        (h,) = state
        projected = x @ kernel + bias
        z, r = ops.split(ops.sigmoid(projected[:, : 2 * UNITS] + h @ gates), 2, -1)
        new = ops.tanh(projected[:, 2 * UNITS :] + (r * h) @ candidate)
        return (z * h + (1 - z) * new,)

    return 1, step


def attention(w: Weights) -> tuple[int, Step]:
    """A cell that looks at a fixed memory: softmax over places, then a weighted sum of them."""
    memory, query, out = w(PLACES, UNITS), w(UNITS, UNITS), w(WIDTH + UNITS, UNITS)

    def step(state: State, x: Tensor) -> State:
        (h,) = state
        scores = ops.softmax((h @ query) @ ops.transpose(memory, (1, 0)) * 3.0)
        return (ops.tanh(ops.concatenate([x, scores @ memory], -1) @ out + h),)

    return 1, step


def nested(w: Weights) -> tuple[int, Step]:
    """A step that runs a loop of its own: a few rounds towards a fixed point."""
    kernel, recurrent = w(WIDTH, UNITS), w(UNITS, UNITS)

    def step(state: State, x: Tensor) -> State:
        (h,) = state
        projected = x @ kernel

        def round_(carry: Tensor, _: object) -> tuple[Tensor, tuple[()]]:
            return ops.tanh(carry @ recurrent + projected), ()

        h, _ = rnncc.scan(round_, h, length=3)
        return (h,)

    return 1, step


def counting(w: Weights) -> tuple[int, Step]:
    """States of other kinds beside the floats: a step counter, and a mask that says who has stopped."""
    kernel, recurrent = w(WIDTH, UNITS), w(UNITS, UNITS)

    def step(state: State, x: Tensor) -> State:
        h, n = state
        new = ops.tanh(x @ kernel + h @ recurrent)
        stopped = ops.less(ops.sum(x, -1, keepdims=True), -1.5)
        return ops.where(stopped, h, new * (1.0 / (1.0 + ops.cast(n, "f32")))), n + 1

    return 2, step


CELLS = {
    cell.__name__: cell
    for cell in (layer_norm_lstm, squashed_rnn, peephole_lstm, reset_before_gru, attention, nested, counting)
}


def model(cell: str, reverse: bool = False, unroll: int = 1) -> Graph:
    """x and initial states -> all h, batch first, and the final states."""
    count, step = CELLS[cell](Weights())
    x = input_tensor(TensorType(DType.F32, ("B", "T", WIDTH)), "x")
    states = [input_tensor(TensorType(DType.F32, ("B", UNITS)), f"s{number}") for number in range(count)]
    if cell == "counting":
        states[1] = input_tensor(TensorType(DType.I64, ()), "n")

    def both(state: State, x_t: Tensor) -> tuple[State, Tensor]:
        after = step(state, x_t)
        return after, after[0]

    final, ys = rnncc.scan(both, tuple(states), ops.transpose(x, (1, 0, 2)), reverse=reverse, unroll=unroll)
    return build_graph(cell, [x, *states], [ops.transpose(ys, (1, 0, 2)), *final])


def arrays_for(graph: Graph, batch: int, time: int) -> list[np.ndarray]:
    rng = np.random.default_rng(batch * 100 + time)
    x = rng.normal(size=(batch, time, WIDTH)).astype(np.float32)
    states: list[np.ndarray] = [
        np.int64(2) * np.ones((), np.int64)
        if value.type.dtype is DType.I64
        else rng.normal(size=(batch, UNITS)).astype(np.float32)
        for value in graph.inputs[1:]
    ]
    return [x, *states]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("reverse", "unroll"), [(False, 1), (True, 2)])
def test_cells(cell: str, reverse: bool, unroll: int) -> None:
    graph = model(cell, reverse, unroll)
    fn = rnncc.compile(graph)
    for batch, time in [(0, 3), (1, 0), (1, 1), (1, 9), (2, 4), (7, 5), (19, 6)]:
        arrays = arrays_for(graph, batch, time)
        for actual, wanted in zip(fn(*arrays), rnncc.evaluate(graph, *arrays), strict=True):
            assert_close(actual, np.asarray(wanted), SAME_SUMS, f"{cell} at {(batch, time)}")


@pytest.mark.parametrize("cell", CELLS)
def test_rows_and_pieces_have_the_same_bits(cell: str) -> None:
    graph = model(cell)
    fn = rnncc.compile(graph)
    x, *states = arrays_for(graph, 19, 7)
    ys, *_ = fn(x, *states)
    for rows in (slice(0, 1), slice(5, 7), slice(11, 14), slice(2, 19)):
        some = [state[rows] if state.ndim else state for state in states]
        np.testing.assert_array_equal(fn(x[rows], *some)[0], ys[rows])
    head, *between = fn(x[:, :3], *states)
    tail, *_ = fn(x[:, 3:], *between)
    np.testing.assert_array_equal(np.concatenate([head, tail], 1), ys)


# ------------------------------------------------------------------ the built-in layer, written by hand


def apart(i: Tensor, f: Tensor, g: Tensor, o: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return ops.sigmoid(i), ops.sigmoid(f), ops.tanh(g), ops.sigmoid(o)


def together(i: Tensor, f: Tensor, g: Tensor, o: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One sigmoid, out of which gates are cut."""
    i, f, o = ops.split(ops.sigmoid(ops.concatenate([i, f, o], -1)), 3, -1)
    return i, f, ops.tanh(g), o


@pytest.mark.parametrize("gates", [apart, together])
@pytest.mark.parametrize("collects_gate", [False, True])
def test_an_lstm_written_by_hand_gives_the_same_bits(gates: Callable[..., Any], collects_gate: bool) -> None:
    """Four kernels, one a gate, against the layer with its joined ones."""
    x = layers.Input((None, WIDTH), name="x")
    built_in = rnncc.Model(x, layers.LSTM(UNITS, return_sequences=True)(x))
    rng = np.random.default_rng(1)
    weights = [rng.normal(0, 0.3, weight.shape).astype(np.float32) for weight in built_in.get_weights()]
    built_in.set_weights(weights)
    kernel, recurrent, bias = ([np.ascontiguousarray(part) for part in np.split(w, 4, -1)] for w in weights)

    def weight(array: np.ndarray) -> Tensor:
        return weight_tensor(TensorType(DType.F32, array.shape), "w", ArraySource(array))

    parts = [(weight(w), weight(u), weight(b)) for w, u, b in zip(kernel, recurrent, bias, strict=True)]

    def step(state: State, x_t: Tensor) -> tuple[State, Tensor]:
        h, c = state
        i, f, g, o = gates(*(x_t @ w + h @ u + b for w, u, b in parts))
        c = f * c + i * g
        h = ops.tanh(c) * o
        return (h, c), (h, o) if collects_gate else h

    given = input_tensor(TensorType(DType.F32, ("B", "T", WIDTH)), "x")
    zeros = (ops.zeros(("B", UNITS)), ops.zeros(("B", UNITS)))
    _, collected = rnncc.scan(step, zeros, ops.transpose(given, (1, 0, 2)))
    outputs = [ops.transpose(ys, (1, 0, 2)) for ys in (collected if collects_gate else (collected,))]
    by_hand = rnncc.compile(build_graph("by_hand", [given], outputs))
    fn: Any = rnncc.compile(built_in)
    for batch, time in [(1, 1), (1, 20), (3, 7), (16, 5), (33, 4)]:
        array = rng.normal(size=(batch, time, WIDTH)).astype(np.float32)
        np.testing.assert_array_equal(by_hand.call(array)[0], fn(array))
