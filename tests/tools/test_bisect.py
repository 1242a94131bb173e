from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnncc import pipeline
from rnncc.errors import ArgumentError, UnsupportedError
from rnncc.graph.interp import interpret
from rnncc.graph.ir import Graph, is_scan
from rnncc.graph.parser import parse
from rnncc.graph.rewrite import map_bodies
from rnncc.loop.ir import Const, For, Procedure, Store
from rnncc.options import Options
from rnncc.pipeline import compile_graph, graph_passes, loop_passes, passes_of
from rnncc.tools import trail
from rnncc.tools.bisect import check_snapshots, first_wrong, parse_dims
from rnncc.tools.inputs import distinct_sizes, index_limits, random_arrays
from rnncc.tools.load import load_subject
from rnncc.types import DType
from tests.tools.commands import MODELS, refused, run, shown

Capture = pytest.CaptureFixture[str]
Change = Callable[[Any], Any]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    path = tmp_path / "models.py"
    path.write_text(MODELS)
    return path


def _inject(monkeypatch: pytest.MonkeyPatch, name: str, change: Change) -> None:
    """Let the pass `name` also do `change` to its result."""

    def changed(passes: list[Any]) -> list[Any]:
        return [
            replace(step, run=lambda ir, run=step.run: change(run(ir))) if step.name == name else step
            for step in passes
        ]

    for module in (pipeline, trail):
        monkeypatch.setattr(module, "graph_passes", lambda options: changed(graph_passes(options)))
        monkeypatch.setattr(module, "loop_passes", lambda *machine: changed(loop_passes(*machine)))


def _swap_subtractions(graph: Graph) -> Graph:
    """`graph` with the operands of every `sub` swapped, in bodies too."""
    nodes = tuple(
        replace(node, inputs=node.inputs[::-1]) if node.op.name == "sub" else node
        for node in map_bodies(graph, _swap_subtractions).nodes
    )
    changed = any(node.op.name == "sub" for node in nodes) or any(is_scan(node) for node in nodes)
    return replace(graph, nodes=nodes) if changed else graph


# ------------------------------------------------------------------ right passes


@pytest.mark.parametrize("name", ["classifier", "with_states"])
@pytest.mark.parametrize("dtype", [DType.F32, DType.F64])
def test_every_snapshot_agrees(name: str, dtype: DType, models: Path) -> None:
    graph = load_subject(f"{models}:{name}").ir
    assert isinstance(graph, Graph)
    compilation = compile_graph(graph, Options(dtype=dtype, unroll=2))
    results = check_snapshots(compilation, seed=1)
    assert first_wrong(results) is None
    names = [snapshot.name for snapshot in passes_of(compilation)]
    graph_names, loop_names = names[: len(compilation.graph_snapshots)], names[len(compilation.graph_snapshots) :]
    assert [result.name for result in results] == [*graph_names, "fused", "loop", *loop_names, "compiled"]
    assert 0 < max(result.difference for result in results) < 1e-5


def test_bisect_of_right_passes(models: Path, capsys: Capture) -> None:
    out = shown(capsys, "bisect", f"{models}:classifier", "--dims", "T=2", "--seed", "5")
    assert "inputs: B=7, T=2, seed 5" in out
    assert "WRONG" not in out and "\x1b" not in out
    assert "snapshots agree with the numpy meaning of classifier" in out


@pytest.mark.parametrize("precision", ["bfloat16", "float32-bf16x6"])
@pytest.mark.parametrize("name", ["classifier", "with_states"])
def test_a_right_model_is_right_in_every_precision(name: str, precision: str, models: Path, capsys: Capture) -> None:
    out = shown(capsys, "bisect", f"{models}:{name}", "--precision", precision)
    assert "narrow " in out and "WRONG" not in out
    assert f"snapshots agree with the numpy meaning of {name}" in out


def test_bisect_of_text(models: Path, tmp_path: Path, capsys: Capture) -> None:
    graph = tmp_path / "graph.txt"
    graph.write_text(shown(capsys, "dump", f"{models}:with_states", "--stage", "graph"))
    assert "agree" in shown(capsys, "bisect", graph)
    graph.write_text(shown(capsys, "dump", f"{models}:with_states", "--stage", "loop"))
    assert "bisect starts from a graph or a model" in refused(capsys, "bisect", graph)


