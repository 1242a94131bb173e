"""Masks against Keras: which steps count, what a masked step puts out, how masks travel. One loop over time each."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers, ops
from rnncc.errors import ArgumentError, DTypeError, ShapeError
from rnncc.layers.execution import evaluate
from rnncc.layers.model import Model
from tests.layers.keras_reference import ATOL, RTOL, assert_close, keras, quietly, run
from tests.layers.test_keras import random_weights

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's variables

KINDS = ["SimpleRNN", "LSTM", "GRU"]
SIZES = [(1, 1, 1, 1), (3, 5, 17, 3), (2, 1, 3, 17), (4, 7, 5, 33)]
"""batch, time, width, units"""

OPTIONS: list[dict[str, Any]] = [
    {},
    {"return_sequences": True},
    {"return_state": True},
    {"return_sequences": True, "return_state": True, "go_backwards": True},
    {"return_sequences": True, "zero_output_for_mask": True},
    {"return_sequences": True, "zero_output_for_mask": True, "go_backwards": True},
    {"return_state": True, "zero_output_for_mask": True},
    {"go_backwards": True, "zero_output_for_mask": True},
]

MASKS = ["right", "left", "holes", "nothing", "everything", "some rows empty"]


def make_mask(name: str, batch: int, time: int) -> np.ndarray:
    random = np.random.default_rng(len(name))
    lengths = random.integers(0, time + 1, batch)
    match name:
        case "right":
            return np.arange(time) < lengths[:, None]
        case "left":
            return np.arange(time) >= lengths[:, None]
        case "holes":
            return random.random((batch, time)) < 0.6
        case "some rows empty":
            return (random.random((batch, time)) < 0.7) & (np.arange(batch)[:, None] % 2 == 1)
        case _:
            return np.full((batch, time), name == "everything")


def loops(fn: Any) -> int:
    """How many loops over time the compiled code has; a loop over a piece of time is one, whatever makes the pieces."""
    return len(re.findall(r"for t\w* in range\(0, (?:min\()?[TN]", fn.ir("scheduled")))


def same(ours: Any, theirs: Any) -> None:
    """Compare structures of arrays."""
    own, other = (list(item) if isinstance(item, list | tuple) else [item] for item in (ours, theirs))
    assert_close(own, [np.asarray(item) for item in other])


def masked_model(layer: Any, time: Any, width: int) -> Model:
    x = layers.Input((time, width), name="x")
    mask = layers.Input((time,), dtype="bool", name="mask")
    return Model([x, mask], layer(x, mask=mask))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_explicit_masks(kind: str, options: dict[str, Any], size: tuple[int, int, int, int]) -> None:
    batch, time, width, units = size
    theirs = getattr(keras.layers, kind)(units, **options)
    ours = getattr(layers, kind)(units, **options)
    model = masked_model(ours, "T", width)
    quietly(theirs.build, (None, None, width))
    ours.set_weights(random_weights(theirs, 2))
    theirs.set_weights(ours.get_weights())
    fn = rnncc.compile(model)
    assert loops(fn) == 1
    x = np.random.default_rng(1).normal(size=(batch, time, width)).astype(np.float32)
    for name in MASKS:
        mask = make_mask(name, batch, time)
        expected = quietly(theirs, x, mask=mask)
        same(evaluate(model, x, mask), expected)
        same(fn(x, mask), expected)
        same(ours(x, mask=mask), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_initial_state_and_mask(kind: str) -> None:
    batch, time, width, units = 3, 4, 5, 7
    random = np.random.default_rng(4)
    states = [random.normal(size=(batch, units)).astype(np.float32) for _ in range(2 if kind == "LSTM" else 1)]
    x = random.normal(size=(batch, time, width)).astype(np.float32)
    ours, theirs = (getattr(source, kind)(units, return_sequences=True) for source in (layers, keras.layers))
    ours.build((None, None, width))
    ours.built = True
    quietly(theirs.build, (None, None, width))
    theirs.set_weights(ours.get_weights())
    for name in MASKS:
        mask = make_mask(name, batch, time)
        expected = quietly(theirs, x, initial_state=states, mask=mask)
        same(ours(x, initial_state=states, mask=mask), expected)


def test_mask_of_a_fixed_length() -> None:
    layer = layers.GRU(3, unroll=True)
    model = masked_model(layer, 4, 5)
    theirs = keras.layers.GRU(3)
    quietly(theirs.build, (None, 4, 5))
    theirs.set_weights(layer.get_weights())
    x, mask = np.random.default_rng(0).normal(size=(2, 4, 5)).astype(np.float32), make_mask("holes", 2, 4)
    fn = rnncc.compile(model)
    same(fn(x, mask), quietly(theirs, x, mask=mask))
    assert loops(fn) == 0


def test_numbers_as_mask_and_a_last_axis_of_one() -> None:
    layer, x = layers.LSTM(3), np.random.default_rng(0).normal(size=(2, 4, 5)).astype(np.float32)
    mask = make_mask("holes", 2, 4)
    expected = layer(x, mask=mask)
    np.testing.assert_array_equal(layer(x, mask=mask.astype(np.float32)), expected)
    np.testing.assert_array_equal(layer(x, mask=mask.astype(int)[..., None]), expected)


@pytest.mark.parametrize("backwards", [False, True])
def test_lengths_are_a_mask_on_the_right(backwards: bool) -> None:
    lengths = np.array([0, 2, 5, 4])
    x = np.random.default_rng(1).normal(size=(4, 5, 3)).astype(np.float32)
    layer = layers.LSTM(6, return_sequences=True, return_state=True, go_backwards=backwards)
    expected = layer(x, mask=np.arange(5) < lengths[:, None])
    inputs = [layers.Input((None, 3)), layers.Input((), dtype="int32")]
    model = Model(inputs, layer(inputs[0], lengths=inputs[1]))
    fn = rnncc.compile(model)
    assert loops(fn) == 1
    for outputs in (layer(x, lengths=lengths), evaluate(model, x, lengths), fn(x, lengths)):
        for a, b in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=RTOL, atol=ATOL)
    both = layer(x, lengths=lengths, mask=make_mask("holes", 4, 5))
    as_one = layer(x, mask=make_mask("holes", 4, 5) & (np.arange(5) < lengths[:, None]))
    np.testing.assert_array_equal(both[0], as_one[0])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("wrong", [-1, 6, -(2**63), 2**63 - 1])
@pytest.mark.parametrize("backwards", [False, True])
def test_lengths_beyond_the_sequences(wrong: int, backwards: bool, threads: int) -> None:
    """`pack_padded_sequence` of PyTorch refuses them too: they are hardly ever meant."""
    sequences, lengths = layers.Input((None, 3)), layers.Input((), dtype="int64", name="counts")
    layer = layers.GRU(6, go_backwards=backwards)
    model = Model([sequences, lengths], layer(sequences, lengths=lengths))
    fn = rnncc.compile(model, threads=threads)
    x, counts = np.random.default_rng(1).normal(size=(60, 5, 3)).astype(np.float32), np.arange(60) % 6
    expected = fn(x, counts)
    counts[51] = wrong
    message = rf"holds {wrong} at position \(51,\), but the sequences have 5 steps"
    for name, call in (("counts", fn), ("lengths", partial(evaluate, model))):
        with pytest.raises(ArgumentError, match=f"{name} {message}"):
            call(x, counts)
    with pytest.raises(ArgumentError, match=f"lengths {message}"):
        layer(x, lengths=counts)
    counts[51] = 3
    np.testing.assert_array_equal(fn(x, counts), expected)


def test_lengths_that_the_model_counts() -> None:
    """They are checked like those that are passed; as many as there are steps are right."""
    ids, more = layers.Input((None,), dtype="int64"), layers.Input((), dtype="int64")
    counted = ops.sum(ops.cast(ids != 0, "int64"), axis=1) + more
    layer = layers.LSTM(4)
    model = Model([ids, more], layer(layers.Embedding(9, 3)(ids), lengths=counted))
    fn = rnncc.compile(model)
    words = np.array([[3, 4, 0, 0], [1, 2, 3, 4], [0, 0, 0, 0]])
    np.testing.assert_allclose(fn(words, [0, 0, 0]), evaluate(model, words, [0, 0, 0]), rtol=RTOL, atol=ATOL)
    for call in (fn, partial(evaluate, model)):
        with pytest.raises(ArgumentError, match=r"holds 5 at position .*, but the sequences have 4 steps"):
            call(words, [2, 1, 0])


def test_lengths_that_are_the_same_at_every_call() -> None:
    """They are known when weights are bound, but how many steps there are is not."""
    x = layers.Input(batch_shape=(3, None, 4))
    model = Model(x, layers.GRU(5)(x, lengths=np.array([2, 1, 4])))
    fn, given = rnncc.compile(model), np.random.default_rng(2).normal(size=(3, 6, 4)).astype(np.float32)
    np.testing.assert_allclose(fn(given), evaluate(model, given), rtol=RTOL, atol=ATOL)
    for call in (fn, partial(evaluate, model)):
        with pytest.raises(ArgumentError, match=r"holds 4 at position \(2,\), but the sequences have 3 steps"):
            call(given[:, :3])


# ------------------------------------------------------------------ masks that travel


def chain(source: Any, steps: list[tuple[str, tuple[Any, ...], dict[str, Any]]], *inputs: Any, **given: Any) -> Any:
    """Layers of ours or of Keras in a row."""
    start = x = source.Input(*inputs, **given)
    for kind, args, options in steps:
        x = getattr(source, kind)(*args, **options)(x)
    return (Model if source is layers else keras.Model)(start, x)


SEQUENCES = {"return_sequences": True}
CHAINS: list[list[tuple[str, tuple[Any, ...], dict[str, Any]]]] = [
    [("LSTM", (4,), {})],
    [("GRU", (4,), SEQUENCES), ("Dense", (3,), {}), ("Activation", ("tanh",), {}), ("SimpleRNN", (5,), {})],
    [("LSTM", (4,), SEQUENCES), ("LSTM", (5,), SEQUENCES), ("LSTM", (6,), {})],
    [("GRU", (4,), {**SEQUENCES, "go_backwards": True}), ("GRU", (3,), SEQUENCES)],
]


@pytest.mark.parametrize("steps", CHAINS, ids=lambda steps: "-".join(kind for kind, _, _ in steps))
def test_embedding_with_padding(steps: list[tuple[str, tuple[Any, ...], dict[str, Any]]]) -> None:
    steps = [("Embedding", (11, 6), {"mask_zero": True}), *steps]
    ours, theirs = chain(layers, steps, (None,)), quietly(chain, keras.layers, steps, (None,))
    ours.set_weights(random_weights(theirs, 3))
    theirs.set_weights(ours.get_weights())
    fn = rnncc.compile(ours)
    assert loops(fn) == sum(kind in KINDS for kind, _, _ in steps)
    for batch, time in [(1, 1), (4, 7), (3, 2)]:
        ids = np.random.default_rng(5).integers(0, 11, (batch, time)) * make_mask("holes", batch, time)
        assert_close(evaluate(ours, ids), run(theirs, ids))
        assert_close(fn(ids), run(theirs, ids))


@pytest.mark.parametrize("value", [0.0, -1.5])
@pytest.mark.parametrize("steps", CHAINS, ids=lambda steps: "-".join(kind for kind, _, _ in steps))
def test_masking(steps: list[tuple[str, tuple[Any, ...], dict[str, Any]]], value: float) -> None:
    steps = [("Masking", (value,), {}), *steps]
    ours, theirs = chain(layers, steps, (None, 3)), quietly(chain, keras.layers, steps, (None, 3))
    ours.set_weights(random_weights(theirs, 3))
    theirs.set_weights(ours.get_weights())
    fn = rnncc.compile(ours)
    x = np.random.default_rng(6).normal(size=(4, 5, 3)).astype(np.float32)
    x[~make_mask("holes", 4, 5)] = value
    x[0, 0, 1] = value  # one feature is not a step
    assert_close(evaluate(ours, x), run(theirs, x))
    assert_close(fn(x), run(theirs, x))


def test_a_layer_of_your_own_may_pass_masks_on() -> None:
    class Double(layers.Layer):
        supports_masking = True

        def call(self, x: Any) -> Any:
            return x * 2

    class Lost(layers.Layer):
        def call(self, x: Any) -> Any:
            return x * 2

    class Reads(layers.Layer):
        def call(self, x: Any, mask: Any = None) -> Any:
            return rnncc.ops.where(rnncc.ops.expand_dims(mask, -1), x, 7)

        def compute_mask(self, inputs: Any, mask: Any = None) -> None:
            return None

    x = layers.Embedding(9, 2, mask_zero=True)(layers.Input((None,)))
    assert Double()(x).mask is x.mask
    with pytest.warns(UserWarning, match="does not pass on the mask"):
        assert Lost()(x).mask is None
    y = Reads()(x)
    assert y.mask is None
    ids = np.array([[0, 3]])
    assert evaluate(Model(x.history.call.inputs[0], y), ids)[0, 0].tolist() == [7, 7]


def test_an_explicit_mask_is_passed_on() -> None:
    x, mask = layers.Input(("T", 3)), layers.Input(("T",), dtype="bool")
    assert layers.Dense(4)(x, mask=mask).mask is mask
    assert layers.LSTM(4, return_sequences=True)(x, mask=mask).mask is mask
    assert layers.LSTM(4)(x, mask=mask).mask is None
    output, h, _ = layers.LSTM(4, return_sequences=True, return_state=True)(x, mask=mask)
    assert output.mask is mask
    assert h.mask is None


def test_wrong_masks() -> None:
    x, layer = layers.Input((None, 3)), layers.LSTM(4)
    with pytest.raises(ShapeError, match=r"(?s)the mask of lstm.* must have one entry for each step.*give the time"):
        layer(x, mask=layers.Input((None,), dtype="bool"))
    with pytest.raises(ShapeError, match=r"mask: +\(B, 5\)\n  input: \(B, 7, 3\), so that \(B, 7\) is needed"):
        layer(layers.Input((7, 3)), mask=layers.Input((5,), dtype="bool"))
    with pytest.raises(ShapeError, match=r"mask: +\(B, 5\)\n  input: \(B, 4, 3\), so that \(B, 4\) is needed"):
        layer(np.zeros((2, 4, 3)), mask=np.ones((2, 5), bool))
    with pytest.raises(ShapeError, match=r"mask has shape .*B is 3 here but 2 in x"):
        layer(np.zeros((2, 4, 3)), mask=np.ones((3, 4), bool))
    with pytest.raises(ShapeError, match="one entry for each sequence"):
        layer(x, lengths=layers.Input((2,), dtype="int64"))
    with pytest.raises(DTypeError, match="must be whole numbers"):
        layer(np.zeros((2, 4, 3)), lengths=np.array([1.5, 2.0]))
    with pytest.raises(ArgumentError, match="takes no mask"):
        layers.Embedding(3, 4).supports_masking = False
        type("Plain", (layers.Layer,), {"call": lambda self, x: x * 2})()(x, mask=np.ones((1, 2), bool))
    with pytest.raises(ArgumentError, match="did you mean lengths"):
        layer(x, length=3)
