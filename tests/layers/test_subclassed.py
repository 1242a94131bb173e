"""Layers and models that users write as classes, shared layers, several inputs and outputs, nesting: against Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers, ops
from rnncc.errors import ArgumentError, StructureError
from rnncc.layers.execution import evaluate
from rnncc.layers.model import Model
from rnncc.layers.sequential import Sequential
from tests.layers.keras_reference import assert_close, keras, quietly, run
from tests.layers.test_keras import random_weights

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's variables


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


def both(make: Any) -> tuple[Any, Any]:
    """What `make` makes of our modules and of Keras's: layers, Model, Sequential, ops."""
    theirs = quietly(make, keras.layers, keras.Model, keras.Sequential, keras.ops)
    return make(layers, Model, Sequential, ops), theirs


def check(ours: Any, theirs: Any, *arrays: np.ndarray, is_list: bool = False) -> None:
    """Built by a first call, then with the same weights: eager, compiled and evaluated."""
    given = ([list(arrays)] if is_list else list(arrays)) if len(arrays) > 1 else list(arrays)
    ours(*given)
    quietly(theirs, *given)
    assert [w.shape for w in ours.get_weights()] == [w.shape for w in theirs.get_weights()]
    ours.set_weights(random_weights(theirs, 2))
    theirs.set_weights(ours.get_weights())
    results = quietly(theirs, *given)
    expected = [np.asarray(one) for one in (results if isinstance(results, list | tuple) else [results])]
    assert_close(flat(ours(*given)), expected)
    assert_close(flat(rnncc.compile(ours)(*arrays)), expected)
    assert_close(flat(evaluate(ours, *arrays)), expected)
    assert_close(flat(ours.predict(given[0], batch_size=2)) if len(given) == 1 else expected, expected)


def flat(results: Any) -> list[np.ndarray]:
    return list(results) if isinstance(results, list | tuple) else [results]


# ------------------------------------------------------------------ layers


def make_layer(source: Any, functions: Any) -> Any:
    class Gated(source.Layer):  # type: ignore[misc, name-defined]
        """Weights of its own, a layer inside, a call with training."""

        def __init__(self, units: int, **options: Any) -> None:
            super().__init__(**options)
            self.units = units
            self.gate = source.Dense(units, activation="sigmoid")

        def build(self, input_shape: Any) -> None:
            self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel")
            self.bias = self.add_weight((self.units,), "zeros")

        def call(self, inputs: Any, training: bool = False) -> Any:
            return functions.tanh(functions.matmul(inputs, self.kernel) + self.bias) * self.gate(inputs)

    return Gated


def test_a_layer_of_ones_own() -> None:
    def make(source: Any, model: Any, sequential: Any, functions: Any) -> Any:
        x = source.Input((None, 5))
        return model(x, source.GRU(3)(make_layer(source, functions)(4, name="gated")(x)))

    ours, theirs = both(make)
    check(ours, theirs, floats(3, 6, 5))
    gated = ours.get_layer("gated")
    assert [weight.path for weight in gated.weights] == [
        "gated/kernel",
        "gated/variable",
        f"{gated.gate.name}/kernel",
        f"{gated.gate.name}/bias",
    ]


@pytest.mark.parametrize("kind", ["layer", "cell", "model"])
def test_a_build_that_builds_the_layers_inside(kind: str) -> None:
    """A layer is built by its `build`, whoever calls it: it gets its weights once, with Keras's shapes and order."""

    def make(source: Any, model: Any, sequential: Any, functions: Any) -> Any:
        class Inner(model if kind == "model" else source.Layer):
            state_size = output_size = 4

            def __init__(self) -> None:
                super().__init__()
                self.first, self.second = source.Dense(4), source.Dense(4, use_bias=False)

            def build(self, input_shape: Any) -> None:
                self.scale = self.add_weight(name="scale", shape=(4,), initializer="ones")
                self.first.build(input_shape)
                self.second.build((input_shape[0], 4))
                assert self.first.built and self.second.built
                super().build(input_shape)

            def call(self, x: Any, states: Any = None) -> Any:
                y = functions.tanh(self.first(x) + self.second(self.first(x) if states is None else states[0]))
                return y * self.scale if states is None else (y * self.scale, [y])

        return Inner() if kind == "model" else sequential([source.RNN(Inner()) if kind == "cell" else Inner()])

    ours, theirs = both(make)
    check(ours, theirs, floats(3, 5, 2) if kind == "cell" else floats(3, 2))
    assert len(ours.weights) == 4


