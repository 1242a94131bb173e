"""What layers and models do, beyond numbers that Keras can confirm: own cells, nesting, states, edge cases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers, ops
from rnncc.layers import execution
from rnncc.layers.execution import evaluate
from rnncc.layers.model import Model
from rnncc.layers.sequential import Sequential
from rnncc.types import DType


@pytest.fixture
def _no_compiler() -> Iterator[None]:
    before = execution.current_compiler()
    execution.set_compiler(None)
    yield
    execution.set_compiler(before)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


def names(model: Model) -> list[str]:
    return [layer.name for layer in model.layers]


# ------------------------------------------------------------------ inputs


def test_extents_are_named_for_batch_time_and_others() -> None:
    x = layers.Input((None, None, 3))
    graph = Model(x, layers.Dense(1)(x)).graph()
    assert str(graph.inputs[0].type) == "f32[B, T, D, 3]"
    named = layers.Input(("time", 3), batch_size=2)
    assert named.type.shape == (2, "time", 3)
    assert named.shape == (2, None, 3)


def test_two_inputs_have_lengths_of_their_own_and_share_the_batch() -> None:
    a, b = layers.Input((None, 2)), layers.Input((None, 3))
    model = Model([a, b], [layers.GRU(2)(a), layers.GRU(2)(b)])
    assert [str(value.type) for value in model.graph().inputs] == ["f32[B, T, 2]", "f32[B, T_2, 3]"]
    assert [output.shape for output in evaluate(model, normal(2, 3, 2), normal(2, 5, 3))] == [(2, 2), (2, 2)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, "i64"), ("int32", "i64"), ("int64", "i64"), (np.int32, "i64"), ("float32", "f32"), ("float64", "f64")],
)
def test_type_of_token_ids(given: Any, expected: str) -> None:
    ids = layers.Input((None,), dtype=given)
    model = Model(ids, layers.Embedding(5, 2)(ids))
    assert str(model.graph().inputs[0].type) == f"{expected}[B, T]"
    table = model.get_weights()[0]
    np.testing.assert_array_equal(evaluate(model, [[4, 0]]), table[[[4, 0]]])


def test_an_undecided_input_with_two_kinds_of_use_stays_float() -> None:
    ids = layers.Input((3,))
    model = Model(ids, layers.Embedding(5, 1)(ids)[:, :, 0] + ids)
    assert str(model.graph().inputs[0].type) == "f32[B, 3]"
    looked_up = model.get_weights()[0][[1, 2, 3], 0]
    np.testing.assert_allclose(evaluate(model, [[1, 2, 3]])[0], looked_up + np.array([1, 2, 3]), 1e-6)


def test_one_input_of_two_embeddings_is_integer() -> None:
    ids = layers.Input((None,))
    model = Model(ids, layers.Embedding(5, 2)(ids) + layers.Embedding(7, 2)(ids))
    assert model.graph().inputs[0].type.dtype is DType.I64


def test_arrays_of_other_kinds() -> None:
    import pandas as pd

    model = Sequential([layers.Input((3,)), layers.Dense(2)])
    x = normal(4, 3)
    expected = evaluate(model, x)
    others = [
        x.tolist(),
        np.asfortranarray(x),
        x.astype(">f4"),
        np.repeat(x, 2, axis=1)[:, ::2],
        x.astype(np.float64),
        pd.DataFrame(x),
    ]
    frozen = x.copy()
    frozen.flags.writeable = False
    for other in (*others, frozen):
        np.testing.assert_array_equal(evaluate(model, other), expected)
    ids = Sequential([layers.Embedding(9, 2)])
    np.testing.assert_array_equal(evaluate(ids, pd.DataFrame({"a": [1.0, 2.0]})), evaluate(ids, [[1], [2]]))


# ------------------------------------------------------------------ recurrent layers


def test_no_steps_give_the_initial_state_and_no_rows_an_empty_array() -> None:
    x, h = layers.Input((None, 3)), layers.Input((4,))
    model = Model([x, h], layers.GRU(4, return_sequences=True, return_state=True)(x, initial_state=h))
    state = normal(2, 4)
    sequence, final = evaluate(model, np.zeros((2, 0, 3)), state)
    assert sequence.shape == (2, 0, 4)
    np.testing.assert_array_equal(final, state)
    assert [y.shape for y in evaluate(model, np.zeros((0, 5, 3)), np.zeros((0, 4)))] == [(0, 5, 4), (0, 4)]


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
def test_a_sequence_in_two_parts(kind: str) -> None:
    layer = getattr(layers, kind)(5, return_sequences=True, return_state=True)
    x = normal(2, 7, 3)
    whole, *final = layer(x)
    first, *state = layer(x[:, :4])
    second, *last = layer(x[:, 4:], initial_state=state)
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, rtol=1e-5, atol=1e-6)
    for a, b in zip(final, last, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_keras_list_of_input_and_states() -> None:
    layer = layers.LSTM(5)
    x, h, c = normal(2, 7, 3), normal(2, 5), normal(2, 5) * 2
    np.testing.assert_array_equal(layer([x, h, c]), layer(x, initial_state=[h, c]))
    symbols = [layers.Input((None, 3)), layers.Input((5,)), layers.Input((5,))]
    model = Model(symbols, layer(symbols))
    np.testing.assert_array_equal(evaluate(model, x, h, c), layer(x, initial_state=[h, c]))


@pytest.mark.parametrize(("unroll", "length", "factor"), [(False, None, 1), (True, 6, 6), (4, None, 4), (True, 0, 1)])
def test_unroll_factor(unroll: Any, length: int | None, factor: int) -> None:
    x = layers.Input((length, 3))
    (scan,) = [n for n in Model(x, layers.GRU(2, unroll=unroll)(x)).graph().nodes if n.op.name == "scan"]
    assert scan.attrs["unroll"] == factor


class Mean(layers.Layer):
    """A cell with a count: its output is none of its states."""

    state_size = (3, 1)

    def call(self, inputs: Any, states: Any) -> Any:
        total, count = states
        total, count = total + inputs, count + 1.0
        return total / count, [total, count]


def test_a_cell_whose_output_is_no_state() -> None:
    x = normal(2, 5, 3)
    expected = np.cumsum(x, axis=1) / np.arange(1, 6)[:, None]
    sequence, total, count = layers.RNN(Mean(), return_sequences=True, return_state=True)(x)
    np.testing.assert_allclose(sequence, expected, rtol=1e-5)
    np.testing.assert_allclose(total, x.sum(axis=1), rtol=1e-5)
    assert count.tolist() == [[5.0], [5.0]]
    np.testing.assert_allclose(layers.RNN(Mean())(x), expected[:, -1], rtol=1e-5)
    assert layers.RNN(Mean())(np.zeros((2, 0, 3))).tolist() == [[0.0] * 3] * 2


class Leaky(layers.Layer):
    """A cell of one's own, with weights and layers inside."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.state_size = units
        self.project = layers.Dense(units, use_bias=False)

    def build(self, input_shape: Any) -> None:
        self.rate = self.add_weight("rate", (self.state_size,), "ones")

    def call(self, inputs: Any, states: Any) -> Any:
        (h,) = states
        h = h + self.rate * ops.tanh(self.project(inputs) - h)
        return h, [h]


