"""Summaries: the tables of the guide byte for byte, and the other shapes a table can have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from rnncc import layers
from rnncc.layers.model import Model
from rnncc.layers.naming import clear_session
from rnncc.layers.sequential import Sequential

ROOT = Path(__file__).parents[2]


def table(model: Any) -> list[str]:
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    return lines


def test_the_tables_of_the_guide() -> None:
    command = [sys.executable, "-W", "error", "-m", "tests.layers.seed_models"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert printed == (Path(__file__).parent / "seed_summaries.txt").read_text()


def test_a_chain_of_inputs_and_outputs_needs_no_connections() -> None:
    clear_session()
    x = layers.Input(shape=(None, 8), batch_size=4)
    model = Model(x, layers.Dense(2)(layers.LSTM(3)(x)))
    assert table(model)[:8] == [
        'Model: "model"',
        "_" * 65,
        " Layer (type)                Output Shape              Param #   ",
        " input_1 (InputLayer)        [(4, None, 8)]            0         ",
        " " * 65,
        " lstm (LSTM)                 (4, 3)                    144       ",
        " " * 65,
        " dense (Dense)               (4, 2)                    8         ",
    ]


def test_long_names_go_on_below_and_shared_layers_list_all_parents() -> None:
    clear_session()
    a, b = layers.Input(shape=(3,)), layers.Input(shape=(3,))
    shared = layers.Dense(2, name="a_dense_layer_with_a_rather_long_name")
    model = Model([a, b], [shared(a), shared(b)])
    assert table(model)[7:10] == [
        " a_dense_layer_with_a_rather  (None, 2)                   8         ['input_1[0][0]',             ",
        " _long_name (Dense)                                                  'input_2[0][0]']             ",
        " " * 98,
    ]


def test_nested_models_and_frozen_layers() -> None:
    clear_session()
    inner_input = layers.Input(shape=(5,))
    inner = Model(inner_input, layers.Dense(4, name="inside")(inner_input), name="inner")
    x = layers.Input(shape=(5,))
    model = Model(x, layers.Dense(1, trainable=False)(inner(x)), name="outer")
    lines = table(model)
    assert " inner (Functional)          (None, 4)                 24        " in lines
    assert lines[-4:-1] == [
        "Total params: 29 (116.00 Byte)",
        "Trainable params: 24 (96.00 Byte)",
        "Non-trainable params: 5 (20.00 Byte)",
    ]


def test_numbering_of_names() -> None:
    clear_session()
    names = [layer.name for layer in (layers.LSTM(1), layers.LSTM(1), layers.LSTM(1, name="mine"), layers.LSTM(1))]
    assert names == ["lstm", "lstm_1", "mine", "lstm_2"]
    assert [layers.Input(shape=(1,)).name for _ in range(2)] == ["input_1", "input_2"]
    assert [Sequential().name for _ in range(2)] == ["sequential", "sequential_1"]
    assert layers.SimpleRNN(1).name == "simple_rnn"
    assert layers.LSTMCell(1).name.startswith("lstm_cell")
