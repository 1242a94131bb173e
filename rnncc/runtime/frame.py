"""The memory of one call: what the pointers of an entry point point at, and how it lies for given extents."""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from rnncc.codegen.emitted import STATUS_VALUES
from rnncc.errors import RnnccError
from rnncc.loop.ir import Buffer, Procedure, Var
from rnncc.ops.refusals import refused
from rnncc.records import record
from rnncc.runtime.jit import Loaded
from rnncc.runtime.memory import Arena, check_available, shape_of, slot_offsets
from rnncc.runtime.repeat import Port, Repeat, Shape, Shaped, address_of, repeat_of
from rnncc.runtime.threads import POOL, Plan
from rnncc.runtime.weights import BoundWeights

REMEMBERED = 256
"""How many different extents a compiled model remembers the layout of, and a thread what it needs for a call."""

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


@record(frozen=True, slots=True)
class Places:
    """Which pointers of the entry point belong to what: positions by name of a weight, by input, by output, by slot."""

    count: int
    weights: Mapping[str, int]
    slots: tuple[tuple[int, int], ...]
    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[int, ...]]

    @property
    def ports(self) -> tuple[tuple[int, ...], ...]:
        """Those of the inputs, and then those of the outputs."""
        return (*self.inputs.values(), *self.outputs.values())

    @staticmethod
    def of(procedure: Procedure, pointers: Sequence[str | int]) -> Places:
        """Sort the pointers of an entry point by kind. What the code does not read has no place."""
        place_of = {pointer: place for place, pointer in enumerate(pointers)}
        spaces: dict[str, list[Buffer]] = {}
        for buffer in procedure.buffers:
            spaces.setdefault(buffer.space, []).append(buffer)

        def places(space: str) -> dict[str, tuple[int, ...]]:
            names = [buffer.name for buffer in spaces.get(space, ())]
            return {name: (place_of[name],) if name in place_of else () for name in names}

        fixed = [*spaces.get("weight", ()), *spaces.get("packed", ())]
        weights = {buffer.name: place_of[buffer.name] for buffer in fixed if buffer.name in place_of}
        slots = tuple((place, slot) for place, slot in enumerate(pointers) if isinstance(slot, int))
        return Places(len(pointers), weights, slots, places("input"), places("output"))


@dataclass(slots=True)
class _Part:
    """Some rows of a call: what the entry point takes for them. `shifts`: how far its ports are beyond the call's."""

    pointers: Any
    extents: Any
    shifts: tuple[tuple[int, int], ...]


class Frames(threading.local):
    """A frame for each thread that calls."""

    def __init__(self) -> None:
        self.own = Frame()


class Frame:
    """What one thread keeps between calls: those that are ready to be made again, and the memory that they share.

    That is as much as the largest of them needs, for the whole of it and for each of its parts.
    """

    def __init__(self) -> None:
        self.is_busy = False
        """True during a call: what runs in the middle of it, on the same thread, needs a frame of its own."""
        self.bound: BoundWeights | None = None
        """The weights of all calls that are ready."""
        self.repeat: Repeat = _none_yet
        """A call like the last one."""
        self._ready: dict[tuple[Shape, ...], Ready] = {}
        self._arenas: list[Arena] = []

    def prepare(
        self,
        places: Places,
        bound: BoundWeights,
        layout: Layout,
        native: Native,
        draws: Sequence[Callable[[], np.ndarray]] = (),
    ) -> Ready:
        """Make the last call one with these weights and extents. `draws` make the arrays of the last inputs."""
        if self.bound is not bound:
            self.forget()
            self.bound = bound
        key = tuple([shape for shape, _ in layout.inputs[: len(layout.inputs) - len(draws)]])
        ready = self._ready.get(key)
        if ready is None:
            ready = Ready(places, bound, layout, native, self.reserve, draws)
            if len(self._ready) >= REMEMBERED:
                self.forget()
            self._ready[key] = ready
        self.repeat = ready.repeat
        return ready

    def recall(self, arrays: Sequence[Any]) -> bool:
        """Make the last call one for arrays of the shapes of `arrays`; False if none is ready."""
        for array in arrays:
            if array.__class__ is not np.ndarray:
                return False
        ready = self._ready.get(tuple([array.shape for array in arrays]))
        if ready is not None:
            self.repeat = ready.repeat
        return ready is not None

    def forget(self) -> None:
        """No call is ready any more."""
        self.repeat = _none_yet
        self._ready = {}

    def reserve(self, number: int, size: int) -> int:
        """The address of at least `size` bytes for part `number` of a call."""
        while number >= len(self._arenas):
            self._arenas.append(Arena())
        arena = self._arenas[number]
        if arena.size < size:
            self.forget()  # they point at memory that is about to be another one
        return arena.reserve(size)


