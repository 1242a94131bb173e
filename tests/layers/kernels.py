"""How many kernels a model becomes: loops over time, loop nests in one step of each, loop nests around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rnncc import pipeline
from rnncc.loop.ir import For, Procedure, Stmt
from rnncc.lower.lower import lower
from rnncc.lower.setup import split_setup


@dataclass(frozen=True, slots=True)
class Kernels:
    """What `fuse` leaves: everything after it only cuts these loops into tiles and vectors."""

    steps: tuple[int, ...]
    """For each loop over time: the loop nests in its body. One: a step is one kernel."""
    around: int
    """Loop nests outside of the loops over time: first states, projections, what is made of the results."""


def kernels_of(model: Any, *, training: bool = False) -> Kernels:
    """The kernels of a model, by the passes of the pipeline up to `fuse` (nothing behind it adds or removes one)."""
    options = pipeline.Options()
    graph = pipeline.prepared(model.graph(training), options)
    for each in pipeline.graph_passes(options):
        graph = each.run(graph)
    _, main = split_setup(graph)
    procedure = lower(main)
    for step in pipeline.loop_passes(pipeline.machine_of(pipeline.Target.parse("x86-64-v3"), "float32")):
        procedure = step.run(procedure)
        if step.name == "fuse":
            return count(procedure)
    raise AssertionError("the pipeline has no pass fuse")


def count(procedure: Procedure) -> Kernels:
    """Loops that hold loops and run in order are loops over time."""
    nests = [statement for statement in procedure.body if isinstance(statement, For)]
    scans = [nest for nest in nests if nest.kind == "range"]
    return Kernels(tuple(len(_loops(scan.body)) for scan in scans), len(nests) - len(scans))


def _loops(body: Sequence[Stmt]) -> list[For]:
    return [statement for statement in body if isinstance(statement, For)]
