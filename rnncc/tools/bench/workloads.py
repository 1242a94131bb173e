"""What is timed: the named workloads with their targets, and models in a user's own file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rnncc import layers
from rnncc.errors import ArgumentError, nearest
from rnncc.graph.ir import Graph
from rnncc.layers.base import Layer
from rnncc.layers.model import Model
from rnncc.layers.sequential import Sequential
from rnncc.tools.bench.cells import LayerNormLSTMCell, OwnLSTMCell, ScanLSTM
from rnncc.tools.bench.results import Target
from rnncc.tools.load import candidates, only_candidate, run_file, split_name

RTNEURAL_STEP = 288
"""Nanoseconds of a step of LSTM(40) in RTNeural, a C++ library that the benchmark cannot run (AVX-512, Eigen)."""


@dataclass(frozen=True, slots=True)
class Beside:
    """A model that takes the same inputs and is timed in a column of its own.

    `is_same`: it is the same model, written in another way, with the same weights. Else it is another one.
    """

    name: str
    make: Callable[[], Model]
    is_same: bool = True


@dataclass(frozen=True, slots=True)
class Workload:
    """A model and the sizes it runs at. `make` builds it with weights of its own.

    `way` says what is timed: a `call` on whole sequences; one `step` of a sequence, the state kept in between; or, from
    `cold`, making the compiled model and calling it on sequences of many lengths. `left_out` is the share of steps, at
    random places, in which all inputs are zero.
    """

    name: str
    about: str
    make: Callable[[], Any]
    sizes: tuple[tuple[int, int], ...]
    targets: tuple[Target, ...] = ()
    beside: tuple[Beside, ...] = ()
    way: str = "call"
    left_out: float = 0.0
    has_own_weights: bool = False


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


def _bidirectional(units: int, *, return_sequences: bool = False) -> Layer:
    return layers.Bidirectional(layers.LSTM(units, return_sequences=return_sequences))


def _vectors(width: int, *parts: Any) -> Callable[[], Model]:
    """A chain of layers, each from a class and its arguments, on vectors of `width` numbers."""
    return lambda: Sequential([layers.Input(shape=(None, width)), *(make() for make in parts)])


def _lstm(units: int, width: int) -> Callable[[], Model]:
    return _vectors(width, lambda: layers.LSTM(units))


def _deep(units: int) -> Callable[[], Model]:
    """Four equal layers."""

    def layer(*, return_sequences: bool = True) -> Layer:
        return layers.LSTM(units, return_sequences=return_sequences)

    return _vectors(units, layer, layer, layer, lambda: layer(return_sequences=False))


def _dropping() -> Model:
    x = layers.Input(shape=(None, 64))
    return Model(x, layers.LSTM(128, recurrent_dropout=0.2, seed=1)(x, training=True))


_PLAIN = Beside("layers.LSTM", _lstm(128, 64))
_PLAIN_LAYER = Beside("plain LSTM", _lstm(128, 64), is_same=False)
_BOTH = (1, 2)


def _best(ratio: float, threads: tuple[int, ...] = (1,)) -> Target:
    return Target("best", ratio, threads)


WORKLOADS = (
    Workload(
        "classify-1",
        "Embedding(1000, 64), LSTM(128), Dense(10)",
        _classify,
        ((1, 100),),
        (_best(2.0), Target("floor", 0.8)),
    ),
    Workload("classify-32", "the same, 32 rows", _classify, ((32, 100),), (_best(2.0, _BOTH),)),
    Workload(
        "stack-1",
        "Embedding(1000, 64), GRU(256), SimpleRNN(128), Dense(10)",
        _stack,
        ((1, 100),),
        (_best(2.0, _BOTH),),
    ),
    Workload("stack-32", "the same, 32 rows", _stack, ((32, 100),), (_best(1.7, _BOTH),)),
    Workload("deep-64", "four LSTM(64), width 64", _deep(64), ((1, 100), (1, 1000)), (_best(2.0, _BOTH),)),
    Workload("deep-128", "four LSTM(128), width 128", _deep(128), ((1, 100), (1, 1000)), (_best(2.0, _BOTH),)),
    Workload(
        "seq2seq-1",
        "LSTM(64) encoder, its state starts an LSTM(64) decoder, Dense(10)",
        _seq2seq,
        ((1, 100),),
        (_best(2.0),),
    ),
    Workload(
        "step-40",
        "LSTM(40), width 1, one step per call from Python",
        _vectors(1, lambda: layers.LSTM(40, return_sequences=True)),
        ((1, 1),),
        (_best(8.0), Target("call", 1.2)),
        way="step",
    ),
    Workload("wide-512", "LSTM(512), width 512", _lstm(512, 512), ((1, 100),), (_best(2.0, _BOTH),)),
    Workload(
        "wide-1024",
        "LSTM(1024), width 1024",
        _lstm(1024, 1024),
        ((1, 50),),
        (_best(1.2, _BOTH), Target("best", 1.5, (2,), precision="bfloat16")),
    ),
    Workload(
        "batch-256",
        "LSTM(256), width 256, 64 rows",
        _lstm(256, 256),
        ((64, 100),),
        (_best(1.3, _BOTH), Target("floor", 0.8, _BOTH)),
    ),
    Workload(
        "batch-1024",
        "LSTM(1024), width 1024, 32 rows",
        _lstm(1024, 1024),
        ((32, 50),),
        (
            _best(1.35, _BOTH),
            Target("best", 1.3, (2,), precision="bfloat16"),
            Target("best", 2.0, (2,), precision="float32-bf16x6"),
        ),
    ),
    Workload(
        "bidi-128",
        "two layers of Bidirectional(LSTM(128)), width 64",
        _vectors(64, lambda: _bidirectional(128, return_sequences=True), lambda: _bidirectional(128)),
        ((1, 100), (16, 100)),
        (_best(2.0, _BOTH),),
    ),
    Workload(
        "audio-40",
        "LSTM(40), Dense(1) for each of 48,000 samples",
        _vectors(1, lambda: layers.LSTM(40, return_sequences=True), lambda: layers.Dense(1)),
        ((1, 48000),),
        (_best(round(1 / 0.6, 2)), Target("step", round(RTNEURAL_STEP / 1.7))),
    ),
    Workload(
        "tiny-8",
        "LSTM(8) over 48,000 samples",
        _vectors(1, lambda: layers.LSTM(8, return_sequences=True)),
        ((1, 48000),),
        (Target("step", 60),),
    ),
    Workload(
        "own-cell",
        "LSTM(128), width 64, written by a user with rnncc.scan, beside layers.LSTM",
        _vectors(64, lambda: ScanLSTM(128)),
        ((1, 100), (32, 100)),
        (Target("beside", 0.05, other=_PLAIN.name), Target("bits", other=_PLAIN.name)),
        (_PLAIN,),
    ),
    Workload(
        "custom-cell",
        "LSTM(128), width 64, as a cell class of a user in layers.RNN, beside layers.LSTM",
        _vectors(64, lambda: layers.RNN(OwnLSTMCell(128))),
        ((1, 100), (32, 100)),
        beside=(_PLAIN,),
    ),
    Workload(
        "custom-ln",
        "LSTM(128) with layer normalization, width 64, a cell written by a user",
        _vectors(64, lambda: layers.RNN(LayerNormLSTMCell(128))),
        ((1, 100), (32, 100)),
        (_best(5.0),),
        (_PLAIN_LAYER,),
    ),
    Workload(
        "mask",
        "Masking, LSTM(128), width 64, three of ten steps left out at random, beside the plain layer",
        _vectors(64, lambda: layers.Masking(0.0), lambda: layers.LSTM(128)),
        ((1, 100), (32, 100)),
        beside=(_PLAIN_LAYER,),
        left_out=0.3,
    ),
    Workload(
        "recurrent-dropout",
        "LSTM(128, recurrent_dropout=0.2) called for training, width 64, beside the plain layer",
        _dropping,
        ((1, 100), (32, 100)),
        (Target("beside", 0.15, other=_PLAIN_LAYER.name),),
        (_PLAIN_LAYER,),
    ),
    Workload(
        "bidirectional",
        "Bidirectional(LSTM(128)), width 64, beside the plain layer",
        _vectors(64, lambda: _bidirectional(128)),
        ((1, 100), (32, 100)),
        beside=(_PLAIN_LAYER,),
    ),
    Workload(
        "ragged",
        "classify-1 from cold: compiled, then 64 sequences of 64 lengths up to T, one by one",
        _classify,
        ((1, 200),),
        (Target("compilations", 1),),
        way="cold",
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
    name = name or only_candidate(path, found, (), traces=False)
    if name not in found:
        choices = [f"{path}:{candidate}" for candidate in candidates(found, ())]
        raise ArgumentError(f"{path} defines no {name!r}", *choices)
    item = found[name]
    if not isinstance(item, Model | Graph) and callable(item):
        item = item()
    if not isinstance(item, Model | Graph):
        raise ArgumentError(f"{name} in {path} is not a model or a graph", f"it is of type {type(item).__name__}")
    return item
