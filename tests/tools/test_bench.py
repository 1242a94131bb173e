"""The benchmark: peers compute what rnncc does, floors follow from counts, reports read as they should. No timing."""

from __future__ import annotations

import argparse
import importlib.util
import io
import itertools
import json
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnncc import layers
from rnncc.errors import ArgumentError, MemoryLimitError, UnsupportedError
from rnncc.layers.execution import evaluate
from rnncc.layers.model import Model
from rnncc.layers.sequential import Sequential
from rnncc.options import PRECISIONS
from rnncc.runtime.caches import Caches
from rnncc.runtime.roof import Roof, measure_roof, read_time
from rnncc.tools.bench import command, machine, worker
from rnncc.tools.bench.cases import STEPS, Case, prepare
from rnncc.tools.bench.cells import LayerNormLSTMCell, OwnLSTMCell, ScanLSTM
from rnncc.tools.bench.floor import Floor, floor_of, work_of
from rnncc.tools.bench.measure import difference, interleave, measure, tolerance
from rnncc.tools.bench.network import describe, stepwise
from rnncc.tools.bench.peers import PEERS, Function, Peer, numpy_loop, tensorflow_xla
from rnncc.tools.bench.report import microseconds, plain_text, write_report
from rnncc.tools.bench.results import Report, Row, Target, Timing, as_json
from rnncc.tools.bench.ways import meaning, ready_model, ready_peer, reference
from rnncc.tools.bench.workloads import WORKLOADS, Beside, Workload, find_workload, load_model

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


def _chain(*parts: Any) -> Model:
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
    "reset before": lambda: _chain(layers.GRU(5, reset_after=False), layers.Dense(2, use_bias=False)),
    "own cell": lambda: _chain(ScanLSTM(6), layers.Dense(2, activation="relu")),
    "layer norm": lambda: _chain(layers.RNN(LayerNormLSTMCell(6), return_sequences=True)),
    "both ways": lambda: _chain(
        layers.Bidirectional(layers.GRU(5, return_sequences=True)),
        layers.Bidirectional(layers.LSTM(4, return_sequences=True)),
        layers.Bidirectional(layers.LSTM(6, use_bias=False)),
    ),
}


HERE = [peer for peer in PEERS if peer.is_default and peer.key != "tensorflow-xla"]
"""Peers that need no process of their own: Keras cannot change what it runs on."""


def tiny(name: str, batch: int = 2, length: int = 4, **options: Any) -> Case:
    return prepare(Workload(name, "tiny", TINY[name], ((batch, length),), **options), batch, length)


