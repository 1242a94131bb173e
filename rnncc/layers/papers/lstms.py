"""LSTM cells of papers. ``W``, ``U``, ``b``: kernel, recurrent kernel, bias; products of gates are by element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnncc.graph.symbolic import Tensor
from rnncc.layers.checks import positive, rate
from rnncc.layers.papers.common import Normalization, PaperCell


class _LSTMCell(PaperCell):
    """A cell with the states h and c."""

    gates = 4
    bias_of_forget_gate = 1

    @property
    def state_size(self) -> list[int]:
        """Sizes of h and c."""
        return [self.output_size, self.units]


class LayerNormLSTMCell(_LSTMCell):
    """LSTM with layer normalization: J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", 2016, equations 20-22.

    ::

        i, f, g, o = LN(x W) + LN(h U) + b
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(LN(c))

    Args:
        units: Integer. Size of the states and the output.
        activation: Function of the candidate and of the cell state: "tanh" by default.
        recurrent_activation: Function of the gates: "sigmoid" by default.
        epsilon: Added to the variances.
        trainable: Whether the weights count as trainable.
        dtype: Element type of the weights and states: "float32" (the default) or "float64".
        name: The layer's name; by default layer_norm_lstm_cell, layer_norm_lstm_cell_1, ...

    Call arguments:
        inputs: floats of shape ``(batch, width)``.
        states: the list ``[h, c]``, each of shape ``(batch, units)``.

    Returns:
        The output, which is the new h, and the list of new states.

    Weights:
        `kernel`, `recurrent_kernel` and `bias` with the gates in the order i, f, g, o; gain and shift of the three
        normalizations, of 4 * units, 4 * units and units.

    Example:
        >>> layers.RNN(layers.LayerNormLSTMCell(4))(layers.Input((None, 8))).shape
        (None, 4)
    """

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        epsilon: float = 1e-5,
        *,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(units, activation, recurrent_activation, trainable=trainable, dtype=dtype, name=name)
        self.epsilon = float(epsilon)

    def build(self, input_shape: Any) -> None:
        """Create the weights for the width of the input."""
        super().build(input_shape)
        self.of_inputs = Normalization(self, "input", 4 * self.units, self.epsilon)
        self.of_states = Normalization(self, "recurrent", 4 * self.units, self.epsilon)
        self.of_cell = Normalization(self, "cell", self.units, self.epsilon)

    def call(self, inputs: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """One step."""
        h, c = states
        z = self.of_inputs(inputs @ self.kernel) + self.of_states(h @ self.recurrent_kernel) + self.bias
        i, f, g, o = self.parts(z)
        c = self.recurrent_activation(f) * c + self.recurrent_activation(i) * self.activation(g)
        h = self.recurrent_activation(o) * self.activation(self.of_cell(c))
        return h, [h, c]


class PeepholeLSTMCell(_LSTMCell):
    """LSTM whose gates see the cell state: F. A. Gers, N. N. Schraudolph, J. Schmidhuber, "Learning Precise Timing with
    LSTM Recurrent Networks", JMLR 2002, section 2.

    ::

        i = sigmoid(x W_i + h U_i + p_i * c + b_i)
        f = sigmoid(x W_f + h U_f + p_f * c + b_f)
        c' = f * c + i * tanh(x W_g + h U_g + b_g)
        o = sigmoid(x W_o + h U_o + p_o * c' + b_o)
        h' = o * tanh(c')

    Args:
        units: Integer. Size of the states and the output.
        activation: Function of the candidate and of the cell state: "tanh" by default.
        recurrent_activation: Function of the gates: "sigmoid" by default.
        trainable: Whether the weights count as trainable.
        dtype: Element type of the weights and states: "float32" (the default) or "float64".
        name: The layer's name; by default peephole_lstm_cell, peephole_lstm_cell_1, ...

    Call arguments:
        inputs: floats of shape ``(batch, width)``.
        states: the list ``[h, c]``, each of shape ``(batch, units)``.

    Returns:
        The output, which is the new h, and the list of new states.

    Weights:
        `kernel`, `recurrent_kernel` and `bias` with the gates in the order i, f, g, o; `peephole`, of shape
        ``(3, units)``: p_i, p_f, p_o.

    Example:
        >>> layers.RNN(layers.PeepholeLSTMCell(4))(layers.Input((None, 8))).shape
        (None, 4)
    """

    def build(self, input_shape: Any) -> None:
        """Create the weights for the width of the input."""
        super().build(input_shape)
        self.peephole = self.add_weight("peephole", (3, self.units), "glorot_uniform")

    def call(self, inputs: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """One step."""
        h, c = states
        i, f, g, o = self.parts(inputs @ self.kernel + h @ self.recurrent_kernel + self.bias)
        i = self.recurrent_activation(i + self.peephole[0] * c)
        f = self.recurrent_activation(f + self.peephole[1] * c)
        c = f * c + i * self.activation(g)
        h = self.recurrent_activation(o + self.peephole[2] * c) * self.activation(c)
        return h, [h, c]


class ProjectedLSTMCell(_LSTMCell):
    """LSTM whose output is projected to fewer units: H. Sak, A. Senior, F. Beaufays, "Long Short-Term Memory Recurrent
    Neural Network Architectures for Large Scale Acoustic Modeling", Interspeech 2014, equations 1-7, without peepholes.

    ::

        i, f, g, o = x W + h U + b
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = (sigmoid(o) * tanh(c)) P

    Args:
        units: Integer. Size of the cell state c.
        projection: Integer. Size of h, the output.
        activation: Function of the candidate and of the cell state: "tanh" by default.
        recurrent_activation: Function of the gates: "sigmoid" by default.
        trainable: Whether the weights count as trainable.
        dtype: Element type of the weights and states: "float32" (the default) or "float64".
        name: The layer's name; by default projected_lstm_cell, projected_lstm_cell_1, ...

    Call arguments:
        inputs: floats of shape ``(batch, width)``.
        states: the list ``[h, c]``, of shapes ``(batch, projection)`` and ``(batch, units)``.

    Returns:
        The output, which is the new h, and the list of new states.

    Weights:
        `kernel`, `recurrent_kernel` (of shape ``(projection, 4 * units)``) and `bias` with the gates in the order i,
        f, g, o; `projection_kernel`, of shape ``(units, projection)``.

    Example:
        >>> layers.RNN(layers.ProjectedLSTMCell(16, projection=4))(layers.Input((None, 8))).shape
        (None, 4)
    """

    def __init__(
        self,
        units: int,
        projection: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        *,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
    ) -> None:
        self.projection = positive("ProjectedLSTMCell", "projection", projection)
        super().__init__(units, activation, recurrent_activation, trainable=trainable, dtype=dtype, name=name)

    @property
    def output_size(self) -> int:
        """Size of h."""
        return self.projection

    def build(self, input_shape: Any) -> None:
        """Create the weights for the width of the input."""
        super().build(input_shape)
        self.projection_kernel = self.add_weight("projection_kernel", (self.units, self.projection))

    def call(self, inputs: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """One step."""
        h, c = states
        i, f, g, o = self.parts(inputs @ self.kernel + h @ self.recurrent_kernel + self.bias)
        c = self.recurrent_activation(f) * c + self.recurrent_activation(i) * self.activation(g)
        h = (self.recurrent_activation(o) * self.activation(c)) @ self.projection_kernel
        return h, [h, c]


class CoupledGateLSTMCell(_LSTMCell):
    """LSTM that forgets as much as it takes in: K. Greff, R. K. Srivastava, J. Koutnik, B. R. Steunebrink,
    J. Schmidhuber, "LSTM: A Search Space Odyssey", 2017, variant CIFG (appendix A.3), without peepholes.

    ::

        f, g, o = x W + h U + b
        f = sigmoid(f)
        c = f * c + (1 - f) * tanh(g)
        h = sigmoid(o) * tanh(c)

    Args:
        units: Integer. Size of the states and the output.
        activation: Function of the candidate and of the cell state: "tanh" by default.
        recurrent_activation: Function of the gates: "sigmoid" by default.
        trainable: Whether the weights count as trainable.
        dtype: Element type of the weights and states: "float32" (the default) or "float64".
        name: The layer's name; by default coupled_gate_lstm_cell, coupled_gate_lstm_cell_1, ...

    Call arguments:
        inputs: floats of shape ``(batch, width)``.
        states: the list ``[h, c]``, each of shape ``(batch, units)``.

    Returns:
        The output, which is the new h, and the list of new states.

    Weights:
        `kernel`, `recurrent_kernel` and `bias` with the gates in the order f, g, o.

    Example:
        >>> layers.RNN(layers.CoupledGateLSTMCell(4))(layers.Input((None, 8))).shape
        (None, 4)
    """

    gates = 3
    bias_of_forget_gate = 0

    def call(self, inputs: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """One step."""
        h, c = states
        f, g, o = self.parts(inputs @ self.kernel + h @ self.recurrent_kernel + self.bias)
        f = self.recurrent_activation(f)
        c = f * c + (1 - f) * self.activation(g)
        h = self.recurrent_activation(o) * self.activation(c)
        return h, [h, c]


class ZoneoutLSTMCell(_LSTMCell):
    """LSTM whose states sometimes stay as they were: D. Krueger et al., "Zoneout: Regularizing RNNs by Randomly
    Preserving Hidden Activations", ICLR 2017, equations 3 and 4, in the form for inference: the expected states.

    ::

        i, f, g, o = x W + h U + b
        c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h' = sigmoid(o) * tanh(c')
        c = zoneout_c * c + (1 - zoneout_c) * c'
        h = zoneout_h * h + (1 - zoneout_h) * h'

    Args:
        units: Integer. Size of the states and the output.
        zoneout_c: Share of the cell state that stays, 0 to 1.
        zoneout_h: Share of h that stays, 0 to 1.
        activation: Function of the candidate and of the cell state: "tanh" by default.
        recurrent_activation: Function of the gates: "sigmoid" by default.
        trainable: Whether the weights count as trainable.
        dtype: Element type of the weights and states: "float32" (the default) or "float64".
        name: The layer's name; by default zoneout_lstm_cell, zoneout_lstm_cell_1, ...

    Call arguments:
        inputs: floats of shape ``(batch, width)``.
        states: the list ``[h, c]``, each of shape ``(batch, units)``.

    Returns:
        The output, which is the new h, and the list of new states.

    Weights:
        `kernel`, `recurrent_kernel` and `bias` with the gates in the order i, f, g, o.

    Example:
        >>> layers.RNN(layers.ZoneoutLSTMCell(4))(layers.Input((None, 8))).shape
        (None, 4)
    """

    def __init__(
        self,
        units: int,
        zoneout_c: float = 0.5,
        zoneout_h: float = 0.05,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        *,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
    ) -> None:
        self.zoneout_c = rate("ZoneoutLSTMCell", "zoneout_c", zoneout_c)
        self.zoneout_h = rate("ZoneoutLSTMCell", "zoneout_h", zoneout_h)
        super().__init__(units, activation, recurrent_activation, trainable=trainable, dtype=dtype, name=name)

    def call(self, inputs: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """One step."""
        h, c = states
        i, f, g, o = self.parts(inputs @ self.kernel + h @ self.recurrent_kernel + self.bias)
        new_c = self.recurrent_activation(f) * c + self.recurrent_activation(i) * self.activation(g)
        new_h = self.recurrent_activation(o) * self.activation(new_c)
        c = self.zoneout_c * c + (1 - self.zoneout_c) * new_c
        h = self.zoneout_h * h + (1 - self.zoneout_h) * new_h
        return h, [h, c]
