"""Small models for the tests of the benchmark, one for each thing that peers are told, and a roof of round numbers."""

from __future__ import annotations

from typing import Any

from rnncc import layers
from rnncc.layers.model import Model
from rnncc.layers.sequential import Sequential
from rnncc.runtime.caches import Caches
from rnncc.runtime.roof import Roof
from rnncc.tools.bench.cases import Case, prepare
from rnncc.tools.bench.cells import LayerNormLSTMCell, ScanLSTM
from rnncc.tools.bench.peers import PEERS
from rnncc.tools.bench.workloads import Workload

CACHES = Caches(l1=32 << 10, l2=1 << 20, l3=16 << 20)
ROOF = Roof(1, 100.0, 200.0, 100.0, 50.0, 10.0, CACHES, register_bytes=2048)


def _seq2seq() -> Model:
    source, target = layers.Input(shape=(None,)), layers.Input(shape=(None,))
    _, h, c = layers.LSTM(6, return_state=True)(layers.Embedding(11, 4)(source))
    steps, *states = layers.LSTM(6, return_sequences=True, return_state=True)(
        layers.Embedding(7, 5)(target), initial_state=[h, c]
    )
    return Model([source, target], [layers.Dense(3, activation="softmax")(steps), *states])


def _given_state() -> Model:
    x, h = layers.Input(shape=(None, 3)), layers.Input(shape=(5,))
    return Model([x, h], layers.GRU(5, return_sequences=True, use_bias=False)(x, initial_state=h))


def chain(*parts: Any) -> Model:
    return Sequential([layers.Input(shape=(None, 3)), *parts])


TINY = {
    "stack": lambda: Sequential(
        [
            layers.Embedding(9, 4),
            layers.GRU(6, return_sequences=True),
            layers.SimpleRNN(5),
            layers.Dense(3, activation="tanh"),
        ]
    ),
    "seq2seq": _seq2seq,
    "given state": _given_state,
    "reset before": lambda: chain(layers.GRU(5, reset_after=False), layers.Dense(2, use_bias=False)),
    "own cell": lambda: chain(ScanLSTM(6), layers.Dense(2, activation="relu")),
    "layer norm": lambda: chain(layers.RNN(LayerNormLSTMCell(6), return_sequences=True)),
    "both ways": lambda: chain(
        layers.Bidirectional(layers.GRU(5, return_sequences=True)),
        layers.Bidirectional(layers.LSTM(4, return_sequences=True)),
        layers.Bidirectional(layers.LSTM(6, use_bias=False)),
    ),
}


HERE = [peer for peer in PEERS if peer.is_default and peer.key != "tensorflow-xla"]
"""Peers that need no process of their own: Keras cannot change what it runs on."""


def tiny(name: str, batch: int = 2, length: int = 4, **options: Any) -> Case:
    return prepare(Workload(name, "tiny", TINY[name], ((batch, length),), **options), batch, length)