def test_a_cell_of_ones_own() -> None:
    inputs = layers.Input((None, 3))
    model = Model(inputs, layers.RNN(Leaky(4), name="leaky_rnn")(inputs))
    assert [weight.shape for weight in model.get_weights()] == [(4,), (3, 4)]
    assert model.weights[0].path.startswith("leaky_rnn/leaky")
    model.set_weights([np.full(4, 0.5), normal(3, 4)])
    x = normal(2, 6, 3)
    h = np.zeros((2, 4), np.float32)
    for t in range(6):
        h = h + 0.5 * np.tanh(x[:, t] @ normal(3, 4) - h)
    np.testing.assert_allclose(evaluate(model, x), h, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cell", [layers.LSTMCell, layers.GRUCell, layers.SimpleRNNCell])
def test_built_in_cells_in_rnn(cell: Any) -> None:
    layer = layers.RNN(cell(4))
    same = {"LSTMCell": layers.LSTM, "GRUCell": layers.GRU, "SimpleRNNCell": layers.SimpleRNN}[cell.__name__](4)
    x = normal(2, 3, 5)
    layer(x), same(x)
    same.set_weights(layer.get_weights())
    np.testing.assert_array_equal(layer(x), same(x))


def test_float64_layers_and_integer_inputs() -> None:
    assert layers.LSTM(3, dtype="float64")(normal(1, 2, 3)).dtype == np.float64
    assert layers.Dense(3)(np.arange(6).reshape(2, 3)).dtype == np.float32
    assert layers.GRU(3)(np.ones((1, 2, 3), int)).dtype == np.float32
    assert layers.Dense(3)(np.ones((2, 3), np.float16)).dtype == np.float32


def test_all_keras_arguments_are_stored() -> None:
    layer = layers.LSTM(4, kernel_regularizer="l2", dropout=0.25, seed=3, bias_constraint="max_norm", use_cudnn=False)
    assert (layer.units, layer.dropout, layer.use_cudnn) == (4, 0.25, False)
    cell: Any = layer.cell
    assert (cell.kernel_regularizer, cell.bias_constraint, cell.seed) == ("l2", "max_norm", 3)


# ------------------------------------------------------------------ models


def test_nested_models_compute_the_same() -> None:
    inner_inputs = layers.Input((None,)), layers.Input((4,))
    embedded = layers.Embedding(9, 3)(inner_inputs[0])
    y, _, c = layers.LSTM(4, return_state=True)(embedded, initial_state=[inner_inputs[1], inner_inputs[1]])
    inner = Model(list(inner_inputs), [y * 2, c])
    ids, start = layers.Input((6,), batch_size=2), layers.Input((4,), batch_size=2)
    a, b = inner([ids, start])
    outer = Model([ids, start], layers.Dense(2)(a + b))
    assert outer.graph().inputs[0].type.dtype is DType.I64
    assert [type(layer).__name__ for layer in outer.layers] == ["InputLayer", "InputLayer", "Model", "Dense"]
    assert outer.count_params() == inner.count_params() + 10
    tokens, state = np.arange(12).reshape(2, 6) % 9, normal(2, 4)
    first, second = evaluate(inner, tokens, state)
    kernel, bias = outer.get_weights()[-2:]
    np.testing.assert_allclose(evaluate(outer, tokens, state), (first + second) @ kernel + bias, rtol=1e-5, atol=1e-6)
    assert inner.get_layer(index=0).name in names(inner)


def test_a_model_in_a_sequential_and_a_sequential_in_a_model() -> None:
    encoder = Sequential([layers.Embedding(9, 3), layers.GRU(4, return_sequences=True)])
    outer = Sequential([encoder, layers.GRU(2), Sequential([layers.Dense(3), layers.Activation("softmax")])])
    ids = np.array([[1, 2, 8]])
    assert outer.output_shape == (None, 3)
    expected = outer.layers[2](outer.layers[1](encoder(ids)))
    np.testing.assert_allclose(evaluate(outer, ids), expected, rtol=1e-5, atol=1e-6)
    tokens = layers.Input((None,))
    assert Model(tokens, outer(tokens)).graph().inputs[0].type.dtype is DType.I64


def test_shared_layers_have_one_set_of_weights() -> None:
    shared = layers.Dense(3)
    a, b = layers.Input((2,)), layers.Input((2,))
    model = Model([a, b], shared(a) - shared(b))
    assert len(model.weights) == 2
    assert not evaluate(model, normal(4, 2), normal(4, 2)).any()


def test_linear_activations_and_outputs_that_are_inputs() -> None:
    x = layers.Input((2,))
    same = layers.Activation("linear")(x)
    assert same is not x
    model = Model(x, [x, same, layers.Activation(None)(same)])
    assert len(names(model)) == 3
    for output in evaluate(model, normal(3, 2)):
        np.testing.assert_array_equal(output, normal(3, 2))


def test_order_of_layers_is_by_distance_from_the_outputs() -> None:
    a, b = layers.Input((2,), name="a"), layers.Input((2,), name="b")
    left = layers.Dense(2, name="left_2")(layers.Dense(2, name="left_1")(a))
    right = layers.Dense(2, name="right")(b)
    model = Model([b, a], layers.Dense(1, name="top")(left + right))
    assert names(model) == ["a", "left_1", "b", "left_2", "right", "top"]
    assert [tensor.name for tensor in model.inputs] == ["b", "a"]


def test_names_of_values_in_the_graph() -> None:
    x = layers.Input((None, 3), name="x")
    _, h, c = layers.LSTM(4, return_state=True, name="encoder")(x)
    graph = Model(x, [layers.Dense(2, name="scores")(h), c], name="m").graph()
    assert graph.name == "m"
    assert [value.name for value in graph.outputs] == ["scores", "encoder_c"]
    assert [value.name for value in graph.consts][:2] == ["encoder_kernel", "encoder_recurrent_kernel"]
    (scan,) = [node for node in graph.nodes if node.op.name == "scan"]
    assert [value.name for value in (*scan.attrs["body"].inputs, *scan.attrs["body"].xs)] == ["h", "c", "x"]
    assert scan.scope == "encoder"


def test_a_sequential_that_learns_its_input_from_the_first_call() -> None:
    model = Sequential([layers.LSTM(4), layers.Dense(2)])
    assert model.weights == []
    assert model(normal(2, 3, 5)).shape == (2, 2)
    assert model.input_shape == (None, None, 5)
    assert model(normal(4, 9, 5)).shape == (4, 2)
    by_shape = Sequential([layers.Dense(2)])
    by_shape.build((None, 7))
    assert by_shape.count_params() == 16
    on_tensor = Sequential([layers.Dense(2)])
    assert on_tensor(layers.Input((None, 3))).shape == (None, None, 2)


@pytest.mark.parametrize(
    "first",
    [
        lambda: layers.Dense(2, input_shape=(3,)),
        lambda: layers.Dense(2, input_dim=3),
        lambda: layers.LSTM(2, input_shape=(None, 3)),
        lambda: layers.GRU(2, batch_input_shape=(5, 4, 3)),
        lambda: layers.Embedding(9, 2, input_length=4),
    ],
)
def test_first_layers_that_say_their_input(first: Any) -> None:
    assert Sequential([first()]).output_shape[-1] == 2


def test_add_and_pop() -> None:
    model = Sequential([layers.Input((3,)), layers.Dense(4), layers.Dense(2)])
    assert evaluate(model, normal(1, 3)).shape == (1, 2)
    removed = model.pop()
    assert removed.name not in names(model)
    assert model(normal(1, 3)).shape == (1, 4)
    model.add(layers.Dense(7))
    assert model(normal(1, 3)).shape == (1, 7)


def test_a_layer_that_does_not_fit_is_not_added() -> None:
    model = Sequential([layers.Embedding(9, 3), layers.LSTM(2)])
    with pytest.raises(rnncc.errors.ShapeError):
        model.add(layers.LSTM(2))
    assert len(model.layers) == 2
    model.add(layers.Dense(1))
    assert model.output_shape == (None, 1)


# ------------------------------------------------------------------ calls


def _two() -> Model:
    a, b = layers.Input((2,), name="a"), layers.Input((2,), name="b")
    return Model([a, b], [a + b, a - b])


@pytest.mark.usefixtures("_no_compiler")
def test_ways_to_give_inputs() -> None:
    model = _two()
    x, y = normal(3, 2), normal(3, 2) * 2
    expected = [x + y, x - y]
    for outputs in (model(x, y), model([x, y]), model((x, y)), model({"b": y, "a": x}), model(b=y, a=x), model(x, b=y)):
        for output, right in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(output, right, rtol=1e-6)
    for outputs in (model.predict([x, y]), model.predict({"a": x, "b": y}, batch_size=2, verbose=0)):
        for output, right in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(output, right, rtol=1e-6)


@pytest.mark.usefixtures("_no_compiler")
def test_the_compiler_is_asked_again_only_for_another_structure() -> None:
    asked: list[Any] = []

    def compiler(model: Any) -> Any:
        asked.append(model)
        return lambda *arrays, **named: evaluate(model, *arrays, **named)

    execution.set_compiler(compiler)
    model = Sequential([layers.Input((3,)), layers.Dense(2)])
    x = normal(2, 3)
    first = model(x)
    model.set_weights([weight * 2 for weight in model.get_weights()])
    np.testing.assert_allclose(model.predict(x), first * 2, rtol=1e-5)
    assert len(asked) == 1
    model.add(layers.Dense(1))
    model(x)
    assert len(asked) == 2


def test_weights_are_copied_and_counted() -> None:
    model = Sequential([layers.Input((2,)), layers.Dense(2)])
    kernel, bias = model.get_weights()
    version = model.weights_version
    kernel[:] = 5
    assert (model.get_weights()[0] != 5).all()
    model.set_weights([kernel, bias])
    kernel[:] = 6
    assert (model.get_weights()[0] == 5).all()
    assert model.weights_version == version + 2
    assert [weight.path.partition("/")[2] for weight in model.weights] == ["kernel", "bias"]
    with pytest.raises(ValueError, match="read-only"):
        model.weights[0].value[0, 0] = 1


def test_arithmetic_on_weights() -> None:
    class Own(layers.Layer):
        def build(self, input_shape: Any) -> None:
            self.w = self.add_weight("w", (2, 2), "ones", trainable=False)

        def call(self, x: Any) -> Any:
            w = self.w
            return x @ (w + 1 - w * 2 + (-w) / 4 + (1 + w) - (1 - w) * (2 * w) + 2 / w) + w[0]

    layer = Own()
    np.testing.assert_allclose(layer(np.ones((1, 2))), [[2 * (1 + 1 - 2 - 0.25 + 2 - 0 + 2) + 1] * 2])
    assert layer.trainable_weights == []
    assert len(layer.non_trainable_weights) == 1


def test_compiled_calls_agree_with_the_meaning() -> None:
    model = Sequential([layers.Embedding(9, 3), layers.GRU(5), layers.Dense(2)])
    for batch, time in ((1, 1), (3, 7), (5, 2)):
        ids = np.random.default_rng(batch).integers(0, 9, (batch, time))
        np.testing.assert_allclose(model(ids), evaluate(model, ids), rtol=1e-5, atol=1e-6)
