"""Streaming: a sequence computed piece by piece, the states kept in between.

A step of one sample is the shortest call there is, so that everything about it is prepared: two sets of pointers (the
states go back and forth between two sets of buffers), buffers for inputs and outputs, and one native call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnncc.errors import ArgumentError, ShapeError, UnsupportedError, caller
from rnncc.graph.arguments import as_input, bind_arguments
from rnncc.graph.interp import interpret
from rnncc.graph.ir import Graph, Source, Value
from rnncc.runtime.compiled import CompiledModel, PreparedCall
from rnncc.types import bind_shape, dtype_of

_Step = tuple[PreparedCall, list[np.ndarray], list[np.ndarray]]
"""A prepared call, and its inputs and outputs as a step sees them: without the time axis."""


class Stream:
    """A model that takes its sequence piece by piece; made by `CompiledModel.stream`.

    The results are bit by bit those of the whole sequence. Weights are those of the moment when the stream was made.

    Attributes:
        batch: how many sequences run side by side.
        state: the states after the last step, by name; assign to go on from other ones.
    """

    def __init__(
        self,
        compiled: CompiledModel,
        initial: Graph,
        sources: Mapping[str, Source],
        time: str,
        states: Sequence[str],
        batch: int,
    ) -> None:
        self.batch = batch
        self._compiled = compiled
        self._bound = compiled.bind()
        self._initial = initial
        self._sources = sources
        self._time = time
        self._names = tuple(states)
        graph = compiled.graph
        count = len(graph.inputs) - len(self._names)
        self._inputs = graph.inputs[:count]
        self._sizes = {time: 1, "B": batch}
        if unknown := [extent for extent in graph.extents if extent not in self._sizes]:
            raise UnsupportedError(
                f"{graph.name} has extents besides the batch B and the time {time}: {', '.join(unknown)}",
                place=caller(),
                remedy="declare them with fixed sizes to stream the model",
            )
        self._axes = [_axis_of(value, time) for value in self._inputs]
        outputs = graph.outputs[: len(graph.outputs) - len(self._names)]
        self._output_axes = [_axis_of(value, time) for value in outputs]
        shapes = [(bind_shape(value.type.shape, self._sizes), value.type.dtype.numpy) for value in graph.inputs[count:]]
        self._states = tuple([np.zeros(shape, dtype) for shape, dtype in shapes] for _ in range(2))
        self._calls: tuple[_Step, _Step] | None = None
        self._parity = 0
        self.reset()

    def reset(self, **inputs: Any) -> None:
        """Go back to the states before the first step. `inputs`: what initial states are computed from, if anything."""
        consts = [np.asarray(self._sources[value.name].value, value.type.dtype.numpy) for value in self._initial.consts]
        given, _ = bind_arguments("the start of this stream", self._initial.inputs, (), inputs)
        self._take(interpret(self._initial, [*consts, *given], {"B": self.batch, self._time: 0}))

    @property
    def state(self) -> dict[str, np.ndarray]:
        """A copy of the states, by name."""
        return {name: array.copy() for name, array in zip(self._names, self._current(), strict=True)}

    @state.setter
    def state(self, states: Mapping[str, Any]) -> None:
        if set(states) != set(self._names):
            raise ArgumentError(
                "the states of this stream have other names",
                f"given:  {', '.join(states) or 'nothing'}",
                f"needed: {', '.join(self._names)}",
                place=caller(),
            )
        places = zip(self._names, self._current(), strict=True)
        self._take([_fitting(f"the state {name}", states[name], now) for name, now in places])

    def step(self, *x: Any) -> Any:
        """The output after one more step: inputs and outputs without their time axis, ``x_t[batch, ...]``."""
        call, inputs, outputs = (self._calls or self._prepare())[self._parity]
        if len(x) != len(inputs):
            raise ArgumentError(f"a step takes {len(inputs)} inputs, {len(x)} given", place=caller())
        for buffer, item, value in zip(inputs, x, self._inputs, strict=True):
            if type(item) is np.ndarray and item.dtype == buffer.dtype and item.shape == buffer.shape:
                buffer[...] = item
            else:
                buffer[...] = _fitting(f"the step of {value.name}", item, buffer)
        call.run()
        self._parity ^= 1
        if len(outputs) == 1:
            return outputs[0].copy()
        return [output.copy() for output in outputs]

    def push(self, *chunks: Any) -> Any:
        """The output for a piece of any length: inputs and outputs as in a call of the whole model."""
        outputs = self._compiled.call_with(self._bound, *chunks, *self._current())
        count = len(self._output_axes)
        self._take(outputs[count:])
        return outputs[0] if count == 1 else outputs[:count]

    # -------------------------------------------------------------- states

    def _current(self) -> list[np.ndarray]:
        return self._states[self._parity]

    def _take(self, values: Sequence[np.ndarray]) -> None:
        for place, value in zip(self._current(), values, strict=True):
            place[...] = value

    def _prepare(self) -> tuple[_Step, _Step]:
        """Buffers and pointers for single steps, in both directions between the two sets of states."""
        shapes = [bind_shape(value.type.shape, self._sizes) for value in self._inputs]
        inputs = [np.zeros(shape, value.type.dtype.numpy) for shape, value in zip(shapes, self._inputs, strict=True)]
        seen = [_without_axis(array, axis) for array, axis in zip(inputs, self._axes, strict=True)]
        steps: list[_Step] = []
        for parity in (0, 1):
            arrays = [*inputs, *self._states[parity]]
            call = self._compiled.prepare(self._bound, arrays, self._sizes, self._states[1 - parity])
            outputs = call.outputs[: len(self._output_axes)]
            steps.append(
                (call, seen, [_without_axis(a, axis) for a, axis in zip(outputs, self._output_axes, strict=True)])
            )
        self._calls = (steps[0], steps[1])
        return self._calls


def _fitting(name: str, value: Any, like: np.ndarray) -> np.ndarray:
    """`value` with the element type and shape of `like`, or an error that says what does not fit."""
    array = as_input(name, value, dtype_of(like.dtype))
    if array.shape != like.shape:
        raise ShapeError(f"{name} has another shape", f"given:  {array.shape}", f"needed: {like.shape}", place=caller())
    return array


def _without_axis(array: np.ndarray, axis: int | None) -> np.ndarray:
    """A view of `array` without its axis of size one."""
    return array if axis is None else array[(slice(None),) * axis + (0,)]


def _axis_of(value: Value, time: str) -> int | None:
    return value.type.shape.index(time) if time in value.type.shape else None
