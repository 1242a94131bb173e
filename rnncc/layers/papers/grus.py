"""Gated cells of papers with one state. ``W``, ``U``, ``b``: kernel, recurrent kernel, bias; gates act by element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnncc.graph.symbolic import Tensor
from rnncc.layers.papers.common import Normalization, PaperCell


class LayerNormGRUCell(PaperCell):
    """GRU with layer normalization: J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", 2016, equations 23-25.

    ::

        z, r = sigmoid(LN(x W_zr) + LN(h U_zr) + b_zr)
        g = tanh(LN(x W_g) + r * LN(h U_g) + b_g)
        h = (1 - z) * h + z * g

    Args:
        units: Integer. Size of the state and the output.
        activation: Function of the candidate: "tanh" by default.
        recurrent_activation: Function of the gates: "sigmoid" by default.
        epsilon: Added to the variances.
        trainable: Whether the weights count as trainable.
        dtype: Element type of the weights and states: "float32" (the default) or "float64".
        name: The layer's name; by default layer_norm_gru_cell, layer_norm_gru_cell_1, ...

    Call arguments:
        inputs: floats of shape ``(batch, width)``.
        states: the list ``[h]``, with h of shape ``(batch, units)``.

    Returns:
        The output, which is the new h, and the list of new states.

    Weights:
        `kernel`, `recurrent_kernel` and `bias` with the gates in the order z, r, g; gain and shift of the four
        normalizations: for both gates together, of 2 * units, and for the candidate, of units.

    Example:
        >>> layers.RNN(layers.LayerNormGRUCell(4))(layers.Input((None, 8))).shape
        (None, 4)
    """

    gates = 3

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
        self.input_gates = Normalization(self, "input_gates", 2 * self.units, self.epsilon)
        self.state_gates = Normalization(self, "recurrent_gates", 2 * self.units, self.epsilon)
        self.input_candidate = Normalization(self, "input_candidate", self.units, self.epsilon)
        self.state_candidate = Normalization(self, "recurrent_candidate", self.units, self.epsilon)

    def call(self, inputs: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """One step."""
        (h,) = states
        two = 2 * self.units
        x, u = inputs @ self.kernel, h @ self.recurrent_kernel
        both = self.input_gates(x[:, :two]) + self.state_gates(u[:, :two]) + self.bias[:two]
        z, r = self.parts(self.recurrent_activation(both), 2)
        g = self.input_candidate(x[:, two:]) + r * self.state_candidate(u[:, two:]) + self.bias[two:]
        h = (1 - z) * h + z * self.activation(g)
        return h, [h]


class MinimalGRUCell(PaperCell):
    """GRU with one gate, MGU: G.-B. Zhou, J. Wu, C.-L. Zhang, Z.-H. Zhou, "Minimal Gated Unit for Recurrent Neural
    Networks", 2016, equations 6a-6c.

    ::

        f = sigmoid(x W_f + h U_f + b_f)
        g = tanh(x W_g + (f * h) U_g + b_g)
        h = (1 - f) * h + f * g

    Args:
        units: Integer. Size of the state and the output.
        activation: Function of the candidate: "tanh" by default.
        recurrent_activation: Function of the gate: "sigmoid" by default.
        trainable: Whether the weights count as trainable.
        dtype: Element type of the weights and states: "float32" (the default) or "float64".
        name: The layer's name; by default minimal_gru_cell, minimal_gru_cell_1, ...

    Call arguments:
        inputs: floats of shape ``(batch, width)``.
        states: the list ``[h]``, with h of shape ``(batch, units)``.

    Returns:
        The output, which is the new h, and the list of new states.

    Weights:
        `kernel`, `recurrent_kernel` and `bias`, the gate f before the candidate g.

    Example:
        >>> layers.RNN(layers.MinimalGRUCell(4))(layers.Input((None, 8))).shape
        (None, 4)
    """

    gates = 2

    def call(self, inputs: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """One step."""
        (h,) = states
        x_f, x_g = self.parts(inputs @ self.kernel + self.bias)
        f = self.recurrent_activation(x_f + h @ self.recurrent_kernel[:, : self.units])
        g = self.activation(x_g + (f * h) @ self.recurrent_kernel[:, self.units :])
        h = (1 - f) * h + f * g
        return h, [h]
