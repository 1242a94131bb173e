"""Random graphs mean the same after every pass over graph and loops, and as machine code.

Three oracles: the interpreter of the graph as it was made, the interpreters on every snapshot, the compiled model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from rnncc.codegen.target import Target
from rnncc.graph.interp import interpret as interpret_graph
from rnncc.graph.ir import Graph
from rnncc.graph.verify import verify as verify_graph
from rnncc.loop.interp import interpret as interpret_loops
from rnncc.loop.parser import parse
from rnncc.loop.printer import show
from rnncc.loop.verify import verify as verify_loops
from rnncc.lower.lower import lower
from rnncc.lower.setup import split_setup
from rnncc.options import Options
from rnncc.passes.loop.machine import Machine
from rnncc.passes.manager import verify_each
from rnncc.pipeline import compile_graph, graph_passes, loop_passes
from tests.graph.random_graphs import random_extents, random_graph, random_inputs
from tests.runtime.native import run_native
from tests.tolerances import DEEP, assert_close

TARGETS = [target for target in ("host", "x86-64") if Target.parse(target).runs_on_host]
MACHINES = [Machine(64, 32), Machine(32, 16), Machine(16, 16), Machine(16, 32), Machine(16, 32, 64, 3 << 10)]

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")


class Case:
    """A random graph, its arrays, and the numbers that it means."""

    def __init__(self, seed: int) -> None:
        self.graph = random_graph(seed)
        self.extents = random_extents(self.graph, seed)
        arrays = random_inputs(self.graph, self.extents, seed)
        self.arrays = dict(zip((value.name for value in self.graph.parameters), arrays, strict=True))
        self.expected = interpret_graph(self.graph, arrays, self.extents)

    def check(self, outputs: Sequence[np.ndarray], after: str) -> None:
        for actual, wanted in zip(outputs, self.expected, strict=True):
            assert_close(actual, wanted, DEEP, f"after {after}")

    def run(self, graph: Graph) -> list[np.ndarray]:
        return interpret_graph(graph, [self.arrays[value.name] for value in graph.parameters], self.extents)

    def bound(self, setup: Graph, main: Graph) -> dict[str, np.ndarray]:
        """What the loops of `main` read."""
        derived = interpret_graph(setup, [self.arrays[value.name] for value in setup.consts], {})
        bound = dict(zip((value.name for value in setup.outputs), derived, strict=True))
        return {**bound, **{value.name: self.arrays[value.name] for value in main.inputs}}


def check_everything(seed: int, target: str) -> None:
    case = Case(seed)
    compilation = compile_graph(case.graph, Options(target=target))
    verify_each(compilation.graph_snapshots, verify_graph)
    verify_each(compilation.loop_snapshots, verify_loops)
    for snapshot in compilation.graph_snapshots:
        if snapshot.changed:
            case.check(case.run(snapshot.ir), snapshot.name)
    bound = case.bound(compilation.setup, compilation.fused)
    case.check(run_loops(compilation.lowered, bound, case.extents), "lower")
    for loops in compilation.loop_snapshots:
        if loops.changed:
            case.check(run_loops(loops.ir, bound, case.extents), loops.name)
    text = show(compilation.scheduled)
    assert show(parse(text)) == text
    case.check(list(run_native(compilation.scheduled, bound, case.extents, target).values()), "emit")


def run_loops(procedure: object, arrays: Mapping[str, np.ndarray], extents: Mapping[str, int]) -> list[np.ndarray]:
    return list(interpret_loops(procedure, arrays, extents).values())  # type: ignore[arg-type]


SLOW = {1, 2, 3, 9, 15, 18, 21, 26, 103, 122, 123}
"""Seeds with loops in loops, which take the interpreters seconds."""


@pytest.mark.parametrize("seed", sorted(set(range(34)) - SLOW))
def test_every_snapshot_and_machine_code(seed: int) -> None:
    check_everything(seed, TARGETS[seed % len(TARGETS)])


@pytest.mark.parametrize("target", TARGETS)
def test_no_pass_of_llvm_gives_up(target: str) -> None:
    """A graph on which LLVM 22's NewGVN fails an assertion of its own, and ends the process."""
    compile_graph(random_graph(1150), Options(target=target))


@pytest.mark.exhaustive
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("hundred", range(10, 20))
def test_many_more(hundred: int, target: str) -> None:
    for seed in range(hundred * 100, hundred * 100 + 100):
        check_everything(seed, target)


@pytest.mark.parametrize("seed", sorted(set(range(100, 124)) - SLOW))
def test_schedules_for_every_machine(seed: int) -> None:
    """The loop passes alone, for machines that may not be here."""
    case = Case(seed)
    graph = case.graph
    for step in graph_passes(Options()):
        graph = step.run(graph)
    setup, main = split_setup(graph)
    bound = case.bound(setup, main)
    procedure = lower(main)
    for loops in loop_passes(MACHINES[seed % len(MACHINES)], threads=1 + seed % 3):
        before, procedure = procedure, loops.run(procedure)
        if procedure is not before:
            verify_loops(procedure)
            case.check(run_loops(procedure, bound, case.extents), loops.name)
