"""The fused path: whatever option is given, one loop over time whose step is one kernel, and no op by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import rnncc
from rnncc import layers, ops
from rnncc.layers.history import network
from rnncc.layers.model import Model
from tests.layers.kernels import Kernels, kernels_of

Make = Callable[[Any], Any]
"""Layer class -> the layer's output on an input of its own."""

KINDS = ["SimpleRNN", "LSTM", "GRU"]


def x_in() -> Any:
    return layers.Input(("T", 5))


def model_of(output: Any) -> Model:
    """A model of everything that `output` is computed from."""
    outputs = output if isinstance(output, list) else [output]
    calls = network(outputs)
    return Model([call.outputs[0] for call in calls if isinstance(call.layer, layers.InputLayer)], outputs)


OPTIONS: dict[str, Make] = {
    "plain": lambda kind: kind(7)(x_in()),
    "return_sequences": lambda kind: kind(7, return_sequences=True)(x_in()),
    "return_state": lambda kind: kind(7, return_state=True)(x_in()),
    "go_backwards": lambda kind: kind(7, go_backwards=True, return_sequences=True)(x_in()),
    "stateful": lambda kind: kind(7, stateful=True)(x_in()),
    "use_bias": lambda kind: kind(7, use_bias=False)(x_in()),
    "relu": lambda kind: kind(7, activation="relu")(x_in()),
    "gelu": lambda kind: kind(7, activation="gelu")(x_in()),
    "mish": lambda kind: kind(7, activation="mish")(x_in()),
    "activation of one's own": lambda kind: kind(7, activation=lambda x: ops.tanh(x) * 0.9)(x_in()),
    "dropout": lambda kind: kind(7, dropout=0.2, recurrent_dropout=0.2)(x_in()),
    "mask": lambda kind: kind(7)(x_in(), mask=layers.Input(("T",), dtype="bool")),
    "mask, sequences": lambda kind: kind(7, return_sequences=True)(x_in(), mask=layers.Input(("T",), dtype="bool")),
    "zero_output_for_mask": lambda kind: kind(7, return_sequences=True, zero_output_for_mask=True)(
        x_in(), mask=layers.Input(("T",), dtype="bool")
    ),
    "mask_zero": lambda kind: kind(7)(layers.Embedding(9, 5, mask_zero=True)(layers.Input((None,)))),
    "Masking": lambda kind: kind(7)(layers.Masking()(x_in())),
    "lengths": lambda kind: kind(7)(x_in(), lengths=layers.Input((), dtype="int64")),
    "initial_state": lambda kind: kind(7)(
        x_in(), initial_state=[layers.Input((7,)) for _ in range(2 if kind is layers.LSTM else 1)]
    ),
    "float64": lambda kind: kind(7, dtype="float64")(layers.Input((None, 5), dtype="float64")),
}

