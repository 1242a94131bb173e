"""Golden files of loop passes: a procedure, what a pass makes of it, and the check that both mean the same.

The form of the files is that of `tests.passes.golden`. A comment `# with: machine=(64, 32)` gives the bytes and the
number of vector registers to passes that ask for them. Slots of memory mean nothing to the interpreter, so a procedure
that has some is scheduled to its end and run as machine code too.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnncc.loop.interp import interpret
from rnncc.loop.ir import Procedure
from rnncc.loop.parser import parse
from rnncc.loop.printer import show
from rnncc.loop.verify import verify
from rnncc.passes.loop.machine import Machine
from rnncc.passes.loop.tile import tile
from rnncc.passes.loop.unroll import unroll
from rnncc.passes.loop.vectorize import vectorize
from rnncc.types import DType
from tests.passes.golden import SEPARATOR, Golden, read_golden
from tests.runtime.native import run_native
from tests.tolerances import SAME_SUMS, assert_close

TOLERANCES = {"narrow": {DType.F32: 3e-2}}
"""Of passes that round: factors of bfloat16 have 8 bits. `tests/runtime/test_precision.py` looks at them closely."""

ADDED = {"instrument": 1}
"""Passes that add outputs, and how many."""

IDS = 3
"""Integer inputs lie below: the tables of golden files have at least as many rows, and no extent is smaller but 0."""


def options_of(golden: Golden) -> Mapping[str, Any]:
    """The options of the pass, with the machine as the pass takes it."""
    return {key: Machine(*value) if key == "machine" else value for key, value in golden.options.items()}


def check_golden(path: Path, run: Callable[..., Procedure], *, update: bool) -> None:
    """Run the pass on the first procedure of the file, and compare meaning and text with the second."""
    golden = read_golden(path)
    before = parse(golden.before)
    verify(before)
    assert show(before).strip() == golden.before, f"{path}: print the first procedure with show()"
    after = run(before, **options_of(golden))
    verify(after)
    text = show(after).strip()
    assert show(parse(text)).strip() == text
    assert (after is before) == (text == golden.before), "a pass returns the same object when it changes nothing"
    name = path.parent.name
    assert_same_meaning(before, after, TOLERANCES.get(name, SAME_SUMS), ADDED.get(name, 0))
    if update:
        path.write_text(f"{golden.head}{golden.before}\n\n{SEPARATOR}\n\n{text}\n")
    elif text != golden.after:
        lines = difflib.unified_diff(golden.after.split("\n"), text.split("\n"), "expected", "actual", lineterm="")
        raise AssertionError(f"{path.name} (--update-golden accepts this):\n" + "\n".join(lines))


def assert_same_meaning(
    before: Procedure, after: Procedure, tolerances: Mapping[DType, float] = SAME_SUMS, added: int = 0
) -> None:
    """Interpret both: with a different size for every extent (small, then larger), with all 1, and with all 0.

    The last `added` outputs of `after` are new.
    """
    names = [buffer.name for buffer in after.buffers if buffer.space == "output"]
    new = set(names[len(names) - added :]) if after is not before else set()
    fixed = {int(size) for size in re.findall(r"\b\d+\b", show(before))}
    small = (size for size in itertools.count(IDS) if size not in fixed)
    large = (size for size in itertools.count(17, 6) if size not in fixed)
    ones = itertools.repeat(1)
    for sizes in (small, large, ones, itertools.repeat(0)):
        dims = dict(zip(before.dims, sizes, strict=False))
        arrays = random_arrays(before, dims, below=1 if sizes is ones else IDS)
        expected = interpret(before, arrays, dims)
        assert all(np.isfinite(wanted).all() for wanted in expected.values() if wanted.dtype.kind == "f"), dims
        found = {name: array for name, array in interpret(after, arrays, dims).items() if name not in new}
        assert_same(found, expected, f"at {dims}", tolerances)
        if any(buffer.slot is not None for buffer in after.buffers):
            scheduled = unroll(vectorize(tile(after, Machine(16, 16))))
            assert_same(run_native(scheduled, arrays, dims), expected, f"as machine code at {dims}", tolerances)


def assert_same(
    actual: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    where: str,
    tolerances: Mapping[DType, float] = SAME_SUMS,
) -> None:
    """The same outputs in the same order, and close numbers."""
    assert list(actual) == list(expected)
    for name, wanted in expected.items():
        assert_close(actual[name], wanted, dict(tolerances), f"{name} {where}")


def random_arrays(procedure: Procedure, dims: Mapping[str, int], below: int = IDS) -> dict[str, np.ndarray]:
    """An array for every input and weight."""
    rng = np.random.default_rng(1)
    arrays = {}
    for buffer in procedure.buffers:
        if buffer.space in ("input", "weight"):
            shape = tuple(dims[size.name] if hasattr(size, "name") else int(size.value) for size in buffer.shape)
            numbers = rng.uniform(-1, 1, shape) if buffer.dtype.is_float else rng.integers(0, below, shape)
            arrays[buffer.name] = numbers.astype(buffer.dtype.numpy)
    return arrays
