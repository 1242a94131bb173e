from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from rnncc.graph.ir import Graph
from rnncc.graph.parser import parse as parse_graph
from rnncc.graph.printer import show as show_graph
from rnncc.loop.parser import parse as parse_procedure
from rnncc.loop.printer import show as show_procedure
from rnncc.options import Options
from rnncc.pipeline import STAGES, Compilation, compile_graph
from rnncc.tools.dump import diff_of, find_step, list_rows
from rnncc.tools.load import load_subject
from rnncc.tools.trail import Step, Trail, pass_names, steps_of, trail_of
from tests.tools.commands import MODELS, refused, run, run_elsewhere, shown

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "models.py"
    path.write_text(MODELS)
    return path


@pytest.fixture(scope="module")
def trail(models: Path) -> Trail:
    """What `dump models.py:classifier` looks at."""
    return trail_of(load_subject(f"{models}:classifier").ir, Options())


@pytest.fixture(scope="module")
def compilation(models: Path) -> Compilation:
    """The model with states for AVX2."""
    return compile_graph(cast(Graph, load_subject(f"{models}:with_states").ir), Options(target="x86-64-v3"))


@pytest.fixture
def only(tmp_path: Path) -> Path:
    """A file with one model."""
    path = tmp_path / "only.py"
    path.write_text(MODELS.partition("same_model")[0])
    return path


def _passes(trail: Trail) -> list[Step]:
    return [step for step in steps_of(trail) if step.kind == "pass"]


# ------------------------------------------------------------------ what is shown


@pytest.mark.parametrize("stage", STAGES)
def test_stage_is_what_the_compilation_says(
    stage: str, models: Path, compilation: Compilation, capsys: Capture
) -> None:
    out = shown(capsys, "dump", f"{models}:with_states", "--stage", stage, "--target", "x86-64-v3")
    expected = compilation.text(stage)
    if stage == "asm":
        assert "# ==== scan step t: inner loop over k" in out
        assert next(line for line in out.splitlines() if "vfmadd" in line) in expected.splitlines()
    else:
        assert out.strip("\n") == expected.strip("\n")


def test_the_default_is_the_fused_graph_of_the_only_model(only: Path, capsys: Capture) -> None:
    out = shown(capsys, "dump", only)
    assert out == shown(capsys, "dump", f"{only}:classifier", "--stage", "fused")
    assert "building" not in out
    assert show_graph(parse_graph(out)) == out.rstrip("\n")


def test_after_shows_any_pass(models: Path, trail: Trail, capsys: Capture) -> None:
    steps = steps_of(trail)
    assert [find_step(steps, step.name, trail) for step in steps] == steps
    assert [step.name for step in _passes(trail)] == pass_names(trail)
    for name in ("hoist_scan", "tile"):
        out = shown(capsys, "dump", f"{models}:classifier", "--after", name)
        assert out.rstrip("\n") == find_step(steps, name, trail).text().rstrip("\n")


def test_list_has_every_stage_and_pass_in_order(models: Path, trail: Trail, capsys: Capture) -> None:
    lines = shown(capsys, "dump", f"{models}:classifier", "--list").splitlines()
    graph_names = [snapshot.name for snapshot in trail.graph_snapshots]
    loop_names = [snapshot.name for snapshot in trail.loop_snapshots]
    stages = ["scheduled", "llvm", "llvm-opt", "asm"]
    names = ["graph", *graph_names, "fused", "loop", *loop_names, *stages]
    rows = lines[1 : 1 + len(names)]
    assert [row.split()[1] for row in rows] == names
    for step in _passes(trail):
        (row,) = [row for row in rows if row.split()[1] == step.name]
        assert row.split()[2] == ("yes" if step.changed else "no")
        assert row.endswith(step.reason)
    for step in _passes(trail):
        start = lines.index(f"{step.name} decided:") + 1 if step.notes else 0
        assert lines[start : start + len(step.notes)] == [f"  {note}" for note in step.notes]
    assert "tile decided:" in lines
    assert lines[-1].count(" ms with verification: graph ") == 1
    assert not any(line != line.rstrip() or "\x1b" in line for line in lines)


def test_diff_of_a_pass(models: Path, trail: Trail, capsys: Capture) -> None:
    out = shown(capsys, "dump", f"{models}:classifier", "--diff", "hoist_scan")
    assert out.startswith("--- before hoist_scan\n+++ after hoist_scan\n@@ ")
    assert any(line.startswith("+    ") for line in out.splitlines())
    assert any(line.startswith("-        ") for line in out.splitlines())
    quiet = next(snapshot.name for snapshot in trail.graph_snapshots if not snapshot.changed)
    assert shown(capsys, "dump", f"{models}:classifier", "--diff", quiet) == f"{quiet} changed nothing\n"


