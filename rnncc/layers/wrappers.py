"""Wrappers: Bidirectional runs a recurrent layer both ways, TimeDistributed applies a layer to every step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rnncc.errors import ArgumentError, ShapeError, caller, nearest
from rnncc.graph.symbolic import Tensor, shown
from rnncc.layers.base import Layer
from rnncc.layers.masks import as_mask
from rnncc.layers.nested import one_mask, time_first
from rnncc.layers.phase import is_training
from rnncc.layers.recurrent import RNN
from rnncc.layers.seeds import at_step, use_other_keys
from rnncc.layers.specs import InputSpec
from rnncc.ops import functions as ops
from rnncc.ops.scan import scan
from rnncc.ops.structure import flatten, rebuild
from rnncc.types import DType

_MERGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sum": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "concat": lambda a, b: ops.concatenate([a, b], -1),
    "ave": lambda a, b: (a + b) / 2,
}


class Bidirectional(Layer):
    """Runs a recurrent layer from the first step to the last and another one from the last to the first
    (Schuster and Paliwal 1997).

    Args:
        layer: A recurrent layer: `LSTM`, `GRU`, `SimpleRNN` or `RNN`. It is a pattern: the wrapper makes one layer like
            it for each direction, with weights of their own, named ``forward_...`` and ``backward_...``.
        merge_mode: How the outputs of both directions become one: "concat" (the default), "sum", "mul", "ave" (their
            mean), or None to return both.
        weights: Numbers for the weights, as `set_weights` takes them, instead of those of the initializers.
        backward_layer: The layer for the way back, instead of one like `layer`; it has the other `go_backwards`, and
            the same `return_sequences`, `return_state` and `stateful`.
        trainable: Whether the weights count as trainable.
        dtype: Accepted as everywhere; each direction computes in the type of its layer.
        name: The layer's name; by default bidirectional, bidirectional_1, ...
        input_shape: Shape of one input without the batch, when the layer comes first in a `Sequential`.
        batch_input_shape: The same with the batch size (or None) in front.

    Call arguments:
        inputs: floats of shape ``(batch, time, width)``.
        initial_state: a list with the states of the forward layer, then those of the backward layer.
        mask: booleans of shape ``(batch, time)``; the outputs of masked steps are zero with `return_sequences`. By
            default the mask that the input carries; but none (as in Keras 3) when `initial_state` is given.
        lengths: whole numbers of shape ``(batch,)``: only so many steps of each sequence count.
        training: whether dropout drops; the directions have different masks, also when they are made with one seed.

    Output shape:
        That of `layer`, with twice the width for "concat"; outputs of the backward layer come in the order of the
        input. With `return_state` a list of that, the forward states and the backward states. With `merge_mode` None
        there are two outputs in place of one.

    Weights:
        Those of the forward layer, then those of the backward layer.

    Raises:
        ArgumentError: `layer` is not a recurrent layer, `merge_mode` is unknown, or the two layers do not go together.
        ShapeError: the outputs of both directions have different widths, and `merge_mode` needs equal ones.

    Example:
        >>> x = np.random.random((32, 10, 8))
        >>> layers.Bidirectional(layers.LSTM(4, return_sequences=True))(x).shape
        (32, 10, 8)
        >>> outputs = layers.Bidirectional(layers.GRU(4, return_state=True), merge_mode="sum")(x)
        >>> [y.shape for y in outputs]
        [(32, 4), (32, 4), (32, 4)]
    """

    supports_masking = True

    def __init__(
        self,
        layer: Any,
        merge_mode: str | None = "concat",
        weights: Sequence[Any] | None = None,
        backward_layer: Any = None,
        *,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
        input_shape: Sequence[int | None] | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
    ) -> None:
        _check_recurrent("layer", layer)
        if backward_layer is not None:
            _check_recurrent("backward_layer", backward_layer)
        if merge_mode is not None and merge_mode not in _MERGES:
            meant = nearest(str(merge_mode), _MERGES)
            raise ArgumentError(
                f"Bidirectional has no merge_mode {merge_mode!r}",
                f"known: {', '.join(_MERGES)}, None",
                place=caller(),
                remedy=f"did you mean {meant!r}?" if meant else None,
            )
        super().__init__(
            trainable=trainable,
            dtype=dtype,
            name=name,
            input_shape=input_shape,
            batch_input_shape=batch_input_shape,
        )
        self.merge_mode = merge_mode
        self.forward_layer: RNN = layer.like(_with_prefix("forward_", layer.name))
        if backward_layer is None:
            self.backward_layer: RNN = layer.like(_with_prefix("backward_", layer.name))
            self.backward_layer.go_backwards = True
            use_other_keys(self.backward_layer)
        else:
            self.backward_layer = backward_layer
        _check_pair(self.forward_layer, self.backward_layer)
        for direction in (self.forward_layer, self.backward_layer):
            direction.zero_output_for_mask = direction.return_sequences
            if not direction.built:
                direction.move_to(f"{self.name}/{direction.name}")
        self.return_sequences: bool = layer.return_sequences
        self.return_state: bool = layer.return_state
        self.stateful: bool = layer.stateful
        self.input_spec = layer.input_spec
        self._first_weights = weights

    def build(self, input_shape: Any) -> None:
        """Create the weights of both directions."""
        for direction in (self.forward_layer, self.backward_layer):
            if not direction.built:
                direction.build(input_shape)
        if self._first_weights is not None:
            self.set_weights(self._first_weights)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask goes on with sequences, and ends at a last output and at states."""
        steps = mask if self.return_sequences else None
        return [steps, steps] if self.merge_mode is None else [steps]

    def __call__(
        self,
        inputs: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool | None = None,
        lengths: Any = None,
    ) -> Any:
        """Run both ways; see the class for the arguments. A list ``[x, *states]`` is taken as Keras does."""
        inputs, initial_state = self.forward_layer.with_states(inputs, initial_state)
        options = {"initial_state": initial_state, "mask": mask, "lengths": lengths}
        given = {name: item for name, item in options.items() if item is not None}
        return super().__call__(inputs, training=training, **given)

    def call(self, inputs: Any, initial_state: Any = None, mask: Any = None, lengths: Any = None) -> Any:
        """Both directions, merged."""
        there, back = self._halves(initial_state)
        options = {name: item for name, item in {"mask": mask, "lengths": lengths}.items() if item is not None}
        forward = _parts(self.forward_layer(inputs, there, **options))
        backward = _parts(self.backward_layer(inputs, back, **options))
        a, b = forward[0], backward[0]
        if self.return_sequences:
            a, b = _in_time_order(self.forward_layer, a), _in_time_order(self.backward_layer, b)
        merged = [a, b] if self.merge_mode is None else [self._merged(a, b)]
        results = [*merged, *forward[1:], *backward[1:]]
        return results if len(results) > 1 else results[0]

    def _tensor_arguments(self, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        """As everywhere, without `lengths`, which Keras does not have: they go together with a mask."""
        found = super()._tensor_arguments(args, kwargs)
        return {name: item for name, item in found.items() if name != "lengths"}

    def _masks(self, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """As everywhere; nested inputs have one mask."""
        mask, masks = super()._masks(args, kwargs)
        return one_mask(mask), {name: one_mask(item) for name, item in masks.items()}

    def _halves(self, states: Any) -> tuple[Any, Any]:
        if states is None:
            return None, None
        items = list(states) if isinstance(states, list | tuple) else [states]
        counts = [len(flatten(layer.state_size)) for layer in (self.forward_layer, self.backward_layer)]
        leaves = flatten(items)
        if len(leaves) != sum(counts):
            raise ArgumentError(
                f"{self.name} has {sum(counts)} states, initial_state has {len(leaves)}",
                f"forward: {counts[0]}, then backward: {counts[1]}",
                place=caller(),
                remedy="pass what a Bidirectional of the same kind returns with return_state=True, without its output",
            )
        return leaves[: counts[0]], leaves[counts[0] :]

    def _merged(self, a: Tensor, b: Tensor) -> Tensor:
        assert self.merge_mode is not None
        if self.merge_mode != "concat" and a.type != b.type:
            raise ShapeError(
                f"merge_mode {self.merge_mode!r} of {self.name} needs two outputs of one shape",
                f"{self.forward_layer.name}: {a.type}",
                f"{self.backward_layer.name}: {b.type}",
                place=caller(),
                remedy='give both layers as many units, or use merge_mode "concat" or None',
            )
        return _MERGES[self.merge_mode](a, b)


def _check_recurrent(argument: str, layer: Any) -> None:
    if not isinstance(layer, RNN):
        raise ArgumentError(
            f"{argument} of Bidirectional must be a recurrent layer",
            f"{argument}: {layer!r}",
            place=caller(),
            remedy="for example Bidirectional(LSTM(64)); a cell of your own goes into an RNN first",
        )


def _check_pair(forward: RNN, backward: RNN) -> None:
    if forward.go_backwards == backward.go_backwards:
        raise ArgumentError(
            "both layers of Bidirectional run in the same direction",
            f"go_backwards: {forward.go_backwards} in {forward.name}, {backward.go_backwards} in {backward.name}",
            place=caller(),
            remedy="give backward_layer go_backwards=True, and layer go_backwards=False",
        )
    for name in ("stateful", "return_sequences", "return_state"):
        if getattr(forward, name) != getattr(backward, name):
            raise ArgumentError(
                f"the layers of Bidirectional differ in {name}",
                f"{forward.name}: {getattr(forward, name)}",
                f"{backward.name}: {getattr(backward, name)}",
                place=caller(),
                remedy=f"give both the same {name}",
            )


def _with_prefix(prefix: str, name: str) -> str:
    return prefix + name.removeprefix(prefix)


def _parts(result: Any) -> list[Any]:
    return list(result) if isinstance(result, list | tuple) else [result]


def _in_time_order(layer: RNN, sequence: Tensor) -> Tensor:
    return ops.flip(sequence, 1) if layer.go_backwards else sequence


class TimeDistributed(Layer):
    """Applies a layer to every step of a sequence.

    Args:
        layer: Any layer, model or stack of them; it sees one step: the input without its axis 1.
        trainable: Whether the weights count as trainable.
        dtype: Accepted as everywhere; the computation has the type of `layer`.
        name: The layer's name; by default time_distributed, time_distributed_1, ...
        input_shape: Shape of one input without the batch, when the layer comes first in a `Sequential`.
        batch_input_shape: The same with the batch size (or None) in front.

    Call arguments:
        inputs: a tensor of shape ``(batch, time, ...)``.
        mask: booleans of shape ``(batch, time, ...)``; what it has behind the time axis is the mask of a step. Of
            shape ``(batch, time)`` it reaches a layer that takes vectors and has a parameter `mask`.
        training: whether dropout inside of `layer` drops: other elements at every step.

    Output shape:
        ``(batch, time, ...)``, with what `layer` makes of one step; a list when it has several outputs.

    Raises:
        ArgumentError: `layer` is not a layer.
        ShapeError: the input has no time axis, or one step has another mask.

    Example:
        >>> model = rnncc.Sequential([layers.Input(shape=(None, 6, 8)), layers.TimeDistributed(layers.LSTM(4))])
        >>> model(np.zeros((2, 5, 6, 8))).shape
        (2, 5, 4)

    Source: Keras 3, ``keras.layers.TimeDistributed``.
    """

    supports_masking = True

    def __init__(
        self,
        layer: Any,
        *,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
        input_shape: Sequence[int | None] | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
    ) -> None:
        if not isinstance(layer, Layer):
            raise ArgumentError(
                "TimeDistributed needs a layer",
                f"layer: {layer!r}",
                place=caller(),
                remedy="pass an instance: TimeDistributed(Dense(10))",
            )
        super().__init__(
            trainable=trainable,
            dtype=dtype,
            name=name,
            input_shape=input_shape,
            batch_input_shape=batch_input_shape,
        )
        self.autocast = False
        self.layer = layer
        self.input_spec = InputSpec("(batch, time, ...)", min_ndim=2)

    def call(self, inputs: Tensor, mask: Any = None) -> Any:
        """The layer at every step."""
        per_step = None if mask is None else as_mask(mask)
        if per_step is not None and per_step.ndim < 3 < inputs.ndim:
            per_step = None  # which steps count, for the layers behind: the sequences inside have no mask
        if per_step is not None and per_step.type.shape != inputs.type.shape[: per_step.ndim]:
            raise ShapeError(
                f"the mask of {self.name} must have the first dims of its input",
                f"mask: {shown(per_step)}",
                shown(inputs),
                place=caller(),
            )
        slices = [time_first(inputs)] + ([] if per_step is None else [time_first(per_step)])
        takes_mask = "mask" in self.layer._parameters
        structure: list[Any] = []
        count = [ops.cast(ops.arange(inputs.type.shape[1]), DType.I32)] if is_training() else []

        def step(nothing: None, slices: list[Tensor]) -> tuple[None, list[Tensor]]:
            x, *masks = slices[: len(slices) - len(count)]
            x.name = "x"
            options = {"mask": masks[0]} if masks and takes_mask else {}
            with at_step(*slices[len(slices) - len(count) :]):
                result = self.layer(x, **options)
            structure.append(result)
            return None, flatten(result)

        _, steps = scan(step, None, [*slices, *count], name=f"{self.name}_step")
        return rebuild(structure[0], [time_first(one) for one in steps])