AROUND = 5
"""Nests around the loop: the first states, the projection of all steps, the last output; a table or a mask."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_is_one_kernel(kind: str, option: str) -> None:
    kernels = kernels_of(model_of(OPTIONS[option](getattr(layers, kind))))
    assert kernels.steps == (1,)
    assert kernels.around <= AROUND


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_in_training(kind: str) -> None:
    """Masks are made in front of the loop; the state times its mask is made where the state is."""
    layer = getattr(layers, kind)
    for options in ({"dropout": 0.2}, {"recurrent_dropout": 0.2}, {}):
        kernels = kernels_of(model_of(layer(7, **options)(x_in())), training=True)
        assert kernels.steps == (1,)
        assert kernels.around <= AROUND + 1
    before = kernels_of(model_of(layers.GRU(7, reset_after=False)(x_in())))
    after = kernels_of(model_of(layers.GRU(7, reset_after=False, recurrent_dropout=0.2)(x_in())), training=True)
    assert after.steps[0] <= before.steps[0]


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("gate", ["hard_sigmoid", "tanh"])
def test_gate_activations(kind: str, gate: str) -> None:
    assert kernels_of(model_of(getattr(layers, kind)(7, recurrent_activation=gate)(x_in()))).steps == (1,)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["sum", "mul", "concat", "ave", None])
@pytest.mark.parametrize("masked", [False, True])
def test_bidirectional_is_a_kernel_each_way(kind: str, mode: str | None, masked: bool) -> None:
    for options in ({}, {"return_sequences": True}, {"return_state": True}):
        layer = layers.Bidirectional(getattr(layers, kind)(7, **options), merge_mode=mode)
        given = {"mask": layers.Input(("T",), dtype="bool")} if masked else {}
        kernels = kernels_of(model_of(layer(x_in(), **given)))
        assert kernels.steps == (1, 1)
        assert kernels.around <= AROUND


@pytest.mark.parametrize("kind", KINDS)
def test_unrolled_steps_stay_kernels(kind: str) -> None:
    layer = getattr(layers, kind)
    assert kernels_of(model_of(layer(7, unroll=4)(x_in()))).steps == (4, 1), "four steps, and the steps left over"
    assert kernels_of(model_of(layer(7, unroll=True)(layers.Input((6, 5))))).steps == ()


@pytest.mark.parametrize("kinds", [["LSTM", "LSTM"], ["GRU", "SimpleRNN"], ["LSTM", "GRU", "LSTM"]], ids=str)
def test_stacked_cells_are_one_loop_with_a_kernel_for_each(kinds: list[str]) -> None:
    stack = layers.RNN([getattr(layers, f"{kind}Cell")(7) for kind in kinds])
    assert kernels_of(model_of(stack(x_in()))).steps == (len(kinds),)


def test_layers_behind_each_other() -> None:
    x = x_in()
    for kind in KINDS:
        x = getattr(layers, kind)(7, return_sequences=True)(x)
    assert kernels_of(model_of(x)).steps == (1, 1, 1)


def test_encoder_and_decoder() -> None:
    first, second = (layers.Embedding(9, 5, mask_zero=True)(layers.Input((None,))) for _ in range(2))
    _, h, c = layers.LSTM(7, return_state=True)(first)
    decoded = layers.LSTM(7, return_sequences=True)(second, initial_state=[h, c])
    assert kernels_of(model_of(layers.Dense(3)(decoded))).steps == (1, 1)


# ------------------------------------------------------------------ cells

CELLS: dict[str, tuple[Callable[[], Any], int]] = {
    "CoupledGateLSTMCell": (lambda: layers.CoupledGateLSTMCell(7), 1),
    "IndRNNCell": (lambda: layers.IndRNNCell(7), 1),
    "PeepholeLSTMCell": (lambda: layers.PeepholeLSTMCell(7), 1),
    "SRUCell": (lambda: layers.SRUCell(7), 1),
    "ZoneoutLSTMCell": (lambda: layers.ZoneoutLSTMCell(7), 1),
    # The second product needs all elements of the first: two kernels at least.
    "MinimalGRUCell": (lambda: layers.MinimalGRUCell(7), 2),
    "ProjectedLSTMCell": (lambda: layers.ProjectedLSTMCell(7, 3), 2),
    # Means over a row of gates, then what is made of them; a mean and a variance are a nest each.
    "LayerNormGRUCell": (lambda: layers.LayerNormGRUCell(7), 6),
    "LayerNormLSTMCell": (lambda: layers.LayerNormLSTMCell(7), 9),
    # The candidate needs r * h of the whole row.
    "GRUCell, reset before": (lambda: layers.GRUCell(7, reset_after=False), 3),
}


@pytest.mark.parametrize("name", CELLS)
def test_cells_of_papers(name: str) -> None:
    make, most = CELLS[name]
    (steps,) = kernels_of(model_of(layers.RNN(make())(x_in()))).steps
    assert steps <= most


class Attention(layers.Layer):
    """A cell of a user's own: two states, a constant, products of its own."""

    state_size = {"fast": 7, "slow": 7}  # noqa: RUF012
    output_size = 7

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight("kernel", (5, 7))
        self.recurrent_kernel = self.add_weight("recurrent_kernel", (7, 7), "orthogonal")

    def call(self, inputs: Any, states: Any, constants: Any = None) -> Any:
        rate = ops.sigmoid(constants[0]) if constants else 0.1
        fast = ops.tanh(inputs @ self.kernel + states["fast"] @ self.recurrent_kernel + states["slow"])
        slow = (1 - rate) * states["slow"] + rate * fast
        return fast * slow, {"fast": fast, "slow": slow}


