"""Streaming: a sequence computed piece by piece, the states kept in between.

A step of one sample is the shortest call there is, so that everything about it is prepared: two sets of pointers (the
states go back and forth between two sets of buffers), buffers for inputs and outputs, and one native call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, SupportsIndex

import numpy as np

from rnncc.errors import ArgumentError, ShapeError, UnsupportedError, caller
from rnncc.graph.arguments import as_input, bind_arguments, match_arguments
from rnncc.graph.interp import interpret
from rnncc.graph.ir import Feed, Graph, Source
from rnncc.graph.value import Value
from rnncc.layers.weights import together
from rnncc.memory import memory_errors
from rnncc.ops.structure import arranged
from rnncc.runtime.compiled import CompiledModel
from rnncc.runtime.prepared import PreparedCall
from rnncc.types import TensorType, bind_shape, dtype_of


class _Step(NamedTuple):
    """A prepared call from one set of states to the other, and what makes copies of its outputs."""

    call: PreparedCall
    copies: tuple[Callable[[], np.ndarray], ...]


class _Input(NamedTuple):
    """Where an input of a step belongs, without its time axis."""

    name: str
    place: np.ndarray

    def put(self, item: Any) -> None:
        """Convert `item`, or say why that cannot be."""
        self.place[...] = _fitting(f"the step of {self.name}", item, self.place)


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
        start: CompiledModel | None,
        initial: Graph,
        sources: Mapping[str, Source],
        time: str,
        states: Sequence[str],
        batch: int,
        inputs: Mapping[str, Any],
        feeds: Sequence[Feed] = (),
        structure: Any = None,
    ) -> None:
        self.batch = batch
        self._compiled = compiled
        self._initial = initial
        with together():
            self._bound = compiled.bind()
            self._start = None if start is None else partial(start.call_with, start.bind())
            """What computes `initial`, where that takes more than a broadcast."""
            self._consts = [np.asarray(sources[value.name].value, value.type.dtype.numpy) for value in initial.consts]
        self._time = time
        self._names = tuple(states)
        graph = compiled.graph
        count = len(graph.inputs) - len(self._names)
        hidden = graph.inputs[count - len(feeds) : count]
        self._inputs = graph.inputs[: count - len(feeds)]
        self._feeds = feeds
        self._structure = structure
        self._drawn = [np.zeros(bind_shape(value.type.shape, {}), value.type.dtype.numpy) for value in hidden]
        """The keys of this sequence: its masks are the same at every step."""
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
        with memory_errors(f"the states of {batch} sequences", "use fewer of them at a time"):
            self._states = tuple([np.zeros(shape, dtype) for shape, dtype in shapes] for _ in range(2))
        self._turn = [0]  # which set of states is the current one; shared with the prepared step
        self.reset(**inputs)

    def reset(self, **inputs: Any) -> None:
        """Go back to the states before the first step. `inputs`: what initial states are computed from, if anything."""
        needed = [value.name for value in self._initial.inputs]
        if missing := [name for name in needed if name not in inputs]:
            raise ArgumentError(
                f"the states before the first step are computed from {', '.join(needed)}",
                f"missing: {', '.join(missing)}",
                place=caller(),
                remedy=f"give it by name: stream({self.batch}, {missing[0]}=...), and reset({missing[0]}=...) later on",
            )
        given, _ = bind_arguments("the start of this stream", self._initial.inputs, (), inputs)
        self._check_batch(self._initial.inputs, given)
        for place, feed in zip(self._drawn, self._feeds, strict=True):
            place[...] = feed.draw()
        with memory_errors(f"the first states of {self.batch} sequences", "use fewer of them at a time"):
            if self._start is not None:
                self._take(self._start(*given))
            else:
                self._take(interpret(self._initial, [*self._consts, *given], {"B": self.batch, self._time: 0}))

    @property
    def state(self) -> dict[str, np.ndarray]:
        """A copy of the states, by name."""
        return {name: array.copy() for name, array in zip(self._names, self._current(), strict=True)}

    @state.setter
    def state(self, states: Mapping[str, Any]) -> None:
        if not isinstance(states, Mapping):
            raise ArgumentError(
                f"the states of this stream are a dict by name, not {type(states).__name__}",
                f"names: {', '.join(self._names)}",
                place=caller(),
                remedy="give what stream.state returned",
            )
        if set(states) != set(self._names):
            raise ArgumentError(
                "the states of this stream have other names",
                f"given:  {', '.join(states) or 'nothing'}",
                f"needed: {', '.join(self._names)}",
                place=caller(),
            )
        places = zip(self._names, self._current(), strict=True)
        self._take([_fitting(f"the state {name}", states[name], now) for name, now in places])

    def step(self, *x: Any, **named: Any) -> Any:
        """The output after one more step: inputs and outputs without their time axis, ``x_t[batch, ...]``."""
        self.step = self._prepare()  # type: ignore[method-assign]
        return self.step(*x, **named)

    def push(self, *chunks: Any, **named: Any) -> Any:
        """The output for a piece of any length: inputs and outputs as in a call of the whole model."""
        given = match_arguments("a piece of a stream", self._inputs, chunks, named)
        try:
            outputs = self._compiled.call_with(self._bound, *given, *self._drawn, *self._current())
        except ShapeError:
            self._check_batch(self._inputs, given)
            raise
        count = len(self._output_axes)
        self._take(outputs[count:])
        return arranged(outputs[:count], self._structure)

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        raise UnsupportedError(
            "a stream cannot be pickled or copied",
            place=caller(),
            remedy=f"make another one and give it the states: other = fn.stream({self.batch}); "
            "other.state = stream.state",
        )

    # -------------------------------------------------------------- states

    def _check_batch(self, inputs: Sequence[Value], arrays: Sequence[Any]) -> None:
        """Raise when `arrays` are for another number of sequences."""
        for value, array in zip(inputs, arrays, strict=True):
            shape, batch = np.shape(array), value.type.shape.index("B") if "B" in value.type.shape else None
            if batch is not None and len(shape) == value.type.rank and shape[batch] != self.batch:
                raise ShapeError(
                    f"this stream has {self.batch} sequence{'' if self.batch == 1 else 's'} side by side",
                    f"{value.name} has shape {shape}",
                    f"{value.name}: {value.type} is needed, with B = {self.batch}",
                    place=caller(),
                )

    def _current(self) -> list[np.ndarray]:
        return self._states[self._turn[0]]

    def _take(self, values: Sequence[np.ndarray]) -> None:
        for place, value in zip(self._current(), values, strict=True):
            place[...] = value

    def _prepare(self) -> Callable[..., Any]:
        """`step` with buffers and pointers in place, in both directions between the two sets of states."""
        shapes = [bind_shape(value.type.shape, self._sizes) for value in self._inputs]
        arrays = [np.zeros(shape, value.type.dtype.numpy) for shape, value in zip(shapes, self._inputs, strict=True)]
        steps: list[_Step] = []
        axes = zip(self._inputs, self._axes, strict=True)
        hidden = {value.name: axis for value, axis in axes if axis is not None}
        for turn in (0, 1):
            given = [*arrays, *self._drawn, *self._states[turn]]
            call = self._compiled.prepare(self._bound, given, self._sizes, self._states[1 - turn], hidden)
            outputs = call.outputs[: len(self._output_axes)]
            copies = tuple(_without_axis(a, axis).copy for a, axis in zip(outputs, self._output_axes, strict=True))
            steps.append(_Step(call, copies))
        places = zip(self._inputs, arrays, self._axes, strict=True)
        inputs = [_Input(value.name, _without_axis(array, axis)) for value, array, axis in places]
        match = partial(match_arguments, "a step", [_without_time(value, self._time) for value in self._inputs])
        if len(inputs) == len(self._output_axes) == 1 and self._structure is None:
            return _step_of_one(steps, inputs[0], self._turn, match)
        return _step_of_many(steps, inputs, self._turn, match, self._structure)


_NOTHING: Any = object()
"""Stands where no argument was given by position."""

_Match = Callable[[Sequence[Any], Mapping[str, Any]], list[Any]]
"""Finds what is given for each input, by position or by name. Raises ArgumentError for a wrong number or name."""


def _step_of_many(
    steps: Sequence[_Step], inputs: Sequence[_Input], turn: list[int], match: _Match, structure: Any
) -> Callable[..., Any]:
    """`Stream.step`; `turn` holds which of the two `steps` is next, `structure` outlines what it returns."""

    def step(*x: Any, **named: Any) -> Any:
        for item, input_ in zip(match(x, named), inputs, strict=True):
            input_.put(item)
        call, copies = steps[turn[0]]
        call.run()
        turn[0] = 1 - turn[0]
        return arranged([copy() for copy in copies], structure)

    return step


def _step_of_one(steps: Sequence[_Step], input_: _Input, turn: list[int], match: _Match) -> Callable[..., np.ndarray]:
    """The same for one input and one output, as short as it gets: 40 units of four gates take 0.3 us, this adds 0.6.

    The first argument has a parameter of its own: to pack it with others and unpack it again takes 0.1 us.
    """
    place, array_type = input_.place, np.ndarray
    dtype, shape = place.dtype, place.shape
    natives = [step.call.native for step in steps]
    copies = [step.copies[0] for step in steps]

    def step(item: Any = _NOTHING, /, *more: Any, **named: Any) -> np.ndarray:
        # "is" for the type of the elements is enough: numpy has one object for each, and what comes out of pickles
        # takes the long way.
        if item.__class__ is array_type and item.dtype is dtype and item.shape == shape and not more and not named:
            place[...] = item
        else:
            (given,) = match(() if item is _NOTHING else (item, *more), named)
            input_.put(given)
        now = turn[0]
        code = natives[now]()
        if code:
            raise steps[now].call.failure(code)
        turn[0] = 1 - now
        return copies[now]()

    return step


def _fitting(name: str, value: Any, like: np.ndarray) -> np.ndarray:
    """`value` with the element type and shape of `like`, or an error that says what does not fit."""
    array = as_input(name, value, dtype_of(like.dtype))
    if array.shape != like.shape:
        raise ShapeError(f"{name} has another shape", f"given:  {array.shape}", f"needed: {like.shape}", place=caller())
    return array


def _without_axis(array: np.ndarray, axis: int | None) -> np.ndarray:
    """A view of `array` without its axis of size one."""
    return array if axis is None else array[(slice(None),) * axis + (0,)]


def _without_time(value: Value, time: str) -> Value:
    """What a step takes of `value`."""
    shape = tuple(dim for dim in value.type.shape if dim != time)
    return Value(value.name, TensorType(value.type.dtype, shape))


def _axis_of(value: Value, time: str) -> int | None:
    return value.type.shape.index(time) if time in value.type.shape else None