def test_the_first_diff_starts_from_the_converted_graph(models: Path) -> None:
    trail = trail_of(load_subject(f"{models}:with_states").ir, Options(unroll=2))
    first = next(step for step in steps_of(trail) if step.kind == "pass")
    assert first.before is not None
    assert "unroll=2" in first.before()
    assert "unroll=2" not in steps_of(trail)[0].text()
    assert diff_of(steps_of(trail)[0]) == ""


@pytest.mark.parametrize("full", [False, True])
def test_changes_shows_the_passes_that_changed_something(
    full: bool, models: Path, trail: Trail, capsys: Capture
) -> None:
    options = ["--full"] if full else []
    out = shown(capsys, "dump", f"{models}:classifier", "--changes", *options)
    changed = [step.name for step in _passes(trail) if step.changed]
    titles = [line.split()[2].rstrip(":") for line in out.splitlines() if line.startswith("# ====")]
    assert [name for name in titles if name not in STAGES] == changed
    assert titles[0] == "graph" and "loop" in titles
    assert ("@@" in out) == (not full)


def test_dot(models: Path, capsys: Capture) -> None:
    out = shown(capsys, "dump", f"{models}:classifier", "--dot")
    assert out.startswith('digraph "classifier" {')
    assert "cluster" in out
    before = shown(capsys, "dump", f"{models}:classifier", "--dot", "--stage", "graph")
    assert before != out
    assert "--dot draws graph stages" in refused(capsys, "dump", f"{models}:classifier", "--dot", "--after", "tile")


def test_compile_options(models: Path, capsys: Capture) -> None:
    out = shown(capsys, "dump", f"{models}:with_states", "--dtype", "float64", "--unroll", "2", "--after", "simplify")
    assert "f64[B, 7]" in out and "f32" not in out
    assert "unroll=2" in out
    assembly = shown(capsys, "dump", f"{models}:with_states", "--stage", "asm", "--target", "aarch64")
    assert "\tfmla\t" in assembly
    assert "// ==== scan step t: inner loop over k" in assembly


# ------------------------------------------------------------------ what is looked at


def test_functions(models: Path, capsys: Capture) -> None:
    out = shown(capsys, "dump", f"{models}:annotated", "--stage", "graph")
    assert out.startswith("def annotated(left: f32[B, 4], right: f32[4, 3]):")
    specs = ["--spec", "float32[B, 2]", "--spec", "f32[B,1]"]
    out = shown(capsys, "dump", f"{models}:bare", *specs, "--stage", "graph")
    assert out.startswith("def bare(left: f32[B, 2], right: f32[B, 1]):")
    assert shown(capsys, "dump", f"{models}:make") == shown(capsys, "dump", f"{models}:classifier")
    assert "arguments: left, right" in refused(capsys, "dump", f"{models}:bare")


def test_a_graph_and_its_model_are_the_same(models: Path, capsys: Capture) -> None:
    assert shown(capsys, "dump", f"{models}:graph") == shown(capsys, "dump", f"{models}:with_states")


def test_text_of_both_irs(models: Path, tmp_path: Path, capsys: Capture) -> None:
    graph = tmp_path / "graph.txt"
    graph.write_text("# a comment\n" + shown(capsys, "dump", f"{models}:classifier", "--stage", "graph"))
    assert shown(capsys, "dump", graph) == shown(capsys, "dump", f"{models}:classifier")
    loops = tmp_path / "loops.txt"
    loops.write_text(shown(capsys, "dump", f"{models}:classifier", "--stage", "loop"))
    assert show_procedure(parse_procedure(loops.read_text())) == loops.read_text()
    assert shown(capsys, "dump", loops) == shown(capsys, "dump", f"{models}:classifier", "--stage", "scheduled")
    assert list_rows(steps_of(trail_of(load_subject(str(loops)).ir, Options())))[0][1] == "loop"
    assert "loop IR has no stage 'fused'" in refused(capsys, "dump", loops, "--stage", "fused")


