"""RNN: runs any cell over time. All recurrent layers are this layer with a cell; nothing below knows which cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from rnncc.errors import ArgumentError, ShapeError, caller
from rnncc.graph.symbolic import Tensor, as_tensor, input_tensor
from rnncc.layers.base import Layer
from rnncc.layers.checks import unknown_argument
from rnncc.layers.core import as_float
from rnncc.layers.masks import sequence_mask
from rnncc.layers.nested import (
    check_sequences,
    check_structure,
    flat_shapes,
    input_names,
    mapped,
    one_mask,
    step_shapes,
    time_first,
)
from rnncc.layers.seeds import at_step
from rnncc.layers.specs import InputSpec, fixed_width
from rnncc.layers.stacked import StackedRNNCells, output_size
from rnncc.layers.stateful import StateSlot, StateTensor
from rnncc.layers.states import as_list, checked_step, fitted, name_tensors, state_names, zero_states
from rnncc.numeric import whole_number
from rnncc.ops import functions as ops
from rnncc.ops.scan import scan
from rnncc.ops.structure import flatten, is_nested, rebuild
from rnncc.types import Dim, DType, TensorType

_AXES = "(batch, time, width)"
CellCall = Callable[[Tensor, Any], Any]
"""One step: inputs and states in, output and new states out."""


class RNN(Layer):
    """Runs a cell over the time axis of its input.

    Args:
        cell: A layer whose ``call(inputs, states)`` computes one step: from ``inputs`` of shape ``(batch, width)``
            and a list of states of shape ``(batch, size)`` to ``(output, new_states)``. It has an attribute
            `state_size`: the size of its state, or sizes in a list, a dict or nested lists and dicts; the states then
            come in the same structure. States of other shapes, or that do not start at zero, come from its
            ``get_initial_state(batch_size)``. Built-in cells: `LSTMCell`, `GRUCell`, `SimpleRNNCell`,
            `StackedRNNCells`. A list of cells is a stack of them.
        return_sequences: Whether to return the outputs of all steps, or only the last one.
        return_state: Whether to return the states after the last step as well.
        go_backwards: Whether to run from the last step to the first; outputs come in that order.
        stateful: Whether states stay from call to call, until `reset_states`; the batch size then stays as well.
        unroll: True to unroll the whole loop (the length must be fixed), or how many steps one turn holds.
        zero_output_for_mask: Whether the output of a masked step is zero; else it is that of the step before.
        activity_regularizer: Kept for training; it changes nothing at inference.
        trainable: Whether the weights count as trainable.
        dtype: Element type of the weights: "float32" (the default) or "float64".
        name: The layer's name; by default rnn, rnn_1, ...
        input_shape: Shape of one input without the batch, when the layer comes first in a `Sequential`.
        batch_input_shape: The same with the batch size (or None) in front.

    Call arguments:
        inputs: floats of shape ``(batch, time, width)``, with more dims behind when the cell takes them; a tuple or
            dict of such sequences (nested as you like) for a cell that takes one, with the same batch and time.
        initial_state: the states before the first step: a tensor of shape ``(batch, size)``, a list of them, or the
            structure of `state_size`; zeros by default.
        mask: booleans of shape ``(batch, time)``; a step with False leaves the states as they are. By default the
            mask that the input carries, from `Embedding(mask_zero=True)` or `Masking`; but none (as in Keras 3) when
            `initial_state` is given: ``mask=inputs.mask`` follows it then as well.
        lengths: whole numbers of shape ``(batch,)``: only so many steps of each sequence count.
        constants: tensors that the cell gets at every step, as ``call(inputs, states, constants=[...])``.
        training: whether dropout drops, other elements at every call; False by default.

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
        cell: Any,
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
        if isinstance(cell, list | tuple):
            cell = StackedRNNCells(cell)
        if not isinstance(cell, Layer) or not hasattr(cell, "state_size"):
            raise ArgumentError(
                f"cell of {kind} must be a layer with an attribute state_size",
                f"cell: {cell!r}",
                place=caller(),
                remedy="for example RNN(LSTMCell(64)); the help of RNN shows how to write a cell",
            )
        steps = unroll if isinstance(unroll, bool) else whole_number(unroll, 1)
        if steps is None:
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
        self._slots: list[StateSlot] = []
        self.unroll: bool | int = steps
        self.zero_output_for_mask = zero_output_for_mask
        self.cell.dtype = self.dtype
        self.move_to(self.name)
        self._first_inputs: Any = None
        """What the layer was called on first: all inputs have its structure."""
        if type(self).__name__ != "RNN":
            self.input_spec = InputSpec(_AXES, ndim=3, remedy=_REMEDY)

    def move_to(self, path: str) -> None:
        """Let the weights, before they are created, have names that start with `path`."""
        self.path = path
        self.cell.path = f"{path}/{self.cell.name}" if type(self).__name__ == "RNN" else path

    @property
    def state_size(self) -> Any:
        """Sizes of the states, in a list, or nested as the cell has them."""
        return as_list(self.cell.state_size)

    @property
    def output_size(self) -> int:
        """Size of the output of one step."""
        return output_size(self.cell)

    def get_initial_state(self, batch_size: Any) -> Any:
        """The states before the first step when none are given: what the cell says, or zeros."""
        return zero_states(self.cell, batch_size, self.dtype)

    def build(self, input_shape: Any) -> None:
        """Create the cell's weights for the inputs of one step."""
        shapes = flat_shapes(input_shape)
        for shape in shapes:
            if len(shape) > 2:
                fixed_width(self.name, type(self).__name__, shape)
        if not self.cell.built:
            self.cell.build(step_shapes(input_shape))
        if len(shapes) == 1 and len(shapes[0]) == 3:
            self.input_spec = InputSpec(_AXES, ndim=3, width=shapes[0][-1], remedy=_REMEDY)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask goes on with sequences, and ends at a last output and at states."""
        steps = mask if self.return_sequences else None
        return [steps] if self.return_state else steps

    def __call__(
        self,
        inputs: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool | None = None,
        **named: Any,
    ) -> Any:
        """Run over time; see the class for the arguments. A list ``[x, *states]`` is taken as in Keras 2, where a tuple
        holds nested inputs."""
        known = [name for name in self._parameters if name != "inputs"]
        if unknown := next((name for name in named if name not in known), None):
            raise unknown_argument(f"the call of {self.name}", unknown, known)
        inputs, initial_state = self.with_states(inputs, initial_state)
        given = {name: item for name, item in {**named, "mask": mask}.items() if item is not None}
        return super().__call__(inputs, initial_state, training=training, **given)

    def with_states(self, inputs: Any, initial_state: Any) -> tuple[Any, Any]:
        """The input and the states of a call; a list holds both, a tuple only where it cannot be a nested input."""
        several = list if type(self).__name__ == "RNN" else list | tuple
        if isinstance(inputs, several) and inputs and isinstance(inputs[0], Tensor | np.ndarray):
            return inputs[0], list(inputs[1:]) or initial_state
        return inputs, initial_state

    def _tensor_arguments(self, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        """As everywhere, without what Keras does not have: `lengths` and `constants` go together with a mask."""
        found = super()._tensor_arguments(args, kwargs)
        return {name: item for name, item in found.items() if name not in ("lengths", "constants")}

    def _masks(self, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """As everywhere; nested inputs have one mask."""
        mask, masks = super()._masks(args, kwargs)
        return one_mask(mask), {name: one_mask(item) for name, item in masks.items()}

    def call(
        self,
        inputs: Any,
        initial_state: Any = None,
        mask: Any = None,
        lengths: Any = None,
        constants: Any = None,
    ) -> Any:
        """The cell, scanned over time."""
        sequences = self._sequences(inputs)
        x = flatten(sequences)[0]
        steps_that_count = sequence_mask(self.name, x, mask, lengths)
        zeros = self.get_initial_state(x.type.shape[0])
        given = initial_state is not None and flatten(initial_state)
        states = fitted(self.name, initial_state, zeros) if given else zeros
        if self.stateful:
            states = self._kept_states(zeros, given)
        elif not given:
            name_tensors(flatten(states), [f"{name}0" for name in state_names(len(flatten(states)))])
        loop = _Loop(self, self._cell_call(constants), steps_that_count)
        output, final = loop.run(mapped(sequences, time_first), states, self._unroll_factor(x.type.shape[1]))
        return [output, *(final.values() if isinstance(final, dict) else final)] if self.return_state else output

    def _sequences(self, inputs: Any) -> Any:
        """The inputs, checked; nested ones keep their structure and whole numbers."""
        if self._first_inputs is None:
            self._first_inputs = inputs
        remedy = "a layer keeps the structure of its first inputs; make another layer for another one"
        check_structure(f"the input of {self.name}", self._first_inputs, inputs, remedy)
        if not is_nested(inputs):
            return as_float(inputs, self.dtype)
        check_sequences(self.name, inputs)
        return inputs

    def reset_states(self) -> None:
        """Let the next call of a stateful layer start from zeros, with any batch size."""
        for slot in self._slots:
            slot.value = None

    def _kept_states(self, zeros: Any, given: Any) -> Any:
        """The states that the calls before left."""
        if given:
            raise ArgumentError(
                f"{self.name} is stateful and takes no initial_state",
                place=caller(),
                remedy="leave one of them out: a stateful layer starts from the state of the call before",
            )
        leaves = flatten(zeros)
        if not self._slots:
            self._slots = [StateSlot(self.name, name) for name in state_names(len(leaves))]
        return rebuild(zeros, [StateTensor(leaf.type, slot) for leaf, slot in zip(leaves, self._slots, strict=True)])

    def _cell_call(self, constants: Any) -> CellCall:
        """One step of the cell, `constants` included."""
        if constants is None:
            return self.cell
        if "constants" not in self.cell._parameters:
            raise ArgumentError(
                f"the cell of {self.name} takes no constants",
                place=caller(),
                remedy="give its call a parameter constants: call(self, inputs, states, constants)",
            )
        return partial(self.cell, constants=constants if isinstance(constants, list | tuple) else [constants])

    def _unroll_factor(self, steps: int | str) -> int:
        if isinstance(self.unroll, bool) and self.unroll and isinstance(steps, str):
            raise ArgumentError(
                f"{self.name} cannot unroll a loop whose length is not fixed",
                f"length: {steps.partition('?')[0]}, bound at the call",
                place=caller(),
                remedy="give the time axis of the Input a size, or the number of steps of one turn: unroll=4",
            )
        return max(1, steps) if self.unroll is True and isinstance(steps, int) else int(self.unroll) or 1


class _Loop:
    """The loop over time of one call of a layer.

    A masked step leaves the states as they are. Its output is that of the step before, or zeros with
    `zero_output_for_mask`.
    """

    def __init__(self, layer: RNN, cell: CellCall, mask: Tensor | None) -> None:
        self.layer = layer
        self.cell = cell
        self.mask = mask

    def run(self, x: Any, states: Any, unroll: int) -> tuple[Tensor, Any]:
        """The output of the layer and the states after the last step; `x`, one tensor or more, has the time axis
        first."""
        layer = self.layer
        kept, output, draws = self._probe(x, states)
        self._check_batch(flatten(x)[0].type.shape[1], flatten(states), output)
        count = len(flatten(states))
        carry = flatten(states) if kept is not None else [*flatten(states), ops.zeros_like(output)]

        def step(carry: list[Tensor], slices: list[Tensor]) -> tuple[list[Tensor], Tensor | None]:
            name_tensors(carry, [*state_names(count), *(["output"] if kept is None else [])])
            name_tensors(slices, [*input_names(x), *(["step"] * draws), *(["mask"] * (self.mask is not None))])
            mask = None if self.mask is None else slices.pop()
            with at_step(slices.pop() if draws else _step_number(), is_recurrent=True):
                y, new = self._step(rebuild(x, slices), rebuild(states, carry[:count]))
            if mask is not None:
                new = [_where(mask, after, before) for after, before in zip(new, carry, strict=False)]
                y = new[kept] if kept is not None else _where(mask, y, self._at_mask(carry))
            return new if kept is not None else [*new, y], y if layer.return_sequences else None

        slices = flatten(x)
        if draws:
            slices.append(ops.cast(ops.arange(slices[0].type.shape[0]), DType.I32))
        if self.mask is not None:
            slices.append(time_first(self.mask))
        final, steps = scan(step, carry, slices, reverse=layer.go_backwards, unroll=unroll, name=f"{layer.name}_step")
        name_tensors(final[:count], [f"{layer.name}_{name}" for name in state_names(count)])
        last = final[-1 if kept is None else kept]
        return self._in_order(steps) if layer.return_sequences else last, rebuild(states, final[:count])

    def _in_order(self, steps: Tensor) -> Tensor:
        """The outputs of all steps, in the order in which they were computed."""
        steps.name = f"{self.layer.name}_steps"
        result = time_first(steps)
        return ops.flip(result, 1) if self.layer.go_backwards else result

    def _at_mask(self, carry: list[Tensor]) -> Tensor:
        return ops.zeros_like(carry[-1]) if self.layer.zero_output_for_mask else carry[-1]

    def _step(self, x: Any, states: Any) -> tuple[Tensor, list[Tensor]]:
        result = self.cell(x, states)
        if not (isinstance(result, tuple | list) and len(result) == 2):
            raise ArgumentError(
                f"the cell of {self.layer.name} must return (output, new_states)",
                place=caller(),
                remedy="call(inputs, states) returns the output of the step and the states after it",
            )
        output, new = result
        if output is None or is_nested(output):
            raise ArgumentError(
                f"the output of the cell of {self.layer.name} must be one tensor, not {type(output).__name__}",
                place=caller(),
                remedy="call(inputs, states) returns the output of the step and the states after it",
            )
        return as_tensor(output), flatten(checked_step(self.layer.name, states, as_list(new)))

    def _check_batch(self, batch: Dim, states: Sequence[Tensor], output: Tensor) -> None:
        """Raise when the output of a step, or a state that a mask is to choose the rows of, has no batch axis."""
        named = list(zip([f"state {label}" for label in state_names(len(states))], states, strict=True))
        for what, tensor in [("output", output), *(named if self.mask is not None else [])]:
            if tensor.type.shape[:1] != (batch,):
                why = "" if what == "output" else ", which a mask needs: a masked step keeps the old rows"
                raise ShapeError(
                    f"the {what} of the cell of {self.layer.name} has no batch axis{why}",
                    f"{what}: {tensor.type}",
                    place=caller(),
                    remedy="its first axis is the batch, which get_initial_state is given as batch_size",
                )

    def _probe(self, x: Any, states: Any) -> tuple[int | None, Tensor, bool]:
        """Which state the output of a step is (if it is one, it is carried anyway), what the output looks like, and
        whether a layer in the cell draws random numbers at every step."""
        one = mapped(x, lambda leaf: input_tensor(TensorType(leaf.dtype, leaf.type.shape[1:]), "x"))
        before = [input_tensor(state.type, "state") for state in flatten(states)]
        with at_step(_step_number(), is_recurrent=True) as steps:
            output, new = self._step(one, rebuild(states, before))
        draws = any(step.is_asked for step in steps)
        if self.mask is not None and self.layer.zero_output_for_mask:
            return None, output, draws
        return next((number for number, state in enumerate(new) if state is output), None), output, draws


def _step_number() -> Tensor:
    """What stands for the number of a step where nothing that is kept depends on it."""
    return input_tensor(TensorType(DType.I32, ()), "step")


def _where(mask: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """`new` for the rows whose step counts, `old` for the others."""
    if mask.ndim < new.ndim:
        mask = ops.reshape(mask, (*mask.type.shape, *(1,) * (new.ndim - mask.ndim)))
    return ops.where(mask, new, old)


_REMEDY = "token ids need an Embedding first; a recurrent layer before this one needs return_sequences=True"
