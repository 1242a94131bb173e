"""SimpleRNN: the cell and the layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnncc.graph.symbolic import Tensor
from rnncc.layers.cells import RecurrentCell
from rnncc.layers.recurrent import RNN


class SimpleRNNCell(RecurrentCell):
    """One step of a `SimpleRNN`, for `RNN` or a loop of your own.

    Args:
        units: Integer. Size of the state and the output.
        activation: Function of the new state: "tanh" (the default), "sigmoid", "relu", ..., a function of a symbolic
            tensor, or None for no function.
        use_bias: Whether a bias is added.
        kernel_initializer: How the kernel (for the inputs) gets its first numbers: a name, an initializer, or a
            function of a shape.
        recurrent_initializer: The same for the recurrent kernel (for the state before).
        bias_initializer: The same for the bias.
        kernel_regularizer: Kept for training; it changes nothing at inference.
        recurrent_regularizer: Kept for training; it changes nothing at inference.
        bias_regularizer: Kept for training; it changes nothing at inference.
        kernel_constraint: Kept for training; it changes nothing at inference.
        recurrent_constraint: Kept for training; it changes nothing at inference.
        bias_constraint: Kept for training; it changes nothing at inference.
        dropout: Share of the inputs to drop in training, 0 to 1: one mask for all steps of a sequence. At
            inference nothing is dropped.
        recurrent_dropout: Share of the state to drop in training, 0 to 1, in front of its product with the recurrent
            kernel: one mask for all steps of a sequence.
        seed: A whole number. Layers with one seed have the same masks in the same order; by default each has others.
        trainable: Whether the weights count as trainable.
        dtype: Element type of the weights and states: "float32" (the default) or "float64".
        name: The layer's name; by default simple_rnn_cell, simple_rnn_cell_1, ...

    Call arguments:
        inputs: floats of shape ``(batch, width)``.
        states: the list ``[h]``, with h of shape ``(batch, units)``.

    Returns:
        The output, which is the new h, and the list of new states.

    Example:
        >>> layers.RNN(layers.SimpleRNNCell(4))(layers.Input(shape=(None, 8))).shape
        (None, 4)

    Source: Keras 3, ``keras.layers.SimpleRNNCell``.
    """

    gates = 1
    drops_all = True

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        *,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            units=units,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            seed=seed,
            for_training={
                "kernel_regularizer": kernel_regularizer,
                "recurrent_regularizer": recurrent_regularizer,
                "bias_regularizer": bias_regularizer,
                "kernel_constraint": kernel_constraint,
                "recurrent_constraint": recurrent_constraint,
                "bias_constraint": bias_constraint,
            },
            trainable=trainable,
            dtype=dtype,
            name=name,
        )

    def call(
        self, inputs: Tensor, states: Sequence[Tensor], training: bool | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """One step."""
        (h,) = states
        x, kept = self.dropped(inputs, h, training)
        z = x @ self.kernel + kept @ self.recurrent_kernel
        if self.bias is not None:
            z = z + self.bias
        h = self.activation(z)
        return h, [h]


class SimpleRNN(RNN):
    """Fully connected recurrent layer: the output is fed back to the next step (Elman 1990).

    At each step::

        h = tanh(x @ kernel + h @ recurrent_kernel + bias)

    Args:
        units: Integer. Size of the state and the output.
        activation: Function of the new state: "tanh" (the default), "sigmoid", "relu", ..., a function of a symbolic
            tensor, or None for no function.
        use_bias: Whether a bias is added.
        kernel_initializer: How the kernel (for the inputs) gets its first numbers: a name, an initializer, or a
            function of a shape.
        recurrent_initializer: The same for the recurrent kernel (for the state before).
        bias_initializer: The same for the bias.
        kernel_regularizer: Kept for training; it changes nothing at inference.
        recurrent_regularizer: Kept for training; it changes nothing at inference.
        bias_regularizer: Kept for training; it changes nothing at inference.
        activity_regularizer: Kept for training; it changes nothing at inference.
        kernel_constraint: Kept for training; it changes nothing at inference.
        recurrent_constraint: Kept for training; it changes nothing at inference.
        bias_constraint: Kept for training; it changes nothing at inference.
        dropout: Share of the inputs to drop in training, 0 to 1: one mask for all steps of a sequence. At
            inference nothing is dropped.
        recurrent_dropout: Share of the state to drop in training, 0 to 1, in front of its product with the recurrent
            kernel: one mask for all steps of a sequence.
        return_sequences: Whether to return the outputs of all steps, or only the last one (the default).
        return_state: Whether to return the state after the last step as well.
        go_backwards: Whether to run from the last step to the first; outputs come in that order.
        stateful: Whether states stay from call to call, until `reset_states`; the batch size then stays as well.
        unroll: True to unroll the whole loop (the length of the input must then be fixed), or a whole number: the
            steps that one turn of the compiled loop holds.
        seed: A whole number. Layers with one seed have the same masks in the same order; by default each has others.
        zero_output_for_mask: Whether the output of a masked step is zero; else it is that of the step before.
        trainable: Whether the weights count as trainable.
        dtype: Element type of the weights and states: "float32" (the default) or "float64".
        name: The layer's name; by default simple_rnn, simple_rnn_1, ...
        input_shape: Shape of one input without the batch, when the layer comes first in a `Sequential`.
        batch_input_shape: The same with the batch size (or None) in front.

    Call arguments:
        inputs: floats of shape ``(batch, time, width)``; the width must be fixed.
        initial_state: the state before the first step, of shape ``(batch, units)``;
            zeros by default.
        mask: booleans of shape ``(batch, time)``; a step with False leaves the states as they are. By default the
            mask that the input carries, from `Embedding(mask_zero=True)` or `Masking`; but none (as in Keras 3) when
            `initial_state` is given: ``mask=inputs.mask`` follows it then as well.
        lengths: whole numbers of shape ``(batch,)``: only so many steps of each sequence count.
        training: whether dropout drops, other elements at every call; False by default.

    Output shape:
        ``(batch, units)``, or ``(batch, time, units)`` with `return_sequences`. With `return_state` a list of that
        and the state, of shape ``(batch, units)``.

    Weights:
        `kernel`, of shape ``(width, units)``, `recurrent_kernel`, of shape ``(units, units)``, and `bias`, of shape
        ``(units,)``.

    Raises:
        ArgumentError: `units` is not a whole number above 0, a name is unknown, or initial_state has a wrong number
            of states.
        ShapeError: the input, a state or the mask has a wrong rank or size.

    Example:
        >>> x = np.random.random((32, 10, 8))
        >>> layers.SimpleRNN(4)(x).shape
        (32, 4)
        >>> output, h = layers.SimpleRNN(4, return_sequences=True, return_state=True)(x)
        >>> output.shape, h.shape
        ((32, 10, 4), (32, 4))
    """

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool | int = False,
        seed: int | None = None,
        *,
        zero_output_for_mask: bool = False,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
        input_shape: Sequence[int | None] | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
    ) -> None:
        cell = SimpleRNNCell(
            units=units,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            seed=seed,
            trainable=trainable,
            dtype=dtype,
        )
        super().__init__(
            cell,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            zero_output_for_mask=zero_output_for_mask,
            activity_regularizer=activity_regularizer,
            trainable=trainable,
            dtype=dtype,
            name=name,
            input_shape=input_shape,
            batch_input_shape=batch_input_shape,
        )
        self.units = cell.units
