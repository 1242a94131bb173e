"""Golden files: a graph, what a pass makes of it, and the check that both mean the same.

A file holds the graph before, a line `# becomes`, and the graph after; comments above the first say what the case is
about, and a comment `# with: name=value, ...` gives options of the pass. `pytest --update-golden` rewrites the part
after the line, but only once both graphs, interpreted on random inputs, have given the same numbers.
"""

from __future__ import annotations

import ast
import difflib
import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnncc.errors import RnnccError
from rnncc.graph.interp import interpret
from rnncc.graph.ir import Graph
from rnncc.graph.parser import parse
from rnncc.graph.printer import show
from rnncc.graph.verify import verify
from rnncc.types import DType
from tests.graph.random_graphs import random_inputs

SEPARATOR = "# becomes"

TOLERANCE = {DType.F32: 2e-5, DType.F64: 1e-12}
"""Absolute and relative: sums of at most a hundred numbers near 1, in another order, a few steps deep."""


@dataclass(frozen=True)
class Golden:
    """One golden file."""

    path: Path
    head: str
    before: str
    after: str
    options: Mapping[str, Any]


def read_golden(path: Path) -> Golden:
    """The parts of the file at `path`; the part after the separator may still be missing."""
    text = path.read_text()
    first, _, after = text.partition(f"\n{SEPARATOR}\n")
    at = re.search(r"^def ", first, re.MULTILINE)
    assert at is not None, f"{path} has no graph"
    head, before = first[: at.start()], first[at.start() :]
    found = re.search(r"^# with: (.*)$", head, re.MULTILINE)
    call = ast.parse(f"f({found.group(1) if found else ''})", mode="eval").body
    assert isinstance(call, ast.Call)
    options = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    return Golden(path, head, before.strip(), after.strip(), options)


def check_golden(path: Path, run: Callable[..., Graph], *, update: bool) -> None:
    """Run the pass on the first graph of the file, and compare meaning and text with the second."""
    golden = read_golden(path)
    before = parse(golden.before)
    verify(before)
    assert show(before) == golden.before, f"{path}: print the first graph with show()"
    after = run(before, **golden.options)
    verify(after, after=run.__name__)
    text = show(after)
    assert show(parse(text)) == text
    assert (after is before) == (text == golden.before), "a pass returns the same object when it changes nothing"
    assert_same_meaning(before, after)
    if update:
        path.write_text(f"{golden.head}{golden.before}\n\n{SEPARATOR}\n\n{text}\n")
    elif text != golden.after:
        lines = difflib.unified_diff(golden.after.split("\n"), text.split("\n"), "expected", "actual", lineterm="")
        raise AssertionError(f"{path.name} (--update-golden accepts this):\n" + "\n".join(lines))


def assert_same_meaning(before: Graph, after: Graph) -> None:
    """Interpret both graphs: with a different size for every extent, with all extents 1, and with all extents 0.

    What one refuses the other refuses with the same words.
    """
    fixed = {int(size) for size in re.findall(r"\b\d+\b", show(before))}
    distinct = (size for size in itertools.count(2) if size not in fixed)
    for sizes in (distinct, itertools.repeat(1), itertools.repeat(0)):
        extents = dict(zip(before.extents, sizes, strict=False))
        arrays = random_inputs(before, extents, seed=1)
        by_name = dict(zip((value.name for value in before.parameters), arrays, strict=True))
        again = [by_name[value.name] for value in after.parameters]
        try:
            expected = interpret(before, arrays, extents)
        except RnnccError as error:  # no row of an axis without rows
            with pytest.raises(type(error), match=re.escape(error.what)):
                interpret(after, again, extents)
            continue
        actual = interpret(after, again, extents)
        assert len(actual) == len(expected)
        for value, wanted, given in zip(after.outputs, expected, actual, strict=True):
            assert given.shape == wanted.shape
            assert given.dtype == wanted.dtype == value.type.dtype.numpy
            tolerance = TOLERANCE.get(value.type.dtype, 0.0)
            np.testing.assert_allclose(given, wanted, tolerance, tolerance, err_msg=f"{value.name} at {extents}")
