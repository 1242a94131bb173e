"""The example with the guide's three models: the guide's tables, agreement with NumPy, help, and the exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.examples.conftest import EXAMPLES, run_example

TABLES = (Path(__file__).parents[1] / "layers" / "seed_summaries.txt").read_text()


def test_summaries_agreement_and_help() -> None:
    done = run_example("seed_models.py", "--seconds", "0", "--help-embedding")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(TABLES)
    rest = done.stdout.removeprefix(TABLES)
    assert rest.count("  agrees  ") == 15
    assert "DIFFERS" not in rest
    for name in ("sequential", "sequential_1", "model"):
        assert f"\n{name}: compiled in " in rest
    assert "class Embedding(" in rest
    assert "input_dim: Integer. Size of the vocabulary" in rest


def test_a_difference_is_told() -> None:
    program = f"""
import runpy, sys, rnncc
evaluate = rnncc.evaluate
rnncc.evaluate = lambda *arguments: evaluate(*arguments) + 1e-4
sys.argv = ["seed_models.py", "--seconds", "0"]
runpy.run_path({str(EXAMPLES / "seed_models.py")!r}, run_name="__main__")
"""
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.count("  DIFFERS  ") == 15


def test_help_comes_before_the_tables() -> None:
    done = run_example("seed_models.py", "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: seed_models.py")
    assert "--help-embedding" in done.stdout
    assert "Model:" not in done.stdout
