"""TensorFlow: Keras's own layers in one `tf.function`, compiled by XLA, which `predict` does not do with an LSTM."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from rnncc.errors import UnsupportedError
from rnncc.tools.bench.network import Problem
from rnncc.tools.bench.peers.keras_model import keras_model
from rnncc.tools.bench.peers.peer import Function, Peer, optional


def make(problem: Problem, threads: int) -> Function:
    """The number of threads is set before TensorFlow is loaded. XLA compiles for each shape of the inputs."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    keras, tensorflow = optional("keras"), optional("tensorflow")
    if keras.backend.backend() != "tensorflow":
        raise UnsupportedError(f"Keras runs on {keras.backend.backend()} in this process")
    model = keras_model(keras, problem)
    function = tensorflow.function(lambda inputs: model(inputs, training=False), jit_compile=True)

    def given(array: np.ndarray) -> Any:
        return tensorflow.constant(array.astype(np.int32) if array.dtype == np.int64 else array)

    def call(*inputs: Any) -> list[Any]:
        outputs = function(list(inputs) if len(inputs) > 1 else inputs[0])
        return outputs if isinstance(outputs, list) else [outputs]

    return Function(call, given, np.asarray)


PEER = Peer("tensorflow-xla", "TF XLA", ("tensorflow", "keras"), make)