@pytest.fixture(autouse=True)
def light_keras(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Other tests need Keras on NumPy in this process; libraries warn of things that are theirs."""
    monkeypatch.setenv("KERAS_BACKEND", "numpy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# ------------------------------------------------------------------ workloads and peers


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("peer", HERE, ids=lambda peer: peer.key)
def test_peers_compute_the_meaning_of_the_model(peer: Peer, name: str) -> None:
    if not peer.available():
        pytest.skip(f"{peer.title} is not installed")
    case = tiny(name)
    assert case.problem is not None, case.reason
    expected = evaluate(case.model, *case.inputs)
    if (peer.key, name) == ("torch", "reset before"):
        with pytest.raises(UnsupportedError, match="reset gate"):
            peer.build(case.problem, 1)
        return
    run = peer.build(case.problem, 1)
    run()
    assert difference(run(), expected if isinstance(expected, list) else [expected]) < 0.2


@pytest.mark.parametrize(
    "workload", {workload.make: workload for workload in WORKLOADS}.values(), ids=lambda workload: workload.name
)
def test_named_workloads_can_be_built_and_described(workload: Workload) -> None:
    if any(size > 200 for size in (int(word) for word in workload.name.split("-") if word.isdecimal())):
        pytest.skip("large weights: the description is that of the others")
    case = prepare(workload, 2, 3)
    if workload.name in ("mask", "recurrent-dropout"):
        assert case.problem is None
        return
    assert case.problem is not None, case.reason
    assert difference(reference(case), meaning(case.model, case)) < 0.2
    assert all(step.result for step in case.problem.network.steps)


def test_the_meaning_of_a_model_that_drops_is_that_of_its_first_call() -> None:
    case = prepare(find_workload("recurrent-dropout"), 2, 3)
    assert "called for training" in case.reason
    _, outputs = ready_model(case.model, case, 1)
    assert difference(outputs, meaning(case.model, case)) < 0.2
    plain = case.beside[0][1]
    assert difference(outputs, meaning(plain, case)) > 1


def test_a_problem_is_the_same_every_time() -> None:
    first, second = tiny("stack"), tiny("stack")
    assert first.problem is not None and second.problem is not None
    assert all(np.array_equal(a, b) for a, b in zip(first.inputs, second.inputs, strict=True))
    pairs = zip(first.problem.weights.values(), second.problem.weights.values(), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: _chain(layers.LSTM(4, activation="relu")), "its activations"),
        (lambda: _chain(layers.LSTM(4, go_backwards=True)), "go_backwards=True"),
        (lambda: _chain(layers.LSTM(4), layers.Activation("tanh")), "a layer of the class Activation"),
        (lambda: _chain(layers.LSTM(4)).graph(), "only models of layers"),
        (lambda: _chain(layers.Bidirectional(layers.LSTM(4), merge_mode="sum")), "this use of two directions"),
    ],
)
def test_what_cannot_be_told_to_peers(model: Any, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        describe(model())


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import rnncc\nfrom rnncc import layers\n"
        "first = rnncc.Sequential([layers.Embedding(5, 3), layers.LSTM(4)])\n"
        "def make():\n    return rnncc.Sequential([layers.Embedding(5, 3), layers.LSTM(4, activation='relu')])\n"
    )
    assert isinstance(load_model(str(file)), Model)
    case = prepare(find_workload(f"{file}:make"), 2, 3)
    assert case.problem is None
    assert "activations" in case.reason
    row = measure(case, PEERS, 1, 0.01, ROOF, str)
    assert [timing.name for timing in row.timings] == ["rnncc"]
    assert row.notes == (f"no peers: {case.reason}",)
    with pytest.raises(ArgumentError, match="defines no 'second'"):
        load_model(f"{file}:second")


def test_a_file_without_a_model(tmp_path: Path) -> None:
    file = tmp_path / "none.py"
    file.write_text("number = 3\ndef twice(left):\n    return 2 * left\n")
    with pytest.raises(ArgumentError, match=r"none\.py holds no model and no graph\n  assign a model to a name in it"):
        load_model(str(file))
    file.write_text("import rnncc\nfirst, second = rnncc.Sequential([]), rnncc.Sequential([])\n")
    with pytest.raises(ArgumentError, match=r"holds 2 models and graphs: say which one\n  .*none\.py:first\n"):
        load_model(str(file))


# ------------------------------------------------------------------ measuring


def test_a_row_holds_everyone_who_computed_the_same() -> None:
    def build_wrong(problem: Any, threads: int) -> Any:
        right = numpy_loop.make(problem, threads)
        return Function(lambda *inputs: [output + 1 for output in right.call(*inputs)])

    def build_broken(problem: Any, threads: int) -> Any:
        raise ValueError("no such kernel\nsecond line")

    wrong, broken = Peer("wrong", "Wrong", (), build_wrong), Peer("broken", "Broken", (), build_broken)
    row = measure(tiny("stack"), [numpy_loop.PEER, wrong, broken], 1, 0.02, ROOF, str)
    assert [timing.name for timing in row.timings] == ["rnncc", "NumPy"]
    assert all(timing.calls >= 3 for timing in row.timings)
    assert not row.is_correct
    assert row.largest_difference < 1
    broken_note, wrong_note = row.notes
    assert broken_note == "Broken: ValueError: no such kernel"
    assert "Wrong: wrong," in wrong_note
    assert row.best_peer is row.timings[1]


def test_two_ways_to_write_a_model_are_compared_bit_by_bit() -> None:
    other = Beside("layers.LSTM", lambda: _chain(layers.LSTM(6)))
    cell = Beside("a cell", lambda: _chain(layers.RNN(OwnLSTMCell(6))))
    case = prepare(Workload("own", "", lambda: _chain(ScanLSTM(6)), ((1, 2),), beside=(other, cell)), 2, 5)
    row = measure(case, [], 1, 0.01, ROOF, str)
    assert row.notes == ("layers.LSTM: the same bits as rnncc", "a cell: the same bits as rnncc")
    assert row.same_bits == {"layers.LSTM": True, "a cell": True}
    assert row.ratio is None


def test_another_model_beside_has_outputs_of_its_own() -> None:
    plain = Beside("plain", lambda: _chain(layers.LSTM(6)), is_same=False)
    make = lambda: _chain(layers.Masking(0.0), layers.LSTM(6))  # noqa: E731
    case = prepare(Workload("mask", "", make, ((3, 9),), beside=(plain,), left_out=0.4), 3, 9)
    left_out = (case.inputs[0] == 0).all(axis=-1)
    assert 0 < left_out.mean() < 1
    row = measure(case, PEERS, 1, 0.01, ROOF, str)
    assert [timing.name for timing in row.timings] == ["rnncc", "plain"]
    assert row.is_correct
    assert row.same_bits == {}
    masked, whole = (model(*case.inputs) for model in (case.model, case.beside[0][1]))
    assert not np.allclose(masked, whole)


@pytest.mark.parametrize("peer", HERE, ids=lambda peer: peer.key)
def test_steps_go_on_from_the_states_that_are_kept(peer: Peer) -> None:
    """Every contender in steps against the interpreter on the whole sequence."""
    if not peer.available():
        pytest.skip(f"{peer.title} is not installed")
    model = lambda: _chain(layers.LSTM(5, return_sequences=True), layers.GRU(4, return_sequences=True))  # noqa: E731
    case = prepare(Workload("step", "", model, ((2, 1),), way="step"), 2, 1)
    assert case.problem is not None, case.reason
    assert (case.problem.carried, len(case.pieces)) == (3, STEPS)
    right = meaning(case.model, case)
    assert [array.shape for array in right] == [(2, 1, 4)] * STEPS
    _, outputs = ready_peer(peer, case.problem, case, 1)
    assert difference(outputs, right) < 0.2
    _, own = ready_model(case.model, case, 1)
    assert difference(own, right) < 0.2


def test_what_looks_at_the_whole_sequence_has_no_steps() -> None:
    case = tiny("both ways")
    assert case.problem is not None
    with pytest.raises(UnsupportedError, match="cannot be computed step by step"):
        stepwise(case.problem)


@pytest.mark.parametrize("peer", HERE, ids=lambda peer: peer.key)
def test_lengths_from_cold(peer: Peer) -> None:
    if not peer.available():
        pytest.skip(f"{peer.title} is not installed")
    case = tiny("stack", batch=1, length=6, way="cold")
    lengths = [piece[0].shape[1] for piece in case.pieces]
    assert lengths[0] == 6
    assert sorted(lengths) == [1, 2, 3, 4, 5, 6]
    assert case.problem is not None
    run, outputs = ready_peer(peer, case.problem, case, 1)
    assert difference(outputs, meaning(case.model, case)) < 0.2
    assert difference(run(), outputs) == 0


def test_one_compilation_serves_all_lengths() -> None:
    case = tiny("stack", batch=1, length=80, way="cold", targets=(Target("compilations", 1),))
    assert len({piece[0].shape for piece in case.pieces}) == 64
    row = measure(case, [], 1, 0.01, ROOF, str)
    assert row.is_correct
    assert (row.compilations, row.floor) == (1, None)
    assert row.notes == ("rnncc: 1 compilation for 64 lengths",)
    assert [target.is_met(row) for target in row.targets] == [True]


def test_targets_hold_for_their_sizes_and_threads() -> None:
    targets = (Target("best", 0.001, (1, 2)), Target("call", 0.001), Target("floor", 0.0, (2,)))
    case = tiny("stack", targets=targets)
    row = measure(case, [numpy_loop.PEER], 1, 0.01, ROOF, str)
    assert [(target.text, target.is_met(row)) for target in row.targets] == [
        ("0.001x best", True),
        ("0.001 us a call", False),
    ]
    assert measure(prepare(case.workload, 2, 5), [], 1, 0.01, ROOF, str).targets == ()


def test_whether_a_target_is_met() -> None:
    first, second = _report().rows
    cases = [
        (Target("best", 2.5), first, True, "2.5x best"),
        (Target("best", 2.6), first, False, "2.6x best"),
        (Target("best", 2.0), second, None, "2x best"),
        (Target("floor", 0.55), first, True, "55% of floor"),
        (Target("floor", 0.8), second, None, "80% of floor"),
        (Target("step", 2000), first, True, "2000 ns a step"),
        (Target("step", 1999), first, False, "1999 ns a step"),
        (Target("beside", 0.05, other="layers.LSTM"), second, True, "layers.LSTM + 5%"),
        (Target("beside", 0.01, other="layers.LSTM"), second, False, "layers.LSTM + 1%"),
        (Target("beside", 0.05, other="layers.LSTM"), first, None, "layers.LSTM + 5%"),
        (Target("bits", other="layers.LSTM"), second, True, "bits of layers.LSTM"),
        (Target("compilations", 1), first, None, "1 compilation"),
    ]
    for target, row, met, text in cases:
        assert (target.is_met(row), target.text) == (met, text)


def test_turns_go_round() -> None:
    calls: list[str] = []
    runs = [(name, lambda name=name: calls.append(name) or []) for name in "ab"]
    samples = interleave(runs, 0.002, str)
    turns = [name for name, _ in itertools.groupby(calls)]
    assert turns == ["a", "b"] * (len(turns) // 2)
    assert len(turns) >= 6
    assert sum(map(len, samples.values())) < len(calls)  # the first of a turn does not count


def test_a_turn_waits_for_the_threads_of_the_one_before() -> None:
    threads: list[threading.Thread] = []
    alive: list[bool] = []

    def looks_for_work() -> None:
        end = time.perf_counter() + 0.1
        while time.perf_counter() < end:
            pass

    def leaves_a_thread() -> list[np.ndarray]:
        threads.append(threading.Thread(target=looks_for_work))
        threads[-1].start()
        return []

    def looks_around() -> list[np.ndarray]:
        alive.append(any(thread.is_alive() for thread in threads))
        return []

    interleave([("a", leaves_a_thread), ("b", looks_around)], 0.0, str)
    assert alive == [False]


def test_whoever_takes_all_the_time_runs_once() -> None:
    calls: list[str] = []
    runs = [(name, lambda name=name: calls.append(name) or []) for name in "ab"]
    samples = interleave(runs, 0.0, str)
    assert calls == ["a", "b"]
    assert {name: len(taken) for name, taken in samples.items()} == {"a": 1, "b": 1}


def test_only_rounded_factors_allow_more() -> None:
    assert tolerance("float32") == tolerance("float32-bf16x6") == (1e-4, 1e-5)
    assert tolerance("bfloat16") == (3e-2, 3e-2)


def test_difference_counts_in_tolerances() -> None:
    right = [np.array([1.0, 0.0], np.float32)]
    assert difference(right, right) == 0
    assert difference([right[0] + np.float32(1.1e-5)], right) == pytest.approx(1.1, rel=0.01)
    assert difference([np.array([1.0, np.nan])], right) == np.inf
    assert difference([right[0][:1]], right) == np.inf


def test_the_roof_is_positive_and_ordered() -> None:
    roof = measure_roof(1)
    assert min(roof.flops, roof.l1, roof.l2, roof.l3, roof.memory) > 0
    assert roof.register_bytes >= 256
    assert roof.meeting == 0
    assert measure_roof(2).meeting > 1


# ------------------------------------------------------------------ the floor


def test_work_of_a_folded_embedding_is_its_table() -> None:
    case = tiny("stack", batch=2, length=4)
    assert case.problem is not None
    gru, rnn, dense = work_of(case.problem)
    assert (gru.flops, gru.steps, gru.step_bytes, gru.once_bytes) == (2 * 8 * 6 * 18, 4, 4 * 6 * 18, 4 * 8 * 18)
    assert (rnn.flops, rnn.steps, rnn.step_bytes) == (2 * 8 * (6 + 5) * 5, 4, 4 * 5 * 5)
    assert (dense.flops, dense.steps, dense.once_bytes) == (2 * 2 * 5 * 3, 0, 4 * 5 * 3)
    floor = floor_of(case.problem, ROOF)
    assert floor.bound == "compute"
    assert floor.microseconds == pytest.approx((gru.flops + rnn.flops + dense.flops) / 100 / 1e3)


def test_the_floor_of_other_precisions() -> None:
    case = tiny("stack", batch=2, length=4)
    assert case.problem is not None
    full, half, three = (work_of(case.problem, precision) for precision in PRECISIONS)
    assert [work.step_bytes for work in half] == [work.step_bytes / 2 for work in full]
    assert [work.step_bytes for work in three] == [work.step_bytes * 1.5 for work in full]
    assert half[0].once_bytes == full[0].once_bytes  # a table of float32
    usual = floor_of(case.problem, ROOF).microseconds
    unit = replace(ROOF, pairs=1200.0)
    assert floor_of(case.problem, unit).microseconds == usual
    assert floor_of(case.problem, ROOF, "bfloat16").microseconds == pytest.approx(usual)
    assert floor_of(case.problem, unit, "float32-bf16x6").microseconds == pytest.approx(usual / 2)


@pytest.mark.parametrize(
    ("size", "level", "nanoseconds"),
    [
        (2048, "registers", 0),
        (32 << 10, "L1", (32 << 10) / 200),
        (1 << 20, "L2", (1 << 20) / 100),
        (4 << 20, "L3", (1 << 20) / 100 + (3 << 20) / 50),
        (32 << 20, "memory", (1 << 20) / 100 + (15 << 20) / 50 + (16 << 20) / 10),
    ],
)
def test_weights_are_read_from_where_they_live(size: int, level: str, nanoseconds: float) -> None:
    assert read_time(size, ROOF) == (level, pytest.approx(nanoseconds))


# ------------------------------------------------------------------ reports


def _report() -> Report:
    def timing(name: str, median: float, *, is_peer: bool = True) -> Timing:
        return Timing(name, is_peer, median, 0.99 * median, 1.03 * median, 50, 321.0)

    first = Row(
        "classify-1",
        "a small model",
        1,
        100,
        1,
        (timing("rnncc", 200.0, is_peer=False), timing("PyTorch", 500.0), timing("NumPy", 12345.6)),
        Floor(110.0, "L2", 13_000_000, 26_000_000),
        0.1,
        True,
        (),
        (Target("best", 2.0), Target("floor", 0.8)),
    )
    second = Row(
        "own-cell",
        "two ways",
        32,
        100,
        2,
        (timing("rnncc", 8.125, is_peer=False), timing("layers.LSTM", 8.0, is_peer=False)),
        None,
        0.0,
        True,
        ("PyTorch: no such kernel",),
        same_bits={"layers.LSTM": True},
    )
    return Report(
        "A CPU",
        "2026-01-02",
        "rnncc bench classify-1",
        {"Python": "3.11", "rnncc": "0.1"},
        ("JAX",),
        3.0,
        "1 relative",
        (ROOF,),
        (first, second),
    )


GOLDEN = """\
date      2026-01-02
cpu       A CPU
versions  Python 3.11, rnncc 0.1
command   rnncc bench classify-1
roof      1 thread: 100 GFLOP/s; read L1 200, L2 100, L3 50, memory 10 GB/s
times     microseconds a call: median, ± half the distance between the quartiles
compile   includes the first call
outputs   of all contenders agree within 1 relative

workload       B x T  threads      rnncc  layers.LSTM    PyTorch       NumPy  vs best     floor  of floor  com\
pile                 target      met
--------------------------------------------------------------------------------------------------------------\
------------------------------------
classify-1   1 x 100        1  200.0 ±2%            -  500.0 ±2%  12,346 ±2%    2.50x  110.0 L2       55%   32\
1 ms  2x best, 80% of floor  yes, no
own-cell    32 x 100        2   8.12 ±2%     8.00 ±2%          -           -        -         -         -   32\
1 ms                      -        -

not installed: JAX
own-cell 32 x 100, threads 2: PyTorch: no such kernel
"""


def test_the_report_as_text() -> None:
    assert plain_text(_report()) == GOLDEN
    stream = io.StringIO()
    write_report(_report(), stream)
    assert stream.getvalue() == GOLDEN


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_report_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    monkeypatch.setenv("COLUMNS", "200")
    stream = _Terminal()
    write_report(_report(), stream)
    text = stream.getvalue()
    assert all(word in text for word in ("classify-1", "12,346 ±2%", "2.50x", "not installed: JAX"))


def test_the_report_for_machines() -> None:
    content = json.loads(json.dumps(as_json(_report())))
    assert content["schema"] == 2
    assert set(content) == {
        *("schema", "cpu", "date", "command", "versions", "missing", "seconds", "tolerance", "roofs", "rows"),
    }
    first, second = content["rows"]
    assert set(first) == {
        *("workload", "about", "batch", "length", "threads", "timings", "floor", "largest_difference", "is_correct"),
        *("notes", "best_peer", "ratio_to_best_peer", "share_of_floor", "targets", "same_bits", "compilations"),
    }
    assert first["targets"] == [
        {"target": "2x best", "is_met": True},
        {"target": "80% of floor", "is_met": False},
    ]
    assert (first["best_peer"], first["ratio_to_best_peer"], first["share_of_floor"]) == ("PyTorch", 2.5, 0.55)
    assert (second["best_peer"], second["ratio_to_best_peer"], second["floor"]) == (None, None, None)
    assert first["timings"][0]["name"] == "rnncc"
    assert content["roofs"][0]["caches"] == {"l1": 32 << 10, "l2": 1 << 20, "l3": 16 << 20}


def test_digits() -> None:
    assert [microseconds(value) for value in (0.123, 9.99, 10.0, 999.94, 1000.4, 1234567.0)] == [
        *("0.12", "9.99", "10.0", "999.9", "1,000", "1,234,567"),
    ]


# ------------------------------------------------------------------ the command


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


def test_a_run_from_the_command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The same as in a process of its own, in this one."""
    monkeypatch.setattr(command, "measure_in_process", worker.measure_rows)
    args = arguments("seq2seq-1", "--batch", "2", "--length", "3", "--seconds", "0.01", "--peers", "numpy", "--json")
    assert command.run(args) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["command"] == "rnncc bench seq2seq-1 --peers numpy --threads 1 --seconds 0.01 --batch 2 --length 3"
    (row,) = content["rows"]
    assert (row["workload"], row["batch"], row["length"], row["best_peer"]) == ("seq2seq-1", 2, 3, "NumPy")


def test_a_run_in_bfloat16(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A peer without that precision is left out, and no promise about float32 is looked at."""
    monkeypatch.setattr(command, "measure_in_process", worker.measure_rows)
    size = ("--batch", "2", "--length", "5", "--seconds", "0.01", "--peers", "numpy")
    assert command.run(arguments("classify-1", *size, "--precision", "bfloat16")) == 0
    text = capsys.readouterr().out
    assert "--precision bfloat16" in text
    assert "0.03 relative" in text
    assert "does not compute in bfloat16" in text
    assert "best" not in text.split("workload ")[1].split("---")[0].replace("vs best", "")


def test_kernels_of_a_workload(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(arguments("tiny-8", "--profile", "--length", "30")) == 0
    text = capsys.readouterr().out
    assert text.startswith("tiny-8 1 x 30, one thread\nkernel ")
    assert "recurrent_kernel" in text


def test_a_run_in_a_process_of_its_own() -> None:
    roof, rows = worker.measure_in_process(worker.Order(("tiny-8",), ("numpy",), 1, 0.01, length=3))
    assert roof.threads == 1
    assert [timing.name for row in rows for timing in row.timings] == ["rnncc", "NumPy"]


def test_keras_on_tensorflow_with_and_without_xla(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorflow")
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    names = ("seq2seq-1", "bidi-128", "custom-ln", "step-40", "stack-1")
    order = worker.Order(names, ("keras", "tensorflow-xla"), 1, 0.01, batch=2, length=3)
    _, rows = worker.measure_in_process(order)
    for row in rows:
        assert row.is_correct, row.notes
        assert {"rnncc", "Keras", "TF XLA"} <= {timing.name for timing in row.timings}, row.notes


def test_xla_needs_keras_on_tensorflow() -> None:
    pytest.importorskip("tensorflow")
    case = tiny("stack")
    assert case.problem is not None
    with pytest.raises(UnsupportedError, match="Keras runs on numpy in this process"):
        tensorflow_xla.make(case.problem, 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["clasify-1"], r"no workload 'clasify-1'[\s\S]*did you mean 'classify-1'\?"),
        (["everything"], r"no workload 'everything'[\s\S]*FILE\.py:NAME"),
        (["--peers", "torhc"], r"no peer 'torhc'[\s\S]*did you mean 'torch'\?"),
        (["--threads", "two"], "whole numbers above 0, not 'two'"),
        (["--threads", "9999"], "this process may use"),
        (["--seconds", "0"], "above 0, not 0"),
        (["missing.py"], "no file 'missing.py'"),
    ],
)
def test_what_has_no_meaning(words: list[str], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        command.run(arguments(*words))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tune", "--json"], "--tune has no use for --json\n  leave out --tune or --json"),
        (["--tune", "--plot", "a.svg", "--peers", "none"], "--tune has no use for --plot, --peers"),
        (["--profile", "--threads", "2", "--json"], "--profile has no use for --json, --threads"),
    ],
)
def test_what_has_no_use(words: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "cores", range)
    with pytest.raises(ArgumentError, match=message):
        command.run(arguments("tiny-8", *words, "--length", "3"))


@pytest.mark.parametrize("more", [["--profile"], ["--tune"], ["--peers", "none"]])
def test_what_is_too_large(more: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "measure_in_process", worker.measure_rows)
    message = r"memory for classify-1, 99999999999 x 100\n  needed: 72\.76 TB[\s\S]*smaller --batch or --length"
    with pytest.raises(MemoryLimitError, match=message):
        command.run(arguments("classify-1", "--batch", "99999999999", *more))


def test_the_list_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(arguments("--list")) == 0
    text = capsys.readouterr().out
    assert all(item in text for item in [*(workload.name for workload in WORKLOADS), *(peer.key for peer in PEERS)])


def test_choosing_peers() -> None:
    assert [peer.key for peer in command.choose_peers("numpy,torch")] == ["torch", "numpy"]
    assert command.choose_peers("none") == []
    assert len(command.choose_peers("all")) == len(PEERS)
    assert "torch-compile" not in [peer.key for peer in command.choose_peers(None)]


def test_a_plot(tmp_path: Path) -> None:
    plot = pytest.importorskip("rnncc.tools.bench.plot")
    if importlib.util.find_spec("matplotlib") is None:
        with pytest.raises(ArgumentError, match=r"rnncc\[bench\]"):
            plot.check_plot(tmp_path / "a.svg")
        return
    with pytest.raises(ArgumentError, match="cannot be written as"):
        plot.check_plot(tmp_path / "a.xyz")
    plot.check_plot(tmp_path / "a.svg")
    plot.write_plot(_report(), tmp_path / "a.svg")
    assert "classify-1" in (tmp_path / "a.svg").read_text()


def test_the_environment_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with machine.environment(1):
        assert machine.os.environ["OMP_NUM_THREADS"] == machine.os.environ["MKL_NUM_THREADS"] == "1"
        assert "multi_thread_eigen=false" in machine.os.environ["XLA_FLAGS"]
    assert machine.os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in machine.os.environ
