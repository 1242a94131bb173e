"""Packing weights: moves between views give what the interpreter gives, and what is no move goes through it."""

from __future__ import annotations

import numpy as np
import pytest

import rnncc
from rnncc import layers, pipeline
from rnncc.loop.interp import interpret
from rnncc.loop.ir import Procedure
from rnncc.loop.parser import parse
from rnncc.runtime.packing import pack, setup_procedure

MODELS = {
    "lstm": lambda: [layers.LSTM(37, return_sequences=True), layers.Dense(5)],
    "gru": lambda: [layers.GRU(130)],
    "simple": lambda: [layers.SimpleRNN(3), layers.Dense(19)],
    "wide": lambda: [layers.LSTM(200)],
}


def random_weights(procedure: Procedure) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    found = {}
    for buffer in procedure.buffers:
        if buffer.space == "weight":
            shape = [int(size.value) for size in buffer.shape]
            found[buffer.name] = generator.normal(size=shape).astype(buffer.dtype.numpy)
    return found


def assert_same_as_interpreted(procedure: Procedure) -> None:
    weights = random_weights(procedure)
    expected = interpret(setup_procedure(procedure), weights, {})
    packed = pack(procedure, weights)
    assert set(packed) == set(expected)
    for name, array in packed.items():
        assert array.ctypes.data % 64 == 0
        assert array.dtype == expected[name].dtype
        written = expected[name] == expected[name]  # the interpreter leaves NaN where nothing is stored
        assert np.array_equal(array[written], expected[name][written]), name


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("target", ["host", "x86-64-v2"])
def test_models(name: str, target: str) -> None:
    model = rnncc.Sequential([layers.Input(shape=(None, 7)), *MODELS[name]()])
    compilation = pipeline.compile_graph(model.graph(), pipeline.Options(target=target))
    assert any(buffer.space == "packed" for buffer in compilation.scheduled.buffers)
    assert_same_as_interpreted(compilation.scheduled)


SETUP = """
def packing():
    w = weight(f32, [6, 10])
    v = weight(f32, [4])
    moved = packed(f32, [5, 6, 2])
    filled = packed(f32, [7])
    scaled = packed(f32, [4])
    twice = packed(f32, [4])
    y = output(f32, [1])
    with setup():
        for p in parallel(0, 5):
            for k in parallel(0, 6):
                for l in parallel(0, 2):
                    moved[p, 5 - k, l] = w[k, p * 2 + l]
        for i in parallel(0, 7):
            filled[i] = 0.0
        for i in parallel(1, 7, 2):
            filled[i] = w[0, i + 1]
        for i in parallel(0, 4):
            scaled[i] = v[i] * 2.0
        for i in parallel(0, 4):
            twice[i] = v[i]
        for i in parallel(0, 4):
            twice[i] += v[3 - i]
    y[0] = moved[0, 0, 0] + filled[0] + scaled[0] + twice[0]
"""


def test_moves_and_others_side_by_side() -> None:
    assert_same_as_interpreted(parse(SETUP))


def test_a_move_beyond_its_buffer_is_our_mistake() -> None:
    procedure = parse(SETUP.replace("w[0, i + 1]", "w[0, i + 5]"))
    with pytest.raises(AssertionError, match="reaches from 6 to 10 of 10"):
        pack(procedure, random_weights(procedure))
