"""Running the command line in this process and in another one, and the model file that most tests look at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rnncc.tools.main import main

MODELS = '''\
"""Two small models, a graph, and functions."""

import rnncc
from rnncc import layers, ops
from rnncc.layers.naming import clear_session

clear_session()  # names are numbered over the process, and tests load this file many times
rnncc.set_random_seed(3)
print("building")

parts = [layers.Embedding(20, 6, name="table"), layers.GRU(8, name="gru"), layers.Dense(3, name="dense")]
classifier = rnncc.Sequential(parts, name="classifier")
same_model = classifier

x = layers.Input(shape=(None, 5), name="x")
h0, c0 = layers.Input(shape=(7,), name="h0"), layers.Input(shape=(7,), name="c0")
y, h, c = layers.LSTM(7, return_sequences=True, return_state=True, name="lstm")(x, initial_state=[h0, c0])
with_states = rnncc.Model([x, h0, c0], [y, h, c], name="with_states")

graph = with_states.graph()


def annotated(left: "f32[B, 4]", right: "float32[4, 3]"):
    return ops.matmul(left, right)


def bare(left, right):
    return ops.subtract(left, right)


def make():
    print("making")
    return classifier


def wrong(left):
    return left.nothing


number = 3
'''


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `rnncc words...` in this process."""
    try:
        code = main(list(map(str, words)))
    except SystemExit as error:
        code = int(str(error.code))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def shown(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The output of a command that must succeed."""
    code, out, err = run(capsys, *words)
    assert code == 0, err
    return out


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The message of a command that must fail for wrong input: no traceback, nothing on stdout."""
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, ""), out
    assert "Traceback" not in err
    assert "main(list(" not in err  # the line that starts the command is not the user's
    return err


def run_elsewhere(*words: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """`python -m rnncc words...` in a process of its own."""
    command = [sys.executable, "-m", "rnncc", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload,no-any-return]
