"""The least time that a problem can take on a machine with a given roof.

For each layer the larger of two times, summed over the layers, which wait for each other:

- *compute*: its multiply-adds, at the measured peak. Activations are not counted.
- *read*: its weights, at the measured bandwidth of the cache that holds them all. What every step needs (recurrent
  kernels) is read once a step, however many rows share it; what does not depend on the state (kernels of inputs, dense
  layers, rows of tables) once a call. Weights that fit into the vector registers are not read at all. Of weights larger
  than L2, as much as L2 holds is read from there, since a step can start with what the step before used last; the rest
  comes from L3, and in the same way from memory.

An embedding in front of a recurrent layer makes its input projection a table, so that neither counts as multiply-adds.
With several threads the roof is that of all of them together, and each core's caches hold its share of the weights.

In bfloat16, a weight has two bytes, and the peak is that of products of pairs. As sums of three numbers of bfloat16 it
has six bytes, and one product is six.

Nothing is counted for latency: a step cannot start before the one before ends, so that small cells stay above it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import assert_never

from rnncc.runtime.roof import Roof, read_time
from rnncc.tools.bench.network import (
    DIRECTIONS,
    GATES,
    Bidirectional,
    Dense,
    Embedding,
    Problem,
    Recurrent,
    shapes_of,
)

_FLOAT = 4
_WEIGHT = {"float32": _FLOAT, "bfloat16": 2, "float32-bf16x6": 6}
"""Bytes of a weight."""
_PRODUCTS = {"float32-bf16x6": 6}
"""Products that stand for one."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a layer has to do: operations, steps, bytes of weights per step, and bytes that are read once a call."""

    name: str
    flops: int
    steps: int
    step_bytes: int
    once_bytes: int


@dataclass(frozen=True, slots=True)
class Floor:
    """The least time of a problem, what most of it is bound by (compute, registers, L1, ...), and what was counted."""

    microseconds: float
    bound: str
    flops: int
    bytes: int


def floor_of(works: Sequence[Work], roof: Roof, precision: str = "float32") -> Floor:
    """The floor of some work (see `work_of`) under a roof, with products in some precision."""
    rate = roof.rate(pairs=precision != "float32") / _PRODUCTS.get(precision, 1)
    resident = sum(work.step_bytes + work.once_bytes for work in works)
    times: dict[str, float] = {}
    for work in works:
        level, step_time = read_time(work.step_bytes, roof)
        once_level, once_time = read_time(work.once_bytes, roof, resident)
        read = work.steps * step_time + once_time
        compute = work.flops / rate
        bound = "compute" if compute >= read else level if work.steps * step_time >= once_time else once_level
        times[bound] = times.get(bound, 0) + max(compute, read)
    return Floor(
        sum(times.values()) / 1e3,
        max(times, key=lambda bound: times[bound]),
        sum(work.flops for work in works),
        sum(work.steps * work.step_bytes + work.once_bytes for work in works),
    )


def work_of(problem: Problem, precision: str = "float32") -> list[Work]:
    """The work of every layer that has some."""
    weight = _WEIGHT[precision]
    shapes = shapes_of(problem)
    tables = {step.result for step in problem.network.steps if isinstance(step, Embedding)}
    works = []
    for step in problem.network.steps:
        match step:
            case Embedding():
                pass
            case Dense():
                width, units = problem.weight(step, "kernel").shape
                rows = prod(shapes[step.x][:-1])
                works.append(Work(step.name, 2 * rows * width * units, 0, 0, weight * width * units))
            case Recurrent():
                works.append(_recurrent(step, shapes[step.x], weight, is_folded=step.x in tables))
            case Bidirectional():
                works += [_recurrent(step, shapes[step.x], weight, is_folded=step.x in tables) for _ in DIRECTIONS]
            case _:
                assert_never(step)
    return works


def _recurrent(step: Recurrent | Bidirectional, shape: tuple[int, ...], weight: int, *, is_folded: bool) -> Work:
    batch, length, width = shape
    columns = GATES[step.kind] * step.units
    rows = batch * length
    flops = 2 * rows * step.units * columns + (0 if is_folded else 2 * rows * width * columns)
    once = _FLOAT * rows * columns if is_folded else weight * width * columns
    return Work(step.name, flops, length, weight * step.units * columns, once)
