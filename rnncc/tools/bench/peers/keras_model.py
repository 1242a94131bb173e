"""Keras: its own layers, `predict_on_batch`, on TensorFlow, JAX, PyTorch or NumPy, whichever comes first.

The environment variable KERAS_BACKEND chooses another one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, assert_never

import numpy as np

from rnncc.tools.bench.cells import EPSILON
from rnncc.tools.bench.network import (
    DIRECTIONS,
    Bidirectional,
    Dense,
    Embedding,
    Problem,
    Recurrent,
    Step,
    own_weights,
)
from rnncc.tools.bench.peers.peer import Function, Peer, optional, short_integers

_BACKENDS = ("tensorflow", "jax", "torch", "numpy")


def make(problem: Problem, threads: int) -> Function:
    """The number of threads is what the backend was started with."""
    os.environ["KERAS_BACKEND"] = _backend()
    keras = optional("keras")
    if keras.backend.backend() == "torch":
        optional("torch").set_num_threads(threads)
    model = keras_model(keras, problem)

    return Function(on_lists(model.predict_on_batch), short_integers, np.asarray)


def on_lists(run: Callable[[Any], Any]) -> Callable[..., list[Any]]:
    """`run`, which takes and returns one array or a list of several, on any number of arrays."""

    def call(*inputs: Any) -> list[Any]:
        outputs = run(list(inputs) if len(inputs) > 1 else inputs[0])
        return outputs if isinstance(outputs, list) else [outputs]

    return call


def _backend() -> str:
    """The backend that Keras will be loaded with."""
    return os.environ.get("KERAS_BACKEND") or next(name for name in _BACKENDS if find_spec(name))


def keras_model(keras: Any, problem: Problem) -> Any:
    """`problem` as a Keras model with the same weights."""
    network, values = problem.network, {}
    for name, array in zip(network.inputs, problem.inputs, strict=True):
        dtype = "int32" if array.dtype == np.int64 else "float32"
        is_sequence = array.ndim > 2 or array.dtype == np.int64
        length = (None,) if problem.any_length and is_sequence else array.shape[1:2]
        values[name] = keras.Input(batch_shape=(*array.shape[:1], *length, *array.shape[2:]), dtype=dtype)
    inputs = list(values.values())
    for step in network.steps:
        x, own = values[step.x], own_weights(step, problem.weights)
        layer = _layer(keras, step, own)
        match step:
            case Recurrent():
                initial = [values[name] for name in step.initial]
                result, *states = layer(x, initial_state=initial or None)
                values |= {step.result: result, **dict(zip(step.states, states, strict=False))}
            case Embedding() | Dense() | Bidirectional():
                values[step.result] = layer(x)
            case _:
                assert_never(step)
        layer.set_weights([own[name] for name in _weight_names(layer)])
    return keras.Model(inputs, [values[name] for name in network.outputs])


def _weight_names(layer: Any) -> list[str]:
    """What our weights are called, in the order of the layer's."""
    if not hasattr(layer, "forward_layer"):
        return [weight.name for weight in layer.weights]
    parts = zip(DIRECTIONS, (layer.forward_layer, layer.backward_layer), strict=True)
    return [f"{direction}/{weight.name}" for direction, part in parts for weight in part.weights]


def _layer(keras: Any, step: Step, own: dict[str, np.ndarray]) -> Any:
    match step:
        case Embedding():
            return keras.layers.Embedding(*own["embeddings"].shape)
        case Dense():
            return keras.layers.Dense(own["kernel"].shape[1], activation=step.activation)
        case Recurrent():
            return _recurrent_layer(keras, step.kind, step.units, return_sequences=step.sequence, return_state=True)
        case Bidirectional():
            one = _recurrent_layer(keras, step.kind, step.units, return_sequences=step.sequence)
            return keras.layers.Bidirectional(one)
        case _:
            assert_never(step)


def _recurrent_layer(keras: Any, kind: str, units: int, **options: bool) -> Any:
    if kind == "layer_norm_lstm":
        return keras.layers.RNN(_layer_norm_cell(keras, units), **options)
    kinds = {"lstm": "LSTM", "gru": "GRU", "gru_reset_before": "GRU", "rnn": "SimpleRNN"}
    if kinds[kind] == "GRU":
        options["reset_after"] = kind == "gru"
    return getattr(keras.layers, kinds[kind])(units, **options)


def _layer_norm_cell(keras: Any, units: int) -> Any:
    """`LayerNormLSTMCell` as a Keras user would write it."""
    ops = keras.ops

    def normalized(x: Any) -> Any:
        centered = x - ops.mean(x, axis=-1, keepdims=True)
        return centered * ops.rsqrt(ops.mean(ops.square(centered), axis=-1, keepdims=True) + EPSILON)

    class Cell(keras.layers.Layer):  # type: ignore[misc]
        """LSTM with layer normalization."""

        def __init__(self) -> None:
            super().__init__()
            self.units = self.output_size = units
            self.state_size = [units, units]

        def build(self, input_shape: Any) -> None:
            self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], 4 * units))
            self.recurrent_kernel = self.add_weight(name="recurrent_kernel", shape=(units, 4 * units))
            self.bias = self.add_weight(name="bias", shape=(4 * units,))
            self.gamma_x = self.add_weight(name="gamma_x", shape=(4 * units,))
            self.gamma_h = self.add_weight(name="gamma_h", shape=(4 * units,))
            self.gamma_c = self.add_weight(name="gamma_c", shape=(units,))
            self.beta_c = self.add_weight(name="beta_c", shape=(units,))

        def call(self, inputs: Any, states: Any) -> Any:
            h, c = states
            z = normalized(ops.matmul(inputs, self.kernel)) * self.gamma_x
            z = z + normalized(ops.matmul(h, self.recurrent_kernel)) * self.gamma_h + self.bias
            i, f, candidate, o = ops.split(z, 4, axis=-1)
            c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(candidate)
            h = ops.sigmoid(o) * ops.tanh(normalized(c) * self.gamma_c + self.beta_c)
            return h, [h, c]

    return Cell()


PEER = Peer("keras", "Keras", ("keras",), make, engine=_backend)