def test_a_build_that_fails_leaves_a_layer_unbuilt() -> None:
    class Failing(layers.Layer):
        def build(self, input_shape: Any) -> None:
            raise ValueError("no")

    layer = Failing()
    with pytest.raises(ValueError, match="no"):
        layer.build((None, 3))
    assert not layer.built
    empty = Sequential([layers.Input((3,))])
    empty.build((None, 3))
    assert not empty.built


def test_a_layer_inside_a_loop() -> None:
    """A cell with layers inside."""

    def make(source: Any, model: Any, sequential: Any, functions: Any) -> Any:
        class Cell(source.Layer):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.state_size, self.output_size = 4, 4
                self.inner = source.Dense(4, activation="tanh")
                self.gated = make_layer(source, functions)(4)

            def build(self, input_shape: Any) -> None:
                self.inner.build(input_shape)
                self.gated.build((None, 4))
                self.gated.gate.build((None, 4))

            def call(self, inputs: Any, states: Any) -> Any:
                h = self.gated(self.inner(inputs) + states[0])
                return h, [h]

        x = source.Input((None, 5))
        return model(x, source.RNN(Cell(), return_sequences=True)(x))

    check(*both(make), floats(2, 3, 5))


# ------------------------------------------------------------------ models


def test_a_model_of_ones_own() -> None:
    def make(source: Any, model: Any, sequential: Any, functions: Any) -> Any:
        class Tagger(model):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.table = source.Embedding(9, 4, mask_zero=True)
                self.encode = source.Bidirectional(source.GRU(3, return_sequences=True))
                self.decide = source.Dense(2, activation="softmax")

            def call(self, tokens: Any, training: bool = False) -> Any:
                return self.decide(self.encode(self.table(tokens)))

        return Tagger()

    ours, theirs = both(make)
    check(ours, theirs, np.random.default_rng(0).integers(0, 9, (4, 6)))
    assert ours.predict(np.ones((2, 11), int)).shape == (2, 11, 2)
    assert [type(layer).__name__ for layer in ours.layers] == ["Embedding", "Bidirectional", "Dense"]
    lines: list[str] = []
    ours.summary(print_fn=lines.append)
    assert any("bidirectional" in line and "(None, None, 6)" in line for line in lines)


def test_several_inputs_and_outputs_of_a_model_of_ones_own() -> None:
    def make(source: Any, model: Any, sequential: Any, functions: Any) -> Any:
        class Pair(model):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.shared = source.LSTM(3, return_sequences=True)
                self.add = source.Add()
                self.last = sequential([source.Dense(4, activation="relu"), source.GRU(2)])

            def call(self, inputs: Any) -> Any:
                a, b = inputs
                a, b = self.shared(a), self.shared(b)
                return self.add([a, b]), self.last(functions.concatenate([a, b], axis=-1))

        return Pair()

    check(*both(make), floats(3, 5, 4), floats(3, 5, 4), is_list=True)


def test_a_model_of_ones_own_in_another() -> None:
    def make(source: Any, model: Any, sequential: Any, functions: Any) -> Any:
        class Inner(model):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.dense = source.Dense(4)

            def call(self, x: Any) -> Any:
                return functions.tanh(self.dense(x)) + 1

        class Outer(model):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.inner = Inner()
                self.deep = sequential([source.Input((None, 4)), source.SimpleRNN(3)])

            def call(self, x: Any) -> Any:
                return self.deep(self.inner(x))

        x = source.Input((None, 5))
        outer = Outer()
        return model(x, [outer(x), outer(x * 2)])

    check(*both(make), floats(3, 4, 5))