@pytest.mark.parametrize("options", [(), ("--threads", "2"), ("--precision", "bfloat16", "--unroll", "4")], ids=str)
def test_text_from_behind_passes(options: tuple[str, ...], models: Path, tmp_path: Path, capsys: Capture) -> None:
    """What went through passes does not go through them again, so that the text of a schedule is that schedule."""
    model = tmp_path / "model.py"
    model.write_text(
        "import rnncc\nfrom rnncc import layers as L\n"
        "lstm = L.LSTM(6, return_sequences=True, name='lstm')\n"
        "parts = [L.Input((None, 5), name='x'), L.Masking(name='masking'), lstm, L.GRU(4, name='gru')]\n"
        "model = rnncc.Sequential(parts, name='model')\n"
    )
    scheduled = shown(capsys, "dump", model, "--stage", "scheduled", *options)
    loops = tmp_path / "loops.txt"
    for name in ("inline_moves", "fuse", "chunk_steps", "tile", "pack", "vectorize", "alternate_panels"):
        loops.write_text(shown(capsys, "dump", model, "--after", name, *options))
        assert shown(capsys, "dump", loops, *options) == scheduled, name
    assert shown(capsys, "dump", loops, "--stage", "asm", *options) == shown(
        capsys, "dump", model, "--stage", "asm", *options
    )


def test_text_on_standard_input(models: Path, capsys: Capture) -> None:
    text = shown(capsys, "dump", f"{models}:classifier", "--stage", "graph")
    done = run_elsewhere("dump", "-", "--stage", "graph", input=text)
    assert (done.stdout, done.stderr, done.returncode) == (text, "", 0)


def test_a_file_imports_its_neighbours(models: Path, capsys: Capture) -> None:
    user = models.parent / "user_of_models.py"
    user.write_text("import models\nfrom models import classifier\nassert __name__ == 'user_of_models'\n")
    path = list(sys.path)
    assert shown(capsys, "dump", user) == shown(capsys, "dump", f"{models}:classifier")
    assert sys.path == path
    sys.modules.pop("models")


# ------------------------------------------------------------------ files


