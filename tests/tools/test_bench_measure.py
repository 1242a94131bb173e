"""The benchmark: who is compared with whom, turns, targets, the roof, and floors that follow from counts. No timing."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rnncc import layers
from rnncc.errors import UnsupportedError
from rnncc.options import PRECISIONS
from rnncc.runtime.roof import Roof, RoofMeter, measure_roof, read_time
from rnncc.tools.bench import measure as measure_module
from rnncc.tools.bench.cases import STEPS, prepare
from rnncc.tools.bench.cells import OwnLSTMCell, ScanLSTM
from rnncc.tools.bench.floor import floor_of, work_of
from rnncc.tools.bench.measure import difference, interleave, measure, tolerance
from rnncc.tools.bench.network import stepwise
from rnncc.tools.bench.peers import PEERS, Function, Peer, numpy_loop
from rnncc.tools.bench.results import Target
from rnncc.tools.bench.ways import meaning, ready_model, ready_peer
from rnncc.tools.bench.workloads import Beside, Workload
from tests.tools.bench_cases import CACHES, HERE, ROOF, chain, tiny

pytestmark = pytest.mark.usefixtures("light_keras")


def test_a_row_holds_everyone_who_computed_the_same() -> None:
    def build_wrong(problem: Any, threads: int) -> Any:
        right = numpy_loop.make(problem, threads)
        return Function(lambda *inputs: [output + 1 for output in right.call(*inputs)])

    def build_broken(problem: Any, threads: int) -> Any:
        raise ValueError("no such kernel\nsecond line")

    wrong, broken = Peer("wrong", "Wrong", (), build_wrong), Peer("broken", "Broken", (), build_broken)
    row = measure(tiny("stack"), [numpy_loop.PEER, wrong, broken], 1, 0.02, str)
    assert [timing.name for timing in row.timings] == ["rnncc", "NumPy"]
    assert all(timing.calls >= 3 for timing in row.timings)
    assert not row.is_correct
    assert row.largest_difference < 1
    broken_note, wrong_note = row.notes
    assert broken_note == "Broken: ValueError: no such kernel"
    assert "Wrong: wrong," in wrong_note
    assert row.best_peer is row.timings[1]


def test_two_ways_to_write_a_model_are_compared_bit_by_bit() -> None:
    other = Beside("layers.LSTM", lambda: chain(layers.LSTM(6)))
    cell = Beside("a cell", lambda: chain(layers.RNN(OwnLSTMCell(6))))
    case = prepare(Workload("own", "", lambda: chain(ScanLSTM(6)), ((1, 2),), beside=(other, cell)), 2, 5)
    row = measure(case, [], 1, 0.01, str)
    assert row.notes == ("layers.LSTM: the same bits as rnncc", "a cell: the same bits as rnncc")
    assert row.same_bits == {"layers.LSTM": True, "a cell": True}
    assert row.ratio is None


def test_another_model_beside_has_outputs_of_its_own() -> None:
    plain = Beside("plain", lambda: chain(layers.LSTM(6)), is_same=False)
    make = lambda: chain(layers.Masking(0.0), layers.LSTM(6))  # noqa: E731
    case = prepare(Workload("mask", "", make, ((3, 9),), beside=(plain,), left_out=0.4), 3, 9)
    left_out = (case.inputs[0] == 0).all(axis=-1)
    assert 0 < left_out.mean() < 1
    row = measure(case, PEERS, 1, 0.01, str)
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
    model = lambda: chain(layers.LSTM(5, return_sequences=True), layers.GRU(4, return_sequences=True))  # noqa: E731
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
    row = measure(case, [], 1, 0.01, str)
    assert row.is_correct
    assert row.compilations == 1
    assert row.notes == ("rnncc: 1 compilation for 64 lengths",)
    assert [target.is_met(row) for target in row.targets] == [True]


def test_targets_hold_for_their_sizes_and_threads() -> None:
    targets = (Target("best", 0.001, (1, 2)), Target("call", 0.001), Target("floor", 0.0, (2,)))
    case = tiny("stack", targets=targets)
    row = measure(case, [numpy_loop.PEER], 1, 0.01, str)
    assert [(target.text, target.is_met(row)) for target in row.targets] == [
        ("0.001x best", True),
        ("0.001 us a call", False),
    ]
    assert measure(prepare(case.workload, 2, 5), [], 1, 0.01, str).targets == ()


def test_turns_go_round() -> None:
    calls: list[str] = []
    runs = [(name, lambda name=name: calls.append(name) or []) for name in "ab"]
    samples = interleave(runs, 0.002, str)
    turns = [name for name, _ in itertools.groupby(calls)]
    assert turns == ["a", "b"] * (len(turns) // 2)
    assert len(turns) >= 6
    assert sum(map(len, samples.values())) < len(calls)  # the first of a turn does not count


def test_a_turn_waits_for_the_threads_of_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time passes here only when somebody sleeps or is called; `a` leaves a thread at work for a tenth of a second."""
    now, idle_from = [0.0], [0.0]
    begun: list[float] = []

    def sleep(seconds: float) -> None:
        now[0] += seconds

    def leaves_a_thread() -> list[np.ndarray]:
        idle_from[0] = now[0] + 0.1
        return []

    def looks_at_the_clock() -> list[np.ndarray]:
        begun.append(now[0])
        return []

    monkeypatch.setattr(measure_module.time, "sleep", sleep)
    monkeypatch.setattr(measure_module, "perf_counter", lambda: now[0])
    monkeypatch.setattr(measure_module, "process_time", lambda: min(now[0], idle_from[0]))
    interleave([("a", leaves_a_thread), ("b", looks_at_the_clock)], 0.0, str)
    assert idle_from[0] <= begun[0] < idle_from[0] + 0.01


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


