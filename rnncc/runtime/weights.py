"""Binding weights: run the setup graph and the setup loops, once for every new version of the weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from rnncc.graph.interp import interpret as interpret_graph
from rnncc.graph.ir import Graph, Source
from rnncc.layers.weights import last_assignment, together
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
    """Keeps the arrays of a compiled model in step with its weights."""

    def __init__(
        self, setup: Graph, sources: Mapping[str, Source], procedure: Procedure, pointers: Collection[str | int]
    ) -> None:
        """`pointers` are those of the entry point: many weights are read by setup only, and not by the code."""
        self._setup = setup
        self._read = frozenset(pointers)
        self._sources = [sources[value.name] for value in setup.consts]
        self._procedure = procedure
        self._bound: BoundWeights | None = None
        self._seen: object = None
        """The last assignment to any weight when `_bound` was compared with the weights."""

    def versions(self) -> tuple[int, ...]:
        """Grows with every assignment to a weight."""
        return tuple(getattr(source, "version", 0) for source in self._sources)

    def bind(self) -> BoundWeights:
        """The arrays for the weights as they are now."""
        bound, now = self._bound, last_assignment()
        if bound is not None and (self._seen is now or bound.versions == self.versions()):
            self._seen = now
            return bound
        with together():
            versions, values = self.versions(), [source.value for source in self._sources]
        # Two threads may both come here; both make the same arrays.
        with memory_errors("the weights as the machine code reads them", "use fewer units, or more memory"):
            self._bound = bound = BoundWeights(versions, self._prepare(values))
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
