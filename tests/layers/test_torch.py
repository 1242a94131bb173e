"""PyTorch as a second reference: its recurrent layers with the same weights, odd sizes, one step, both directions."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers
from rnncc.layers.execution import evaluate
from rnncc.layers.model import Model
from tests.tolerances import KERAS_ATOL, KERAS_RTOL

torch = pytest.importorskip("torch")

SIZES = [(1, 1, 1, 1), (3, 1, 5, 2), (2, 7, 3, 17), (5, 4, 33, 9)]
"""batch, time, width, units"""


def array(tensor: Any) -> np.ndarray:
    return np.asarray(tensor.detach().numpy())


def weights_of(reference: Any, layer: int, backward: bool) -> list[np.ndarray]:
    """The weights of one layer and direction of a PyTorch module, in Keras's layout: rows are inputs.

    A GRU of PyTorch has its gates in the order r, z, n where Keras has z, r, n; it keeps both biases, as Keras does for
    `reset_after`. The two biases of the others are added everywhere, so that one is enough.
    """
    suffix = f"_l{layer}" + ("_reverse" if backward else "")
    kernel, recurrent = (array(getattr(reference, f"weight_{name}{suffix}")).T for name in ("ih", "hh"))
    biases = [array(getattr(reference, f"bias_{name}{suffix}")) for name in ("ih", "hh")] if reference.bias else []
    if reference.mode == "GRU":
        order = lambda w: np.concatenate([np.split(w, 3, -1)[n] for n in (1, 0, 2)], -1)  # noqa: E731
        kernel, recurrent, biases = (
            order(kernel),
            order(recurrent),
            [np.stack(list(map(order, biases)))] if biases else [],
        )
    elif biases:
        biases = [biases[0] + biases[1]]
    projection = [array(getattr(reference, f"weight_hr{suffix}")).T] if getattr(reference, "proj_size", 0) else []
    return [kernel, recurrent, *biases, *projection]


def in_order(gates: np.ndarray) -> np.ndarray:
    """Gates z, r, n of PyTorch's r, z, n."""
    r, z, n = np.split(gates, 3, -1)
    return np.concatenate([z, r, n], -1)


def relu_rnn(*sizes: int, **options: Any) -> Any:
    return torch.nn.RNN(*sizes, nonlinearity="relu", **options)


def same(model: Any, arrays: list[np.ndarray], expected: list[Any]) -> None:
    for results in (rnncc.compile(model)(*arrays), evaluate(model, *arrays)):
        own = results if isinstance(results, list) else [results]
        for actual, wanted in zip(own, expected, strict=True):
            np.testing.assert_allclose(actual, array(wanted), KERAS_RTOL, KERAS_ATOL)


KINDS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "RNN tanh": (torch.nn.RNN, "SimpleRNN", {}),
    "RNN relu": (
        lambda *sizes, **o: torch.nn.RNN(*sizes, nonlinearity="relu", **o),
        "SimpleRNN",
        {"activation": "relu"},
    ),
    "LSTM": (torch.nn.LSTM, "LSTM", {}),
    "GRU": (torch.nn.GRU, "GRU", {}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_layers(kind: str, size: tuple[int, int, int, int], bias: bool) -> None:
    """With states in and out."""
    batch, time, width, units = size
    torch.manual_seed(1)
    make, name, options = KINDS[kind]
    reference = make(width, units, batch_first=True, bias=bias)
    count = 2 if name == "LSTM" else 1
    x, *states = (
        np.random.default_rng(n).normal(size=shape).astype(np.float32)
        for n, shape in enumerate([(batch, time, width), *[(batch, units)] * count])
    )
    inputs = [layers.Input((None, width)), *(layers.Input((units,)) for _ in states)]
    layer = getattr(layers, name)(units, return_sequences=True, return_state=True, use_bias=bias, **options)
    model = Model(inputs, layer(inputs[0], initial_state=inputs[1:]))
    layer.set_weights(weights_of(reference, 0, False))
    first = [torch.from_numpy(state[None]) for state in states]
    output, after = reference(torch.from_numpy(x), tuple(first) if count == 2 else first[0])
    same(model, [x, *states], [output, *(state[0] for state in (after if count == 2 else [after]))])


@pytest.mark.parametrize(("kind", "depth", "both"), [*itertools.product(KINDS, (1, 3), (True,)), ("LSTM", 3, False)])
def test_deep_and_both_ways(kind: str, depth: int, both: bool) -> None:
    batch, time, width, units = 3, 6, 5, 7
    torch.manual_seed(2)
    make, name, options = KINDS[kind]
    reference = make(width, units, num_layers=depth, bidirectional=both, batch_first=True)
    start = y = layers.Input((None, width))
    for number in range(depth):
        inner = getattr(layers, name)(units, return_sequences=True, **options)
        layer = layers.Bidirectional(inner) if both else inner
        y = layer(y)
        layer.set_weights(
            [w for way in ((False, True) if both else (False,)) for w in weights_of(reference, number, way)]
        )
    x = np.random.default_rng(0).normal(size=(batch, time, width)).astype(np.float32)
    same(Model(start, y), [x], [reference(torch.from_numpy(x))[0]])


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("depth", [1, 2])
def test_projection(depth: int) -> None:
    """`proj_size` of PyTorch (Sak et al. 2014) is the projected LSTM cell; a stack of cells is `num_layers`."""
    torch.manual_seed(3)
    reference = torch.nn.LSTM(5, 7, num_layers=depth, proj_size=3, batch_first=True)
    cells = [layers.ProjectedLSTMCell(7, 3) for _ in range(depth)]
    start = layers.Input((None, 5))
    model = Model(start, layers.RNN(cells, return_sequences=True)(start))
    for number, cell in enumerate(cells):
        ours = {weight.name: weight for weight in cell.weights}
        given = weights_of(reference, number, False)
        for name, value in zip(("kernel", "recurrent_kernel", "bias", "projection_kernel"), given, strict=True):
            ours[name].assign(value)
    x = np.random.default_rng(0).normal(size=(3, 6, 5)).astype(np.float32)
    same(model, [x], [reference(torch.from_numpy(x))[0]])


def test_packed_sequences_are_lengths() -> None:
    """What `pack_padded_sequence` computes for sequences of several lengths."""
    torch.manual_seed(4)
    reference = torch.nn.GRU(5, 7, batch_first=True, bidirectional=True)
    lengths = np.array([6, 1, 4])
    x = np.random.default_rng(0).normal(size=(3, 6, 5)).astype(np.float32)
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        torch.from_numpy(x), torch.from_numpy(lengths), batch_first=True, enforce_sorted=False
    )
    steps, last = reference(packed)
    steps, _ = torch.nn.utils.rnn.pad_packed_sequence(steps, batch_first=True)
    layer = layers.Bidirectional(layers.GRU(7, return_sequences=True, return_state=True))
    x_in, lengths_in = layers.Input(("T", 5)), layers.Input((), dtype="int64")
    model = Model([x_in, lengths_in], layer(x_in, lengths=lengths_in))
    layer.set_weights(weights_of(reference, 0, False) + weights_of(reference, 0, True))
    same(model, [x, lengths], [steps, last[0], last[1]])
