"""RNN: runs any cell over time. All recurrent layers are this layer with a cell; nothing below knows which cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnncc.errors import ArgumentError, ShapeError, caller
from rnncc.graph.symbolic import Tensor, as_tensor, input_tensor
from rnncc.layers.base import Layer
from rnncc.layers.checks import not_yet
from rnncc.layers.core import as_float
from rnncc.layers.specs import InputSpec, fixed_width
from rnncc.ops import functions as ops
from rnncc.ops.scan import scan
from rnncc.types import TensorType

_AXES = "(batch, time, width)"
_STATE_NAMES = ("h", "c")


class RNN(Layer):
    """Runs a cell over the time axis of its input.

    Args:
        cell: A layer whose ``call(inputs, states)`` computes one step: from ``inputs`` of shape ``(batch, width)``
            and a list of states of shape ``(batch, size)`` to ``(output, new_states)``. It has an attribute
            `state_size`: the size of its state, or a list of sizes. Built-in cells: `LSTMCell`, `GRUCell`,
            `SimpleRNNCell`.
        return_sequences: Whether to return the outputs of all steps, or only the last one.
        return_state: Whether to return the states after the last step as well.
        go_backwards: Whether to run from the last step to the first.
        stateful: Whether states stay from call to call. Only False is supported by now.
        unroll: True to unroll the whole loop (the length must be fixed), or how many steps one turn holds.
        zero_output_for_mask: Kept for masks, which are not supported yet.
        activity_regularizer: Kept for training; it changes nothing at inference.
        trainable: Whether the weights count as trainable.
        dtype: Element type of the weights: "float32" (the default) or "float64".
        name: The layer's name; by default rnn, rnn_1, ...
        input_shape: Shape of one input without the batch, when the layer comes first in a `Sequential`.
        batch_input_shape: The same with the batch size (or None) in front.

    Call arguments:
        inputs: floats of shape ``(batch, time, width)``.
        initial_state: the states before the first step: a tensor of shape ``(batch, size)`` or a list of them; zeros
            by default.
        mask: not supported yet.
        training: only makes a difference when there is dropout, which is not supported yet.

    Output shape:
        ``(batch, output size)``, or ``(batch, time, output size)`` with `return_sequences`; with `return_state` a
        list of that and the states, each ``(batch, size)``.

    Example:
        >>> class Decay(layers.Layer):
        ...     state_size = 8
        ...
        ...     def call(self, inputs, states):
        ...         (h,) = states
        ...         h = 0.9 * h + 0.1 * inputs
        ...         return h, [h]
        >>> layers.RNN(Decay(), return_sequences=True)(layers.Input(shape=(None, 8))).shape
        (None, None, 8)
    """

    def __init__(
        self,
        cell: Layer,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool | int = False,
        zero_output_for_mask: bool = False,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
        input_shape: Sequence[int | None] | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
    ) -> None:
        kind = type(self).__name__
        if not isinstance(cell, Layer) or not hasattr(cell, "state_size"):
            raise ArgumentError(
                f"cell of {kind} must be a layer with an attribute state_size",
                f"cell: {cell!r}",
                place=caller(),
                remedy="for example RNN(LSTMCell(64)); the help of RNN shows how to write a cell",
            )
        if stateful:
            raise not_yet(kind, "stateful=True", "pass the state on: return_state=True, then initial_state=state")
        if go_backwards and return_sequences:
            raise not_yet(kind, "go_backwards=True with return_sequences=True", "leave one of them out")
        if not isinstance(unroll, bool) and (not isinstance(unroll, int) or unroll < 1):
            raise ArgumentError(
                f"unroll of {kind} must be True, False or the number of steps in one turn",
                f"unroll: {unroll!r}",
                place=caller(),
            )
        super().__init__(
            activity_regularizer=activity_regularizer,
            trainable=trainable,
            dtype=dtype,
            name=name,
            input_shape=input_shape,
            batch_input_shape=batch_input_shape,
        )
        self.cell = cell
        self.dropout: float = getattr(cell, "dropout", 0.0)
        self.recurrent_dropout: float = getattr(cell, "recurrent_dropout", 0.0)
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.unroll = unroll
        self.zero_output_for_mask = zero_output_for_mask
        self.cell.path = f"{self.name}/{cell.name}" if kind == "RNN" else self.name
        self.cell.dtype = self.dtype
        self.input_spec = InputSpec(_AXES, ndim=3, remedy=_REMEDY)

    @property
    def state_size(self) -> list[int]:
        """Sizes of the states."""
        sizes: Any = self.cell.state_size
        return list(sizes) if isinstance(sizes, list | tuple) else [sizes]

    def build(self, input_shape: Any) -> None:
        """Create the cell's weights for the width of the input."""
        width = fixed_width(
            self.name, type(self).__name__, input_shape[0] if isinstance(input_shape, list) else input_shape
        )
        if not self.cell.built:
            self.cell.build((None, width))
            self.cell.built = True
        self.input_spec = InputSpec(_AXES, ndim=3, width=width, remedy=_REMEDY)

    def __call__(self, inputs: Any, initial_state: Any = None, mask: Any = None, training: bool | None = None) -> Any:
        """Run over time; see the class for the arguments. A list ``[x, *states]`` is taken as Keras does."""
        if mask is not None:
            raise not_yet(self.name, "a mask", "leave mask out; sequences of one call have one length")
        if isinstance(inputs, list | tuple) and inputs and isinstance(inputs[0], Tensor | np.ndarray):
            inputs, initial_state = inputs[0], list(inputs[1:]) or initial_state
        return super().__call__(inputs, initial_state, training=training)

    def call(self, inputs: Tensor, initial_state: Any = None) -> Any:
        """The cell, scanned over time."""
        x = as_float(inputs, self.dtype)
        states = self._initial_state(x, initial_state)
        x = ops.transpose(x, (1, 0, 2))
        output, new = self._probe(x, states)
        kept = next((number for number, state in enumerate(new) if state is output), None)
        carry = states if kept is not None else [*states, ops.zeros_like(output)]

        def step(carry: list[Tensor], x: Tensor) -> tuple[list[Tensor], Tensor | None]:
            _name([x, *carry], ["x", *_state_names(len(states)), "output"])
            output, new = self._cell_step(x, carry[: len(states)])
            return new if kept is not None else [*new, output], output if self.return_sequences else None

        unroll = self._unroll_factor(x.type.shape[0])
        final, outputs = scan(step, carry, x, reverse=self.go_backwards, unroll=unroll, name=f"{self.name}_step")
        _name(final, [f"{self.name}_{name}" for name in _state_names(len(states))])
        _name([outputs] if self.return_sequences else [], [f"{self.name}_steps"])
        result = ops.transpose(outputs, (1, 0, 2)) if self.return_sequences else final[-1 if kept is None else kept]
        if not self.return_state:
            return result
        return [result, *final[: len(states)]]

    def _cell_step(self, x: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        output, new = self.cell(x, states)
        new_states = list(new) if isinstance(new, list | tuple) else [new]
        if len(new_states) != len(states):
            raise ArgumentError(
                f"the cell of {self.name} returned {len(new_states)} states, its state_size has {len(states)}",
                place=caller(),
                remedy="call(inputs, states) returns (output, new_states) with as many states as it is given",
            )
        return output, new_states

    def _probe(self, x: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """What the cell returns for one step: its output is usually one of its states, which are carried anyway."""
        one = input_tensor(TensorType(x.dtype, x.type.shape[1:]), "x")
        return self._cell_step(one, [input_tensor(state.type, "state") for state in states])

    def _unroll_factor(self, steps: int | str) -> int:
        if isinstance(self.unroll, bool) and self.unroll and isinstance(steps, str):
            raise ArgumentError(
                f"{self.name} cannot unroll a loop whose length is not fixed",
                f"length: {steps.partition('?')[0]}, bound at the call",
                place=caller(),
                remedy="give the time axis of the Input a size, or the number of steps of one turn: unroll=4",
            )
        return max(1, steps) if self.unroll is True and isinstance(steps, int) else int(self.unroll) or 1

    def _initial_state(self, x: Tensor, given: Any) -> list[Tensor]:
        """The states before the first step, checked against the cell and the batch."""
        batch, sizes = x.type.shape[0], self.state_size
        if given is None or (isinstance(given, list | tuple) and not given):
            zeros = [ops.zeros((batch, size), self.dtype) for size in sizes]
            _name(zeros, [f"{name}0" for name in _state_names(len(sizes))])
            return zeros
        items = list(given) if isinstance(given, list | tuple) else [given]
        if len(items) != len(sizes):
            raise ArgumentError(
                f"{self.name} has {len(sizes)} state{'s' if len(sizes) > 1 else ''}, initial_state has {len(items)}",
                *[f"{name}: (batch, {size})" for name, size in zip(_state_names(len(sizes)), sizes, strict=True)],
                place=caller(),
                remedy="pass what a layer of the same kind returns with return_state=True, without its output",
            )
        states = []
        for name, item, size in zip(_state_names(len(sizes)), items, sizes, strict=True):
            state = ops.cast(as_tensor(item, self.dtype), self.dtype)
            if state.type.shape != (batch, size):
                raise ShapeError(
                    f"initial_state {name} of {self.name} has a wrong shape",
                    f"needed: {TensorType(self.dtype, (batch, size))}",
                    f"given:  {state.type}",
                    place=caller(),
                    remedy=f"{self.name} has {size} units; its state has one row per sample of the batch",
                )
            states.append(state)
        return states


_REMEDY = "token ids need an Embedding first; a recurrent layer before this one needs return_sequences=True"


def _state_names(count: int) -> list[str]:
    return list(_STATE_NAMES[:count]) if count <= len(_STATE_NAMES) else [f"s{number}" for number in range(count)]


def _name(tensors: Sequence[Tensor], names: Sequence[str]) -> None:
    """Give tensors the names that the field uses, so that graphs read well."""
    for tensor, name in zip(tensors, names, strict=False):
        tensor.name = name