def test_the_best_of_two_roofs() -> None:
    first = Roof(2, 100.0, 200.0, 90.0, 50.0, 10.0, CACHES, register_bytes=2048, meeting=80.0)
    second = Roof(2, 60.0, 210.0, 100.0, 40.0, 11.0, CACHES, register_bytes=2048, meeting=100.0, pairs=300.0)
    best = Roof(2, 100.0, 210.0, 100.0, 50.0, 11.0, CACHES, register_bytes=2048, meeting=80.0, pairs=300.0)
    assert first.best_with(second) == second.best_with(first) == best


def test_a_meter_keeps_the_best_that_it_saw() -> None:
    meter = RoofMeter(1)
    first, second = meter.measure(), meter.measure()
    assert second == first.best_with(second)


# ------------------------------------------------------------------ the floor


def test_work_of_a_folded_embedding_is_its_table() -> None:
    case = tiny("stack", batch=2, length=4)
    assert case.problem is not None
    gru, rnn, dense = work_of(case.problem)
    assert (gru.flops, gru.steps, gru.step_bytes, gru.once_bytes) == (2 * 8 * 6 * 18, 4, 4 * 6 * 18, 4 * 8 * 18)
    assert (rnn.flops, rnn.steps, rnn.step_bytes) == (2 * 8 * (6 + 5) * 5, 4, 4 * 5 * 5)
    assert (dense.flops, dense.steps, dense.once_bytes) == (2 * 2 * 5 * 3, 0, 4 * 5 * 3)
    floor = floor_of(work_of(case.problem), ROOF)
    assert floor.bound == "compute"
    assert floor.microseconds == pytest.approx((gru.flops + rnn.flops + dense.flops) / 100 / 1e3)


def test_the_floor_of_other_precisions() -> None:
    case = tiny("stack", batch=2, length=4)
    assert case.problem is not None
    full, half, three = (work_of(case.problem, precision) for precision in PRECISIONS)
    assert [work.step_bytes for work in half] == [work.step_bytes / 2 for work in full]
    assert [work.step_bytes for work in three] == [work.step_bytes * 1.5 for work in full]
    assert half[0].once_bytes == full[0].once_bytes  # a table of float32
    usual = floor_of(full, ROOF).microseconds
    unit = replace(ROOF, pairs=1200.0)
    assert floor_of(full, unit).microseconds == usual
    assert floor_of(half, ROOF, "bfloat16").microseconds == pytest.approx(usual)
    assert floor_of(three, unit, "float32-bf16x6").microseconds == pytest.approx(usual / 2)


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