def test_dicts_and_sizes_that_must_be_fixed() -> None:
    class Flat(Model):
        def __init__(self) -> None:
            super().__init__()
            self.flatten = layers.Flatten()

        def call(self, inputs: Any) -> Any:
            x = self.flatten(inputs["a"]) + ops.expand_dims(inputs["b"], 1)
            return {"sum": x, "half": x / 2}

    model = Flat()
    for time in (3, 4):
        a, b = floats(2, time, 2), floats(2)
        results = model({"a": a, "b": b})
        np.testing.assert_allclose(results["sum"], a.reshape(2, -1) + b[:, None], rtol=1e-6)
        np.testing.assert_allclose(results["half"] * 2, results["sum"])


def test_one_network_serves_all_sizes() -> None:
    count = 0

    class Counted(Model):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = layers.GRU(3)

        def call(self, x: Any) -> Any:
            nonlocal count
            count += 1
            return self.rnn(x)

    model = Counted()
    for shape in ((2, 3, 4), (1, 7, 4), (5, 2, 4)):
        assert model(floats(*shape)).shape == (shape[0], 3)
    assert count == 1


def test_before_the_first_call() -> None:
    class Late(Model):
        def call(self, x: Any) -> Any:
            return x * 2

    model = Late(name="late")
    with pytest.raises(StructureError, match=r"(?s)late has no inputs yet.*late.build"):
        rnncc.compile(model)
    model.build((None, None, 4))
    assert rnncc.compile(model)(floats(2, 3, 4)).shape == (2, 3, 4)
    assert model.input_shape == (None, None, 4)
    with pytest.raises(ArgumentError, match="Model needs inputs"):
        Model()


def test_a_stateful_model_of_ones_own() -> None:
    class Kept(Model):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = layers.GRU(3, stateful=True, return_sequences=True)

        def call(self, x: Any) -> Any:
            return self.rnn(x)

    model, x = Kept(), floats(2, 6, 4)
    pieces = np.concatenate([model(x[:, :2]), model(x[:, 2:5]), rnncc.compile(model)(x[:, 5:])], 1)
    model.reset_states()
    np.testing.assert_allclose(model(x), pieces, rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------ sharing


def test_shared_layers() -> None:
    def make(source: Any, model: Any, sequential: Any, functions: Any) -> Any:
        table, rnn = source.Embedding(9, 4), source.LSTM(3, return_state=True)
        first, second = source.Input((None,), dtype="int32"), source.Input((None,), dtype="int32")
        _, h, c = rnn(table(first))
        y, _, _ = rnn(table(second), initial_state=[h, c])
        return model([first, second], [y, source.Subtract()([h, y])])

    ours, theirs = both(make)
    random = np.random.default_rng(0)
    arrays = [random.integers(0, 9, (3, time)) for time in (4, 6)]
    ours.set_weights(random_weights(theirs, 2))
    theirs.set_weights(ours.get_weights())
    assert_close(evaluate(ours, *arrays), run(theirs, *arrays))
    assert_close(rnncc.compile(ours)(*arrays), run(theirs, *arrays))
    assert len(ours.get_weights()) == 4


def test_a_nested_model_called_twice() -> None:
    def make(source: Any, model: Any, sequential: Any, functions: Any) -> Any:
        a, b = source.Input((None, 3)), source.Input((None, 3))
        inner_in = source.Input((None, 3))
        inner = model(inner_in, source.GRU(4)(source.Dense(5)(inner_in)))
        return model([a, b], source.Concatenate()([inner(a), inner(b), inner(a * 0.5)]))

    ours, theirs = both(make)
    arrays = [floats(2, 4, 3), floats(2, 6, 3)[..., ::-1].copy()]
    ours.set_weights(random_weights(theirs, 2))
    theirs.set_weights(ours.get_weights())
    assert_close(rnncc.compile(ours)(*arrays), run(theirs, *arrays))
    assert_close(evaluate(ours, *arrays), run(theirs, *arrays))
