"""Every loop pass on its golden files, in the folder that has the name of the pass."""

import inspect
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import rnncc.passes.loop
from rnncc.loop.parser import parse
from tests.passes.golden import read_golden
from tests.passes.loop.golden import check_golden, options_of

HERE = Path(__file__).parent
CASES = sorted(HERE.glob("*/*.txt"))
FOLDERS = sorted({path.parent.name for path in CASES})
ONCE = {"tile", "instrument"}
"""Passes that need a form which they do not keep: what they made is not for them to look at."""


def module_of(name: str) -> ModuleType:
    return import_module(f"rnncc.passes.loop.{name}")


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden(path: Path, request: pytest.FixtureRequest) -> None:
    name = path.parent.name
    check_golden(path, getattr(module_of(name), name), update=request.config.getoption("--update-golden", False))


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_second_run_changes_nothing(path: Path) -> None:
    name = path.parent.name
    golden = read_golden(path)
    assert path.stem != "does_nothing" or golden.before == golden.after
    if name not in ONCE:
        run, options = getattr(module_of(name), name), options_of(golden)
        after = run(parse(golden.before), **options)
        assert run(after, **options) is after


def test_every_pass_has_goldens() -> None:
    """Every module that defines a function of its own name is a pass."""
    folder = Path(rnncc.passes.loop.__file__).parent
    names = [path.stem for path in sorted(folder.glob("*.py"))]
    passes = [name for name in names if inspect.isfunction(getattr(module_of(name), name, None))]
    assert passes == FOLDERS
    for name in passes:
        assert len(list((HERE / name).glob("*.txt"))) >= 3, name
        assert (HERE / name / "does_nothing.txt").exists(), name
        assert "->" in (module_of(name).__doc__ or ""), name
