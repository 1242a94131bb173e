"""`fn.profile`: runs a model that counts the cycles of its kernels, and compares them with the machine's roof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter_ns
from typing import Any

import numpy as np

from rnncc.graph.arguments import bind_arguments
from rnncc.layers.stateful import StateSlot
from rnncc.loop.ir import Call, Check, For, Procedure
from rnncc.loop.visit import loads_of, stores_of, walk_exprs, walk_statements
from rnncc.passes.loop.instrument import Kernel, kernels_of
from rnncc.runtime.compiled import CompiledModel
from rnncc.runtime.profile import KernelTime, Profile
from rnncc.runtime.roof import Roof, measure_roof, read_time
from rnncc.runtime.work import Work, work_of_runs

_NANOSECONDS = 50_000_000
"""How long a call is repeated: the figures are those of the run with the median time."""
_FEWEST, _MOST = 3, 2000
_FLOAT = 4


class Profiler:
    """Runs a model that was compiled with counters; `procedure` is what they were added to."""

    def __init__(self, compiled: CompiledModel, procedure: Procedure, kept: Sequence[StateSlot]) -> None:
        self._compiled = compiled
        self._procedure = procedure
        self._kernels = kernels_of(procedure.body)
        self._kept = tuple(kept)

    def run(self, arrays: Sequence[Any], named: Mapping[str, Any]) -> Profile:
        """Repeat a call with these arguments, and look at the run with the median time."""
        graph = self._compiled.graph
        count = len(graph.arguments) - len(self._kept)
        inputs, extents = bind_arguments(graph.name, graph.arguments[:count], arrays, named)
        states = [slot.current(v.type, extents) for slot, v in zip(self._kept, graph.arguments[count:], strict=True)]
        drawn = [graph.feeds[value.name].draw() for value in graph.inputs[len(graph.arguments) :]]
        ordered = [np.require(array, None, ["C", "A"]) for array in (*inputs, *states, *drawn)]
        call = self._compiled.prepare(self._compiled.bind(), ordered, extents, ())
        call.run()
        first, start = int(call.outputs[-1][-1]), perf_counter_ns()
        runs: list[np.ndarray] = []
        while len(runs) < _FEWEST or (perf_counter_ns() - start < _NANOSECONDS and len(runs) < _MOST):
            call.run()
            runs.append(call.outputs[-1].copy())
        now = perf_counter_ns()
        last = int(runs[-1][-1])
        tick = (now - start) / max(last - first, 1)  # nanoseconds of a cycle: between the ends of two calls
        middle = sorted(runs, key=lambda counters: int(counters[-1] - counters[-2]))[len(runs) // 2]
        *cycles, begun, ended = map(int, middle)
        return self._profile([taken * tick for taken in cycles], (ended - begun) * tick, extents, len(runs))

    def _profile(self, times: Sequence[float], whole: float, extents: Mapping[str, int], calls: int) -> Profile:
        roof = measure_roof(1)
        works = [work_of_runs(kernel.nest, kernel.around, self._procedure, extents) for kernel in self._kernels]
        resident: dict[tuple[str, ...], int] = {}  # what the same loop over steps uses over and over
        for kernel, (runs, work) in zip(self._kernels, works, strict=True):
            resident[_loop(kernel)] = resident.get(_loop(kernel), 0) + work.bytes // max(runs, 1)
        kernels = tuple(
            KernelTime(
                _name(kernel),
                self._weights(kernel),
                runs,
                nanoseconds / 1e3,
                nanoseconds / whole if whole else 0.0,
                work.operations,
                work.bytes,
                self._least(kernel, work, resident[_loop(kernel)], roof) / nanoseconds if nanoseconds else 0.0,
            )
            for kernel, nanoseconds, (runs, work) in zip(self._kernels, times, works, strict=True)
        )
        return Profile(kernels, whole / 1e3, calls, roof)

    def _least(self, kernel: Kernel, work: Work, resident: int, roof: Roof) -> float:
        """The least nanoseconds of all runs, at the roof of float32, or of products of pairs of bfloat16."""
        sizes = [self._procedure.buffer(store.buffer).dtype for store in stores_of(kernel.nest)]
        size = max((dtype.size for dtype in sizes if dtype.is_float), default=_FLOAT)
        _, reading = read_time(work.bytes, roof, resident)
        pairs = any(isinstance(part, Call) and part.function == "dot" for part in walk_exprs(kernel.nest))
        return max(work.operations / roof.rate(pairs=pairs) * size / _FLOAT, reading)

    def _weights(self, kernel: Kernel) -> tuple[str, ...]:
        names = dict.fromkeys(load.buffer for load in loads_of(kernel.nest))
        return tuple(name for name in names if self._procedure.buffer(name).space == "weight")


def _name(kernel: Kernel) -> str:
    written = ", ".join(dict.fromkeys(store.buffer for store in stores_of(kernel.nest)))
    checks = any(isinstance(statement, Check) for statement in walk_statements([kernel.nest]))
    return f"check of {_checked(kernel)}" if checks and not written else written


def _checked(kernel: Kernel) -> str:
    return ", ".join(dict.fromkeys(load.buffer for load in loads_of(kernel.nest)))


def _loop(kernel: Kernel) -> tuple[str, ...]:
    return tuple(loop.variable for loop in kernel.around if isinstance(loop, For))
