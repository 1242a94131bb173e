"""Cells with nested inputs and states, against plain NumPy loops; one loop over time; structures that do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers, ops
from rnncc.errors import ArgumentError, ShapeError
from rnncc.layers.execution import evaluate
from rnncc.layers.model import Model
from tests.layers.test_masks import loops, make_mask

B, T = 3, 5


class TwoStreams(layers.Layer):
    """Takes ``{"left": [B, 4], "right": (ids [B], [B, 2, 3])}`` and keeps ``{"wide": [B, 4], "narrow": [B, 2]}``."""

    state_size = {"wide": 4, "narrow": 2}  # noqa: RUF012
    output_size = 4

    def build(self, input_shape: Any) -> None:
        self.seen = input_shape
        self.kernel = self.add_weight("kernel", (2, 4), "glorot_uniform")

    def call(self, inputs: Any, states: Any) -> Any:
        ids, pairs = inputs["right"]
        wide = ops.tanh(inputs["left"] + states["wide"] * 0.5 + states["narrow"] @ self.kernel)
        narrow = ops.sum(pairs, -1) + ops.cast(ops.expand_dims(ids, 1), "float32") * 0.1
        return wide, {"wide": wide, "narrow": narrow}


def arrays(seed: int = 0) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    left = random.normal(size=(B, T, 4)).astype(np.float32)
    return {"left": left, "right": (random.integers(0, 3, (B, T)), random.normal(size=(B, T, 2, 3)).astype(np.float32))}


def expected(kernel: np.ndarray, x: Any, mask: np.ndarray, wide: np.ndarray, narrow: np.ndarray) -> Any:
    outputs, last = [], np.zeros((B, 4))
    ids, pairs = x["right"]
    for t in range(T):
        keep = mask[:, t, None]
        new = np.tanh(x["left"][:, t] + wide * 0.5 + narrow @ kernel)
        wide, narrow = np.where(keep, new, wide), np.where(keep, pairs[:, t].sum(-1) + ids[:, t, None] * 0.1, narrow)
        last = np.where(keep, new, wide)
        outputs.append(last)
    return np.stack(outputs, 1), wide, narrow


def inputs() -> tuple[dict[str, Any], list[Any]]:
    left, pairs = layers.Input(("T", 4)), layers.Input(("T", 2, 3))
    ids = layers.Input(("T",), dtype="int64")
    return {"left": left, "right": (ids, pairs)}, [left, ids, pairs]


def flat(x: Any) -> list[np.ndarray]:
    return [x["left"], *x["right"]]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("initial", [None, "dict", "list"])
def test_nested_inputs_and_states(masked: bool, initial: str | None) -> None:
    layer, (nested, leaves), x = layers.RNN(TwoStreams(), return_sequences=True, return_state=True), inputs(), arrays()
    mask = make_mask("holes", B, T) if masked else np.ones((B, T), bool)
    wide, narrow = np.full((B, 4), 0.5, np.float32), np.full((B, 2), -1, np.float32)
    states: dict[Any, Any] = {"dict": {"narrow": narrow, "wide": wide}, "list": [wide, narrow]}
    options: dict[str, Any] = {} if initial is None else {"initial_state": states[initial]}
    wide_in, narrow_in, mask_in = layers.Input((4,)), layers.Input((2,)), layers.Input(("T",), dtype="bool")
    states = {"dict": {"narrow": narrow_in, "wide": wide_in}, "list": [wide_in, narrow_in]}
    given = {**({"mask": mask_in} if masked else {}), **({"initial_state": states[initial]} if initial else {})}
    own = [wide_in, narrow_in] if initial else []
    model = Model([*leaves, *own, *([mask_in] if masked else [])], layer(nested, **given))
    own_arrays = [wide, narrow] if initial else []
    if initial is None:
        wide, narrow = np.zeros((B, 4)), np.zeros((B, 2))
    wanted = expected(layer.get_weights()[0], x, mask, wide, narrow)
    fn = rnncc.compile(model)
    assert loops(fn) == 1
    everything = [*flat(x), *own_arrays, *([mask] if masked else [])]
    eager = layer(x, **options, **({"mask": mask} if masked else {}))
    for results in (fn(*everything), evaluate(model, *everything), eager):
        for a, b in zip(results, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert layer.cell.seen == {"left": (None, 4), "right": [(None,), (None, 2, 3)]}


def test_a_tuple_of_sequences_both_ways() -> None:
    class Sums(layers.Layer):
        state_size = 3

        def call(self, inputs: Any, states: Any) -> Any:
            a, b = inputs
            h = ops.tanh(a + 2 * b + states[0])
            return h, [h]

    layer = layers.Bidirectional(layers.RNN(Sums(), return_sequences=True), merge_mode="sum")
    a, b = (np.random.default_rng(n).normal(size=(B, T, 3)).astype(np.float32) for n in (1, 2))
    wanted = np.zeros((B, T, 3))
    for order in (range(T), reversed(range(T))):
        h = np.zeros((B, 3))
        for t in order:
            h = np.tanh(a[:, t] + 2 * b[:, t] + h)
            wanted[:, t] += h
    ins = [layers.Input(("T", 3)), layers.Input(("T", 3))]
    fn = rnncc.compile(Model(ins, layer(tuple(ins))))
    assert loops(fn) == 2
    np.testing.assert_allclose(fn(a, b), wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer((a, b)), wanted, rtol=1e-5, atol=1e-6)


def test_masks_of_nested_inputs_are_one() -> None:
    """A step is left out when one of the inputs masks it."""

    class Sums(layers.Layer):
        state_size = 2

        def call(self, inputs: Any, states: Any) -> Any:
            h = states[0] + inputs["a"] + inputs["b"]
            return h, [h]

    ids = np.array([[1, 0, 2, 3]])
    other = np.array([[1, 2, 2, 0]])
    tables = [layers.Embedding(4, 2, mask_zero=True, embeddings_initializer="ones") for _ in range(2)]
    ins = [layers.Input(("T",), dtype="int64") for _ in range(2)]
    a, b = (table(one) for table, one in zip(tables, ins, strict=True))
    layer = layers.RNN(Sums(), return_sequences=True)
    y = layer({"a": a, "b": b})
    assert y.mask is not None
    np.testing.assert_allclose(rnncc.compile(Model(ins, y))(ids, other)[0, :, 0], [2, 2, 4, 4])


def test_inputs_of_more_dims() -> None:
    class Grid(layers.Layer):
        state_size = 1

        def get_initial_state(self, batch_size: Any) -> Any:
            return ops.zeros((batch_size, 2, 3))

        def call(self, inputs: Any, states: Any) -> Any:
            h = states[0] * 0.5 + inputs
            return h, [h]

    x = np.random.default_rng(0).normal(size=(B, T, 2, 3)).astype(np.float32)
    h = np.zeros((B, 2, 3))
    for t in range(T):
        h = h * 0.5 + x[:, t]
    layer = layers.RNN(Grid())
    np.testing.assert_allclose(layer(x), h, rtol=1e-5, atol=1e-6)
    source = layers.Input((None, 2, 3))
    np.testing.assert_allclose(rnncc.compile(Model(source, layer(source)))(x), h, rtol=1e-5, atol=1e-6)


def message(kind: type[Exception], function: Any) -> str:
    with pytest.raises(kind) as caught:
        function()
    return str(caught.value)


def test_structures_that_do_not_fit() -> None:
    nested, _ = inputs()
    layer = layers.RNN(TwoStreams(), name="two")
    layer(nested)
    text = message(ArgumentError, lambda: layer({"left": nested["left"], "righ": nested["right"]}))
    assert "the input of two has another structure: ['right'] is missing" in text
    assert "needed: {left: f32[B, T, 4], right: [i64[B, T], f32[B, T, 2, 3]]}" in text
    assert "given:  {left: f32[B, T, 4], righ: [i64[B, T], f32[B, T, 2, 3]]}" in text
    text = message(ArgumentError, lambda: layer({**nested, "right": nested["right"][:1]}))
    assert "['right'] has 1 entries in place of 2" in text
    assert "the whole has no names" in message(ArgumentError, lambda: layer(nested["left"]))
    wide, narrow = layers.Input((4,)), layers.Input((2,))
    text = message(ArgumentError, lambda: layer(nested, initial_state={"wide": wide, "narow": narrow}))
    assert "initial_state of two has another structure: ['narrow'] is missing" in text
    assert "needed: {wide: f32[B, 4], narrow: f32[B, 2]}" in text
    text = message(ShapeError, lambda: layer(nested, initial_state={"wide": narrow, "narrow": narrow}))
    assert "initial_state ['wide'] of two has a wrong shape" in text
    text = message(ArgumentError, lambda: layers.LSTM(3)(nested["left"], initial_state={"h": wide, "c": wide}))
    assert "the whole is not a list of 2" in text
    text = message(ShapeError, lambda: layer({**nested, "left": layers.Input(("S", 4))}))
    assert "the nested inputs of two differ in their batch or time" in text
    assert "inputs['left']: f32[B, S, 4]\n  inputs['right'][0]: i64[B, T]" in text
    text = message(ShapeError, lambda: layer({**nested, "left": layers.Input(())}))
    assert "inputs['left'] of two must have a batch and a time axis" in text


def test_a_cell_that_returns_another_structure() -> None:
    class Wrong(layers.Layer):
        state_size = {"a": [2, {"b": 2}]}  # noqa: RUF012

        def call(self, inputs: Any, states: Any) -> Any:
            return inputs, {"a": [inputs, {"c": inputs}]}

    text = message(ArgumentError, lambda: layers.RNN(Wrong(), name="w")(layers.Input((None, 2))))
    assert "the cell of w returned its states in another structure: ['a'][1]['b'] is missing" in text
    assert "given:    {a: [f32[B, 2], {b: f32[B, 2]}]}\n  returned: {a: [f32[B, 2], {c: f32[B, 2]}]}" in text