def own_cells() -> Iterator[tuple[str, Any]]:
    mask = {"mask": layers.Input(("T",), dtype="bool")}
    yield "plain", layers.RNN(Attention())(x_in())
    yield "constants", layers.RNN(Attention())(x_in(), constants=[layers.Input((7,))])
    yield "mask", layers.RNN(Attention(), return_sequences=True)(x_in(), **mask)
    yield (
        "zero_output_for_mask",
        layers.RNN(Attention(), return_sequences=True, zero_output_for_mask=True)(x_in(), **mask),
    )
    yield "stateful", layers.RNN(Attention(), stateful=True)(x_in())
    yield "backwards", layers.RNN(Attention(), go_backwards=True, return_state=True)(x_in())


@pytest.mark.parametrize("option", [name for name, _ in own_cells()])
def test_a_cell_of_ones_own_is_one_kernel(option: str) -> None:
    assert kernels_of(model_of(dict(own_cells())[option])).steps == (1,)


def test_a_cell_with_nested_inputs_is_one_kernel() -> None:
    class Both(layers.Layer):
        state_size = 7

        def build(self, input_shape: Any) -> None:
            self.kernels = [self.add_weight(f"kernel_{n}", (shape[-1], 7)) for n, shape in enumerate(input_shape)]
            self.recurrent_kernel = self.add_weight("recurrent_kernel", (7, 7))

        def call(self, inputs: Any, states: Any) -> Any:
            parts = [x @ kernel for x, kernel in zip(inputs, self.kernels, strict=True)]
            h = ops.tanh(parts[0] + parts[1] + states[0] @ self.recurrent_kernel)
            return h, [h]

    inputs = (layers.Input(("T", 5)), layers.Input(("T", 3)))
    assert kernels_of(Model(list(inputs), layers.RNN(Both())(inputs))).steps == (1,)


# ------------------------------------------------------------------ without a loop

PER_STEP: dict[str, tuple[tuple[Any, ...], Callable[[], Any]]] = {
    "Dense": ((5,), lambda: layers.Dense(3, activation="tanh")),
    "Dense, softmax": ((5,), lambda: layers.Dense(3, activation="softmax")),
    "Embedding": ((4,), lambda: layers.Embedding(9, 3)),
    "LayerNormalization": ((5,), lambda: layers.LayerNormalization()),
    "Lambda": ((5,), lambda: layers.Lambda(lambda x: x * 2, name="lambda")),
    "Activation": ((5,), lambda: layers.Activation("gelu")),
    "a model": ((4, 3), lambda: rnncc.Sequential([layers.Input((4, 3)), layers.Dense(2), layers.Flatten()])),
    "a model with a softmax": (
        (4, 3),
        lambda: rnncc.Sequential([layers.Input((4, 3)), layers.Flatten(), layers.Dense(2, activation="softmax")]),
    ),
    "TimeDistributed": ((4, 3), lambda: layers.TimeDistributed(layers.Dense(2))),
}


@pytest.mark.parametrize("name", PER_STEP)
def test_layers_at_every_step_need_no_loop(name: str) -> None:
    shape, make = PER_STEP[name]
    kernels = kernels_of(model_of(layers.TimeDistributed(make())(layers.Input(("T", *shape)))))
    assert isinstance(kernels, Kernels)
    assert kernels.steps == ()
