"""Binding weights: run the setup graph and the setup loops, once for every new version of the weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from rnncc.graph.interp import interpret as interpret_graph
from rnncc.graph.ir import Graph, Source
from rnncc.layers.weights import Last, together
from rnncc.loop.ir import Procedure
from rnncc.memory import memory_errors
from rnncc.records import record
from rnncc.runtime.memory import aligned_copy
from rnncc.runtime.packing import pack


@record(frozen=True, slots=True)
class BoundWeights:
    """What the machine code reads, by buffer name, and the versions of the weights it was made from."""

    versions: tuple[int, ...]
    arrays: Mapping[str, np.ndarray]


class WeightBinder:
    """Keeps the arrays of a compiled model in step with its weights.

    Attributes:
        current: arrays that were up to date, and the last assignment to any weight at that time: if there was none
            since, they are. One object, so that no thread sees those of two moments.
    """

    def __init__(
        self, setup: Graph, sources: Mapping[str, Source], procedure: Procedure, pointers: Collection[str | int]
    ) -> None:
        """`pointers` are those of the entry point: many weights are read by setup only, and not by the code."""
        self._setup = setup
        self._read = frozenset(pointers)
        self._sources = [sources[value.name] for value in setup.consts]
        self._procedure = procedure
        self.current: tuple[BoundWeights | None, object] = None, None

    def versions(self) -> tuple[int, ...]:
        """How often each weight was assigned to."""
        return tuple(getattr(source, "version", 0) for source in self._sources)

    def bind(self) -> BoundWeights:
        """The arrays for the weights as they are now."""
        now = Last.assignment  # before the versions: what comes after them is another assignment
        bound, _ = self.current
        if bound is None or bound.versions != self.versions():
            with together():
                versions, values = self.versions(), [source.value for source in self._sources]
            # Two threads may both come here; both make the same arrays.
            with memory_errors("the weights as the machine code reads them", "use fewer units, or more memory"):
                bound = BoundWeights(versions, self._prepare(values))
        self.current = bound, now
        return bound

    def _prepare(self, values: Sequence[np.ndarray]) -> Mapping[str, np.ndarray]:
        payloads = [
            np.asarray(value, const.type.dtype.numpy) for value, const in zip(values, self._setup.consts, strict=True)
        ]
        derived = interpret_graph(self._setup, payloads)
        buffers = [buffer for buffer in self._procedure.buffers if buffer.space == "weight"]
        weights = {buffer.name: array for buffer, array in zip(buffers, derived, strict=True)}
        read = {name: aligned_copy(array) for name, array in weights.items() if name in self._read}
        return {**read, **pack(self._procedure, weights)}
