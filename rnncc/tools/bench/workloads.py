"""What is timed: the named workloads, a user's own model file, and the numbers that go into either."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnncc import layers
from rnncc.errors import ArgumentError, UnsupportedError, nearest
from rnncc.graph.ir import Graph
from rnncc.layers.initializers import set_random_seed
from rnncc.layers.model import Model
from rnncc.layers.sequential import Sequential
from rnncc.tools.bench.cells import LayerNormLSTMCell, ScanLSTM
from rnncc.tools.bench.network import Embedding, Network, Problem, describe, weights_of
from rnncc.tools.load import candidates, run_file, split_name

SEED = 20
_TOKENS_OF_UNKNOWN_TABLES = 2
"""Token ids for a model that cannot be described are below this: any table has two rows."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A model and the sizes it runs at.

    `make` builds it with weights of its own. `beside` builds the same model in another way: it gets the same weights
    and is timed in a column of its own.
    """

    name: str
    about: str
    make: Callable[[], Any]
    sizes: tuple[tuple[int, int], ...]
    beside: tuple[tuple[str, Callable[[], Model]], ...] = ()
    has_own_weights: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A workload at one size, ready to be computed: the models share weights, `inputs` fit all of them.

    `problem` is what other libraries get; None, and `reason`, when the model cannot be told to them.
    """

    workload: Workload
    batch: int
    length: int
    model: Any
    beside: tuple[tuple[str, Model], ...]
    inputs: tuple[np.ndarray, ...]
    problem: Problem | None
    reason: str = ""


# ------------------------------------------------------------------ models


def _classify() -> Model:
    return Sequential([layers.Embedding(1000, 64), layers.LSTM(128), layers.Dense(10)])


def _stack() -> Model:
    gru, rnn = layers.GRU(256, return_sequences=True), layers.SimpleRNN(128)
    return Sequential([layers.Embedding(1000, 64), gru, rnn, layers.Dense(10)])


def _seq2seq() -> Model:
    source, target = layers.Input(shape=(None,)), layers.Input(shape=(None,))
    _, h, c = layers.LSTM(64, return_state=True, name="encoder")(layers.Embedding(1000, 64)(source))
    decoded = layers.LSTM(64, name="decoder")(layers.Embedding(2000, 64)(target), initial_state=[h, c])
    return Model([source, target], layers.Dense(10)(decoded))


def _vectors(width: int, *parts: Any) -> Callable[[], Model]:
    """A chain of layers, each from a class and its arguments, on vectors of `width` numbers."""
    return lambda: Sequential([layers.Input(shape=(None, width)), *(make() for make in parts)])


def _lstm(units: int, width: int) -> Callable[[], Model]:
    return _vectors(width, lambda: layers.LSTM(units))


WORKLOADS = (
    Workload("classify-1", "Embedding(1000, 64), LSTM(128), Dense(10)", _classify, ((1, 100),)),
    Workload("classify-32", "the same, 32 rows", _classify, ((32, 100),)),
    Workload("stack-1", "Embedding(1000, 64), GRU(256), SimpleRNN(128), Dense(10)", _stack, ((1, 100),)),
    Workload("stack-32", "the same, 32 rows", _stack, ((32, 100),)),
    Workload("seq2seq-1", "LSTM(64) encoder, its state starts an LSTM(64) decoder, Dense(10)", _seq2seq, ((1, 100),)),
    Workload("wide-512", "LSTM(512), width 512", _lstm(512, 512), ((1, 100),)),
    Workload("wide-1024", "LSTM(1024), width 1024", _lstm(1024, 1024), ((1, 50),)),
    Workload("batch-256", "LSTM(256), width 256, 64 rows", _lstm(256, 256), ((64, 100),)),
    Workload("batch-1024", "LSTM(1024), width 1024, 32 rows", _lstm(1024, 1024), ((32, 50),)),
    Workload(
        "audio-40",
        "LSTM(40), Dense(1) for each of 48,000 samples",
        _vectors(1, lambda: layers.LSTM(40, return_sequences=True), lambda: layers.Dense(1)),
        ((1, 48000),),
    ),
    Workload(
        "tiny-8",
        "LSTM(8) over 48,000 samples",
        _vectors(1, lambda: layers.LSTM(8, return_sequences=True)),
        ((1, 48000),),
    ),
    Workload(
        "own-cell",
        "LSTM(128), width 64, written by a user with rnncc.scan, beside layers.LSTM",
        _vectors(64, lambda: ScanLSTM(128)),
        ((1, 100), (32, 100)),
        (("layers.LSTM", _lstm(128, 64)),),
    ),
    Workload(
        "custom-ln",
        "LSTM(128) with layer normalization, width 64, a cell written by a user",
        _vectors(64, lambda: layers.RNN(LayerNormLSTMCell(128))),
        ((1, 100), (32, 100)),
    ),
)


