"""Imports go downward only, without cycles, at the top of the file; every module says what it is for."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

from rnncc.runtime.elf import is_linkable

ROOT = Path(__file__).parent.parent / "rnncc"
LEVELS = [
    {"errors", "records", "collector", "numeric", "locks"},
    {"types", "memory", "names", "arrays"},
    {"graph", "loop"},
    {"ops"},
    {"layers", "passes", "lower"},
    {"codegen"},
    {"runtime"},
    {"options"},
    {"start", "keys"},
    {"pipeline"},
    {"compiler"},
    {"importers"},
    {"tools"},
    {"__main__"},
]
"""What stands in one line may not import each other."""
LATE = {"rnncc.compiler": {"rnncc.pipeline", "rnncc.runtime.profiler"}}
"""What may be imported inside a function, because most processes never need it."""
LEVEL = {part: number for number, parts in enumerate(LEVELS) for part in parts}
MODULES = {
    ".".join(("rnncc", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def imports_of(name: str, root: ast.AST, *, for_types: bool = True) -> Iterator[str]:
    """Our own modules that the statements below `root` import; optionally without those under TYPE_CHECKING."""
    for child in ast.iter_child_nodes(root):
        match child:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")) if not for_types:
                continue
            case ast.Import(names=names):
                yield from (alias.name for alias in names if alias.name.split(".")[0] == "rnncc")
            case ast.ImportFrom(module=module, names=names, level=level):
                base = _absolute(name, module, level)
                if base.split(".")[0] == "rnncc":
                    whole = [f"{base}.{alias.name}" for alias in names]
                    yield from (full if full in MODULES else base for full in whole)
        yield from imports_of(name, child, for_types=for_types)


def _absolute(name: str, module: str | None, level: int) -> str:
    """The module that `from ..module import` means inside `name`."""
    if level == 0:
        return module or ""
    package = name.split(".") if MODULES[name].name == "__init__.py" else name.split(".")[:-1]
    return ".".join([*package[: len(package) - level + 1], *([module] if module else [])])


def part_of(name: str) -> str:
    """The folder or file right below the package."""
    return name.split(".")[1] if "." in name else ""


def is_below(lower: str, upper: str) -> bool:
    """May a module of part `upper` import one of part `lower`?"""
    return lower == upper or (lower in LEVEL and LEVEL[lower] < LEVEL[upper])


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_says_what_it_is_for(name: str) -> None:
    assert ast.get_docstring(TREES[name]), f"{name} has no docstring"


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"rnncc"}))
def test_imports_go_downward(name: str) -> None:
    part = part_of(name)
    assert part in LEVEL, f"{name}: {part} has no place in the order of layers"
    wrong = [other for other in imports_of(name, TREES[name]) if not is_below(part_of(other), part)]
    assert not wrong, f"{name} imports {', '.join(wrong)}"


def test_no_import_of_others_inside_a_function() -> None:
    """Of what rnncc needs, only what is large and rarely needed is imported late: see the next test."""
    late = {
        (name, alias.name)
        for name in MODULES
        if part_of(name) != "tools"
        for function in ast.walk(TREES[name])
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert late == {("rnncc.graph.deps", "networkx")}


def test_what_compiles_is_loaded_when_it_is_needed(tmp_path: Path) -> None:
    """Importing loads neither the compiler nor its libraries, and neither does running a model from the cache."""
    program = """
import sys
import rnncc
from rnncc import layers

def large():
    return *({"llvmlite", "networkx", "numpy.ma", "rnncc.pipeline", "rnncc.codegen.emit"} & sys.modules.keys()),

print(*large())
rnncc.set_random_seed(1)
fn = rnncc.compile(rnncc.Sequential([layers.Embedding(11, 4), layers.LSTM(5), layers.Dense(3)]))
print(float(fn([[1, 2, 10]])[0, 0]), *large())
"""
    environment = {**os.environ, "RNNCC_CACHE_DIR": str(tmp_path)}
    runs = [
        subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    (start, cold), (again, warm) = (run.stdout.splitlines() for run in runs)
    assert start == again == ""
    assert set(cold.split()[1:]) == {"llvmlite", "rnncc.pipeline", "rnncc.codegen.emit"}
    if is_linkable(next(tmp_path.glob("*.rnncc")).read_bytes().split(b"\n", 1)[1]):
        assert warm.split() == [cold.split()[0]]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_no_import_of_ours_inside_a_function(name: str) -> None:
    functions = [node for node in ast.walk(TREES[name]) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    hidden = {other for function in functions for other in imports_of(name, function)} - LATE.get(name, set())
    assert not hidden, f"{name} imports {', '.join(sorted(hidden))} inside a function"


def cycles(*, for_types: bool) -> list[list[str]]:
    view = nx.DiGraph()
    for name in sorted(set(MODULES) - {"rnncc"}):
        view.add_edges_from(
            (name, other) for other in imports_of(name, TREES[name], for_types=for_types) if other != "rnncc"
        )
    assert not list(nx.selfloop_edges(view))
    return [sorted(group) for group in nx.strongly_connected_components(view) if len(group) > 1]


def test_no_cycles() -> None:
    assert cycles(for_types=False) == []


def test_one_cycle_of_types() -> None:
    """A layer keeps the records of its calls, and such a record says which layer was called."""
    assert cycles(for_types=True) == [["rnncc.layers.base", "rnncc.layers.execution", "rnncc.layers.history"]]


def test_this_test_sees_imports() -> None:
    """Each kind of import statement is found."""
    source = """
from rnncc.graph import ir, op
from rnncc.types import DType
import rnncc.loop.ir
from . import printer
from ..errors import ParseError
import numpy
if TYPE_CHECKING:
    from rnncc.graph.symbolic import Tensor
"""
    found = list(imports_of("rnncc.graph.parser", ast.parse(source)))
    expected = ["graph.ir", "graph.op", "types", "loop.ir", "graph.printer", "errors", "graph.symbolic"]
    assert found == [f"rnncc.{name}" for name in expected]
    assert len(list(imports_of("rnncc.graph.parser", ast.parse(source), for_types=False))) == 6
    assert not is_below("loop", "graph")
    assert not is_below("ops", "graph")
    assert is_below("graph", "tools")
