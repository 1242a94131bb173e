"""What peers are given instead of an rnncc model: its layers as plain records, in an order in which they can run.

A value is known by the name ``layer[call][output]``, as in the "Connected to" column of a summary; a weight by
``layer/weight``. Weights have Keras's shapes and gate order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never

import numpy as np

from rnncc.errors import UnsupportedError
from rnncc.graph.symbolic import Tensor
from rnncc.layers import activations
from rnncc.layers.base import Layer
from rnncc.layers.core import Dense as DenseLayer
from rnncc.layers.core import Embedding as EmbeddingLayer
from rnncc.layers.gru import GRUCell
from rnncc.layers.history import History, LayerCall, history_of
from rnncc.layers.history import network as layer_calls
from rnncc.layers.inputs import InputLayer
from rnncc.layers.lstm import LSTMCell
from rnncc.layers.model import Model
from rnncc.layers.recurrent import RNN
from rnncc.layers.simple_rnn import SimpleRNNCell
from rnncc.layers.wrappers import Bidirectional as BidirectionalLayer
from rnncc.tools.bench.cells import LayerNormLSTMCell, OwnLSTMCell, ScanLSTM

Weights = Mapping[str, np.ndarray]

GATES = {"lstm": 4, "gru": 3, "gru_reset_before": 3, "rnn": 1, "layer_norm_lstm": 4}
"""The kinds of cells that can be described, and how many columns of their kernels belong to one unit."""

STATES = {"lstm": 2, "gru": 1, "gru_reset_before": 1, "rnn": 1, "layer_norm_lstm": 2}
"""How many states each kind has; the first one is its output."""

DENSE_ACTIVATIONS = ("linear", "tanh", "sigmoid", "relu", "softmax")


@dataclass(frozen=True, slots=True)
class Embedding:
    """result = table[x]; weight: embeddings."""

    name: str
    x: str
    result: str


@dataclass(frozen=True, slots=True)
class Dense:
    """result = activation(x @ kernel + bias)."""

    name: str
    x: str
    activation: str
    result: str


@dataclass(frozen=True, slots=True)
class Recurrent:
    """A cell of `kind` over the time axis of x, from the states `initial` (none: zeros).

    `result` holds the outputs of all steps when `sequence`, else the last one. `states` name those after the last step.
    Weights: kernel, recurrent_kernel, bias, and what else the kind has.
    """

    name: str
    kind: str
    units: int
    x: str
    initial: tuple[str, ...]
    sequence: bool
    result: str
    states: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bidirectional:
    """A cell of `kind` from the first step to the last, and another one back; their outputs side by side.

    `result` as in `Recurrent`. Weights: those of a `Recurrent` twice, as ``forward/kernel`` and ``backward/kernel``.
    """

    name: str
    kind: str
    units: int
    x: str
    sequence: bool
    result: str


DIRECTIONS = ("forward", "backward")

Step = Embedding | Dense | Recurrent | Bidirectional


@dataclass(frozen=True, slots=True)
class Network:
    """Inputs and outputs are names of values; inputs are in the order of the model."""

    inputs: tuple[str, ...]
    steps: tuple[Step, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """All that a peer needs: what to compute, with which float32 numbers, and on which arrays (int64 and float32).

    The last `carried` outputs of one call are the last inputs of the next one. `any_length`: it is also computed on
    sequences of other lengths than those of `inputs`.
    """

    network: Network
    weights: Weights
    inputs: tuple[np.ndarray, ...]
    carried: int = 0
    any_length: bool = False
    precision: str = "float32"
    """What peers compute products with weights in: float32, or bfloat16."""

    def weight(self, step: Step, name: str) -> np.ndarray:
        """One weight of a step."""
        return self.weights[f"{step.name}/{name}"]


def describe(model: Any) -> Network:
    """The network of a model. Raises UnsupportedError for what these records cannot say."""
    if not isinstance(model, Model):
        raise UnsupportedError("only models of layers can be rebuilt with other libraries")
    calls = layer_calls(model.outputs)
    if dropping := next((call.layer.name for call in calls if call.kwargs.get("training")), None):
        raise UnsupportedError(f"{dropping} is called for training: no other library draws its masks")
    steps = [_step(call) for call in calls if not isinstance(call.layer, InputLayer)]
    return Network(_names(model.inputs), tuple(steps), _names(model.outputs))


def weights_of(model: Model) -> dict[str, np.ndarray]:
    """Every weight of a model by name, as float32; a bias that a layer does without is zero."""
    found = {}
    for name, layer in _weighted(model):
        for weight in layer.weights:
            found[f"{name}/{weight.name}"] = weight.numpy().astype(np.float32)
        owner = layer.cell if isinstance(layer, RNN) else layer
        if getattr(owner, "use_bias", True) is False:
            shape = getattr(owner, "bias_shape", None) or (getattr(owner, "units", 0),)
            found[f"{name}/bias"] = np.zeros(shape, np.float32)
    return found


def _weighted(model: Model) -> Iterator[tuple[str, Layer]]:
    """The layers that have weights, and what the names of those start with."""
    for layer in model.layers:
        if isinstance(layer, BidirectionalLayer):
            yield f"{layer.name}/forward", layer.forward_layer
            yield f"{layer.name}/backward", layer.backward_layer
        else:
            yield layer.name, layer


def own_weights(step: Step, weights: Mapping[str, Any], direction: str = "") -> dict[str, Any]:
    """The weights of one step (of one direction of it), without its name in theirs."""
    prefix = f"{step.name}/{direction}/" if direction else f"{step.name}/"
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def stepwise(problem: Problem) -> Problem:
    """`problem` on its first step only, with the states as further inputs and outputs.

    Raises UnsupportedError when something in it looks at the whole sequence.
    """
    network, steps = problem.network, []
    shapes = shapes_of(problem)
    before: list[str] = []
    after: list[str] = []
    zeros: list[np.ndarray] = []
    for step in network.steps:
        if isinstance(step, Bidirectional) or (isinstance(step, Recurrent) and step.initial):
            raise UnsupportedError(f"{step.name} cannot be computed step by step")
        if isinstance(step, Recurrent):
            states = step.states or tuple(f"{step.result}/state {number}" for number in range(STATES[step.kind]))
            initial = tuple(f"{name} before" for name in states)
            before += initial
            after += states
            zeros += [np.zeros((shapes[step.x][0], step.units), np.float32) for _ in states]
            step = replace(step, initial=initial, states=states)
        steps.append(step)
    firsts = (np.ascontiguousarray(array[:, :1]) for array in problem.inputs)
    return Problem(
        Network((*network.inputs, *before), tuple(steps), (*network.outputs, *after)),
        problem.weights,
        (*firsts, *zeros),
        carried=len(zeros),
    )


def shapes_of(problem: Problem) -> dict[str, tuple[int, ...]]:
    """The shape of every value."""
    shapes = {name: array.shape for name, array in zip(problem.network.inputs, problem.inputs, strict=True)}
    for step in problem.network.steps:
        shape = shapes[step.x]
        match step:
            case Embedding():
                shapes[step.result] = (*shape, problem.weight(step, "embeddings").shape[1])
            case Dense():
                shapes[step.result] = (*shape[:-1], problem.weight(step, "kernel").shape[1])
            case Recurrent():
                shapes[step.result] = (*shape[:2], step.units) if step.sequence else (shape[0], step.units)
                shapes.update(dict.fromkeys(step.states, (shape[0], step.units)))
            case Bidirectional():
                shapes[step.result] = (*shape[: 2 if step.sequence else 1], 2 * step.units)
            case _:
                assert_never(step)
    return shapes


# ------------------------------------------------------------------ layers to steps


def _step(call: LayerCall) -> Step:
    layer, names = call.layer, _names(call.inputs)
    result = str(History(call, 0))
    match layer:
        case EmbeddingLayer():
            if getattr(layer, "mask_zero", False):
                raise _cannot(layer, "a mask")
            return Embedding(layer.name, names[0], result)
        case DenseLayer():
            return Dense(layer.name, names[0], _dense_activation(layer), result)
        case ScanLSTM():
            return Recurrent(layer.name, "lstm", layer.units, names[0], (), False, result, ())
        case RNN():
            return _recurrent(call, layer, names)
        case BidirectionalLayer():
            return _bidirectional(layer, names, result)
        case _:
            raise _cannot(layer, f"a layer of the class {type(layer).__name__}")


def _recurrent(call: LayerCall, layer: RNN, names: tuple[str, ...]) -> Recurrent:
    for option in ("go_backwards", "stateful"):
        if getattr(layer, option, False):
            raise _cannot(layer, f"{option}=True")
    kind, units = _cell(layer)
    states = [str(History(call, 1 + number)) for number in range(STATES[kind])] if layer.return_state else []
    result = str(History(call, 0))
    return Recurrent(layer.name, kind, units, names[0], names[1:], layer.return_sequences, result, tuple(states))


def _bidirectional(layer: BidirectionalLayer, names: tuple[str, ...], result: str) -> Bidirectional:
    forward, backward = (_cell(part) for part in (layer.forward_layer, layer.backward_layer))
    usual = (
        layer.merge_mode == "concat"
        and forward == backward
        and (layer.forward_layer.go_backwards, layer.backward_layer.go_backwards) == (False, True)
    )
    if not usual or layer.return_state or layer.forward_layer.stateful or len(names) > 1:
        raise _cannot(layer, "this use of two directions")
    return Bidirectional(layer.name, *forward, names[0], layer.return_sequences, result)


def _cell(layer: RNN) -> tuple[str, int]:
    """Kind and units of a layer's cell."""
    cell = layer.cell
    kinds = {
        LSTMCell: "lstm",
        GRUCell: "gru" if getattr(cell, "reset_after", True) else "gru_reset_before",
        SimpleRNNCell: "rnn",
        LayerNormLSTMCell: "layer_norm_lstm",
        OwnLSTMCell: "lstm",
    }
    kind = kinds.get(type(cell))  # a class derived from these may compute anything
    if kind is None:
        raise _cannot(layer, f"the cell {type(cell).__name__}")
    usual = (activations.tanh, activations.sigmoid)
    found = (getattr(cell, "activation", usual[0]), getattr(cell, "recurrent_activation", usual[1]))
    if found != usual:
        raise _cannot(layer, "its activations")
    return kind, int(getattr(cell, "units", 0))


def _dense_activation(layer: DenseLayer) -> str:
    for name in DENSE_ACTIVATIONS:
        if layer.activation is activations.KNOWN[name]:
            return name
    raise _cannot(layer, "its activation")


def _names(tensors: Sequence[Tensor]) -> tuple[str, ...]:
    histories = [history_of(tensor) for tensor in tensors]
    if any(history is None for history in histories):
        raise UnsupportedError("ops between layers cannot be rebuilt with other libraries")
    return tuple(map(str, histories))


def _cannot(layer: Layer, what: str) -> UnsupportedError:
    return UnsupportedError(f"{layer.name}: {what} cannot be rebuilt with other libraries")
