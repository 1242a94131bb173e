"""Matrix loops run on an emulated AMX, against a plain loop in float64; and on a real one, where there is one."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import keys, layers, ops, pipeline
from rnncc.codegen.emit import emit
from rnncc.codegen.emitted import Emitted
from rnncc.codegen.matrix_unit import peak_text
from rnncc.codegen.native import compile_module
from rnncc.codegen.target import Target
from rnncc.errors import RnnccError, UnsupportedError, VerifyError
from rnncc.loop.ir import Procedure
from rnncc.loop.parser import parse
from rnncc.options import PRECISIONS, Options
from rnncc.passes.loop.machine import Machine
from rnncc.passes.loop.schedule import as_schedule
from rnncc.pipeline import machine_of
from rnncc.runtime import jit
from rnncc.runtime.jit import load
from tests.codegen.amx import Emulator
from tests.runtime.test_precision import NARROW, lstm_loop, rounded

SIZES = ((1, 1), (2, 4), (16, 2), (33, 2), (5, 0), (0, 3))
ENOUGH = 512
"""Numbers: which of two errors near the last bit is the smaller one is luck in the 32 of a small call."""


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """Lets this machine have a matrix unit."""
    emulator = Emulator()

    def rewritten(procedure: Procedure, target: Target, threads: int = 1) -> Emitted:
        with_unit = replace(target, features=f"{target.features},+amx-bf16", vector_bits=512)
        emitted = emit(procedure, with_unit, threads)
        return replace(emitted, text=emulator.rewritten(emitted.text), has_matrix=False)

    monkeypatch.setattr(pipeline, "emit", rewritten)
    monkeypatch.setattr(pipeline, "machine_of", lambda *_: Machine(64, 32, has_pairs=True, has_matrix_unit=True))
    yield emulator
    assert emulator.problems == []


@pytest.mark.parametrize(("width", "units"), [(17, 16), (37, 45), (64, 130)])
@pytest.mark.parametrize("precision", NARROW)
def test_an_lstm_is_a_loop(precision: str, width: int, units: int, emulator: Emulator) -> None:
    rng = np.random.default_rng(units)
    lstm = layers.LSTM(units)
    model = rnncc.Sequential([layers.Input(shape=(None, width)), lstm])
    fn = rnncc.compile(model, precision=precision, cache=False)
    single = rnncc.compile(model, cache=False)
    for batch, length in SIZES:
        errors, plain_errors = [], []
        for _ in range(1 + ENOUGH // (batch * units) if batch else 1):
            x = rng.standard_normal((batch, length, width)).astype(np.float32)
            if precision == "bfloat16":
                expected = lstm_loop(x, *lstm.get_weights())
                np.testing.assert_allclose(fn(x), expected, rtol=0, atol=4e-4)
            else:
                expected = lstm_loop(x, *lstm.get_weights(), rounded=lambda x: x.astype(np.float64))
                np.testing.assert_allclose(fn(x), expected, rtol=0, atol=2e-6)
            errors.append(np.abs(fn(x) - expected))
            plain_errors.append(np.abs(single(x) - expected))
        if batch and length > 1:
            assert np.mean(errors) < np.mean(plain_errors)
    assert emulator.counts["tdpbf16ps"] > 0


@pytest.mark.skipif(not machine_of(Target.parse("host"), "bfloat16").has_matrix_unit, reason="this CPU has no AMX")
@pytest.mark.parametrize("precision", NARROW)
def test_the_emulator_has_the_bits_of_the_unit(precision: str, request: pytest.FixtureRequest) -> None:
    rng = np.random.default_rng(8)
    model = rnncc.Sequential([layers.Input(shape=(None, 37)), layers.LSTM(45)])
    inputs = [rng.standard_normal((*size, 37)).astype(np.float32) for size in SIZES]
    fn = rnncc.compile(model, precision=precision, cache=False)
    results = [fn(x) for x in inputs]
    assert "tdpbf16ps" in fn.ir("asm")
    emulator = request.getfixturevalue("emulator")
    emulated = rnncc.compile(model, precision=precision, cache=False)
    for x, result in zip(inputs, results, strict=True):
        np.testing.assert_array_equal(emulated(x), result)
    assert emulator.counts["tdpbf16ps"] > 0


@pytest.mark.parametrize("depth", [2, 15, 16, 17, 32, 33, 63, 64, 100])
@pytest.mark.parametrize("units", [7, 16, 19, 70])
def test_products_of_every_depth(depth: int, units: int, emulator: Emulator) -> None:
    rng = np.random.default_rng(depth)
    dense = layers.Dense(units, activation="tanh")
    fn = rnncc.compile(rnncc.Sequential([layers.Input(shape=(depth,)), dense]), precision="bfloat16", cache=False)
    dense.set_weights([rng.standard_normal(shape).astype(np.float32) / 8 for shape in ((depth, units), (units,))])
    for rows in (1, 15, 16, 17, 32, 50):
        x = rng.standard_normal((rows, depth)).astype(np.float32)
        kernel, bias = dense.get_weights()
        np.testing.assert_allclose(fn(x), np.tanh(rounded(x) @ rounded(kernel) + bias), rtol=2e-6, atol=2e-6)
    assert (emulator.counts["tdpbf16ps"] > 0) == (depth >= 15 and units >= 16)


def test_sums_of_infinite_numbers(emulator: Emulator) -> None:
    dense = layers.Dense(16)
    model = rnncc.Sequential([layers.Input(shape=(33,)), dense])
    fns = [rnncc.compile(model, precision=precision, cache=False) for precision in NARROW]
    for place in (0, 16, 31, 32):
        kernel = np.ones((33, 16), np.float32)
        kernel[place] = np.inf
        dense.set_weights([kernel, np.zeros(16, np.float32)])
        for fn in fns:
            assert np.all(fn(np.ones((3, 33), np.float32)) == np.inf), place
    assert emulator.counts["tdpbf16ps"] > 0


def stack() -> rnncc.Sequential:
    """Several cells, both directions, sums of three gates and of one, and a projection of all steps."""
    return rnncc.Sequential(
        [
            layers.Input(shape=(None, 33)),
            layers.Bidirectional(layers.GRU(40, return_sequences=True)),
            layers.LSTM(24, return_sequences=True),
            layers.SimpleRNN(40, return_sequences=True),
            layers.Dense(21, activation="gelu"),
        ]
    )


@pytest.mark.parametrize("precision", NARROW)
def test_a_stack_is_what_vectors_make_of_it(
    precision: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = stack()
    x = np.random.default_rng(0).standard_normal((17, 3, 33)).astype(np.float32)
    actual = rnncc.compile(model, precision=precision, cache=False)(x)
    assert emulator.counts["tdpbf16ps"] > 0
    monkeypatch.undo()
    expected = rnncc.compile(model, precision=precision, cache=False)(x)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4 if precision == "bfloat16" else 2e-6)


def test_rows_have_the_same_bits_at_every_batch_size_and_on_every_thread(emulator: Emulator) -> None:
    model = stack()
    fn, two = (rnncc.compile(model, precision="bfloat16", threads=threads, cache=False) for threads in (1, 2))
    x = np.random.default_rng(0).standard_normal((37, 3, 33)).astype(np.float32)
    whole = fn(x)
    for rows in (slice(0, 1), slice(3, 20), slice(36, 37)):
        assert np.array_equal(fn(x[rows]), whole[rows])
        assert np.array_equal(two(x[rows]), whole[rows])
    assert np.array_equal(two(x), whole)


def test_a_stream_has_the_bits_of_the_whole(emulator: Emulator) -> None:
    model = rnncc.Sequential([layers.Input(shape=(None, 33)), layers.LSTM(24, return_sequences=True)])
    fn = rnncc.compile(model, precision="bfloat16", cache=False)
    x = np.random.default_rng(0).standard_normal((3, 4, 33)).astype(np.float32)
    stream = fn.stream(batch=3)
    assert np.array_equal(np.stack([stream.step(x[:, t]) for t in range(4)], axis=1), fn(x))


@pytest.mark.parametrize("rows", [3, 16, 20, 32, 33, 50])
def test_tiles_are_set_up_again_only_for_another_number_of_rows(rows: int, emulator: Emulator) -> None:
    model = rnncc.Sequential([layers.Input(shape=(None, 32)), layers.LSTM(32)])
    fn = rnncc.compile(model, precision="bfloat16", cache=False)
    fn(np.zeros((rows, 6, 32), np.float32))
    assert emulator.counts["tilerelease"] == 1
    assert emulator.counts["ldtilecfg"] == (1 if rows >= 16 else 2), "one for all steps at once, one for each step"


def test_a_tile_is_not_chosen() -> None:
    model = rnncc.Sequential([layers.Input(shape=(None, 32)), layers.LSTM(32)])
    schedule = as_schedule({"h": {"rows": 4, "width": 1, "panel": 1}})
    options = Options(target="x86-64-v4-amx", precision="bfloat16", schedule=schedule)
    compilation = pipeline.compile_graph(model.graph(), options)
    notes = next(snapshot.notes for snapshot in compilation.loop_snapshots if snapshot.name == "tile")
    assert any("on the matrix unit" in note and note.endswith("(not as told: it has one shape)") for note in notes)


@pytest.mark.parametrize("threads", [2, 3])
def test_stages_of_a_pipeline_use_the_unit_as_well(threads: int, emulator: Emulator) -> None:
    """Their sequences are kept in two halves."""
    cells = [layers.GRU(40, reset_after=False, return_sequences=True), layers.GRU(16, reset_after=False)]
    model = rnncc.Sequential([layers.Input(shape=(None, 40)), *cells])
    one, more = (rnncc.compile(model, precision="bfloat16", threads=count, cache=False) for count in (1, threads))
    x = np.random.default_rng(0).standard_normal((3, 19, 40)).astype(np.float32)
    assert np.array_equal(one(x), more(x))


def test_many_sums_of_the_same_weights(emulator: Emulator) -> None:
    kernel = np.random.default_rng(0).standard_normal((32, 16)).astype(np.float32)

    def model(a: Any, b: Any, c: Any) -> Any:
        same = ops.add(kernel, 0.0)
        return ops.tanh(a @ same) * ops.tanh(b @ same) + c @ same

    graph = rnncc.trace(model, *[("float32", ("B", 32))] * 3)
    rows = np.random.default_rng(1).standard_normal((3, 5, 32)).astype(np.float32)
    a, b, c = (rounded(x) @ rounded(kernel) for x in rows)
    actual = rnncc.compile(graph, precision="bfloat16", cache=False)(*rows)
    np.testing.assert_allclose(actual, np.tanh(a) * np.tanh(b) + c, rtol=0, atol=1e-5)
    assert emulator.counts["tdpbf16ps"] == 3


def test_code_for_a_matrix_unit_is_made_anywhere() -> None:
    model = rnncc.Sequential([layers.Input(shape=(None, 32)), layers.LSTM(32)])
    fn = rnncc.compile(model, precision="bfloat16", target="x86-64-v4-amx")
    assert "tdpbf16ps" in fn.ir("asm")
    assert "tdpbf16ps" not in rnncc.compile(model, target="x86-64-v4-amx").ir("asm")


def test_the_peak_of_products(emulator: Emulator) -> None:
    target = Target.parse("x86-64-v4-amx")
    text, products = peak_text(target)
    assert "tdpbf16ps" in compile_module(text, target).assembly
    loaded = load(compile_module(emulator.rewritten(text), Target.parse("host")).object_code, None)
    block = np.zeros(1024, np.uint8)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(loaded.address("pairs"))(
        block.ctypes.data, 5, 0
    )
    assert emulator.counts["tdpbf16ps"] * 16 * 16 * 32 == 5 * products


@pytest.mark.parametrize("is_permitted", [False, True])
def test_a_refused_unit_is_not_used(is_permitted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Target.parse("x86-64-v4-amx")
    for module in (pipeline, keys):
        monkeypatch.setattr(module, "ask_for_matrix_unit", lambda: is_permitted)
    monkeypatch.setattr(Target, "parse", lambda spec: host)
    assert pipeline.machine_of(host, "bfloat16").has_matrix_unit == is_permitted
    assert not pipeline.machine_of(host, "float32").has_matrix_unit
    graph = stack().graph()
    known = {keys.key_in_cache("code", graph, Options(precision=precision)) for precision in PRECISIONS}
    monkeypatch.setattr(keys, "ask_for_matrix_unit", lambda: not is_permitted)
    other = {keys.key_in_cache("code", graph, Options(precision=precision)) for precision in PRECISIONS}
    assert len(known & other) == 1, "code for float32 is the same"


LOOP = """
def f(B):
    w = packed(i32, [1, 16, 1, 1, 16])
    x = input(i32, [B, 16])
    y = output(f32, [B, 16])
    held = stack(f32, [16, 16])
    for r in parallel(0, B, 16):
        for m in matrix(0, min(B - r, 16)):
            held[m, span(0, 16)] = 0.0
            for k in range(0, 16):
                held[m, span(0, 16)] += dot(x[r + m, k], w[0, k, 0, 0, span(0, 16)])
        for m in range(0, min(B - r, 16)):
            y[r + m, span(0, 16)] = held[m, span(0, 16)]
