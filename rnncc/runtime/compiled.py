"""A compiled model: one callable that checks its arguments, binds extents and weights, and runs the machine code."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np

from rnncc.codegen.emitted import Emitted
from rnncc.errors import ArgumentError, MemberError, UnsupportedError, caller
from rnncc.graph.arguments import bind_arguments, one_by_one
from rnncc.graph.ir import Feed, Graph, Source
from rnncc.graph.value import Value
from rnncc.layers.stateful import StateSlot, run_with_states
from rnncc.layers.weights import Last
from rnncc.loop.ir import PACKED_AXES, Procedure
from rnncc.numeric import whole_number
from rnncc.ops.structure import arranged
from rnncc.records import record
from rnncc.runtime.frame import REMEMBERED, Frame, Frames
from rnncc.runtime.jit import Loaded
from rnncc.runtime.layout import Layout, Places
from rnncc.runtime.memory import shape_of, slot_offsets
from rnncc.runtime.prepared import PreparedCall
from rnncc.runtime.ready import Native
from rnncc.runtime.repeat import address_of
from rnncc.runtime.threads import (
    NO_TEAM,
    ROW_WEIGHTS,
    ROWS_TO_PART,
    WORTH_PRODUCTS,
    Plan,
    part_rows,
)
from rnncc.runtime.weights import BoundWeights, WeightBinder

if TYPE_CHECKING:
    from rnncc.runtime.profile import Profile

_OF_THE_MODEL = ("summary", "layers", "weights", "get_weights", "set_weights", "count_params", "reset_states")
_OF_MODELS = {
    "predict": "call it: fn(x)",
    "fit": "rnncc does not train: train in Keras, then model.set_weights(keras_model.get_weights())",
    "evaluate": "rnncc.evaluate(model, x) is the numpy meaning of the model it was compiled from",
    "compile": "it is compiled: call it",
    "save": "the cache keeps its machine code: where the same model is compiled again, that is loaded",
    **dict.fromkeys(_OF_THE_MODEL, "ask the model it was compiled from; a compiled model follows its weights"),
}
"""What models have and compiled models do not, and what to do instead."""


@record(frozen=True, slots=True)
class Port:
    """An input or output: name, element type and shape, with None for what is bound at the call."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


