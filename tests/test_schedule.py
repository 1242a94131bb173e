"""A schedule that a user chooses: the same bits, other tiles, and errors that say what does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers
from rnncc.errors import ArgumentError
from rnncc.graph.ir import Graph
from rnncc.options import Options
from rnncc.passes.loop.schedule import as_schedule
from rnncc.pipeline import compile_graph
from rnncc.runtime.caches import Caches

_WALKS = ("rotate_copies", "alternate_panels")
_RNG = np.random.default_rng(4)


def _model() -> rnncc.Sequential:
    rnncc.set_random_seed(3)
    return rnncc.Sequential([layers.Embedding(11, 5), layers.LSTM(37), layers.Dense(9, name="dense")])


def _tile(rows: int, width: int, panel: int) -> dict[str, int]:
    return {"rows": rows, "width": width, "panel": panel}


def _notes(graph: Graph, **options: Any) -> dict[str, tuple[str, ...]]:
    """What every pass decided about `graph`, by the name of the pass."""
    compilation = compile_graph(graph, Options(**options))
    snapshots = (*compilation.graph_snapshots, *compilation.loop_snapshots)
    return {snapshot.name: snapshot.notes for snapshot in snapshots}


@pytest.mark.parametrize(
    "schedule",
    [
        {"h": _tile(1, 1, 1)},
        {"h": _tile(1, 1, 2)},
        {"h": _tile(1, 1, 3), "dense_out": _tile(3, 2, 4)},
        {"dense_out": _tile(7, 1, 64 // 16)},
    ],
)
def test_other_tiles_give_the_same_bits(schedule: dict[str, dict[str, int]]) -> None:
    model = _model()
    usual, chosen = (rnncc.compile(model, target="x86-64-v2", schedule=which) for which in (None, schedule))
    assert usual.ir("scheduled") != chosen.ir("scheduled")
    for batch in (1, 2, 7, 13):
        tokens = _RNG.integers(0, 11, (batch, 9))
        assert np.array_equal(usual(tokens), chosen(tokens))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("walk", [{"copies": 3}, {"copies": 1}, {"back_and_forth": True}, {"back_and_forth": False}])
def test_other_walks_give_the_same_bits(walk: dict[str, int], threads: int) -> None:
    model = rnncc.Sequential([layers.Input(shape=(None, 5)), layers.LSTM(200, name="lstm")])
    usual, chosen = (rnncc.compile(model, threads=threads, schedule=which) for which in ({}, {"h": walk}))
    for batch in (1, 2, 7):
        x = _RNG.standard_normal((batch, 9, 5)).astype(np.float32)
        assert np.array_equal(usual(x), chosen(x))


def test_walks_are_as_told() -> None:
    rnncc.set_random_seed(3)
    graph = rnncc.Sequential([layers.Input(shape=(None, 8)), layers.LSTM(128, name="lstm")]).graph()

    def notes(**walk: Any) -> tuple[str, ...]:
        compilation = compile_graph(graph, Options(target="x86-64-v4", schedule=as_schedule({"h": walk})))
        last = [snapshot for snapshot in compilation.loop_snapshots if snapshot.name in _WALKS]
        return tuple(note.removeprefix("lstm_recurrent_kernel_packed: ") for one in last for note in one.notes)

    assert notes() == ("back and forth, 256 KiB are more than level 1 holds",)
    assert notes(back_and_forth=False) == ("front to back (as told)",)
    assert notes(copies=3) == ("3 copies, read in turn (as told)",)
    assert notes(copies=2, back_and_forth=True) == ("2 copies, read in turn (as told)", "back and forth (as told)")
    assert notes(copies=1, back_and_forth=True) == ("one copy (as told)", "back and forth (as told)")
    assert notes(copies=np.int64(2))[0] == "2 copies, read in turn (as told)"


def test_walks_that_are_none_say_so() -> None:
    rnncc.set_random_seed(3)
    graph = rnncc.Sequential([layers.Input(shape=(None, 8)), layers.LSTM(72), layers.Dense(9, name="dense")]).graph()
    schedule = as_schedule({"dense_out": {"copies": 3, "back_and_forth": True}, "h": {"back_and_forth": True}})
    notes = _notes(graph, target="x86-64-v4", schedule=schedule)
    assert notes["rotate_copies"] == ("dense_out: no rows on their own read weights for it at every step: one copy",)
    assert "dense_out: no loop over steps walks over its panels: front to back" in notes["alternate_panels"]


def test_streams_and_profiles_of_a_chosen_schedule() -> None:
    fn = rnncc.compile(_model(), target="x86-64-v3", schedule={"dense_out": _tile(2, 1, 1)}, threads=2)
    tokens = _RNG.integers(0, 11, (2, 4))
    stream = fn.stream(batch=2)
    assert np.array_equal([stream.step(tokens[:, t]) for t in range(4)][-1], fn(tokens))
    assert fn.profile(tokens).kernels


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ([1, 2], "a schedule is a dict of choices by name"),
        ({"h": 3}, "the schedule of h is not a dict with some of rows, width, panel, copies, back_and_forth"),
        ({"h": {"row": 3}}, "the schedule of h is not a dict with some of rows, width, panel, copies, back_and_forth"),
        ({"h": {"rows": 3}}, "the tile of h has not all of rows, width, panel"),
        ({"h": {"copies": 17}}, "copies must be a number from 1 to 16, not 17"),
        ({"h": {"back_and_forth": 1}}, "back_and_forth must be True or False, not 1"),
        ({"dense_ouf": {"copies": 2}}, "dense_ouf, which no register tile writes"),
        ({"h": _tile(0, 1, 1)}, "rows must be a number from 1 to 64, not 0"),
        ({"h": _tile(True, 1, 1)}, "rows must be a number from 1 to 64, not True"),
        ({"h": _tile(1, 1, 65)}, "panel must be a number from 1 to 64, not 65"),
        ({"h": _tile(2, 2, 3)}, "a panel of 3 vectors is not a multiple of the width 2"),
        ({"dense_ouf": _tile(2, 1, 1)}, r"dense_ouf, which no register tile writes[\s\S]*did you mean 'dense_out'"),
        ({"c": _tile(2, 1, 1)}, r"tiles: h, dense_out[\s\S]*dump --list"),
        (
            {"h": _tile(8, 1, 1)},
            r"the tile of h does not fit[\s\S]*8 x 1 vectors \(a row: 1\) of 4 sums need 37[\s\S]*has 16",
        ),
    ],
)
def test_what_is_no_schedule(schedule: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message) as caught:
        rnncc.compile(_model(), target="x86-64-v3", schedule=schedule)
    assert "test_schedule.py" in str(caught.value)


def test_passes_say_what_they_decided() -> None:
    graph = _model().graph()
    notes = _notes(graph, target="x86-64-v3", threads=2)
    assert notes["fold_embedding"] == (
        "matmul_all: a table of 11 rows, 6 KiB (at most 65,536)",
        "add_all: a table of 11 rows, 6 KiB (at most 65,536)",
    )
    small = _notes(graph, table_bytes=100)["fold_embedding"]
    assert small[0] == "matmul_all: no table, it would have 11 rows, 6 KiB (at most 0)"
    assert notes["tile"] == (
        "h, c: in vectors, no sums",
        "h, c: 3 x 1 rows x vectors of 8, single rows in panels of 2; 4 sums; 22 KiB of weights stay near",
        "dense_out: 6 x 2 rows x vectors of 8, single rows in panels of 2; 1 sum; 2 KiB of weights stay near",
    )
    assert notes["cse"] == ()
    assert notes["share_threads"] == (
        "no 96 KiB of panels, no loops over steps to run side by side: only rows are shared",
    )


def test_the_level_1_cache_is_that_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = rnncc.Sequential([layers.Input(shape=(None, 8)), layers.LSTM(64, name="lstm")]).graph()

    def order(l1: int, target: str) -> bool:
        monkeypatch.setattr("rnncc.pipeline.caches", lambda: Caches(l1=l1))
        notes = _notes(graph, target=target)["alternate_panels"]
        return any(note.startswith("lstm_recurrent_kernel_packed: back and forth") for note in notes)

    assert order(48 << 10, "host")
    assert not order(64 << 10, "host")  # 64 KiB of weights stay there
    assert order(64 << 10, "x86-64-v2")


@pytest.mark.parametrize(
    ("units", "decision"),
    [
        (128, "64 steps up to 2 rows a step, 2 from 33 on"),
        (512, "64 steps up to 8 rows a step, 2 from 129 on"),
        (1024, "64 steps up to 32 rows a step, 2 from 513 on"),
    ],
)
def test_the_more_weights_the_more_steps_in_a_chunk(units: int, decision: str) -> None:
    graph = rnncc.Sequential([layers.Input(shape=(None, units)), layers.LSTM(units)]).graph()
    notes = _notes(graph, target="x86-64-v3")["shorten_chunks"]
    assert notes == (f"add_all: {decision}",)


@pytest.mark.parametrize(("precision", "rows"), [("float32", 8), ("bfloat16", 4), ("float32-bf16x6", 12)])
def test_narrow_weights_count_once_for_each_part(precision: str, rows: int) -> None:
    graph = rnncc.Sequential([layers.Input(shape=(None, 512)), layers.LSTM(512)]).graph()
    (note,) = _notes(graph, target="x86-64-v3", precision=precision)["shorten_chunks"]
    assert f": 64 steps up to {rows} rows a step" in note


@pytest.mark.parametrize(("batch", "steps"), [(1, 64), (2, 64), (3, 42), (30, 4), (64, 2), (500, 2)])
def test_memory_is_that_of_a_chunk(batch: int, steps: int) -> None:
    fn = rnncc.compile(rnncc.Sequential([layers.Input(shape=(None, 7)), layers.LSTM(40)]))
    states, projection = 2 * 2 * 40 * 4, 4 * 40 * 4
    least = batch * (states + steps * projection)
    assert least <= fn.memory(B=batch, T=1000) < least + 1024


def test_tiles_without_an_instruction_for_pairs() -> None:
    rnncc.set_random_seed(3)
    graph = rnncc.Sequential([layers.Input(shape=(None, 8)), layers.LSTM(64, name="lstm")]).graph()

    def tile(precision: str) -> str:
        notes = _notes(graph, target="x86-64-v3", precision=precision)["tile"]
        return next(note.removeprefix("add_all: ").split(" rows")[0] for note in notes if note.startswith("add_all: "))

    assert tile("float32") == "6 x 2"
    assert tile("bfloat16") == "3 x 2"
    assert tile("float32-bf16x6") == "6 x 1"  # two sums, and the second is of five products


def test_decisions_about_large_weights() -> None:
    rnncc.set_random_seed(3)
    graph = rnncc.Sequential([layers.Input(shape=(None, 8)), layers.LSTM(128, name="lstm")]).graph()
    notes = _notes(graph, target="x86-64-v4", threads=2)
    assert (
        "h, c: 6 x 1 rows x vectors of 16, single rows in panels of 1; 4 sums; 256 KiB of weights stream"
        in notes["tile"]
    )
    assert notes["pack"] == (
        "lstm_kernel_packed: 8 panels of 4 vectors of 16, 8 deep",
        "lstm_recurrent_kernel_packed: 8 panels of 4 vectors of 16, 128 deep, 4 matrices of weights in turn",
    )
    assert notes["share_threads"] == ("h, c: 8 panels, 4 for each thread to begin with",)
    assert notes["alternate_panels"] == (
        "lstm_recurrent_kernel_packed: back and forth, 256 KiB are more than level 1 holds",
    )
    assert notes["chunk_steps"] == ("add_all: at most 64 steps at a time, nothing outside of the loop reads it",)


@pytest.mark.parametrize(
    ("units", "decision"),
    [
        (8, "2 stages of chunks of 12 steps take 4 KiB a step, panels 3: left to panels"),
        (64, "2 stages of chunks of 6 steps take 96 KiB a step, panels 171"),
        (256, "2 stages of chunks of 6 steps take 1454 KiB a step, panels 1431: left to panels"),
    ],
)
def test_equal_layers_on_threads_of_their_own(units: int, decision: str) -> None:
    stack = [layers.LSTM(units, return_sequences=True, name="a"), layers.LSTM(units, name="b")]
    graph = rnncc.Sequential([layers.Input(shape=(None, units)), *stack]).graph()
    (note,) = _notes(graph, target="x86-64-v3", threads=2)["wavefront"]
    assert note.split(": ", 1)[1] == decision


def test_one_thread_for_what_is_not_cut() -> None:
    """Two stacks that do not need each other: no layer of one waits for a layer of the other."""
    inputs = [layers.Input(shape=(None, 64)), layers.Input(shape=(None, 64))]
    ends = [layers.LSTM(64)(layers.LSTM(64, return_sequences=True)(x)) for x in inputs]
    graph = rnncc.Model(inputs, layers.add(ends)).graph()
    assert _notes(graph, target="x86-64-v3", threads=2)["wavefront"] == ()


def test_directions_on_threads_of_their_own() -> None:
    graph = rnncc.Sequential([layers.Input(shape=(None, 8)), layers.Bidirectional(layers.SimpleRNN(6))]).graph()
    notes = _notes(graph, target="x86-64-v3", threads=2)["share_threads"]
    assert [note.split(": ")[1] for note in notes] == [
        "on thread 0, beside other loops over steps",
        "on thread 1, beside other loops over steps",
    ]