"""


@pytest.mark.parametrize(
    ("right", "wrong", "what"),
    [
        ("m in matrix(0, ", "m in matrix(1, ", "are counted from 0"),
        ("m in matrix(0, min(B - r, 16))", "m in matrix(0, B)", "at most one: min"),
        ("            held[m, span(0, 16)] = 0.0\n", "", "sets the sums to 0"),
        ("[m, span(0, 16)] = 0.0", "[m, span(0, 16)] = 1.0", "sets the sums to 0"),
        ("k in range(0, 16)", "k in range(0, 15)", "whole tiles of 16 pairs"),
        ("k in range(0, 16)", "k in parallel(0, 16)", "one loop over k"),
        ("+= dot(x[r + m, k], w", "+= dot(x[r, k], w", "has the rows of the loop"),
        ("+= dot(x[r + m, k], w", "+= dot(x[r + m, 0], w", "has the rows of the loop"),
        ("w[0, k, 0, 0, span", "w[0, 0, k, 0, span", "k after k"),
        ("w[0, k, 0, 0, span", "w[m, k, 0, 0, span", "the same for all rows"),
        ("w[0, k, 0, 0, span(0, 16)]", "w[0, k, 0, 0, 0]", "one pair and 16 of them"),
        ("+= dot(", "= dot(", "and nothing else"),
    ],
)
def test_loops_of_another_form_are_refused(right: str, wrong: str, what: str) -> None:
    target = Target.parse("x86-64-v4-amx")
    assert "tdpbf16ps" in emit(parse(LOOP), target).text
    assert right in LOOP
    with pytest.raises(VerifyError, match=what):
        emit(parse(LOOP.replace(right, wrong)), target)


def test_too_many_tiles_of_sums_are_refused() -> None:
    text = LOOP.replace("[16, 16])\n    for", "[80, 16])\n    for").replace("min(B - r, 16)", "80")
    with pytest.raises(VerifyError, match="1 sums of 5 tiles of rows are more than 4 tiles"):
        emit(parse(text), Target.parse("x86-64-v4-amx"))


def test_other_targets_refuse_matrix_loops() -> None:
    with pytest.raises(UnsupportedError, match="x86-64-v4-amx"):
        emit(parse(LOOP), Target.parse("x86-64-v4"))


def test_a_system_that_refuses_the_unit_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    code = compile_module("define void @f() {\n  ret void\n}\n", Target.parse("host")).object_code
    load(code, None)
    monkeypatch.setattr(jit, "ask_for_matrix_unit", lambda: False)
    with pytest.raises(RnnccError, match="does not let this process use the matrix unit"):
        load(code, None, has_matrix=True)
