"""Layers and models against Keras: the same weights in the same order and layout give the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers
from rnncc.layers.execution import evaluate
from rnncc.layers.model import Model
from rnncc.layers.nested import mapped
from rnncc.layers.sequential import Sequential
from rnncc.ops.structure import difference, flatten, outline
from tests.layers import seed_models
from tests.layers.keras_reference import assert_close, keras, quietly, run

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's variables

SIZES = [(1, 1, 1, 1), (2, 3, 3, 17), (3, 5, 17, 3), (5, 2, 127, 129), (1, 7, 129, 127)]
"""batch, time, width, units"""

RECURRENT: list[tuple[str, dict[str, Any]]] = [
    ("SimpleRNN", {}),
    ("SimpleRNN", {"activation": "relu", "use_bias": False}),
    ("SimpleRNN", {"activation": "softmax"}),
    ("LSTM", {}),
    ("LSTM", {"use_bias": False, "activation": "relu", "recurrent_activation": "tanh"}),
    ("LSTM", {"go_backwards": True, "dropout": 0.5, "recurrent_dropout": 0.5}),
    ("LSTM", {"unit_forget_bias": False, "activation": None}),
    ("GRU", {}),
    ("GRU", {"reset_after": False}),
    ("GRU", {"reset_after": False, "use_bias": False}),
    ("GRU", {"go_backwards": True, "use_bias": False}),
    ("GRU", {"activation": "exponential", "recurrent_activation": "linear"}),
]


def random_weights(model: Any, seed: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    shapes = [weight.shape for weight in model.get_weights()]
    spread = [
        min(0.3, shape[0] ** -0.5) for shape in shapes
    ]  # states that grow without end would hide every difference
    return [random.normal(0, s, shape).astype(np.float32) for s, shape in zip(spread, shapes, strict=True)]


@pytest.mark.parametrize(("kind", "options"), RECURRENT, ids=lambda value: str(value))
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_recurrent_layers(kind: str, options: dict[str, Any], size: tuple[int, int, int, int]) -> None:
    batch, time, width, units = size
    sequences = "go_backwards" not in options
    options = {**options, "return_state": True, "return_sequences": sequences}
    theirs_in = keras.Input((None, width))
    theirs = keras.Model(theirs_in, getattr(keras.layers, kind)(units, **options)(theirs_in))
    ours_in = layers.Input((None, width))
    ours = Model(ours_in, getattr(layers, kind)(units, **options)(ours_in))
    assert ours.count_params() == theirs.count_params()
    assert [w.shape for w in ours.get_weights()] == [w.shape for w in theirs.get_weights()]
    x = np.random.default_rng(1).normal(size=(batch, time, width)).astype(np.float32)
    if options.get("activation") == "exponential":
        x = x * 0.01
    ours.set_weights(random_weights(theirs, 2))
    theirs.set_weights(ours.get_weights())
    assert_close(evaluate(ours, x), run(theirs, x))
    theirs.set_weights(random_weights(theirs, 3))
    ours.set_weights(theirs.get_weights())
    assert_close(evaluate(ours, x), run(theirs, x))


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
def test_initial_state(kind: str) -> None:
    batch, time, width, units = 3, 4, 5, 7
    random = np.random.default_rng(4)
    states = [random.normal(size=(batch, units)).astype(np.float32) for _ in range(2 if kind == "LSTM" else 1)]
    x = random.normal(size=(batch, time, width)).astype(np.float32)

    def build(source: Any, model: Any) -> Any:
        inputs = [source.Input((None, width)), *(source.Input((units,)) for _ in states)]
        return model(inputs, getattr(source, kind)(units)(inputs[0], initial_state=inputs[1:]))

    ours, theirs = build(layers, Model), build(keras.layers, keras.Model)
    ours.set_weights(random_weights(ours, 5))
    theirs.set_weights(ours.get_weights())
    assert_close(evaluate(ours, x, *states), run(theirs, x, *states))


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "exponential", "relu", "softmax", "linear", None])
def test_dense(activation: str | None) -> None:
    x = np.random.default_rng(6).normal(size=(3, 2, 5)).astype(np.float32)
    ours = Sequential([layers.Input((None, 5)), layers.Dense(4, activation=activation)])
    theirs = keras.Sequential([keras.Input((None, 5)), keras.layers.Dense(4, activation=activation)])
    ours.set_weights(random_weights(ours, 7))
    theirs.set_weights(ours.get_weights())
    assert_close(evaluate(ours, x), run(theirs, x))


def keras_seed(number: int) -> Any:
    """The same model in Keras."""
    source = keras.layers
    if number == 0:
        model = keras.Sequential([source.Embedding(1000, 64), source.LSTM(128), source.Dense(10)])
    elif number == 1:
        steps = [source.GRU(256, return_sequences=True), source.SimpleRNN(128)]
        model = keras.Sequential([source.Embedding(1000, 64), *steps, source.Dense(10)])
    else:
        first, second = keras.Input((None,)), keras.Input((None,))
        _, h, c = source.LSTM(64, return_state=True)(source.Embedding(1000, 64)(first))
        y = source.LSTM(64)(source.Embedding(2000, 64)(second), initial_state=[h, c])
        return keras.Model([first, second], source.Dense(10)(y))
    model.build((None, None))
    return model


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_models_of_the_guide(number: int) -> None:
    ours = (seed_models.first, seed_models.second, seed_models.third)[number]()
    theirs = quietly(keras_seed, number)
    random = np.random.default_rng(8)
    inputs = [random.integers(0, 1000, (3, length)) for length in (11, 6)[: len(ours.inputs)]]
    assert [w.shape for w in ours.get_weights()] == [w.shape for w in theirs.get_weights()]
    theirs.set_weights(ours.get_weights())
    assert_close(evaluate(ours, *inputs), run(theirs, *inputs))
    assert_close(ours.predict(inputs if len(inputs) > 1 else inputs[0], batch_size=2), run(theirs, *inputs))


def with_names(source: Any, model: Any, outputs: Any) -> Any:
    """A model of two named inputs; `outputs` says in which structure it has its three tensors."""
    tokens, sound = source.Input(("T",) if source is layers else (None,)), source.Input((3,))
    x, last = source.GRU(5, return_sequences=True, return_state=True)(source.Embedding(7, 4)(tokens))
    both = source.Dense(2)(source.Concatenate()([last, sound]))
    return model(inputs={"words": tokens, "sound": sound}, outputs=outputs(x, last, both))


@pytest.mark.parametrize(
    "outputs",
    [
        lambda x, last, both: {"x": x, "both": both, "last": last},
        lambda x, last, both: {"only": both},
        lambda x, last, both: [[x, last], both],
        lambda x, last, both: (both, {"x": x, "last": [last]}),
        lambda x, last, both: [both],
        lambda x, last, both: (both, last),
    ],
)
def test_inputs_and_outputs_with_names(outputs: Any) -> None:
    """The structure of what a call returns is Keras's, however the call is made; but a flat tuple is a list."""
    theirs = quietly(with_names, keras.layers, keras.Model, outputs)
    ours = with_names(layers, Model, outputs)
    theirs.set_weights(ours.get_weights())
    rng = np.random.default_rng(0)
    x = {"words": rng.integers(0, 7, (4, 6)), "sound": rng.normal(size=(4, 3)).astype(np.float32)}
    wanted = mapped(quietly(theirs, x), np.asarray)
    wanted = list(wanted) if isinstance(wanted, tuple) and outline(wanted) is None else wanted
    fn = rnncc.compile(ours)
    inputs = {name: layers.Input(array.shape[1:], dtype=array.dtype.name) for name, array in x.items()}
    nested = Model(list(inputs.values()), ours(inputs))
    for got in (ours(x), fn(x), fn(**x), fn(x["sound"], x["words"]), ours.predict(x, batch_size=3), evaluate(ours, x)):
        assert difference(wanted, got) is None and type(got) is type(wanted)
        assert_close(flatten(got), flatten(wanted))
    assert_close(flatten(nested(x["words"], x["sound"])), flatten(wanted))


def test_streams_have_the_structure_of_the_outputs() -> None:
    x = layers.Input(("T", 3))
    y = layers.GRU(4, return_sequences=True)(x)
    fn = rnncc.compile(Model({"x": x}, {"y": y, "twice": y * 2}))
    given = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    whole, stream = fn(given), fn.stream(2)
    first, rest = stream.step(x=given[:, 0]), stream.push({"x": given[:, 1:]})
    for name in ("y", "twice"):
        np.testing.assert_array_equal(first[name], whole[name][:, 0])
        np.testing.assert_array_equal(rest[name], whole[name][:, 1:])


def test_compiled_classes_have_the_structure_of_their_call() -> None:
    class Pair(Model):
        def __init__(self) -> None:
            super().__init__()
            self.encode = layers.GRU(3, return_state=True)

        def call(self, x: Any) -> Any:
            y, state = self.encode(x)
            return {"y": y, "states": [state]}

    model, x = Pair(), np.ones((2, 4, 3), np.float32)
    wanted = model(x)
    got = rnncc.compile(model)(x)
    assert got.keys() == {"y", "states"}
    assert_close(flatten(got), flatten(wanted))
