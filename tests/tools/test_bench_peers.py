"""The benchmark: peers compute what rnncc does, whatever the model is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnncc import layers
from rnncc.errors import ArgumentError, UnsupportedError
from rnncc.layers.execution import evaluate
from rnncc.layers.model import Model
from rnncc.tools.bench import worker
from rnncc.tools.bench.cases import prepare
from rnncc.tools.bench.measure import difference, measure
from rnncc.tools.bench.network import describe
from rnncc.tools.bench.peers import PEERS, Peer, tensorflow_xla
from rnncc.tools.bench.ways import meaning, ready_model, reference
from rnncc.tools.bench.workloads import WORKLOADS, Workload, find_workload, load_model
from tests.tools.bench_cases import HERE, TINY, chain, tiny

pytestmark = pytest.mark.usefixtures("light_keras")


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("peer", HERE, ids=lambda peer: peer.key)
def test_peers_compute_the_meaning_of_the_model(peer: Peer, name: str) -> None:
    if not peer.available():
        pytest.skip(f"{peer.title} is not installed")
    case = tiny(name)
    assert case.problem is not None, case.reason
    expected = evaluate(case.model, *case.inputs)
    if (peer.key, name) == ("torch", "reset before"):
        with pytest.raises(UnsupportedError, match="reset gate"):
            peer.build(case.problem, 1)
        return
    run = peer.build(case.problem, 1)
    run()
    assert difference(run(), expected if isinstance(expected, list) else [expected]) < 0.2


@pytest.mark.parametrize(
    "workload", {workload.make: workload for workload in WORKLOADS}.values(), ids=lambda workload: workload.name
)
def test_named_workloads_can_be_built_and_described(workload: Workload) -> None:
    if any(size > 200 for size in (int(word) for word in workload.name.split("-") if word.isdecimal())):
        pytest.skip("large weights: the description is that of the others")
    case = prepare(workload, 2, 3)
    if workload.name in ("mask", "recurrent-dropout"):
        assert case.problem is None
        return
    assert case.problem is not None, case.reason
    assert difference(reference(case), meaning(case.model, case)) < 0.2
    assert all(step.result for step in case.problem.network.steps)


def test_the_meaning_of_a_model_that_drops_is_that_of_its_first_call() -> None:
    case = prepare(find_workload("recurrent-dropout"), 2, 3)
    assert "called for training" in case.reason
    _, outputs = ready_model(case.model, case, 1)
    assert difference(outputs, meaning(case.model, case)) < 0.2
    plain = case.beside[0][1]
    assert difference(outputs, meaning(plain, case)) > 1


def test_a_problem_is_the_same_every_time() -> None:
    first, second = tiny("stack"), tiny("stack")
    assert first.problem is not None and second.problem is not None
    assert all(np.array_equal(a, b) for a, b in zip(first.inputs, second.inputs, strict=True))
    pairs = zip(first.problem.weights.values(), second.problem.weights.values(), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: chain(layers.LSTM(4, activation="relu")), "its activations"),
        (lambda: chain(layers.LSTM(4, go_backwards=True)), "go_backwards=True"),
        (lambda: chain(layers.LSTM(4), layers.Activation("tanh")), "a layer of the class Activation"),
        (lambda: chain(layers.LSTM(4)).graph(), "only models of layers"),
        (lambda: chain(layers.Bidirectional(layers.LSTM(4), merge_mode="sum")), "this use of two directions"),
    ],
)
def test_what_cannot_be_told_to_peers(model: Any, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        describe(model())


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import rnncc\nfrom rnncc import layers\n"
        "first = rnncc.Sequential([layers.Embedding(5, 3), layers.LSTM(4)])\n"
        "def make():\n    return rnncc.Sequential([layers.Embedding(5, 3), layers.LSTM(4, activation='relu')])\n"
    )
    assert isinstance(load_model(str(file)), Model)
    case = prepare(find_workload(f"{file}:make"), 2, 3)
    assert case.problem is None
    assert "activations" in case.reason
    row = measure(case, PEERS, 1, 0.01, str)
    assert [timing.name for timing in row.timings] == ["rnncc"]
    assert row.notes == (f"no peers: {case.reason}",)
    assert measure(case, [], 1, 0.01, str).notes == (), "nobody asked for peers"
    with pytest.raises(ArgumentError, match="defines no 'second'"):
        load_model(f"{file}:second")


def test_a_file_without_a_model(tmp_path: Path) -> None:
    file = tmp_path / "none.py"
    file.write_text("number = 3\ndef twice(left):\n    return 2 * left\n")
    with pytest.raises(ArgumentError, match=r"none\.py holds no model and no graph\n  assign a model to a name in it"):
        load_model(str(file))
    file.write_text("import rnncc\nfirst, second = rnncc.Sequential([]), rnncc.Sequential([])\n")
    with pytest.raises(ArgumentError, match=r"holds 2 models and graphs: say which one\n  .*none\.py:first\n"):
        load_model(str(file))


def test_keras_on_tensorflow_with_and_without_xla(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorflow")
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    names = ("seq2seq-1", "bidi-128", "custom-ln", "step-40", "stack-1")
    order = worker.Order(names, ("keras", "tensorflow-xla"), 1, 0.01, batch=2, length=3)
    _, rows = worker.measure_in_process(order)
    for row in rows:
        assert row.is_correct, row.notes
        assert {"rnncc", "Keras", "TF XLA"} <= {timing.name for timing in row.timings}, row.notes


def test_xla_needs_keras_on_tensorflow() -> None:
    pytest.importorskip("tensorflow")
    case = tiny("stack")
    assert case.problem is not None
    with pytest.raises(UnsupportedError, match="Keras runs on numpy in this process"):
        tensorflow_xla.make(case.problem, 1)
