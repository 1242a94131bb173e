"""A compiled model: one callable that checks its arguments, binds extents and weights, and runs the machine code."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnncc.codegen.emit import STATUS_VALUES, Emitted
from rnncc.errors import ArgumentError, caller
from rnncc.graph.ir import Graph, Source, Value
from rnncc.layers.arguments import bind_arguments
from rnncc.loop.ir import Buffer, Procedure
from rnncc.ops.lookup import token_error
from rnncc.runtime.jit import Loaded
from rnncc.runtime.memory import Arena, check_available, shape_of, slot_offsets
from rnncc.runtime.weights import WeightBinder

_REMEMBERED = 256
"""How many different extents a compiled model remembers the layout of."""

Native = Callable[[Any, Any, Any], int]


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output: name, element type and shape, with None for what is bound at the call."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


class CompiledModel:
    """A model as machine code. Call it with arrays: ``fn(x)``, ``fn(x1, x2)`` or ``fn(name=array)``.

    One compilation serves all batch sizes and lengths. The weights are read from the model it was compiled from, again
    whenever they were assigned to. Several threads may call it at once.

    Attributes:
        inputs: name, dtype and shape of each argument.
        outputs: name, dtype and shape of each result.
    """

    def __init__(
        self,
        graph: Graph,
        setup: Graph,
        sources: Mapping[str, Source],
        procedure: Procedure,
        emitted: Emitted,
        load: Callable[[], Loaded],
        texts: Callable[[str], str],
    ) -> None:
        self._graph = graph
        self._procedure = procedure
        self._emitted = emitted
        self._load = load
        self._texts = texts
        self._weights = WeightBinder(setup, sources, procedure)
        self._arena = Arena()
        self._native: tuple[Loaded, Native] | None = None
        self._layouts: dict[tuple[int, ...], _Layout] = {}
        self.inputs = tuple(map(_port, graph.inputs))
        self.outputs = tuple(map(_port, graph.outputs))

    def __repr__(self) -> str:
        takes = ", ".join(f"{port.name}: {port.dtype}{_shape_text(port.shape)}" for port in self.inputs)
        gives = ", ".join(f"{port.dtype}{_shape_text(port.shape)}" for port in self.outputs)
        return f"<CompiledModel {self._graph.name}({takes}) -> {gives}>"

    def __call__(self, *arrays: Any, **named: Any) -> Any:
        """The output for one array per input (an array, or a list of arrays when there are several).

        Raises:
            ArgumentError, ShapeError, DTypeError: the arrays do not fit the inputs, or each other.
            TokenError: a token id lies outside its table.
            MemoryLimitError: the call needs more memory than there is.
        """
        inputs, extents = bind_arguments(self._graph.name, self._graph.inputs, arrays, named)
        outputs = self._run(inputs, extents)
        return outputs[0] if len(outputs) == 1 else outputs

    def ir(self, stage: str) -> str:
        """The text of one stage: graph, fused, loop, scheduled, llvm, llvm-opt or asm."""
        return self._texts(stage)

    def memory(self, **extents: int) -> int:
        """Bytes of intermediate values that a call with these extents needs: ``fn.memory(B=32, T=100)``."""
        missing = [dim for dim in self._procedure.dims if dim not in extents]
        if missing:
            raise ArgumentError(f"memory needs a size for {', '.join(missing)}", place=caller())
        return slot_offsets(self._procedure.buffers, extents)[1]

    # -------------------------------------------------------------- one call

    def _run(self, inputs: Sequence[np.ndarray], extents: Mapping[str, int]) -> list[np.ndarray]:
        layout = self._layout(tuple(extents[dim] for dim in self._procedure.dims))
        arrays: dict[str, np.ndarray] = dict(self._weights.bind().arrays)
        for value, array in zip(self._graph.inputs, inputs, strict=True):
            arrays[value.name] = np.require(array, None, ["C", "A"])
        outputs = [np.empty(shape, buffer.dtype.numpy) for buffer, shape in layout.outputs]
        arrays.update((buffer.name, output) for (buffer, _), output in zip(layout.outputs, outputs, strict=True))
        arena = self._arena.reserve(layout.arena_size)
        addresses = [
            arena + layout.offsets[pointer] if isinstance(pointer, int) else arrays[pointer].ctypes.data
            for pointer in self._emitted.pointers
        ]
        status = (ctypes.c_int64 * (STATUS_VALUES + 1))()
        code = self._function()((ctypes.c_void_p * len(addresses))(*addresses), layout.extents, status)
        if code:
            number, *position = status[1 : 1 + status[0]]
            raise token_error(self._emitted.messages[code - 1], number, tuple(position))
        return outputs

    def _layout(self, sizes: tuple[int, ...]) -> _Layout:
        """What a call with these extents needs; the last few are remembered."""
        layout = self._layouts.get(sizes)
        if layout is None:
            layout = _Layout.of(self._procedure, sizes)
            if len(self._layouts) >= _REMEMBERED:
                self._layouts.clear()
            self._layouts[sizes] = layout
        return layout

    def _function(self) -> Native:
        if self._native is None:
            loaded = self._load()
            prototype = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
            self._native = (loaded, prototype(loaded.address(self._emitted.entry)))
        return self._native[1]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Everything about a call that depends on its extents only."""

    extents: Any
    outputs: tuple[tuple[Buffer, tuple[int, ...]], ...]
    offsets: Mapping[int, int]
    arena_size: int

    @staticmethod
    def of(procedure: Procedure, sizes: tuple[int, ...]) -> _Layout:
        """Shapes and offsets for the dims of `procedure`. Raises MemoryLimitError when the results do not fit."""
        extents = dict(zip(procedure.dims, sizes, strict=True))
        outputs = []
        for buffer in procedure.buffers:
            if buffer.space == "output":
                shape = shape_of(buffer, extents)
                check_available(buffer.dtype.size * math.prod(shape), "the results of this call")
                outputs.append((buffer, shape))
        offsets, arena_size = slot_offsets(procedure.buffers, extents)
        return _Layout((ctypes.c_int64 * len(sizes))(*sizes), tuple(outputs), offsets, arena_size)


def _port(value: Value) -> Port:
    shape = tuple(dim if isinstance(dim, int) else None for dim in value.type.shape)
    return Port(value.name, value.type.dtype.numpy.name, shape)


def _shape_text(shape: Sequence[int | None]) -> str:
    return f"[{', '.join(map(str, shape))}]"
