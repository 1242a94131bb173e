"""Where everything of a call lies: positions of pointers, and for given extents shapes, offsets and parts."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rnncc.loop.ir import Buffer, Procedure, Var
from rnncc.records import record
from rnncc.runtime.memory import check_available, shape_of, slot_offsets
from rnncc.runtime.repeat import Shaped
from rnncc.runtime.threads import Plan


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
    parts: tuple[PartLayout, ...] = ()
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
        parts = tuple(PartLayout.of(procedure, extents, plan, first, count) for first, count in plan.rows)
        ports = [b for space in ("input", "output") for b in procedure.buffers if b.space == space]
        rows = Var(procedure.dims[plan.axis])
        row_bytes = [
            math.prod(shape_of(port, extents)[1:]) * port.dtype.size if port.shape[:1] == (rows,) else 0
            for port in ports
        ]
        return replace(whole, parts=parts, row_bytes=tuple(row_bytes))


@record(frozen=True, slots=True)
class PartLayout:
    """The layout of some rows: the first one, dims, and where intermediate values are."""

    first: int
    extents: Any
    offsets: Mapping[int, int]
    arena_size: int

    @staticmethod
    def of(procedure: Procedure, extents: Mapping[str, int], plan: Plan, first: int, count: int) -> PartLayout:
        """`count` rows from `first` on of a call with these `extents`."""
        own = {**extents, procedure.dims[plan.axis]: count}
        offsets, arena_size = slot_offsets(procedure.buffers, own)
        return PartLayout(first, _dims(procedure, own, first), offsets, arena_size)


def _dims(procedure: Procedure, extents: Mapping[str, int], first_row: int) -> Any:
    """What the entry point takes for `Procedure.given`."""
    values = [extents[dim] for dim in procedure.dims]
    if procedure.first_row is not None:
        values.append(first_row)
    return (ctypes.c_int64 * len(values))(*values)
