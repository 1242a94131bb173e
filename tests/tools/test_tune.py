"""`rnncc bench --tune`: what is tried, what is kept, and what a later compilation does with it. No timing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers
from rnncc.codegen.target import Target
from rnncc.errors import ArgumentError
from rnncc.keys import remember_schedule
from rnncc.options import Options
from rnncc.passes.loop.schedule import Choice, Tile
from rnncc.pipeline import compile_graph, machine_of
from rnncc.runtime.cache import DiskCache
from rnncc.tools.bench import command, tune
from rnncc.tools.bench.cases import Case, prepare
from rnncc.tools.bench.workloads import Workload

OPTIONS = Options()


def _make() -> rnncc.Sequential:
    return rnncc.Sequential([layers.Input(shape=(None, 3)), layers.LSTM(9, name="first"), layers.Dense(5, name="last")])


def _case(way: str = "call") -> Case:
    return prepare(Workload("tiny", "tiny", _make, ((2, 4),), way=way), 2, 4)


def test_the_tiles_of_a_graph_are_those_that_it_is_compiled_with() -> None:
    graph = _make().graph()
    tiles = tune.register_tiles(graph, OPTIONS)
    assert list(tiles) == ["add_all", "h", "last_out"]
    notes = next(s.notes for s in compile_graph(graph, OPTIONS).loop_snapshots if s.name == "tile")
    assert all(any(tiling.text in note for note in notes) for tiling in tiles.values())


def test_candidates_fit_and_differ() -> None:
    machine = machine_of(Target.parse("x86-64-v3"), "float32")
    tiling = tune.register_tiles(_make().graph(), Options(target="x86-64-v3"))["h"]
    found = list(tune.candidates("h", tiling, machine))
    assert 2 <= len(found) <= 20
    assert all(tile.registers(4) <= 16 and tile.panel % tile.width == 0 for tile in found)
    assert len(set(found)) == len(found)


def _clock(best: str, *found: str) -> Any:
    """An `interleave` for which the tile `best` of every nest takes half the time, and so does what is `found`."""

    def interleave(runs: Sequence[tuple[str, Any]], seconds: float, progress: Any) -> dict[str, list[float]]:
        for _, run in runs:
            run()
        return {label: [500.0 if label in (best, *found) else 1000.0] * 3 for label, _ in runs}

    return interleave


def _few(name: str, tiling: Any, machine: Any) -> list[Tile]:
    return [Tile(1, 1, 1), Tile(2, 1, 1)]


def test_the_fastest_tile_of_every_nest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "candidates", _few)
    monkeypatch.setattr(tune, "interleave", _clock("2 x 1, panel 1", "found"))
    found = tune.tune(_case(), OPTIONS, 0.01, str)
    assert found.tiles == dict.fromkeys(["add_all", "h", "last_out"], Tile(2, 1, 1))
    assert found.schedule["h"] == {"rows": 2, "width": 1, "panel": 1}
    assert (found.before_us, found.after_us, found.tried) == (1.0, 0.5, 6)
    monkeypatch.setattr(tune, "interleave", _clock("none is better"))
    found = tune.tune(_case(), OPTIONS, 0.01, str)
    assert (found.tiles, found.before_us, found.after_us) == ({}, 1.0, 1.0)


def test_what_was_the_fastest_by_chance_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Among many tiles one is always the fastest; compared with the cost model once more, it has to be so again."""
    monkeypatch.setattr(tune, "candidates", _few)
    monkeypatch.setattr(tune, "interleave", _clock("2 x 1, panel 1"))
    found = tune.tune(_case(), OPTIONS, 0.01, str)
    assert (found.tiles, found.before_us, found.after_us, found.tried) == ({}, 1.0, 1.0, 6)


def test_only_calls_on_whole_sequences_are_tuned() -> None:
    with pytest.raises(ArgumentError, match="tiny is not one call on whole sequences"):
        tune.tune(_case("cold"), OPTIONS, 0.01, str)


def test_what_is_remembered_is_used_and_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RNNCC_CACHE_DIR", str(tmp_path))
    model = _make()
    x = np.random.default_rng(0).normal(size=(5, 4, 3)).astype("float32")
    usual = rnncc.compile(model)
    chosen = (("h", Choice(Tile(3, 1, 1), copies=2)),)
    assert remember_schedule(model.graph(), Options(schedule=chosen)) == tmp_path
    told = rnncc.compile(model)
    assert told.ir("scheduled") == rnncc.compile(model, schedule={"h": chosen[0][1].given}).ir("scheduled")
    assert told.ir("scheduled") != usual.ir("scheduled")
    assert np.array_equal(told(x), usual(x))
    assert rnncc.compile(model, schedule={}).ir("scheduled") == usual.ir("scheduled")
    assert rnncc.compile(model, cache=False).ir("scheduled") == usual.ir("scheduled")
    assert rnncc.compile(model, dtype="float64")(x).shape == (5, 5)
    remember_schedule(model.graph(), Options())
    assert rnncc.compile(model).ir("scheduled") == usual.ir("scheduled")
    monkeypatch.setenv("RNNCC_CACHE_DIR", "off")
    with pytest.raises(ArgumentError, match="RNNCC_CACHE_DIR is off"):
        remember_schedule(model.graph(), Options())


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RNNCC_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(tune, "candidates", _few)
    monkeypatch.setattr(tune, "interleave", _clock("1 x 1, panel 1", "found"))
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert command.run(parser.parse_args(["tiny-8", "--tune", "--remember", "--length", "5"])) == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.startswith("tiny-8 1 x 5, threads 1: ")
    assert first.endswith(" tiles tried, 1.00 us before, 0.50 after")
    assert second.startswith("  schedule={'")
    assert third == f"  remembered in {tmp_path}"
    with pytest.raises(ArgumentError, match="--remember goes with --tune"):
        command.run(parser.parse_args(["tiny-8", "--remember"]))
    monkeypatch.setenv("RNNCC_CACHE_DIR", "off")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ArgumentError, match="RNNCC_CACHE_DIR is off"):
        command.run(parser.parse_args(["tiny-8", "--tune", "--remember", "--length", "5"]))
    with pytest.warns(UserWarning, match="no folder"):
        monkeypatch.setenv("RNNCC_CACHE_DIR", str(tmp_path / "file"))
        with pytest.raises(ArgumentError, match="nothing can be written to"):
            command.run(parser.parse_args(["tiny-8", "--tune", "--remember", "--length", "5"]))
    assert capsys.readouterr().out == ""  # nothing was tried
    monkeypatch.setattr(DiskCache, "put", lambda *_: False)
    monkeypatch.setenv("RNNCC_CACHE_DIR", str(tmp_path))
    with pytest.raises(ArgumentError, match="nothing can be written to"):
        command.run(parser.parse_args(["tiny-8", "--tune", "--remember", "--length", "5"]))
    assert "schedule=" in capsys.readouterr().out