class CompiledModel:
    """A model as machine code. Call it with arrays: ``fn(x)``, ``fn(x1, x2)`` or ``fn(name=array)``.

    One compilation serves all batch sizes and lengths. The weights are read from the model it was compiled from, again
    whenever they were assigned to. Several threads may call it at once.

    A model with stateful layers starts each call from the states that the call before left, and `reset_states` goes
    back to zeros. The states belong to the model, as the weights do: ``model(x)`` goes on from them as well.

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
        make_stream: Callable[[int, Mapping[str, Any]], Any] | None = None,
        kept: Sequence[StateSlot] = (),
        feeds: Mapping[str, Feed] | None = None,
        *,
        threads: int = 1,
        rows: str | None = None,
        step_weights: int = 0,
        structure: Any = None,
        profile: Callable[[Sequence[Any], Mapping[str, Any]], Profile] | None = None,
    ) -> None:
        self._graph = graph = replace(graph, feeds=feeds or {})
        self._draws = [graph.feeds[value.name].draw for value in graph.inputs[len(graph.arguments) :]]
        self._arguments = graph.arguments
        self._names = dict.fromkeys(value.name for value in graph.arguments)  # in order, and a set as well
        self._kept = tuple(kept)
        self._make_stream = make_stream
        self._profile = profile
        self._procedure = procedure
        self._emitted = emitted
        self._load = load
        self._texts = texts
        self._weights = WeightBinder(setup, sources, procedure, emitted.pointers)
        self._places = Places.of(procedure, emitted.pointers)
        self._threads = threads
        self._rows = rows
        self._structure = structure
        packed = [buffer for buffer in procedure.buffers if buffer.space == "packed"]
        counts = [math.prod(shape_of(buffer, {})[-PACKED_AXES:]) for buffer in packed]
        self._weight_count = sum(counts)
        self._rows_to_part = max(ROWS_TO_PART, step_weights // ROW_WEIGHTS) if emitted.shares else ROWS_TO_PART
        self._frames = Frames()
        self._native: Native | None = None
        self._layouts: dict[tuple[int, ...], Layout] = {}
        self.inputs = tuple(map(_port, graph.arguments[: len(graph.arguments) - len(self._kept)]))
        self.outputs = tuple(map(_port, graph.outputs[: len(graph.outputs) - len(self._kept)]))
        self._is_single = len(self.outputs) == 1 and structure is None

    def __repr__(self) -> str:
        takes = ", ".join(f"{port.name}: {port.dtype}{_shape_text(port.shape)}" for port in self.inputs)
        gives = ", ".join(f"{port.dtype}{_shape_text(port.shape)}" for port in self.outputs)
        return f"<CompiledModel {self._graph.name}({takes}) -> {gives}>"

    def __call__(self, /, *arrays: Any, **named: Any) -> Any:
        """The output for one array per input: an array, or a list of arrays when there are several, or the structure in
        which the model was declared to have them.

        Inputs are given one by one, by name, or as one list or dict of them.

        Raises:
            ArgumentError, ShapeError, DTypeError: the arrays do not fit the inputs, or each other.
            TokenError: a token id lies outside its table.
            MemoryLimitError: the call needs more memory than there is.
        """
        outputs = self._run(arrays, named)
        return outputs[0] if self._is_single else arranged(outputs, self._structure)

    def call(self, /, *arrays: Any, **named: Any) -> list[np.ndarray]:
        """Like calling the model, but always a list of outputs."""
        return self._run(arrays, named)

    def reset_states(self) -> None:
        """Let the next call start from zeros, with any batch size, where layers are stateful."""
        for slot in self._kept:
            slot.value = None

    @property
    def states(self) -> dict[str, np.ndarray]:
        """Copies of the states that calls have left in stateful layers, by name; empty after `reset_states`."""
        return {f"{slot.layer}_{slot.name}": slot.value.copy() for slot in self._kept if slot.value is not None}

    def call_with(self, bound: BoundWeights, /, *arrays: Any, **named: Any) -> list[np.ndarray]:
        """`call` with weights that were bound before, whatever was assigned to them since; states come and go with the
        arrays."""
        return self._run(arrays, named, bound)

    def bind(self) -> BoundWeights:
        """The weights as they are now, prepared for the machine code."""
        return self._weights.bind()

    @property
    def graph(self) -> Graph:
        """The graph that was compiled: weights that were prepared as its consts."""
        return self._graph

    def stream(self, batch: int = 1, **inputs: Any) -> Any:
        """A `Stream`: the model on `batch` sequences that arrive piece by piece, with ``step`` and ``push``.

        `inputs` are those that initial states are computed from, by name, if there are some.

        Raises UnsupportedError when something in the model looks at the whole sequence; the message names it.
        """
        if self._kept:
            raise UnsupportedError(
                f"{self._graph.name} is stateful, and a stream keeps states of its own",
                f"stateful: {', '.join(dict.fromkeys(slot.layer for slot in self._kept))}",
                place=caller(),
                remedy="call it on one piece after the other, or leave stateful out to stream it",
            )
        if self._make_stream is None:
            raise UnsupportedError(f"{self._graph.name} is a stream already", place=caller())
        size = whole_number(batch, 0)
        if size is None:
            raise ArgumentError(f"batch must be a number of sequences, not {batch!r}", place=caller())
        return self._make_stream(size, inputs)

    def profile(self, /, *arrays: Any, **named: Any) -> Profile:
        """Where the time of a call goes: the fused kernels with their time, share, GFLOP/s, GB/s and share of the roof.

        The first use compiles the model once more, with counters, for one thread, and measures the roof of the machine:
        a second or two. The call is repeated for 50 ms, and the run with the median time is shown. States of stateful
        layers stay as they are.

        Args:
            arrays, named: the inputs, as in a call.

        Returns:
            A `Profile`; ``print`` shows it as a table::

                kernel     runs    us  share  GFLOP/s  GB/s  of roof  weights
                h, c        100  ...                                  lstm_recurrent_kernel

        Raises:
            As a call does.
        """
        assert self._profile is not None, "what counts cycles is not profiled itself"
        return self._profile(arrays, named)

    def prepare(
        self,
        bound: BoundWeights,
        inputs: Sequence[np.ndarray],
        extents: Mapping[str, int],
        results: Sequence[np.ndarray],
        hidden: Mapping[str, int] = MappingProxyType({}),
    ) -> PreparedCall:
        """A call with fixed arrays, for those who make it often; `results` are the last outputs, the others are new.

        `hidden` are axes that the user does not see, by input: errors leave them out of positions.
        """
        native = self._native or self._load_native()
        layout = self._layout(tuple(extents[dim] for dim in self._procedure.dims))
        frame = Frame()
        ready = frame.prepare(self._places, bound, layout, native)
        fresh = layout.outputs[: len(layout.outputs) - len(results)]
        outputs = [*(np.empty(shape, dtype) for shape, dtype in fresh), *results]
        for places, array in zip(self._places.ports, (*inputs, *outputs), strict=True):
            for place in places:
                ready.pointers[place] = address_of(array)
        return PreparedCall(ready, outputs, (frame, inputs), hidden)

    def ir(self, stage: str) -> str:
        """The text of one stage: graph, fused, loop, scheduled, llvm, llvm-opt or asm."""
        return self._texts(stage)

    def memory(self, **extents: int) -> int:
        """Bytes of intermediate values that a call with these extents needs: ``fn.memory(B=32, T=100)``."""
        missing = [dim for dim in self._procedure.dims if dim not in extents]
        if missing:
            raise ArgumentError(f"memory needs a size for {', '.join(missing)}", place=caller())
        sizes: dict[str, int] = {}
        for name, given in extents.items():
            if name not in self._procedure.dims:
                raise ArgumentError(
                    f"{self._graph.name} has no extent {name!r}",
                    f"extents: {', '.join(self._procedure.dims)}",
                    place=caller(),
                )
            size = whole_number(given, 0, 2**62)
            if size is None:
                what = f"the size of {name} must be a whole number from 0 to 2**62, not {given!r}"
                raise ArgumentError(what, place=caller())
            sizes[name] = size
        return slot_offsets(self._procedure.buffers, sizes)[1]

    if not TYPE_CHECKING:  # else no name would ever be unknown

        def __getattr__(self, name: str) -> Any:
            if name in _OF_MODELS:
                raise MemberError(f"a compiled model has no {name}", place=caller(), remedy=_OF_MODELS[name])
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        raise UnsupportedError(
            f"the compiled model {self._graph.name} cannot be pickled or copied: it is machine code of this process",
            place=caller(),
            remedy="compile in the other process: machine code that was made before is taken from the cache",
        )

    # -------------------------------------------------------------- one call

    def _run(
        self, arrays: Sequence[Any], named: Mapping[str, Any], bound: BoundWeights | None = None
    ) -> list[np.ndarray]:
        """The outputs for weights that were `bound`, or for those of this moment; a call like one before is short."""
        if bound is None:
            bound, seen = self._weights.current
            if bound is None or seen is not Last.assignment:
                bound = self._weights.bind()
            if self._kept:
                return run_with_states(self._graph, self._kept, partial(self.call_with, bound), arrays, named)
        frame = self._frames.own
        if frame.is_busy:  # a signal handler, or a finalizer, that came in the middle of a call
            frame = Frame()
        frame.is_busy = True
        try:
            given = one_by_one(self._names, arrays, named)
            if frame.bound is bound and given is not None:
                outputs = frame.repeat(given)
                if outputs is None and frame.recall(given):
                    outputs = frame.repeat(given)
                if outputs is not None:
                    return outputs
            inputs = self._prepare(frame, bound, arrays, named)
            outputs = frame.repeat(inputs, fit=True)
            assert outputs is not None, "the arrays are what was prepared for"
            return outputs
        finally:
            frame.is_busy = False

    def _prepare(
        self, frame: Frame, bound: BoundWeights, arrays: Sequence[Any], named: Mapping[str, Any]
    ) -> list[np.ndarray]:
        """What `frame` runs on for these arguments, of any kind; makes it ready for their shapes."""
        inputs, extents = bind_arguments(self._graph.name, self._arguments, arrays, named)
        layout = self._layout(tuple([extents[dim] for dim in self._procedure.dims]))
        frame.prepare(self._places, bound, layout, self._native or self._load_native(), self._draws)
        return inputs

    def _layout(self, sizes: tuple[int, ...]) -> Layout:
        """What a call with these extents needs; the last few are remembered."""
        layout = self._layouts.get(sizes)
        if layout is None:
            layout = Layout.of(self._procedure, sizes, self._plan(sizes))
            if len(self._layouts) >= REMEMBERED:
                self._layouts.clear()
            self._layouts[sizes] = layout
        return layout

    def _plan(self, sizes: Sequence[int]) -> Plan | None:
        """How the threads divide a call with these extents; None when it is not worth waking them."""
        extents = dict(zip(self._procedure.dims, sizes, strict=True))
        rows = extents.pop(self._rows) if self._rows is not None else 1
        products = self._weight_count * rows * max(extents.values(), default=1)
        if self._threads == 1 or products < WORTH_PRODUCTS:
            return None
        if self._rows is not None and rows >= self._threads * self._rows_to_part:
            return Plan(self._threads, tuple(part_rows(rows, self._threads)), self._procedure.dims.index(self._rows))
        return Plan(self._threads) if self._emitted.shares else None

    def _load_native(self) -> Native:
        loaded = self._load()
        address = loaded.address(self._emitted.entry)
        prototype = ctypes.CFUNCTYPE(
            ctypes.c_int32,
            *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p),
            *((ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p) if self._emitted.shares else ()),
        )
        function = prototype(address)
        alone = (lambda *memory: function(*memory, 0, 1, NO_TEAM)) if self._emitted.shares else function
        self._native = Native(loaded, address, alone, self._emitted.checks)
        return self._native


def _port(value: Value) -> Port:
    shape = tuple(dim if isinstance(dim, int) else None for dim in value.type.shape)
    return Port(value.name, value.type.dtype.numpy.name, shape)


def _shape_text(shape: Sequence[int | None]) -> str:
    return f"[{', '.join(map(str, shape))}]"
