"""RNN with stacks of cells, cells of your own, nested states, constants, and loops that run backwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers, ops
from rnncc.errors import ArgumentError, ShapeError
from rnncc.layers.execution import evaluate
from rnncc.layers.model import Model
from tests.layers.keras_reference import ATOL, RTOL, keras, quietly
from tests.layers.test_keras import random_weights
from tests.layers.test_masks import loops, make_mask, same

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's variables

SIZES = [(1, 1, 1, 1), (3, 5, 17, 3), (2, 1, 3, 17), (4, 7, 5, 33)]
"""batch, time, width, units"""


def compare(ours: Any, theirs: Any, batch: int, time: int, width: int, *, sequences: int = 1) -> None:
    """The same weights and inputs through both, with and without a mask, compiled and evaluated."""
    inputs = layers.Input(("T", width)), layers.Input(("T",), dtype="bool")
    masked, plain = Model(list(inputs), ours(inputs[0], mask=inputs[1])), Model(inputs[0], ours(inputs[0]))
    quietly(theirs.build, (None, None, width))
    assert [w.shape for w in ours.get_weights()] == [w.shape for w in theirs.get_weights()]
    ours.set_weights(random_weights(theirs, 2))
    theirs.set_weights(ours.get_weights())
    x = np.random.default_rng(1).normal(size=(batch, time, width)).astype(np.float32)
    mask = make_mask("holes", batch, time)
    for model, arrays, options in [(plain, (x,), {}), (masked, (x, mask), {"mask": mask})]:
        fn = rnncc.compile(model)
        expected = flat(quietly(theirs, x, **options))
        same(flat(fn(*arrays)), expected)
        same(flat(evaluate(model, *arrays)), expected)
        assert loops(fn) == sequences


def flat(item: Any) -> list[Any]:
    return [leaf for part in item for leaf in flat(part)] if isinstance(item, list | tuple) else [item]


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_backwards_with_sequences(kind: str, size: tuple[int, int, int, int]) -> None:
    batch, time, width, units = size
    options = {"go_backwards": True, "return_sequences": True, "return_state": True}
    compare(*(getattr(s, kind)(units, **options) for s in (layers, keras.layers)), batch, time, width)


STACKS = [["LSTM"], ["LSTM", "LSTM"], ["SimpleRNN", "LSTM"], ["GRU", "SimpleRNN", "LSTM"], ["LSTM", "GRU", "LSTM"]]


@pytest.mark.parametrize("options", [{}, {"return_sequences": True, "return_state": True}], ids=str)
@pytest.mark.parametrize("kinds", STACKS, ids=str)
@pytest.mark.parametrize("size", SIZES[:3], ids=str)
def test_stacks(kinds: list[str], options: dict[str, Any], size: tuple[int, int, int, int]) -> None:
    batch, time, width, units = size

    def build(source: Any) -> Any:
        cells = [getattr(source, f"{kind}Cell")(units + number) for number, kind in enumerate(kinds)]
        return source.RNN(cells, **options)

    if len(kinds) == 1:  # Keras unpacks the states of a stack of one
        cell = layers.LSTMCell(units)
        x = np.random.default_rng(0).normal(size=(batch, time, width)).astype(np.float32)
        one, stack = layers.RNN(cell, **options), layers.RNN([cell], **options)
        same(flat(stack(x)), flat(one(x)))
    else:
        compare(build(layers), build(keras.layers), batch, time, width)


def test_stack_properties() -> None:
    stack = layers.StackedRNNCells([layers.LSTMCell(4), layers.SimpleRNNCell(3), layers.GRUCell(5)])
    layer = layers.RNN(stack, name="deep")
    layer(layers.Input((None, 2)))
    assert stack.state_size == [[4, 4], 3, 5]
    assert (stack.output_size, layer.output_size) == (5, 5)
    assert [weight.path.split("/")[0] for weight in layer.weights] == ["deep"] * 9
    assert [[s.shape for s in states] for states in layer.get_initial_state(2)] == [[(2, 4)] * 2, [(2, 3)], [(2, 5)]]


class Nested(layers.Layer):
    """A running mean in a dict of states, one of them with two dims, one a counter."""

    state_size = 3
    output_size = 4

    def get_initial_state(self, batch_size: Any) -> Any:
        return {
            "sums": (ops.zeros((batch_size, 4)), ops.ones((batch_size, 2, 4))),
            "count": ops.zeros((batch_size, 1)),
        }

    def call(self, inputs: Any, states: Any) -> Any:
        total, parts = states["sums"]
        count = states["count"] + 1
        total = total + inputs
        parts = parts * 0.5 + ops.expand_dims(inputs, 1)
        return total / count, {"count": count, "sums": (total, parts)}


def test_nested_states() -> None:
    layer = layers.RNN(Nested(), return_sequences=True, return_state=True)
    x = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)
    source, mask_in = layers.Input(("T", 4)), layers.Input(("T",), dtype="bool")
    outputs = layer(source)
    assert [isinstance(item, tuple) for item in outputs] == [False, True, False]
    for mask in (np.ones((2, 5), bool), make_mask("holes", 2, 5)):
        model = Model([source, mask_in], layer(source, mask=mask_in))
        fn = rnncc.compile(model)
        assert loops(fn) == 1
        for results in (fn(x, mask), evaluate(model, x, mask)):
            total, parts, count, last = np.zeros((2, 4)), np.ones((2, 2, 4)), np.zeros((2, 1)), np.zeros((2, 4))
            for t in range(5):
                keep = mask[:, t, None]
                total = np.where(keep, total + x[:, t], total)
                parts = np.where(keep[:, None], parts * 0.5 + x[:, t, None], parts)
                count = np.where(keep, count + 1, count)
                last = np.where(keep, total / np.maximum(count, 1), last)
                np.testing.assert_allclose(results[0][:, t], last, rtol=RTOL, atol=ATOL)
            assert [isinstance(item, tuple) for item in results] == [False, True, False]
            for a, b in zip(flat(results[1:]), (total, parts, count), strict=True):
                np.testing.assert_allclose(a, b, rtol=RTOL, atol=ATOL)
    state = {"sums": (np.ones((2, 4)), np.zeros((2, 2, 4))), "count": np.ones((2, 1))}
    np.testing.assert_allclose(layer(x, initial_state=state)[0][:, 0], (1 + x[:, 0]) / 2, rtol=RTOL)


class Attends(layers.Layer):
    """A cell that mixes in constants."""

    state_size = 3

    def call(self, inputs: Any, states: Any, constants: Any = None) -> Any:
        (h,) = states
        shift, scale = constants
        h = ops.tanh(h * scale + inputs + shift)
        return h, [h]


def test_constants() -> None:
    layer = layers.RNN(Attends())
    x, shift = layers.Input((None, 3)), layers.Input((3,))
    model = Model([x, shift], layer(x, constants=[shift, np.float32(0.5)]))
    arrays = [np.random.default_rng(0).normal(size=shape).astype(np.float32) for shape in [(2, 4, 3), (2, 3)]]
    h = np.zeros((2, 3))
    for t in range(4):
        h = np.tanh(h * 0.5 + arrays[0][:, t] + arrays[1])
    fn = rnncc.compile(model)
    assert loops(fn) == 1
    np.testing.assert_allclose(fn(*arrays), h, rtol=RTOL, atol=ATOL)
    np.testing.assert_allclose(evaluate(model, *arrays), h, rtol=RTOL, atol=ATOL)
    with pytest.raises(ArgumentError, match="takes no constants"):
        layers.GRU(3)(x, constants=[shift])


def cell_of(call: Any, **attributes: Any) -> layers.Layer:
    return type("Cell", (layers.Layer,), {"state_size": 3, **attributes, "call": call})()


def test_wrong_cells() -> None:
    x = layers.Input((None, 3))
    with pytest.raises(ShapeError, match=r"(?s)changes the shape of its state h.*f32\[B, 3\]\n.*f32\[B, 2\]"):
        layers.RNN(cell_of(lambda self, x, states: (x, [x[:, :2]])))(x)
    with pytest.raises(ArgumentError, match="returned 2 states, its state_size has 1"):
        layers.RNN(cell_of(lambda self, x, states: (x, [x, x])))(x)
    with pytest.raises(ArgumentError, match=r"must return \(output, new_states\)"):
        layers.RNN(cell_of(lambda self, x, states: x))(x)
    with pytest.raises(ArgumentError, match=r"(?s)another structure.*under the same names"):
        sizes = {"state_size": {"a": 3, "b": 3}}
        layers.RNN(cell_of(lambda self, x, s: (x, {"a": s["a"], "c": s["b"]}), **sizes))(x)
    with pytest.raises(ArgumentError, match="StackedRNNCells needs a list"):
        layers.RNN([])
    with pytest.raises(ArgumentError, match="each of the cells"):
        layers.RNN([layers.GRUCell(3), 3])
