"""The memory of one call: what the pointers of an entry point point at, and how it lies for given extents."""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from rnncc.codegen.emitted import STATUS_VALUES
from rnncc.errors import RnnccError
from rnncc.loop.ir import Buffer, Procedure, Var
from rnncc.memory import as_memory_limit, memory_errors
from rnncc.ops.refusals import refused
from rnncc.records import record
from rnncc.runtime.jit import Loaded
from rnncc.runtime.memory import Arena, check_available, shape_of, slot_offsets
from rnncc.runtime.threads import POOL, Plan
from rnncc.runtime.weights import BoundWeights

_SMALL = 4096
"""Inputs and outputs of at most as many bytes are copied: longer ones take longer to copy than to find."""

Shaped = tuple[tuple[int, ...], np.dtype[Any]]
"""What an array is like."""


def address_of(array: np.ndarray) -> int:
    """Where the elements start. Three times as fast as `array.ctypes.data`."""
    start: int = array.__array_interface__["data"][0]
    return start


def _in_order(name: str, array: np.ndarray) -> np.ndarray:
    """`array` as the machine code reads it: aligned, the last axis fastest."""
    with memory_errors(f"a copy of {name} in row-major order"):
        return np.require(array, None, ["C", "A"])


def _empty(port: Shaped) -> np.ndarray:
    """Memory for a result."""
    try:
        return np.empty(*port)
    except MemoryError as error:
        raise as_memory_limit(error, "the results of this call") from None


@record(frozen=True, slots=True)
class Native:
    """The entry point, and what keeps its code in memory."""

    loaded: Loaded
    address: int
    function: Callable[[Any, Any, Any], int]
    """The entry point on the thread that calls it: pointers, dims and status."""
    checks: tuple[tuple[str, str], ...]
    """What a check that fails has to say, and of which input."""

    def run(self, frame: Frame) -> int:
        """Run a call on as many threads as its plan says; what is in `frame` is ready for one."""
        layout = frame.layout
        assert layout is not None and layout.plan is not None, "the call has a plan"
        with POOL.team(layout.plan.threads, self.loaded) as team:
            code, number = team.run(self.address, frame.parts(), together=not layout.plan.rows)
        if not code:
            return 0
        if layout.plan.rows:  # once more, all rows on one thread: what is reported is the place in the whole input
            return self.function(frame.pointers, layout.extents, frame.status)
        frame.status[:] = frame.statuses[number]
        return code


@record(frozen=True, slots=True)
class Places:
    """Which pointers of the entry point belong to what: positions by name of a weight, by input, by output, by slot."""

    count: int
    names: tuple[str, ...]
    """Of the inputs."""
    weights: Mapping[str, int]
    slots: tuple[tuple[int, int], ...]
    inputs: tuple[tuple[int, ...], ...]
    outputs: tuple[tuple[int, ...], ...]

    @staticmethod
    def of(procedure: Procedure, pointers: Sequence[str | int]) -> Places:
        """Sort the pointers of an entry point by kind. What the code does not read has no place."""
        place_of = {pointer: place for place, pointer in enumerate(pointers)}
        spaces: dict[str, list[Buffer]] = {}
        for buffer in procedure.buffers:
            spaces.setdefault(buffer.space, []).append(buffer)

        def places(space: str) -> tuple[tuple[int, ...], ...]:
            return tuple(
                (place_of[buffer.name],) if buffer.name in place_of else () for buffer in spaces.get(space, ())
            )

        fixed = [*spaces.get("weight", ()), *spaces.get("packed", ())]
        weights = {buffer.name: place_of[buffer.name] for buffer in fixed if buffer.name in place_of}
        slots = tuple((place, slot) for place, slot in enumerate(pointers) if isinstance(slot, int))
        names = tuple(buffer.name for buffer in spaces.get("input", ()))
        return Places(len(pointers), names, weights, slots, places("input"), places("output"))


@dataclass(slots=True)
class _Part:
    """Some rows of a call: what the entry point takes for them. `shifts`: how far its ports are beyond the call's."""

    pointers: Any
    extents: Any
    shifts: tuple[tuple[int, int], ...]
    arena: Arena


class Frames(threading.local):
    """A frame for each thread that calls."""

    def __init__(self) -> None:
        self.own = Frame()


class _Found(NamedTuple):
    """An input that is read where it is: its address goes to `places`."""

    name: str
    places: tuple[int, ...]


