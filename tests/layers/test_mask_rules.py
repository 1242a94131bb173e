"""Which masks reach which layer, against Keras: merge layers, calls with several tensors, models inside models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers, ops
from rnncc.errors import ArgumentError
from rnncc.layers.execution import evaluate
from rnncc.layers.model import Model
from rnncc.layers.sequential import Sequential
from tests.layers.keras_reference import assert_close, keras, quietly, run
from tests.layers.test_keras import random_weights
from tests.layers.test_masks import make_mask

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's variables

Build = Callable[[Any, Any, list[Any]], Any]
"""Layers of one side, its Sequential, and inputs of token ids -> outputs."""

IDS = [np.random.default_rng(seed).integers(0, 4, (5, 7)) for seed in (1, 2)]


def same_as_keras(build: Build, count: int) -> None:
    """The same numbers from both sides; the batch has ids 0, which embeddings with mask_zero mask."""

    def model(source: Any, model: Any, sequential: Any) -> Any:
        inputs = [source.Input((7,)) for _ in range(count)]
        return model(inputs, build(source, sequential, inputs))

    ours, theirs = model(layers, Model, Sequential), quietly(model, keras.layers, keras.Model, keras.Sequential)
    ours.set_weights(random_weights(ours, 3))
    for own, other in zip(with_weights(ours), with_weights(theirs), strict=True):
        other.set_weights(own.get_weights())
    expected = run(theirs, *IDS[:count])
    assert_close(evaluate(ours, *IDS[:count]), expected)
    assert_close(rnncc.compile(ours)(*IDS[:count]), expected)


def with_weights(model: Any) -> list[Any]:
    """The layers with weights. Embeddings by name: for Keras the ops that make a mask are part of the network, so that
    masks change the order of its layers."""
    own = [layer for layer in model.layers if layer.weights]
    tables = sorted((layer for layer in own if "table" in layer.name), key=lambda layer: layer.name)
    return tables + [layer for layer in own if "table" not in layer.name]


UNCHANGED: dict[str, Callable[[Any, Any, Any], Any]] = {
    "rms": lambda source, numpy, x: source.RMSNormalization()(x),
    "reshape": lambda source, numpy, x: source.Reshape((7, 3))(x),
    "reshape to -1": lambda source, numpy, x: source.Reshape((-1, 3))(x),
    "permute": lambda source, numpy, x: source.Permute((1, 2))(x),
    "subscript": lambda source, numpy, x: x[:, :, :],
    "ops.reshape": lambda source, numpy, x: numpy.reshape(x, (-1, 7, 3)),
    "ops.cast": lambda source, numpy, x: numpy.cast(x, "float32"),
    "ops.transpose": lambda source, numpy, x: numpy.transpose(x, (0, 1, 2)),
    "ops.concatenate": lambda source, numpy, x: numpy.concatenate([x], 1),
    "ops.roll": lambda source, numpy, x: numpy.roll(x, 0, 1),
    "dropout, which passes it on": lambda source, numpy, x: source.Dropout(0.5)(x),
    "lambda, which returns what has it": lambda source, numpy, x: source.Lambda(lambda inputs: inputs)(x),
}


@pytest.mark.filterwarnings("ignore:.*mask:UserWarning")
@pytest.mark.parametrize("kind", UNCHANGED)
def test_masks_behind_what_changes_nothing(kind: str) -> None:
    def build(source: Any, sequential: Any, inputs: list[Any]) -> Any:
        y = UNCHANGED[kind](
            source, ops if source is layers else keras.ops, source.Embedding(4, 3, mask_zero=True)(inputs[0])
        )
        return source.GlobalAveragePooling1D()(y)

    same_as_keras(build, 1)


@pytest.mark.parametrize("masked", [(True, True), (True, False), (False, True)], ids=str)
@pytest.mark.parametrize(
    "kind", ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Concatenate in time"]
)
def test_merge_layers(kind: str, masked: tuple[bool, bool]) -> None:
    def build(source: Any, sequential: Any, inputs: list[Any]) -> Any:
        parts = [source.Embedding(4, 3, mask_zero=masked[n], name=f"table{n}")(ids) for n, ids in enumerate(inputs)]
        merged = getattr(source, kind.split(maxsplit=1)[0])(**{"axis": 1} if "time" in kind else {})(parts)
        return [merged, source.LSTM(4)(merged), source.GRU(3, return_sequences=True)(merged)]

    same_as_keras(build, 2)


def test_three_inputs_of_a_merge_layer() -> None:
    def build(source: Any, sequential: Any, inputs: list[Any]) -> Any:
        table = source.Embedding(4, 3, mask_zero=True)
        parts = [table(ids) for ids in inputs] + [source.Embedding(4, 3)(inputs[0])]
        return [source.LSTM(4)(getattr(source, kind)()(parts)) for kind in ("Maximum", "Multiply", "Add")]

    same_as_keras(build, 2)


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_carried_mask_is_left_out_when_there_is_an_initial_state(kind: str, wrapped: bool) -> None:
    """Keras 3 gives `call` the mask of its input only when the input is the only tensor of the call (`Layer.__call__`,
    "Populate mask argument(s)"); the mask still goes on to the layers behind."""

    def build(source: Any, sequential: Any, inputs: list[Any]) -> Any:
        def layer(**options: Any) -> Any:
            inner = getattr(source, kind)(4, **options)
            return source.Bidirectional(inner) if wrapped else inner

        x, y = (source.Embedding(4, 3, mask_zero=True)(ids) for ids in inputs)
        _, *states = layer(return_state=True)(x)
        decoded = layer(return_sequences=True)(y, initial_state=states)
        return [decoded, source.LSTM(3)(decoded)]

    same_as_keras(build, 2)


def test_an_explicit_mask_counts_beside_an_initial_state() -> None:
    x = np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)
    mask, state = make_mask("holes", 3, 5), np.ones((3, 4), np.float32)
    ours, theirs = layers.GRU(4), keras.layers.GRU(4)
    expected = quietly(theirs, x, initial_state=state, mask=mask)
    ours(x)
    ours.set_weights(theirs.get_weights())
    assert_close(ours(x, initial_state=state, mask=mask), [np.asarray(expected)])
    source = layers.Masking()(layers.Input((5, 2)))
    carried = ours(source, initial_state=ops.ones(("B", 4)), mask=source.mask)
    model = Model(source.history.call.inputs[0], carried)
    x[~mask] = 0
    assert_close(evaluate(model, x), [np.asarray(expected)])


def test_masks_of_a_layer_with_several_tensors() -> None:
    """As in Keras, `call(a, b, ...)` gets them as a_mask and b_mask, and nothing as mask."""
    seen: dict[Any, list[tuple[bool, ...]]] = {layers: [], keras.layers: []}

    def make(source: Any) -> Any:
        class Pair(source.Layer):  # type: ignore[misc, name-defined]
            supports_masking = True

            def call(self, a: Any, b: Any = None, mask: Any = None, a_mask: Any = None, b_mask: Any = None) -> Any:
                seen[source].append((mask is None, a_mask is None, b_mask is None))
                return a if b is None else a + b

        return Pair()

    for source in (layers, keras.layers):
        first, second = (source.Embedding(4, 3, mask_zero=zero)(source.Input((7,))) for zero in (True, False))
        pair = make(source)
        results = quietly(pair, first), quietly(pair, first, second), quietly(pair, second, b=first)
        masks = [getattr(item, "mask" if source is layers else "_keras_mask", None) for item in results]
        assert [mask is None for mask in masks] == [False, False, True]
    calls = [list(dict.fromkeys(calls)) for calls in seen.values()]  # Keras calls more than once
    assert calls[0] == calls[1] == [(False, True, True), (True, False, True), (True, True, False)]


# ------------------------------------------------------------------ models inside models


def nested(source: Any, sequential: Any, *steps: Any) -> Any:
    return sequential([source.Input((7, 3)), *steps])


@pytest.mark.parametrize(
    "inside",
    [
        lambda s, q: nested(s, q, s.LSTM(4)),
        lambda s, q: nested(s, q, s.Dense(5), s.GRU(4, return_sequences=True)),
        lambda s, q: nested(s, q, nested(s, q, s.Dense(3)), s.Bidirectional(s.LSTM(2, return_sequences=True))),
        lambda s, q: q([s.Dense(4), s.SimpleRNN(4, return_sequences=True)]),
    ],
    ids=["last", "sequences", "two deep", "built later"],
)
def test_a_masked_input_of_a_nested_model(inside: Any) -> None:
    def build(source: Any, sequential: Any, inputs: list[Any]) -> Any:
        y = inside(source, sequential)(source.Embedding(4, 3, mask_zero=True)(inputs[0]))
        return [y, source.GRU(2)(y)] if len(y.shape) == 3 else y

    same_as_keras(build, 1)


def test_masks_of_a_nested_model_with_several_inputs() -> None:
    def build(source: Any, sequential: Any, inputs: list[Any]) -> Any:
        first, second = source.Input((7, 3)), source.Input((7, 3))
        merged = source.Multiply()([source.Dense(4)(first) * 2, source.Dense(4)(second)])
        model = Model if source is layers else keras.Model
        both = model([first, second], [merged, source.LSTM(4)(source.Average()([first, second]))])
        one, two = (source.Embedding(4, 3, mask_zero=True)(ids) for ids in inputs)
        y, last = both([one, two])
        again, _ = both([two, source.Embedding(4, 3)(inputs[0])])
        return [y, last, source.SimpleRNN(3)(y), source.SimpleRNN(3)(again)]

    same_as_keras(build, 2)


def test_explicit_masks_of_a_model() -> None:
    x, mask = np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32), make_mask("holes", 3, 5)
    model = Sequential([layers.Input((5, 2)), layers.Dense(3), layers.LSTM(4)])
    theirs = keras.Sequential([keras.Input((5, 2)), keras.layers.Dense(3), keras.layers.LSTM(4)])
    theirs.set_weights(model.get_weights())
    expected = [np.asarray(quietly(theirs, x, mask=mask))]
    assert_close(model(x, mask=mask), expected)
    x_in, mask_in = layers.Input((5, 2)), layers.Input((5,), dtype="bool")
    assert_close(Model([x_in, mask_in], model(x_in, mask=mask_in))(x, mask), expected)
    assert x_in.mask is None
    with pytest.raises(ArgumentError, match="must have one entry for each input"):
        model(x_in, mask=[mask_in, None])
