"""What threads share needs no luck: between two barriers, no thread touches what another one writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers, ops
from rnncc.codegen.target import Target
from rnncc.graph.ir import Graph
from rnncc.loop.interp import interpret
from rnncc.loop.ir import Barrier, For, Procedure, Stmt
from rnncc.lower.lower import lower
from rnncc.lower.setup import split_setup
from rnncc.passes.loop.share_threads import share_threads
from rnncc.passes.loop.wavefront import wavefront
from rnncc.pipeline import Options, graph_passes, loop_passes, machine_of
from rnncc.runtime.memory import shape_of
from tests.passes.loop.races import races

SIZES = {"B": 1, "T": 2, "S": 2}
CHUNKS = {"B": 2, "T": 11}
"""Five chunks of two steps and half a one."""


def stacked() -> Graph:
    rnn = layers.GRU(34, return_sequences=True, reset_after=False)
    model = rnncc.Sequential([layers.Input(shape=(None, 30)), layers.LSTM(42, return_sequences=True), rnn])
    model.add(layers.LSTM(17, go_backwards=True))
    return model.graph()


def both_ways() -> Graph:
    inputs = [layers.Input(shape=(None, 9)), layers.Masking()]
    both = layers.Bidirectional(layers.LSTM(42, return_sequences=True))
    return rnncc.Sequential([*inputs, both, layers.Bidirectional(layers.GRU(34))]).graph()


def three_deep() -> Graph:
    rnn, gru = layers.SimpleRNN(9, return_sequences=True), layers.GRU(7, return_sequences=True)
    return rnncc.Sequential([layers.Input(shape=(None, 5)), rnn, gru, layers.Masking(), layers.LSTM(6)]).graph()


def across() -> Graph:
    """The third layer reads what the first one returns as well, and what the second one returns is a result."""
    x = layers.Input(shape=(None, 5))
    first = layers.SimpleRNN(9, return_sequences=True)(x)
    second = layers.GRU(7, return_sequences=True)(first)
    third = layers.SimpleRNN(8, return_sequences=True)(layers.concatenate([first, second]))
    return rnncc.Model(x, [layers.SimpleRNN(6, go_backwards=True)(third), second]).graph()


def nested() -> Graph:
    """A loop over steps in every step of another one."""
    rng = np.random.default_rng(0)
    kernel, inner_kernel, across = (
        (rng.standard_normal(shape) / 9).astype(np.float32) for shape in ((160, 160), (88, 88), (160, 88))
    )

    def model(x: Any, z: Any) -> Any:
        def step(h: Any, x_t: Any) -> Any:
            def inner(g: Any, z_t: Any) -> Any:
                return ops.tanh(z_t + g @ inner_kernel + h @ across), ()

            g, _ = rnncc.scan(inner, ops.zeros(("B", 88)), z)
            h = ops.tanh(x_t + h @ kernel + g @ across.T)
            return h, h

        return rnncc.scan(step, ops.zeros(("B", 160)), x)

    return rnncc.trace(model, ("float32", ("T", "B", 160)), ("float32", ("S", "B", 88)))


def shared(graph: Graph, threads: int, precision: str, length: int | None = None) -> Procedure:
    """What the threads of a team run when even the smallest loops are shared, or else are stages of `length` steps."""
    for graph_pass in graph_passes(Options()):
        graph = graph_pass.run(graph)
    procedure = lower(split_setup(graph)[1])
    for loop_pass in loop_passes(
        machine_of(Target.parse("x86-64-v3" if precision == "float32" else "x86-64-v4-amx"), precision),
        threads,
        precision,
    ):
        if loop_pass.name == "share_threads":
            procedure = share_threads(procedure, threads, worth_bytes=0)
        elif loop_pass.name == "wavefront" and length is not None:
            procedure = wavefront(procedure, threads, length)
        else:
            procedure = loop_pass.run(procedure)
    return procedure


def without_barriers(statements: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
    return tuple(
        replace(statement, body=without_barriers(statement.body)) if isinstance(statement, For) else statement
        for statement in statements
        if not isinstance(statement, Barrier)
    )


def random_arrays(procedure: Procedure, sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        buffer.name: (rng.standard_normal(shape_of(buffer, sizes)) / 4).astype(buffer.dtype.numpy)
        for buffer in procedure.buffers
        if buffer.space in ("input", "weight")
    }


@pytest.mark.parametrize(("threads", "precision"), [(2, "float32"), (3, "bfloat16")])
@pytest.mark.parametrize("model", [stacked, both_ways, nested])
def test_threads_do_not_disturb_each_other(model: Callable[[], Graph], threads: int, precision: str) -> None:
    procedure = shared(model(), threads, precision)
    arrays = random_arrays(procedure, SIZES)
    found, outputs = races(procedure, arrays, SIZES, threads)
    assert not found
    for name, expected in interpret(procedure, arrays, SIZES).items():
        assert np.array_equal(outputs[name], expected), name
    if threads == 2:
        found, _ = races(replace(procedure, body=without_barriers(procedure.body)), arrays, SIZES, threads)
        assert found, "nothing was shared"


@pytest.mark.parametrize("threads", [2, 3, 4])
@pytest.mark.parametrize("model", [three_deep, across])
def test_stages_do_not_disturb_each_other(model: Callable[[], Graph], threads: int) -> None:
    procedure = shared(model(), threads, "float32", length=2)
    pipelines = [loop for loop in procedure.body if isinstance(loop, For) and loop.kind == "range"]
    assert pipelines
    arrays = random_arrays(procedure, CHUNKS)
    found, outputs = races(procedure, arrays, CHUNKS, threads)
    assert not found
    for name, expected in interpret(procedure, arrays, CHUNKS).items():
        assert np.array_equal(outputs[name], expected), name
    body = tuple(without_barriers((loop,))[0] if loop in pipelines else loop for loop in procedure.body)
    found, _ = races(replace(procedure, body=body), arrays, CHUNKS, threads)
    assert found, "the stages do not meet"