def test_code_for_another_machine_is_not_run(models: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnncc.codegen.target.Target.runs_on_host", False)
    out = shown(capsys, "bisect", f"{models}:classifier", "--target", "x86-64-v3")
    assert "not run: this machine cannot execute code for x86-64-v3" in out


# ------------------------------------------------------------------ wrong passes


def test_a_wrong_graph_pass_is_found(models: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    _inject(monkeypatch, "last_step", _swap_subtractions)
    code, out, _ = run(capsys, "bisect", f"{models}:classifier", "--dtype", "float64")
    assert code == 1
    lines = out.splitlines()
    assert [line.split()[1] for line in lines if line.startswith(("simplify ", "fold "))] == ["ok", "ok"]
    (wrong,) = [line for line in lines if line.startswith("last_step ")]
    assert wrong.split()[1] == "WRONG" and " is " in wrong
    assert lines[-3].startswith("first wrong: last_step (")
    assert "right is" in lines[-2]
    assert lines[-1] == f"  look at it: rnncc dump {models}:classifier --dtype float64 --diff last_step"
    assert "sub(" in shown(capsys, *lines[-1].split()[4:])


def _forget(procedure: Procedure) -> Procedure:
    """`procedure` with a number for what its last statement stores."""
    *rest, last = procedure.body
    return replace(procedure, body=(*rest, _with_constants(last)))


def _with_constants(statement: Any) -> Any:
    match statement:
        case For():
            return replace(statement, body=tuple(map(_with_constants, statement.body)))
        case Store(combine=None):
            return replace(statement, value=Const(3.0, DType.F32))
    return statement


def test_a_wrong_loop_pass_is_found(models: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    _inject(monkeypatch, "inline_moves", _forget)
    code, out, _ = run(capsys, "bisect", f"{models}:classifier")
    assert code == 1
    assert "first wrong: inline_moves" in out
    assert "right is" in out and "--diff inline_moves" in out


@pytest.mark.parametrize("name", ["split_nests", "narrow", "chunk_steps"])
def test_a_wrong_pass_is_found_in_bfloat16(
    name: str, models: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    _inject(monkeypatch, name, _forget)
    code, out, _ = run(capsys, "bisect", f"{models}:classifier", "--precision", "bfloat16")
    assert code == 1
    assert f"first wrong: {name}" in out
    assert out.endswith(f"rnncc dump {models}:classifier --precision bfloat16 --diff {name}\n")


def test_a_pass_that_breaks_the_graph_is_found(models: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    _inject(monkeypatch, "dce", lambda graph: replace(graph, nodes=graph.nodes[1:]))
    code, out, _ = run(capsys, "bisect", f"{models}:classifier")
    assert code == 1
    assert "first wrong: dce" in out
    assert "VerifyError: after dce:" in out
    assert "--after cse" in out
    # What came before can be looked at, and dump says what stopped it.
    code, out, err = run(capsys, "dump", f"{models}:classifier", "--after", "cse")
    assert code == 2 and out.startswith("def classifier(") and "VerifyError: after dce" in err
    code, out, err = run(capsys, "dump", f"{models}:classifier", "--stage", "loop")
    assert code == 2 and out == "" and "`rnncc bisect FILE` names the first wrong pass" in err
    code, out, err = run(capsys, "dump", f"{models}:classifier", "--list")
    assert code == 2 and "dce failed: nothing after it was made" in out


def test_a_pass_that_crashes_is_found(models: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(procedure: Procedure) -> Procedure:
        raise AssertionError("this cannot happen")

    _inject(monkeypatch, "pack", crash)
    code, out, _ = run(capsys, "bisect", f"{models}:classifier")
    assert code == 1
    assert "first wrong: pack" in out and "AssertionError: this cannot happen" in out and "--after merge_rows" in out


def test_what_cannot_be_compiled_is_not_called_wrong(
    models: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(graph: Graph) -> Graph:
        raise UnsupportedError("op nothing cannot be compiled")

    _inject(monkeypatch, "fold", refuse)
    assert "op nothing cannot be compiled" in refused(capsys, "bisect", f"{models}:classifier")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--dims", "T"), "--dims T: this is not a size"),
        (("--dims", "T=x"), "--dims T=x: this is not a size"),
        (("--dims", "B=100000000000000"), "not enough memory for all values at these sizes\n  needed: "),
        (("--dims", f"B={10**30}"), "give smaller sizes with --dims"),
        (("--dims", "t=3"), "has no extent 't'\n  extents: B, T"),
        (("--seed", "-1"), "--seed -1"),
    ],
)
def test_wrong_options(words: tuple[str, ...], message: str, models: Path, capsys: Capture) -> None:
    assert message in refused(capsys, "bisect", f"{models}:classifier", *words)


# ------------------------------------------------------------------ inputs


def test_sizes_differ() -> None:
    graph = parse("def f(x: f32[B, 7], y: f32[T, 3, N]):\n    return x, y")
    assert distinct_sizes(graph, {}) == {"B": 5, "T": 11, "N": 13}
    assert distinct_sizes(graph, {"T": 5}) == {"B": 11, "T": 5, "N": 13}
    assert parse_dims(" B=3, T = 0 ") == {"B": 3, "T": 0}
    assert parse_dims("") == {}
    with pytest.raises(ArgumentError, match="no extent 'U'"):
        distinct_sizes(graph, {"U": 3})


def test_indices_are_valid_through_moves_and_scans() -> None:
    graph = parse(
        """
        def f(table: f32[4, 2], small: f32[N, 2], /, ids: i64[B, T], other: i64[B], free: i64[B]):
            turned: i64[T, B] = transpose(ids, axes=(1, 0))
            def step(table: f32[4, 2], /, last: i64[B], *, now: i64[B]):
                row: f32[B, 2] = take(table, last)
                return now, row
            final, rows = scan(table, other, turned, body=step, reverse=False, length=T, unroll=1)
            looked: f32[B, 2] = take(small, other)
            return final, rows, looked, free
        """
    )
    extents = {"B": 12, "T": 5, "N": 2}
    limits = {value.name: limit for value, limit in index_limits(graph, extents).items() if value in graph.inputs}
    assert limits == {"ids": 4, "other": 2}
    arrays = random_arrays(graph, extents, 0)
    ids, other, free = arrays[2:]
    assert set(np.unique(ids)) == {0, 1, 2, 3}
    assert set(np.unique(other)) <= {0, 1}
    assert free.max() > 1
    interpret(graph, arrays, extents)


def test_indices_that_are_computed_are_valid_too() -> None:
    graph = parse(
        """
        def f(table: f32[9, 2], /, ids: i64[B]):
            twice: i64[B] = add(ids, ids)
            row: f32[B, 2] = take(table, twice)
            return row
        """
    )
    table, ids = random_arrays(graph, {"B": 50}, 0)
    assert 0 < ids.max() <= 4
    assert table.std() > 0
    impossible = parse(
        """
        def f(table: f32[9, 2], /, ids: i64[B]):
            far: i64[] = constant(value=99, dtype=i64)
            index: i64[B] = add(ids, far)
            row: f32[B, 2] = take(table, index)
            return row
        """
    )
    with pytest.raises(ArgumentError, match="no random inputs of"):
        random_arrays(impossible, {"B": 3}, 0)


def test_weights_are_those_of_the_model_but_none_is_constant(models: Path) -> None:
    graph = load_subject(f"{models}:classifier").ir
    assert isinstance(graph, Graph)
    arrays = random_arrays(graph, {"B": 2, "T": 3}, 0)
    again = random_arrays(graph, {"B": 2, "T": 3}, 0)
    for value, array, same in zip(graph.consts, arrays, again, strict=False):
        assert np.array_equal(array, same)
        assert array.dtype == np.float32
        assert array.std() > 0.01
        assert abs(array - graph.sources[value.name].value).max() < 2
