"""A call that is ready for arrays of certain shapes: the memory that the pointers of an entry point point at."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from rnncc.codegen.emitted import STATUS_VALUES
from rnncc.errors import RnnccError
from rnncc.ops.refusals import refused
from rnncc.records import record
from rnncc.runtime.jit import Loaded
from rnncc.runtime.layout import Layout, PartLayout, Places
from rnncc.runtime.repeat import Port, Shaped, address_of, repeat_of
from rnncc.runtime.threads import POOL
from rnncc.runtime.weights import BoundWeights

_SMALL = 4096
"""Inputs and outputs of at most as many bytes are copied: longer ones take longer to copy than to find."""


@record(frozen=True, slots=True)
class Native:
    """The entry point, and what keeps its code in memory."""

    loaded: Loaded
    address: int
    function: Callable[[Any, Any, Any], int]
    """The entry point on the thread that calls it: pointers, dims and status."""
    checks: tuple[tuple[str, str], ...]
    """What a check that fails has to say, and of which input."""

    def run(self, operands: Operands) -> int:
        """Run a call on as many threads as its plan says."""
        layout = operands.layout
        assert layout.plan is not None, "the call has a plan"
        with POOL.team(layout.plan.threads, self.loaded) as team:
            code, number = team.run(self.address, operands.parts(), together=not layout.plan.rows)
        if not code:
            return 0
        if layout.plan.rows:  # once more, all rows on one thread: what is reported is the place in the whole input
            return self.function(operands.pointers, layout.extents, operands.status)
        operands.status[:] = operands.statuses[number]
        return code


@dataclass(slots=True)
class _Part:
    """Some rows of a call: what the entry point takes for them. `shifts`: how far its ports are beyond the call's."""

    pointers: Any
    extents: Any
    shifts: tuple[tuple[int, int], ...]


class Operands:
    """What the entry point takes: pointers, dims and status, for one thread and for every thread of a plan.

    Intermediate values are in what `reserve` has for the call and for its parts.
    """

    def __init__(self, places: Places, bound: BoundWeights, layout: Layout, reserve: Callable[[int, int], int]) -> None:
        self.layout = layout
        self.status = (ctypes.c_int64 * (STATUS_VALUES + 1))()
        start = reserve(0, layout.arena_size)
        self.pointers: Any = (ctypes.c_void_p * places.count)()
        for name, place in places.weights.items():
            self.pointers[place] = address_of(bound.arrays[name])
        for place, slot in places.slots:
            self.pointers[place] = start + layout.offsets[slot]
        threads = 0 if layout.plan is None else layout.plan.threads
        self.statuses: list[Any] = [(ctypes.c_int64 * len(self.status))() for _ in range(threads)]
        parts = enumerate(layout.parts, 1)
        self._parts = [self._part(places, part, reserve(number, part.arena_size)) for number, part in parts]

    def _part(self, places: Places, part: PartLayout, start: int) -> _Part:
        """The rows of `part`, with intermediate values of their own from `start` on."""
        pointers = type(self.pointers)(*self.pointers)
        for place, slot in places.slots:
            pointers[place] = start + part.offsets[slot]
        ports = zip(places.ports, self.layout.row_bytes, strict=True)
        shifts = tuple((place, part.first * size) for port, size in ports for place in port)
        return _Part(pointers, part.extents, shifts)

    def parts(self) -> list[tuple[Any, Any, Any]]:
        """Pointers, dims and status for every thread of the plan, for the ports that `pointers` has now."""
        if not self._parts:
            return [(self.pointers, self.layout.extents, status) for status in self.statuses]
        for part in self._parts:
            for place, shift in part.shifts:
                part.pointers[place] = (self.pointers[place] or 0) + shift
        return [(part.pointers, part.extents, status) for part, status in zip(self._parts, self.statuses, strict=True)]


class Ready:
    """A call for arrays of certain shapes: pointers at weights, intermediate values and small ports are in place.

    Those at large inputs and outputs change with every call. Nothing in it knows it: weights that others take the place
    of are gone when it is.
    """

    def __init__(
        self,
        places: Places,
        bound: BoundWeights,
        layout: Layout,
        native: Native,
        reserve: Callable[[int, int], int],
        draws: Sequence[Callable[[], np.ndarray]] = (),
    ) -> None:
        operands = Operands(places, bound, layout, reserve)
        self.layout, self.pointers = layout, operands.pointers
        inputs, outputs = self._ports(places.inputs, layout.inputs), self._ports(places.outputs, layout.outputs)
        self._alive = native, bound  # code and weights: others may have taken their place in the model
        # Numbers: to convert an array to its address takes ctypes as long as the rest of a call.
        memory = map(ctypes.addressof, (operands.pointers, layout.extents, operands.status))
        alone, together = partial(native.function, *memory), partial(native.run, operands)
        self.native: Callable[[], int] = alone if layout.plan is None else together
        self.failure: Callable[..., RnnccError] = partial(_failure, native.checks, operands.status, layout.sizes)
        """The error for the number that `native` returned; may be told of axes that the user does not see."""
        self.repeat = repeat_of(self.pointers, inputs, outputs, self.native, self.failure, draws)
        """The call for other arrays."""

    def _ports(self, places: Mapping[str, tuple[int, ...]], shapes: Sequence[Shaped]) -> list[Port]:
        """Inputs or outputs of such shapes; pointers point at the memory of those of few bytes."""
        ports: list[Port] = []
        for (name, to), (shape, dtype) in zip(places.items(), shapes, strict=True):
            spare = np.zeros(shape, dtype) if math.prod(shape) * dtype.itemsize <= _SMALL else None
            ports.append(Port(name, (shape, dtype), to, spare))
            if spare is not None:
                for place in to:
                    self.pointers[place] = address_of(spare)
        return ports


def _failure(
    checks: Sequence[tuple[str, str]],
    status: Any,
    sizes: Mapping[str, int],
    code: int,
    hidden: Mapping[str, int] = MappingProxyType({}),
) -> RnnccError:
    """The error for check number `code` of `checks`, which `status` tells of."""
    message, name = checks[code - 1]
    number, *position = status[1 : 1 + status[0]]
    if name in hidden:
        del position[hidden[name]]
    return refused(message, number, position, sizes, name)
