"""Wrong input of every kind that the layers know: one function a case. `errors.txt` holds the messages."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np

from rnncc import ops
from rnncc.graph.trace import trace
from rnncc.layers import (
    GRU,
    LSTM,
    RNN,
    Activation,
    Concatenate,
    Dense,
    Dropout,
    Embedding,
    Input,
    InputLayer,
    Layer,
    LSTMCell,
    SimpleRNN,
)
from rnncc.layers.execution import evaluate
from rnncc.layers.initializers import set_random_seed
from rnncc.layers.model import Model
from rnncc.layers.sequential import Sequential
from rnncc.ops.scan import scan


def units_of_zero() -> None:
    LSTM(0)


def units_as_float() -> None:
    Dense(2.5)  # type: ignore[arg-type]


def vocabulary_below_one() -> None:
    Embedding(input_dim=-5, output_dim=8)


def unknown_argument() -> None:
    LSTM(4, return_sequence=True)  # type: ignore[call-arg]


def unknown_argument_far_from_all() -> None:
    Activation("tanh", colour="red")  # type: ignore[call-arg]


def unknown_activation() -> None:
    LSTM(4, activation="tahn")


def activation_of_another_kind() -> None:
    GRU(4, recurrent_activation=3)


def unknown_initializer() -> None:
    Dense(4, kernel_initializer="glorot")


def initializer_of_another_kind() -> None:
    Dense(4, bias_initializer=0)


def initializer_returns_another_shape() -> None:
    Dense(4, kernel_initializer=lambda shape: np.zeros(shape[::-1]))(Input((3,)))


def dropout_above_one() -> None:
    SimpleRNN(4, dropout=1.5)


def name_that_is_no_name() -> None:
    Dense(4, name="a/b")


def dtype_too_small() -> None:
    Dense(4, dtype="float16")


def dtype_of_integers() -> None:
    Dense(4, dtype="int32")


def mask_of_another_length() -> None:
    LSTM(4)(Input((None, 3)), mask=np.ones((1, 2), bool))


def lengths_of_another_batch() -> None:
    LSTM(4)(Input((None, 3)), lengths=Input((2,), dtype="int64"))


def unknown_call_argument() -> None:
    LSTM(4)(Input((None, 3)), length=3)


def a_state_changes_its_shape() -> None:
    class Cell(Layer):
        state_size = 4

        def call(self, inputs: Any, states: Any) -> Any:
            return inputs, [states[0][:, :3]]

    RNN(Cell())(Input((None, 3)))


def stateful_with_another_batch() -> None:
    layer = LSTM(4, stateful=True)
    layer(np.zeros((2, 3, 5)))
    layer(np.zeros((3, 3, 5)))


def dropout_seed() -> None:
    LSTM(4, dropout=0.5, seed=0.5)


def noise_shape_of_zero() -> None:
    Dropout(0.5, noise_shape=(None, 0))


def noise_shape_of_another_rank() -> None:
    Dropout(0.5, noise_shape=(None, 1))(Input((None, 3)), training=True)


def unroll_without_length() -> None:
    LSTM(4, unroll=True)(Input((None, 3)))


def unroll_of_zero() -> None:
    LSTM(4, unroll=0)


def cell_is_a_number() -> None:
    RNN(64)  # type: ignore[arg-type]


class _Forgetful(Layer):
    state_size = 3

    def call(self, inputs: Any, states: Any) -> Any:
        return inputs, []


def cell_loses_its_state() -> None:
    RNN(_Forgetful())(Input((None, 3)))


class _Growing(Layer):
    state_size = 3

    def call(self, inputs: Any, states: Any) -> Any:
        return inputs, [ops.concatenate([states[0], inputs], axis=-1)]


def cell_changes_the_shape_of_its_state() -> None:
    RNN(_Growing())(Input((None, 3)))


def cell_called_on_sequences() -> None:
    LSTMCell(4)(Input((None, 3)), [ops.zeros(("B", 4)), ops.zeros(("B", 4))])


def recurrent_layer_on_vectors() -> None:
    LSTM(4)(Input((3,)))


def recurrent_layer_without_sequences_before() -> None:
    Sequential([Embedding(10, 4), GRU(3), LSTM(2)])


def dense_on_token_ids() -> None:
    Dense(4)(Input((None,)))


def dense_on_a_vector() -> None:
    Dense(4)(np.zeros(3))


def recurrent_layer_without_width() -> None:
    LSTM(4)(Input((None, None)))


def another_width() -> None:
    layer = Dense(4)
    layer(Input((3,)))
    layer(Input((5,)))


def another_width_in_time() -> None:
    layer = LSTM(4)
    layer(Input((None, 3)))
    layer(np.zeros((1, 2, 5)))


def embedding_of_booleans() -> None:
    Embedding(10, 4)(Input((None,), dtype="bool"))


def layer_on_a_layer() -> None:
    Dense(4)(LSTM(3))


def layer_on_a_tensor_and_a_layer() -> None:
    LSTM(4)(Input((None, 3)), initial_state=GRU(4))


def layer_on_a_word() -> None:
    Dense(4)("hello")


def layer_without_call() -> None:
    Layer()(Input((3,)))


class _Numbers(Layer):
    def call(self, inputs: Any) -> Any:
        return 3


def call_returns_a_number() -> None:
    _Numbers()(Input((3,)))


def activation_changes_the_shape() -> None:
    Activation(lambda x: ops.sum(x, axis=-1))(Input((3,)))


def activation_returns_a_number() -> None:
    GRU(4, activation=lambda x: 3)(Input((None, 3)))


def activation_of_two_tensors() -> None:
    LSTM(4, recurrent_activation=lambda x, y: x)


def activation_from_numpy() -> None:
    LSTM(4, activation=np.tanh)


def activation_from_numpy_without_a_name() -> None:
    Dense(4, activation=np.sin)


def numpy_function_of_a_tensor() -> None:
    np.tanh(Input((3,), name="x"))


def numpy_function_that_there_is_not() -> None:
    np.arctan(Input((3,), name="x"))


def numpy_function_of_tensors() -> None:
    np.concatenate([Input((3,), name="x"), np.zeros((2, 3))])


def array_that_a_tensor_is_added_to() -> None:
    array = np.zeros(3)
    array += Input((3,), name="x")  # type: ignore[misc]


def array_of_a_tensor() -> None:
    np.asarray(Input((3,), name="x"))


def array_of_tensors() -> None:
    ops.exp([Input((3,), name="x"), Input((3,), name="y")])


def number_of_a_tensor() -> None:
    float(Input((3,), name="x"))


def whole_number_of_a_tensor() -> None:
    int(Input((3,), name="x"))


def range_of_a_tensor() -> None:
    range(Input((3,), name="x"))


def length_of_a_tensor() -> None:
    len(Input((None, 3), name="x"))


def loop_over_a_tensor() -> None:
    for _ in Input((None, 3), name="x"):
        pass


def states_that_were_not_asked_for() -> None:
    _output, _h, _c = LSTM(4)(Input((None, 3)))


def trace_of_a_number() -> None:
    trace(3, ("float32", ("B",)))  # type: ignore[arg-type]


def trace_of_too_few_types() -> None:
    trace(lambda x, y: x + y, ("float32", ("B",)))


def step_without_slices() -> None:
    scan(lambda h: (h, h), 0.0, ops.zeros((5,)))


def step_that_is_no_function() -> None:
    scan(None, 0.0, ops.zeros((5,)))  # type: ignore[arg-type]


def value_from_inside_a_step() -> None:
    kept = []

    def step(h: Any, x: Any) -> Any:
        kept.append(h * x)
        return h + x, None

    trace(lambda x: scan(step, 0.0, x)[0] + kept[0], ("float32", ("T",)))


def value_from_inside_another_step() -> None:
    kept = []

    def first(h: Any, x: Any) -> Any:
        kept.append(x)
        return h + x, None

    def second(h: Any, x: Any) -> Any:
        return h * kept[0], None

    trace(lambda x: scan(first, 0.0, x)[0] + scan(second, 0.0, x)[0], ("float32", ("T",)))


def states_of_a_wrong_number() -> None:
    LSTM(4)(Input((None, 3)), initial_state=[Input((4,))])


def state_of_a_wrong_width() -> None:
    GRU(4)(Input((None, 3)), initial_state=Input((5,)))


def state_of_a_wrong_batch() -> None:
    GRU(4)(Input((None, 3), batch_size=2), initial_state=np.zeros((3, 4)))


def weights_before_the_first_call() -> None:
    Dense(4).set_weights([np.zeros((3, 4)), np.zeros(4)])


def count_before_the_first_call() -> None:
    Dense(4).count_params()


def shape_before_the_first_call() -> None:
    _ = Dense(4).output_shape


def too_few_weights() -> None:
    Sequential([Input((3,)), Dense(4)]).set_weights([np.zeros((3, 4))])


def weights_as_a_number() -> None:
    Sequential([Input((3,)), Dense(4)]).set_weights(3)  # type: ignore[arg-type]


def weights_as_nothing() -> None:
    Sequential([Input((3,)), Dense(4)]).set_weights(None)  # type: ignore[arg-type]


def weights_of_ragged_rows() -> None:
    Sequential([Input((3,)), Dense(4)]).set_weights([[[1, 2], [3]], [0]])


def weight_of_another_shape() -> None:
    Sequential([Input((None, 3)), GRU(4)]).set_weights([np.zeros((3, 12)), np.zeros((4, 12)), np.zeros(12)])


def transposed_weight() -> None:
    Sequential([Input((3,)), Dense(4)]).set_weights([np.zeros((4, 3)), np.zeros(4)])


def weight_assigned_another_shape() -> None:
    layer = Dense(4)
    layer(Input((3,)))
    layer.weights[0].assign(np.zeros((2, 2)))


def weight_of_words() -> None:
    layer = Dense(1, use_bias=False)
    layer(Input((1,)))
    layer.weights[0].assign([["a"]])


def table_of_another_shape() -> None:
    Embedding(10, 4, weights=np.zeros((10, 5)))


def model_too_big_for_memory() -> None:
    Embedding(10**9, 512)(Input((None,)))


def layer_too_big_for_memory() -> None:
    SimpleRNN(10**11)(np.zeros((2, 3, 4), np.float32))


def input_without_shape() -> None:
    Input()


def input_shape_as_a_number() -> None:
    Input(10)  # type: ignore[arg-type]


def input_with_a_negative_size() -> None:
    Input((None, -3))


def input_with_two_shapes() -> None:
    Input((3,), batch_shape=(None, 3))


def sparse_input() -> None:
    Input((3,), sparse=True)


def input_of_an_unknown_type() -> None:
    Input((3,), dtype="complex64")


def layer_of_another_library() -> None:
    class LSTM:
        get_weights = None

        def __repr__(self) -> str:
            return "<LSTM name=lstm>"

    Sequential([LSTM()])


def slice_of_an_extent() -> None:
    Input((None, 3))[:, 1:]


def concatenate_two_lengths() -> None:
    Concatenate()([Input((None, 3)), Input((None, 4))])


def concatenate_along_an_extent() -> None:
    ops.concatenate([Input((3,)), Input((4,))], axis=0)


def mask_of_an_input_of_another_length() -> None:
    LSTM(4)(Input((None, 3)), mask=Input((None,), dtype="bool"))


def model_of_an_array() -> None:
    Model(np.zeros((40, 50, 60)), Input((3,)))


def step_that_returns_one_tensor() -> None:
    scan(lambda h, x: h + x, 0.0, ops.zeros((5,)))


def stream_of_a_model() -> None:
    Sequential([Input((None, 3)), LSTM(4)]).stream(batch=1)


def _two_inputs() -> Model:
    first, second = Input((None, 3), name="first"), Input((None, 3), name="second")
    state = GRU(4)(first)
    return Model([first, second], GRU(4)(second, initial_state=state))


def _tokens() -> Model:
    ids = Input((None,), name="ids")
    return Model(ids, Embedding(10, 4)(ids))


def model_that_needs_another_input() -> None:
    first, second = Input((3,)), Input((3,))
    Model(first, Dense(1)(first + second))


def model_with_an_unused_input() -> None:
    first, second = Input((3,)), Input((3,))
    Model([first, second], Dense(1)(first))


def model_with_one_input_twice() -> None:
    first = Input((3,))
    Model([first, first], Dense(1)(first))


def model_from_the_middle() -> None:
    middle = Dense(2)(Input((3,)))
    Model(middle, Dense(1)(middle))


def model_of_a_layer() -> None:
    Model(Input((3,)), Dense(1))


def model_without_outputs() -> None:
    Model(Input((3,)), [])


def two_layers_of_one_name() -> None:
    x = Input((3,))
    Model(x, Dense(1, name="same")(Dense(2, name="same")(x)))


def get_layer_of_an_unknown_name() -> None:
    _two_inputs().get_layer("gru1")


def get_layer_of_an_index_outside() -> None:
    _two_inputs().get_layer(index=9)


def get_layer_of_nothing() -> None:
    _two_inputs().get_layer()


def model_on_too_few_tensors() -> None:
    _two_inputs()(Input((None, 3)))


def model_on_a_tensor_of_another_shape() -> None:
    Sequential([Input((None, 3)), GRU(4)])(Input((None, 5)))


def sequential_of_itself() -> None:
    model = Sequential([Input((3,)), Dense(3)])
    model.add(model)


def sequential_around_itself() -> None:
    inner = Sequential([Dense(3)])
    outer = Sequential([Input((3,)), inner])
    inner.add(outer)


def sequential_of_a_class() -> None:
    Sequential([Dense])


def sequential_of_one_layer() -> None:
    Sequential(LSTM(3))  # type: ignore[arg-type]


def sequential_of_a_name() -> None:
    Sequential("encoder")


def sequential_of_two_inputs() -> None:
    Sequential([Input((3,)), InputLayer((3,))])


def sequential_with_several_outputs() -> None:
    Sequential([Embedding(10, 4), LSTM(3, return_state=True)])


def sequential_without_layers() -> None:
    Sequential().summary()


def sequential_that_does_not_know_its_input() -> None:
    Sequential([Dense(3)]).summary()


def sequential_of_one_name_twice() -> None:
    layer = Dense(3)
    Sequential([Input((3,)), layer, layer])


def pop_from_nothing() -> None:
    Sequential().pop()


def too_few_arrays() -> None:
    evaluate(_two_inputs(), np.zeros((1, 2, 3)))


def too_many_arrays() -> None:
    evaluate(_tokens(), [[1]], [[2]])


def array_of_an_unknown_name() -> None:
    evaluate(_two_inputs(), first=np.zeros((1, 2, 3)), secnd=np.zeros((1, 2, 3)))


def array_given_twice() -> None:
    evaluate(_tokens(), [[1]], ids=[[1]])


def array_of_a_wrong_rank() -> None:
    evaluate(_tokens(), [1, 2, 3])


def array_of_a_wrong_width() -> None:
    evaluate(Sequential([Input((None, 3)), GRU(4)]), np.zeros((1, 2, 5)))


def batches_that_disagree() -> None:
    evaluate(_two_inputs(), np.zeros((2, 4, 3)), np.zeros((5, 4, 3)))


def lengths_that_disagree() -> None:
    first, second = Input(("T", 3), name="first"), Input(("T", 3), name="second")
    evaluate(Model([first, second], GRU(2)(first + second)), np.zeros((2, 4, 3)), np.zeros((2, 5, 3)))


def token_above_the_table() -> None:
    evaluate(_tokens(), [[1, 2], [3, 10]])


def token_below_zero() -> None:
    evaluate(_tokens(), [[-1, 2]])


def token_between_numbers() -> None:
    evaluate(_tokens(), [[1.0, 2.5]])


def token_not_a_number() -> None:
    evaluate(_tokens(), [[1.0, np.nan]])


def words_instead_of_tokens() -> None:
    evaluate(_tokens(), [["hello", "world"]])


def rows_of_different_lengths() -> None:
    evaluate(_tokens(), [[1, 2, 3], [4]])


def objects_instead_of_numbers() -> None:
    evaluate(_tokens(), np.array([[None]], dtype=object))


def complex_numbers() -> None:
    evaluate(Sequential([Input((1,)), Dense(1)]), np.array([[1j]]))


def evaluate_a_function() -> None:
    evaluate(evaluate, 1)  # type: ignore[arg-type]


def predict_in_batches_of_zero() -> None:
    _tokens().predict([[1]], batch_size=0)


def fit() -> None:
    _two_inputs().fit(np.zeros((1, 2, 3)), epochs=3)


def compile_of_a_model() -> None:
    _two_inputs().compile(optimizer="adam")


def evaluate_of_a_model() -> None:
    _two_inputs().evaluate(np.zeros((1, 2, 3)))


def save() -> None:
    _two_inputs().save("model.keras")


def load_weights() -> None:
    _two_inputs().load_weights("model.h5")


def pickled() -> None:
    pickle.dumps(_two_inputs())


def copied() -> None:
    copy.deepcopy(_two_inputs())


def negative_seed() -> None:
    set_random_seed(-1)


CASES = [
    case for name, case in list(globals().items()) if callable(case) and getattr(case, "__module__", "") == __name__
]
CASES = [case for case in CASES if not isinstance(case, type) and not case.__name__.startswith("_")]
