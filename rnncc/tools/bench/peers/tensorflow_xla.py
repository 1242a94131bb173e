"""TensorFlow: Keras's own layers in one `tf.function`, compiled by XLA, which `predict` does not do with an LSTM."""

from __future__ import annotations

import os

import numpy as np

from rnncc.errors import UnsupportedError
from rnncc.tools.bench.network import Problem
from rnncc.tools.bench.peers.keras_model import keras_model, on_lists
from rnncc.tools.bench.peers.peer import Function, Peer, optional, short_integers


def make(problem: Problem, threads: int) -> Function:
    """The number of threads is set before TensorFlow is loaded. XLA compiles for each shape of the inputs."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    keras, tensorflow = optional("keras"), optional("tensorflow")
    if keras.backend.backend() != "tensorflow":
        raise UnsupportedError(f"Keras runs on {keras.backend.backend()} in this process")
    model = keras_model(keras, problem)
    function = tensorflow.function(lambda inputs: model(inputs, training=False), jit_compile=True)

    return Function(on_lists(function), lambda array: tensorflow.constant(short_integers(array)), np.asarray)


PEER = Peer("tensorflow-xla", "TF XLA", ("tensorflow", "keras"), make)
