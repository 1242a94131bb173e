"""The table of comparisons with Keras 3, interpreted and compiled."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers
from rnncc.layers.execution import evaluate
from rnncc.layers.model import Model
from tests.layers.compared import CASES, Case
from tests.layers.keras_reference import assert_close, keras, quietly, run

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's variables


def build(source: Any, model: Any, case: Case) -> Any:
    kind = {"dtype": "int64"} if case.integers else {}
    inputs = [source.Input(case.declared(shape), **kind) for shape in case.shapes]
    return model(inputs, case.build(source, inputs))


def random_weights(model: Any) -> list[np.ndarray]:
    random = np.random.default_rng(9)
    shapes = [weight.shape for weight in model.get_weights()]
    return [random.normal(0, min(0.3, shape[0] ** -0.5), shape).astype(np.float32) for shape in shapes]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case) -> None:
    ours, theirs = build(layers, Model, case), quietly(build, keras.layers, keras.Model, case)
    assert [weight.shape for weight in ours.get_weights()] == [weight.shape for weight in theirs.get_weights()]
    assert [output.shape[1:] for output in ours.outputs] == [
        ours_or_open(output.shape[1:], own.shape[1:]) for output, own in zip(theirs.outputs, ours.outputs, strict=True)
    ]
    ours.set_weights(random_weights(theirs))
    theirs.set_weights(ours.get_weights())
    arrays = case.arrays()
    expected = run(theirs, *arrays)
    assert_close(evaluate(ours, *arrays), expected)
    assert_close(rnncc.compile(ours)(*arrays), expected)


def ours_or_open(theirs: tuple[int | None, ...], ours: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """Keras's shape; where it does not know a size, ours may."""
    return tuple(own if dim is None else dim for dim, own in zip(theirs, ours, strict=True))


def test_the_list_is_printed() -> None:
    command = [sys.executable, "-m", "tests.layers.compared"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == len(CASES) + 1
    assert lines[-1].startswith(f"{len(CASES)} combinations")
    assert len(set(lines)) == len(lines), "no case is listed twice"
