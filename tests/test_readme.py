"""The README is tested: its snippets run, its commands and folders exist, what it says of the passes is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import rnncc

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_snippet_runs(number: int) -> None:
    exec(compile(SNIPPETS[number], f"README.md snippet {number}", "exec"), {})


def test_there_are_snippets() -> None:
    assert len(SNIPPETS) >= 2


@pytest.mark.parametrize("name", ["main", "tests"])
def test_command_is_one_line_that_sets_up(name: str) -> None:
    found = re.search(rf"<!-- ci: {name} -->\n```sh\n(.*?)```", README, re.DOTALL)
    assert found, f"the README has no command {name}"
    (line,) = found[1].strip().splitlines()
    assert line.startswith("python3 -m venv .venv && .venv/bin/pip install ")


def test_folder_tree_is_the_folder_tree() -> None:
    tree = README.split("```text\nrnncc/\n")[1].split("```")[0]
    named = set(re.findall(r"[\w/]+\.py|[\w/]+/(?=\s)", tree.split("tests/")[0]))
    for name in named:
        assert (ROOT / "rnncc" / name).exists(), name
    packages = {path.parent.relative_to(ROOT / "rnncc").parts[0] for path in (ROOT / "rnncc").glob("*/__init__.py")}
    assert packages <= {name.split("/")[0] for name in named}
    files = {path.name for path in (ROOT / "rnncc").glob("*.py")} - {"__init__.py", "__main__.py"}
    assert files <= named


def test_model_in_the_readme_becomes_what_the_readme_says() -> None:
    model = rnncc.Sequential(
        [
            rnncc.layers.Embedding(1000, 64, name="embedding"),
            rnncc.layers.LSTM(128, name="lstm"),
            rnncc.layers.Dense(10),
        ]
    )
    fn = rnncc.compile(model)
    declared, scheduled = fn.ir("graph"), fn.ir("scheduled")
    for line in README.split("```text\ndef sequential")[1].split("```")[0].splitlines()[1:]:
        if "..." not in line:
            assert line.strip() in declared, line
    assert "tanh(" in scheduled and scheduled.count("for t in range") == 1