class Frame:
    """What one thread keeps between calls: the pointers it passed last, and the memory behind them.

    What was in the caches before a call is not there after it: what takes 2.6 us around a call of nothing takes 9
    around 0.18 ms of machine code, and 30 where that reads more than level 2 holds. So a call like the last one looks
    at as little as it can.
    """

    def __init__(self) -> None:
        self.is_busy = False
        """True during a call: what runs in the middle of it, on the same thread, needs a frame of its own."""
        self.native: Callable[[], int] = int
        self.pointers: Any = None
        self.status = (ctypes.c_int64 * (STATUS_VALUES + 1))()
        self.layout: Layout | None = None
        self.statuses: list[Any] = []
        self._parts: list[_Part] = []
        self._bound: BoundWeights | None = None
        self._inputs: list[np.ndarray | _Found] = []
        """For each input, memory to copy few elements to: that takes a tenth of the time of asking for an address."""
        self._outputs: list[tuple[int, Callable[[], np.ndarray]]] = []
        """The number of each output of few elements, and what makes a copy of it."""
        self._large: list[tuple[int, tuple[int, ...], Shaped]] = []
        """The number of each other output, where its address goes, and its shape."""
        self._arena = Arena()
        self._alive: Native | None = None

    def takes(self, arrays: Sequence[Any], bound: BoundWeights) -> bool:
        """True when `arrays` have the shapes and types of those of the last call, and the weights are the same."""
        layout = self.layout
        if layout is None or self._bound is not bound or len(arrays) != len(layout.inputs):
            return False
        for array, (shape, dtype) in zip(arrays, layout.inputs, strict=True):
            # "is" for the type of the elements is enough: numpy has one object for each, and others take the long way.
            if array.__class__ is not np.ndarray or array.dtype is not dtype or array.shape != shape:
                return False
        return True

    def prepare(self, places: Places, bound: BoundWeights, layout: Layout, native: Native) -> None:
        """Point at weights, intermediate values and small ports; large inputs and outputs change with every call."""
        if self._bound is bound and self.layout is layout:
            return
        self.layout = None
        start = self._arena.reserve(layout.arena_size)
        self.pointers = (ctypes.c_void_p * places.count)()
        for name, place in places.weights.items():
            self.pointers[place] = address_of(bound.arrays[name])
        for place, slot in places.slots:
            self.pointers[place] = start + layout.offsets[slot]
        self._inputs, self._outputs, self._large = [], [], []
        for name, to, port in zip(places.names, places.inputs, layout.inputs, strict=True):
            spare = self._spare(to, port)
            self._inputs.append(_Found(name, to) if spare is None else spare)
        for number, (to, port) in enumerate(zip(places.outputs, layout.outputs, strict=True)):
            spare = self._spare(to, port)
            if spare is None:
                self._large.append((number, to, port))
            else:
                self._outputs.append((number, spare.copy))
        plan = layout.plan
        self._alive = native  # its code: another thread's may have taken its place in the model
        # Numbers: to convert an array to its address takes ctypes as long as the rest of a call.
        memory = map(ctypes.addressof, (self.pointers, layout.extents, self.status))
        self.native = partial(native.function, *memory) if plan is None else partial(native.run, self)
        if plan is not None:
            self.statuses = [(ctypes.c_int64 * len(self.status))() for _ in range(plan.threads)]
            self._parts = [self._part(places, layout, part) for part in layout.parts]
        self._bound, self.layout = bound, layout

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs for `arrays`, one for each input, of the shapes and types that were prepared for.

        Raises TokenError or ArgumentError when a check in the machine code fails.
        """
        pointers = self.pointers
        kept = []  # arrays that were converted must live until the call is over
        for array, place in zip(arrays, self._inputs, strict=True):
            if isinstance(place, np.ndarray):
                place[...] = array
                continue
            like = array.__array_interface__
            address = like["data"][0]
            if like["strides"] is not None or address % array.itemsize:
                kept.append(_in_order(place.name, array))
                address = address_of(kept[-1])
            for pointer in place.places:
                pointers[pointer] = address
        outputs: list[Any] = [None] * (len(self._outputs) + len(self._large))
        for number, places, port in self._large:
            outputs[number] = output = _empty(port)
            for pointer in places:
                pointers[pointer] = address_of(output)
        code = self.native()
        if code:
            raise self.failure(code)
        for number, copy in self._outputs:
            outputs[number] = copy()
        return outputs

    def failure(self, code: int, hidden: Mapping[str, int] = MappingProxyType({})) -> RnnccError:
        """The error for what `native` returned; `hidden` are axes that the user does not see, by input."""
        assert self._alive is not None and self.layout is not None, "the call that failed was prepared"
        message, name = self._alive.checks[code - 1]
        number, *position = self.status[1 : 1 + self.status[0]]
        if name in hidden:
            del position[hidden[name]]
        return refused(message, number, position, self.layout.sizes, name)

    def _spare(self, places: tuple[int, ...], port: Shaped) -> np.ndarray | None:
        """Memory for a port of few bytes, which pointers then point at; None for a larger one."""
        shape, dtype = port
        if math.prod(shape) * dtype.itemsize > _SMALL:
            return None
        spare = np.zeros(shape, dtype)
        for place in places:
            self.pointers[place] = address_of(spare)
        return spare

    def _part(self, places: Places, layout: Layout, part: _PartLayout) -> _Part:
        """The rows of `part`, with intermediate values of their own."""
        arena = Arena()
        start = arena.reserve(part.arena_size)
        pointers = type(self.pointers)(*self.pointers)
        for place, slot in places.slots:
            pointers[place] = start + part.offsets[slot]
        ports = zip((*places.inputs, *places.outputs), layout.row_bytes, strict=True)
        shifts = tuple((place, part.first * size) for port, size in ports for place in port)
        return _Part(pointers, part.extents, shifts, arena)

    def parts(self) -> list[tuple[Any, Any, Any]]:
        """Pointers, dims and status for every thread of the plan, for the ports that `pointers` has now."""
        assert self.layout is not None, "the frame is prepared"
        if not self._parts:
            return [(self.pointers, self.layout.extents, status) for status in self.statuses]
        for part in self._parts:
            for place, shift in part.shifts:
                part.pointers[place] = (self.pointers[place] or 0) + shift
        return [(part.pointers, part.extents, status) for part, status in zip(self._parts, self.statuses, strict=True)]


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
