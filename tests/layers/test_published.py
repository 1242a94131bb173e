"""Numbers that Keras's own tests state for its layers: constant weights, sequences 0, 1, 2, ...

They are facts from keras/src/layers/rnn/*_test.py of Keras 3.15 (Apache 2.0), each with the name of its test; where all
units have one value, one number stands for the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers, ops
from rnncc.layers.execution import evaluate
from rnncc.layers.initializers import Constant
from rnncc.layers.model import Model

CONSTANTS = {
    "kernel_initializer": Constant(0.01),
    "recurrent_initializer": Constant(0.02),
    "bias_initializer": Constant(0.03),
}
ROWS, TALL = (2, 3, 4), (3, 6, 4)
"""Shapes of the sequences."""

CORRECTNESS: list[tuple[str, tuple[int, ...], dict[str, Any], Sequence[float]]] = [
    # simple_rnn_test.py: test_correctness
    ("SimpleRNN", ROWS, {}, [0.405432, 0.73605347]),
    ("SimpleRNN", ROWS, {"unroll": True}, [0.405432, 0.73605347]),
    ("SimpleRNN", ROWS, {"go_backwards": True}, [0.11144729, 0.5528889]),
    ("SimpleRNN", ROWS, {"go_backwards": True, "unroll": True}, [0.11144729, 0.5528889]),
    # lstm_test.py: test_correctness
    ("LSTM", TALL, {}, [0.6288687, 0.86899155, 0.9460773]),
    ("LSTM", TALL, {"go_backwards": True}, [0.35622165, 0.74789524, 0.8872726]),
    ("LSTM", TALL, {"unroll": True}, [0.6288687, 0.86899155, 0.9460773]),
    ("LSTM", TALL, {"unit_forget_bias": False}, [0.57019705, 0.8661914, 0.9459622]),
    ("LSTM", TALL, {"use_bias": False}, [0.54986924, 0.86226785, 0.9443936]),
    # gru_test.py: test_correctness
    ("GRU", TALL, {}, [0.5217289, 0.6371659, 0.39384964]),
    ("GRU", TALL, {"go_backwards": True}, [0.24406259, 0.611516, 0.3928808]),
    ("GRU", TALL, {"unroll": True}, [0.5217289, 0.6371659, 0.39384964]),
    ("GRU", TALL, {"reset_after": False}, [0.51447755, 0.6426879, 0.40208298]),
    ("GRU", TALL, {"use_bias": False}, [0.49988455, 0.64701194, 0.4103359]),
]


def sequence(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(np.float32)


def close(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def layer_of(kind: str, units: int, **options: Any) -> Any:
    return getattr(layers, kind)(units, **CONSTANTS, **options)


@pytest.mark.parametrize(("kind", "shape", "options", "expected"), CORRECTNESS, ids=str)
def test_correctness(kind: str, shape: tuple[int, ...], options: dict[str, Any], expected: Sequence[float]) -> None:
    units = 4 if kind == "SimpleRNN" else 3
    x, start = sequence(*shape), layers.Input(shape[1:])
    model = Model(start, layer_of(kind, units, **options)(start))
    for result in (evaluate(model, x), rnncc.compile(model)(x)):
        close(result, np.repeat(np.array(expected)[:, None], units, 1))


STATEFUL = {"SimpleRNN": [0.40559256, 0.7361247], "LSTM": [0.3124785, 0.6863672], "GRU": [0.29542392, 0.5885018]}


@pytest.mark.parametrize("kind", STATEFUL)
def test_statefulness(kind: str) -> None:
    """test_statefulness of each file: the second call, before and after a reset."""
    start = layers.Input((None, 4))
    model = Model(start, layer_of(kind, 4, stateful=True)(start))
    fn, x = rnncc.compile(model), sequence(*ROWS)
    for _ in range(2):
        fn(x)
        close(fn(x), np.repeat(np.array(STATEFUL[kind])[:, None], 4, 1))
        fn.reset_states()


@pytest.mark.parametrize(
    ("kind", "units", "backwards", "expected"),
    [
        ("SimpleRNN", 4, False, [[0.33621645] * 4, [0.6262637] * 4]),
        ("SimpleRNN", 4, True, [[0.07344437] * 4, [0.43043602] * 4]),
        ("GRU", 2, False, [[0.23774096, 0.33508456], [0.83659905, 1.0227708]]),
        ("GRU", 2, True, [[0.13486053, 0.23261218], [0.78257304, 0.9691353]]),
    ],
    ids=str,
)
def test_pass_initial_state(kind: str, units: int, backwards: bool, expected: Any) -> None:
    x, state = sequence(2, 4, 3), sequence(2, units)
    inputs = [layers.Input((None, 3)), layers.Input((units,))]
    layer = layer_of(kind, units, go_backwards=backwards)
    model = Model(inputs, layer(inputs[0], initial_state=inputs[1]))
    for result in (evaluate(model, x, state), rnncc.compile(model)(x, state), layer(x, initial_state=state)):
        close(result, expected)


HOLES = np.array([[True, True, False, True], [True, False, False, True]])
RIGHT = np.array([[True, True, True, False], [True, True, False, False]])
MASKED: list[tuple[str, np.ndarray, list[list[float]]]] = [
    # simple_rnn_test.py and lstm_test.py: test_masking, with return_sequences
    (
        "SimpleRNN",
        HOLES,
        [[0.0599281, 0.15122814, 0.15122814, 0.32394567], [0.3969304, 0.3969304, 0.3969304, 0.608085]],
    ),
    (
        "LSTM",
        RIGHT,
        [[0.01588910, 0.05552048, 0.11755939, 0.11755939], [0.14185596, 0.28556206, 0.28556206, 0.28556206]],
    ),
]


@pytest.mark.parametrize(("kind", "mask", "expected"), MASKED, ids=["SimpleRNN", "LSTM"])
def test_masking(kind: str, mask: np.ndarray, expected: list[list[float]]) -> None:
    x, wanted = sequence(2, 4, 3), np.repeat(np.array(expected)[..., None], 2, -1)
    for zero in (False, True):
        layer = layer_of(kind, 2, return_sequences=True, zero_output_for_mask=zero)
        inputs = [layers.Input(("T", 3)), layers.Input(("T",), dtype="bool")]
        fn = rnncc.compile(Model(inputs, layer(inputs[0], mask=inputs[1])))
        for result in (layer(x, mask=mask), fn(x, mask)):
            close(result, np.where(mask[..., None], wanted, 0) if zero else wanted)


def test_masking_unrolled() -> None:
    mask_in, x_in = layers.Input((4,), dtype="bool"), layers.Input((4, 3))
    layer = layer_of("SimpleRNN", 4, unroll=True)
    fn = rnncc.compile(Model([x_in, mask_in], layer(x_in, mask=mask_in)))
    close(fn(sequence(2, 4, 3), HOLES), [[0.32951632] * 4, [0.61799484] * 4])


def test_bidirectional() -> None:
    """bidirectional_test.py: test_correctness."""
    x, start = sequence(*ROWS), layers.Input((None, 4))
    there, back = np.array([0.39687276, 0.7237238]), np.array([0.10004295, 0.53391594])

    def run(layer: Any) -> Any:
        return rnncc.compile(Model(start, layer(start)))(x)

    forward = layer_of("SimpleRNN", 2)
    close(run(layers.Bidirectional(forward)), np.repeat(np.stack([there, back], 1), 2, 1))
    close(run(layers.Bidirectional(forward, merge_mode="ave"))[:, 0], [0.24845785, 0.6288199])
    one, other = run(layers.Bidirectional(forward, merge_mode=None))
    close(one[:, 1], there)
    close(other[:, 1], back)
    backward = layers.SimpleRNN(
        2,
        kernel_initializer=Constant(0.03),
        recurrent_initializer=Constant(0.02),
        bias_initializer=Constant(0.01),
        go_backwards=True,
    )
    product = layers.Bidirectional(forward, backward_layer=backward, merge_mode="mul")
    close(run(product)[:, 0], [0.08374989, 0.6740834])
    gru = layers.Bidirectional(layer_of("GRU", 2, return_sequences=True), merge_mode="sum")
    close(run(gru)[..., 0], [[0.20937867, 0.34462988, 0.40290534], [0.59829646, 0.6734641, 0.6479671]])
    masked = layers.Bidirectional(layer_of("GRU", 2))(sequence(2, 4, 3), mask=HOLES)
    close(masked[:, ::2], [[0.19393763, 0.11669192], [0.30818558, 0.28380975]])


def test_time_distributed() -> None:
    """time_distributed_test.py: test_correctness and test_masking."""
    dense = layers.Dense(1, kernel_initializer=Constant(0.01), use_bias=False)

    class MaskedDense(layers.Layer):
        supports_masking = True

        def call(self, inputs: Any, mask: Any = None) -> Any:
            return dense(inputs) if mask is None else dense(inputs) * ops.cast(mask, "float32")[:, None]

    x, start = sequence(3, 2, 4), layers.Input((None, 4))
    expected = np.array([[0.06, 0.22], [0.38, 0.54], [0.7, 0.86]])
    close(rnncc.compile(Model(start, layers.TimeDistributed(dense)(start)))(x)[..., 0], expected)
    mask = np.array([[False, True], [True, False], [True, True]])
    close(layers.TimeDistributed(MaskedDense())(x, mask=mask)[..., 0], np.where(mask, expected, 0))