def find_workload(name: str, known: Sequence[Workload] = WORKLOADS) -> Workload:
    """The workload of that name, or the model in the file ``FILE[:NAME]``.

    Raises ArgumentError when there is neither.
    """
    for workload in known:
        if workload.name == name:
            return workload
    if ".py" in name:
        return Workload(name, "a model of yours", lambda: load_model(name), ((1, 100),), has_own_weights=True)
    names = [workload.name for workload in known]
    meant = nearest(name, names)
    raise ArgumentError(
        f"there is no workload {name!r}",
        f"workloads: {', '.join(names)}",
        remedy=f"did you mean {meant!r}?" if meant else "for a model of yours: FILE.py:NAME",
    )


def load_model(where: str) -> Any:
    """The model or graph that ``FILE[:NAME]`` names; a function without arguments is called for it."""
    path, name = split_name(where)
    found = run_file(path)
    names = [name] if name else candidates(found, ())
    if len(names) != 1 or names[0] not in found:
        raise ArgumentError(
            f"{path} defines no {name!r}" if name else f"{path} holds {len(names)} models and graphs: say which one",
            *[f"{path}:{candidate}" for candidate in candidates(found, ())],
        )
    item = found[names[0]]
    if not isinstance(item, Model | Graph) and callable(item):
        item = item()
    if not isinstance(item, Model | Graph):
        raise ArgumentError(f"{names[0]} in {path} is not a model or a graph", f"it is of type {type(item).__name__}")
    return item


# ------------------------------------------------------------------ numbers


def prepare(workload: Workload, batch: int, length: int) -> Case:
    """Build the models of a workload with the same random weights, and random inputs of this size."""
    set_random_seed(SEED)
    numbers = np.random.default_rng(SEED)
    model = workload.make()
    if not workload.has_own_weights:
        _shake(model, numbers)
    beside = []
    for label, make in workload.beside:
        other = make()
        other.set_weights(model.get_weights())
        beside.append((label, other))
    try:
        network, reason = describe(model), ""
    except UnsupportedError as error:
        network, reason = None, error.what
    inputs = _inputs(model, network, batch, length, numbers)
    problem = Problem(network, weights_of(model), inputs) if network is not None else None
    return Case(workload, batch, length, model, tuple(beside), inputs, problem, reason)


def _shake(model: Model, numbers: np.random.Generator) -> None:
    """Give vectors numbers of their own: biases that are all zero, and scales that are all one, would hide mistakes."""
    model.set_weights([_shaken(weight.name, weight.numpy(), numbers) for weight in model.weights])


def _shaken(name: str, array: np.ndarray, numbers: np.random.Generator) -> np.ndarray:
    if array.ndim > 1 and name != "bias":
        return array
    if name.startswith("gamma"):  # scales around 1 make the cell chaotic: contenders would differ by what they round
        return numbers.uniform(0.05, 0.2, array.shape).astype(array.dtype)
    return (array + numbers.uniform(-0.2, 0.2, array.shape)).astype(array.dtype)


def _inputs(
    model: Any, network: Network | None, batch: int, length: int, numbers: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Token ids that every table has, and normal floats. The extent B and free first axes are the batch."""
    graph = model if isinstance(model, Graph) else model.graph()
    extents = {"B": batch, "T": length}
    arrays = []
    for position, value in enumerate(graph.inputs):
        shape = [
            dim if isinstance(dim, int) else extents.get(dim, length if axis else batch)
            for axis, dim in enumerate(value.type.shape)
        ]
        if value.type.dtype.is_integer:
            tokens = _table_size(model, network, position)
            arrays.append(numbers.integers(0, tokens, shape))
        else:
            arrays.append(numbers.standard_normal(shape).astype(np.float32))
    return tuple(arrays)


def _table_size(model: Any, network: Network | None, position: int) -> int:
    """Rows of the smallest table that input number `position` goes into."""
    if network is None:
        return _TOKENS_OF_UNKNOWN_TABLES
    weights = weights_of(model)
    name = network.inputs[position]
    tables = [step.name for step in network.steps if isinstance(step, Embedding) and step.x == name]
    return min((len(weights[f"{table}/embeddings"]) for table in tables), default=_TOKENS_OF_UNKNOWN_TABLES)
