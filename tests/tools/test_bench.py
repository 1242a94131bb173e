"""The benchmark: the command and its options, and reports that read as they should."""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
from pathlib import Path

import pytest

from rnncc.errors import ArgumentError, MemoryLimitError
from rnncc.tools.bench import command, machine, worker
from rnncc.tools.bench.floor import Floor
from rnncc.tools.bench.peers import PEERS
from rnncc.tools.bench.report import microseconds, plain_text, write_report
from rnncc.tools.bench.results import Report, Row, Target, Timing, as_json
from rnncc.tools.bench.workloads import WORKLOADS
from tests.tools.bench_cases import ROOF

pytestmark = pytest.mark.usefixtures("light_keras")


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
        0.1,
        True,
        (),
        (Target("best", 2.0), Target("floor", 0.8)),
        floor=Floor(110.0, "L2", 13_000_000, 26_000_000),
    )
    second = Row(
        "own-cell",
        "two ways",
        32,
        100,
        2,
        (timing("rnncc", 8.125, is_peer=False), timing("layers.LSTM", 8.0, is_peer=False)),
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
    (row,) = rows
    assert [timing.name for timing in row.timings] == ["rnncc", "NumPy"]
    assert row.floor is not None
    assert 0 < row.floor.microseconds < row.timings[0].median_us


def test_compiling_has_no_floor() -> None:
    _, (row,) = worker.measure_rows(worker.Order(("ragged",), ("numpy",), 1, 0.01, length=3))
    assert row.timings
    assert row.floor is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["clasify-1"], r"no workload 'clasify-1'[\s\S]*did you mean 'classify-1'\?"),
        (["everything"], r"no workload 'everything'[\s\S]*FILE\.py:NAME"),
        (["--peers", "torhc"], r"no peer 'torhc'[\s\S]*did you mean 'torch'\?"),
        (["--threads", "two"], "whole numbers above 0, not 'two'"),
        (["--threads", "9999"], "this process may use"),
        (["--seconds", "0"], "above 0, not 0"),
        (["--seconds", "inf"], "above 0, not inf"),
        (["--peers", ","], "names no peer"),
        (["--list", "--json"], "--list goes alone"),
        (["--tune", "--profile"], "--tune and --profile are two things to do"),
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


MODELS = """
import rnncc
from rnncc import layers as L

fixed = rnncc.Sequential([L.Input((7, 5), batch_size=3), L.SimpleRNN(6)])
flat = rnncc.Sequential([L.Input((8,)), L.Dense(6)])
any = rnncc.Sequential([L.Input((None, 4)), L.GRU(6)])
stateful = rnncc.Sequential([L.Input((None, 4)), L.LSTM(6, stateful=True)])
"""


@pytest.fixture
def models(tmp_path: Path) -> str:
    (tmp_path / "models.py").write_text(MODELS)
    return str(tmp_path / "models.py")


@pytest.mark.parametrize(
    ("name", "more", "size"),
    [
        ("fixed", (), "3 x 7"),
        ("fixed", ("--batch", "3", "--length", "7"), "3 x 7"),
        ("flat", (), "1 x 1"),
        ("flat", ("--batch", "5"), "5 x 1"),
        ("any", (), "1 x 100"),
        ("stateful", ("--length", "9"), "1 x 9"),
    ],
)
def test_sizes_are_those_of_the_call(
    name: str, more: tuple[str, ...], size: str, models: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.run(arguments(f"{models}:{name}", "--profile", *more)) == 0
    assert f":{name} {size}, one thread" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("fixed", ("--batch", "5"), "--batch 5 has no effect on .*\n  its batch is fixed: 3"),
        ("fixed", ("--length", "9"), "its length is fixed: 7"),
        ("flat", ("--length", "9"), "its length is fixed: 1"),
        ("stateful", (), "is stateful: every call goes on where the one before stopped"),
    ],
)
def test_what_a_model_cannot_be_measured_with(
    name: str, more: tuple[str, ...], message: str, models: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "measure_in_process", worker.measure_rows)
    with pytest.raises(ArgumentError, match=message):
        command.run(arguments(f"{models}:{name}", "--peers", "none", "--seconds", "0.01", *more))


def test_the_report_comes_before_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(command, "measure_in_process", worker.measure_rows)
    folder = tmp_path / "folder.png"
    folder.mkdir()
    words = ("tiny-8", "--peers", "none", "--length", "3", "--seconds", "0.01", "--plot", str(folder))
    with pytest.raises(OSError, match="folder"):
        command.run(arguments(*words))
    assert "tiny-8" in capsys.readouterr().out


@pytest.mark.parametrize("words", [("--batch", "x"), ("--length", "1.5"), ("--batch", "0")])
def test_sizes_that_are_none(words: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(*words)
    assert f"argument {words[0]}: '{words[1]}' is no whole number above 0" in capsys.readouterr().err


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