def test_folder_has_a_file_for_every_snapshot(models: Path, trail: Trail, tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "some" / "where"
    command = ("dump", f"{models}:classifier", "-o", folder)
    assert shown(capsys, *command) == ""
    steps = steps_of(trail)
    names = [f"{number:02}-{step.name}" for number, step in enumerate(steps)]
    files = sorted(item for item in folder.iterdir() if item.name != "index.txt")
    assert [item.stem for item in files] == names
    assert {item.suffix for item in files} == {".txt", ".ll", ".s"}
    for item, step in zip(files, steps, strict=True):
        assert item.read_text().rstrip("\n") == step.text().rstrip("\n")
    index = (folder / "index.txt").read_text()
    assert all(name in index for name in names)
    # A later dump replaces what it wrote, and leaves nothing behind.
    shown(capsys, *command, "--changes")
    kept = [name for name, step in zip(names, steps, strict=True) if step.changed]
    assert sorted(item.stem for item in folder.iterdir()) == [*kept, "index"]
    assert len(kept) < len(names)


def test_folder_with_other_files_is_left_alone(models: Path, tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "out"
    shown(capsys, "dump", f"{models}:classifier", "-o", folder)
    before = {item.name: item.read_bytes() for item in folder.iterdir()}
    (folder / "notes.txt").write_text("mine")
    message = refused(capsys, "dump", f"{models}:with_states", "-o", folder)
    assert "holds files that are not from a dump: notes.txt" in message
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert "index.txt" in refused(capsys, "dump", f"{models}:classifier", "-o", _folder_with(tmp_path, "index.txt"))
    assert "cannot be written" in refused(capsys, "dump", f"{models}:classifier", "-o", models)


def _folder_with(tmp_path: Path, name: str) -> Path:
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / name).write_text("mine")
    return folder


def test_an_interrupted_dump_leaves_whole_files_that_are_known(
    models: Path, trail: Trail, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    replace, count = os.replace, 0

    def failing(source: Path, target: Path) -> None:
        nonlocal count
        count += 1
        if count == 5:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    assert "No space left on device" in refused(capsys, "dump", f"{models}:classifier", "-o", folder)
    steps = steps_of(trail)
    written = sorted(item.name for item in folder.iterdir())
    assert written == [*(f"{number:02}-{steps[number].name}.txt" for number in range(3)), "index.txt"]
    for number in range(3):
        assert (folder / written[number]).read_text() == steps[number].text().rstrip("\n") + "\n"
    shown(capsys, "dump", f"{models}:classifier", "-o", folder)
    assert len(list(folder.iterdir())) == len(steps) + 1


# ------------------------------------------------------------------ terminal and pipe


def _on_terminal(*words: str | Path, **environment: str) -> str:
    """What `rnncc words...` writes to a terminal."""
    outer, inner = pty.openpty()
    variables = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    process = subprocess.Popen(
        [sys.executable, "-m", "rnncc", *map(str, words)],
        stdout=inner,
        stderr=subprocess.DEVNULL,
        env={**variables, "TERM": "xterm", **environment},
    )
    os.close(inner)
    parts = []
    try:
        while part := os.read(outer, 1 << 16):
            parts.append(part)
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(outer)
    assert process.wait() == 0
    return b"".join(parts).decode().replace("\r\n", "\n")


@pytest.mark.parametrize("words", [("--stage", "fused"), ("--diff", "hoist_scan"), ("--list",)])
def test_colours_on_a_terminal_only(words: tuple[str, ...], models: Path, capsys: Capture) -> None:
    pytest.importorskip("rich")
    subject = f"{models}:classifier"
    assert "\x1b[" in _on_terminal("dump", subject, *words)
    assert "\x1b" not in _on_terminal("dump", subject, *words, NO_COLOR="1")
    assert "\x1b" not in shown(capsys, "dump", subject, *words)
    assert "\x1b" in shown(capsys, "dump", subject, *words, "--color", "always")


def test_long_lines_stay_whole_in_colour(models: Path, capsys: Capture) -> None:
    text = pytest.importorskip("rich.text")
    out = shown(capsys, "dump", f"{models}:classifier", "--color", "always")
    assert text.Text.from_ansi(out).plain.strip() == shown(capsys, "dump", f"{models}:classifier").strip()


def test_without_rich_all_is_plain(models: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    out = shown(capsys, "dump", f"{models}:classifier", "--color", "always")
    assert out == shown(capsys, "dump", f"{models}:classifier", "--color", "never")


def test_a_closed_pipe_is_no_error(models: Path) -> None:
    command = [sys.executable, "-m", "rnncc", "dump", f"{models}:classifier", "--stage", "llvm"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == "building\n"
    process.stderr.close()
    assert process.wait() == 141


def test_a_closed_output(models: Path) -> None:
    command = [sys.executable, "-m", "rnncc", "dump", f"{models}:classifier"]
    process = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *command], stderr=subprocess.PIPE, text=True, check=False
    )
    assert process.stderr == "rnncc: the output cannot be written: it is closed\n"
    assert process.returncode == 2


# ------------------------------------------------------------------ wrong input


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--stage", "fusd"), "unknown stage 'fusd'\n  stages: graph, fused,"),
        (("--stage", "fusd"), "did you mean 'fused'?"),
        (("--after", "hoist_scn"), "did you mean 'hoist_scan'?"),
        (("--diff", "fuse_gate"), "did you mean 'fuse_gates'?"),
        (("--diff", "loop"), "loop is not a pass"),
        (("--target", "vax"), "unknown target 'vax'"),
        (("--dtype", "int64"), "a model cannot compute in i64"),
        (("--dtype", "float31"), "unknown element type 'float31'"),
        (("--unroll", "0"), "a turn holds 1 to 64 steps"),
        (("--full",), "--full goes with --changes"),
        (("--dot", "--list"), "--dot draws one graph"),
        (("-o", "x", "--list"), "-o writes all snapshots"),
        (("--stage", "graph", "--list"), "not allowed with argument"),
        (("--spec", "float32[B]"), "classifier is no function: it says itself what it takes"),
        (("--spec", "float32"), "'float32' is not a type"),
        (("--spec", "f32[B, 1.5]"), "'1.5' in 'f32[B, 1.5]' is not a dim"),
    ],
)
def test_wrong_options(words: tuple[str, ...], message: str, models: Path, capsys: Capture) -> None:
    assert message in refused(capsys, "dump", f"{models}:classifier", *words)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "models.py:classifier\n"),
        ("", "holds 4 models and graphs: say which one"),
        (":classifer", "did you mean 'classifier'?"),
        (":classifier.cell", "has no attribute 'cell'"),
        (":number", "number is neither a model nor a graph nor a function"),
        (":layers", "layers is neither a model"),
        (":wrong", "arguments: left"),
    ],
)
def test_wrong_names(name: str, message: str, models: Path, capsys: Capture) -> None:
    assert message in refused(capsys, "dump", f"{models}{name}")


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("", ["holds no model and no graph", "model = rnncc.Sequential([...])"]),
        ("def f(x):\n    return x\n", ["holds no model and no graph", "f --spec 'float32[B, 3]'"]),
        ("def f():\n    return 1 / 0\nf()\n", ["bad.py raised ZeroDivisionError", "line 3, in <module>", "1 / 0"]),
        ("x = = 3\n", ["bad.py raised SyntaxError", "line 1", "x = = 3"]),
        ("import sys\nsys.exit(3)\n", ["ended the program (exit code 3)", "__main__"]),
        ("from rnncc import layers\nlayers.LSTM(-1)\n", ["at bad.py:2: layers.LSTM(-1)"]),
        ("import rnncc\nfn = rnncc.Sequential()\n", ["rnncc: "]),
    ],
)
def test_python_files_without_a_model(text: str, messages: list[str], tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "bad.py"
    path.write_text(text)
    error = refused(capsys, "dump", path)
    assert all(message in error for message in messages), error
    assert "runpy" not in error


def test_types_for_other_arguments_than_there_are(models: Path, capsys: Capture) -> None:
    message = refused(capsys, "dump", f"{models}:wrong", "--spec", "f32[B]", "--spec", "f32[B]", "--spec", "f32[B]")
    assert "wrong does not take 3 arguments, one for each --spec" in message


def test_an_error_in_a_traced_function(models: Path, capsys: Capture) -> None:
    message = refused(capsys, "dump", f"{models}:wrong", "--spec", "f32[B]")
    assert "raised AttributeError" in message
    assert "in wrong\n" in message and "left.nothing" in message


def test_files_that_are_no_text_of_ours(tmp_path: Path, capsys: Capture) -> None:
    assert "there is no file" in refused(capsys, "dump", tmp_path / "nothing.py")
    (tmp_path / "model.py").write_text("")
    assert f"did you mean '{tmp_path / 'model.py'}'?" in refused(capsys, "dump", f"{tmp_path / 'modle.py'}:x")
    assert "is a folder" in refused(capsys, "dump", tmp_path)
    (tmp_path / "bytes.npy").write_bytes(b"\x93NUMPY\xff\xfe")
    assert "neither a Python file (.py) nor text" in refused(capsys, "dump", tmp_path / "bytes.npy")
    (tmp_path / "prose.txt").write_text("def f(x: f32[B]):\n    y: f32[B] = nop(x)\n    return y\n")
    assert "line 2" in refused(capsys, "dump", tmp_path / "prose.txt")
    (tmp_path / "type.txt").write_text("def f(x: f32[B]):\n    y: f32[3] = tanh(x)\n    return y\n")
    assert "VerifyError: the type of y is not what tanh infers" in refused(capsys, "dump", tmp_path / "type.txt")
    assert "holds one graph or procedure" in refused(capsys, "dump", f"{tmp_path / 'type.txt'}:f")


def test_files_that_are_no_files(models: Path, tmp_path: Path, capsys: Capture) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "pipe is not a regular file" in refused(capsys, "dump", tmp_path / "pipe")  # and nobody waits for a writer
    assert "rnncc dump - < /dev/null" in refused(capsys, "dump", "/dev/null")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [("--stage", "graph"), ("--stage", "llvm"), ("--list",)])