def _none_yet(arrays: Sequence[Any], *, fit: bool = False) -> None:
    """No call was prepared."""


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

    def _part(self, places: Places, part: _PartLayout, start: int) -> _Part:
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


@record(frozen=True, slots=True)
class Layout:
    """Everything about a call that depends on its extents only."""

    sizes: Mapping[str, int]
    extents: Any
    """The sizes as the entry point takes them."""
    inputs: tuple[Shaped, ...]
    outputs: tuple[Shaped, ...]
    offsets: Mapping[int, int]
    arena_size: int
    plan: Plan | None = None
    parts: tuple[_PartLayout, ...] = ()
    """Of a call that is cut in rows: each part."""
    row_bytes: tuple[int, ...] = ()
    """For every input and output: how far apart its rows are; 0 when it has none."""

    @staticmethod
    def of(procedure: Procedure, sizes: tuple[int, ...], plan: Plan | None) -> Layout:
        """Shapes and offsets for the dims of `procedure`. Raises MemoryLimitError when the results do not fit."""
        extents = dict(zip(procedure.dims, sizes, strict=True))
        outputs = []
        for buffer in procedure.buffers:
            if buffer.space == "output":
                shape = shape_of(buffer, extents)
                check_available(buffer.dtype.size * math.prod(shape), "the results of this call")
                outputs.append((shape, buffer.dtype.numpy))
        offsets, arena_size = slot_offsets(procedure.buffers, extents)
        inputs = tuple((shape_of(b, extents), b.dtype.numpy) for b in procedure.buffers if b.space == "input")
        whole = Layout(extents, _dims(procedure, extents, 0), inputs, tuple(outputs), offsets, arena_size, plan)
        if plan is None or not plan.rows:
            return whole
        parts = tuple(_PartLayout.of(procedure, extents, plan, first, count) for first, count in plan.rows)
        ports = [b for space in ("input", "output") for b in procedure.buffers if b.space == space]
        rows = Var(procedure.dims[plan.axis])
        row_bytes = [
            math.prod(shape_of(port, extents)[1:]) * port.dtype.size if port.shape[:1] == (rows,) else 0
            for port in ports
        ]
        return replace(whole, parts=parts, row_bytes=tuple(row_bytes))


@record(frozen=True, slots=True)
class _PartLayout:
    """The layout of some rows: the first one, dims, and where intermediate values are."""

    first: int
    extents: Any
    offsets: Mapping[int, int]
    arena_size: int

    @staticmethod
    def of(procedure: Procedure, extents: Mapping[str, int], plan: Plan, first: int, count: int) -> _PartLayout:
        """`count` rows from `first` on of a call with these `extents`."""
        own = {**extents, procedure.dims[plan.axis]: count}
        offsets, arena_size = slot_offsets(procedure.buffers, own)
        return _PartLayout(first, _dims(procedure, own, first), offsets, arena_size)


def _dims(procedure: Procedure, extents: Mapping[str, int], first_row: int) -> Any:
    """What the entry point takes for `Procedure.given`."""
    values = [extents[dim] for dim in procedure.dims]
    if procedure.first_row is not None:
        values.append(first_row)
    return (ctypes.c_int64 * len(values))(*values)