def test_a_full_disk(words: tuple[str, ...], models: Path) -> None:
    command = [sys.executable, "-m", "rnncc", "dump", f"{models}:classifier", *words]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    message = "rnncc: the output cannot be written: No space left on device"
    assert (done.returncode, done.stderr) == (2, f"building\n{message}\n")


def test_no_command(capsys: Capture) -> None:
    code, out, err = run(capsys)
    assert (code, out) == (2, "")
    assert "COMMAND" in err
    code, out, err = run(capsys, "dump", "--help")
    assert (code, err) == (0, "")
    assert all(stage in out for stage in STAGES)
    code, out, err = run(capsys, "--version")
    assert (code, err) == (0, "") and out.startswith("rnncc ")


def test_a_schedule_on_the_command_line(models: Path, capsys: Capture) -> None:
    subject = f"{models}:classifier"
    decided = shown(capsys, "dump", subject, "--list").partition("tile decided:")[2]
    name = re.search(r"(\w+)(, \w+)*: \d+ x", decided)
    assert name is not None
    out = shown(capsys, "dump", subject, "--list", "--schedule", json.dumps({name[1]: {"copies": 3}}))
    assert "rotate_copies decided:" in out
    assert "--schedule is not JSON" in refused(capsys, "dump", subject, "--schedule", "{")
    assert "is not a dict with some of" in refused(capsys, "dump", subject, "--schedule", '{"h": 1}')
