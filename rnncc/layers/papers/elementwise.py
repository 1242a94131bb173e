"""Cells of papers whose state meets no matrix: IndRNN and SRU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnncc.graph.symbolic import Tensor
from rnncc.layers.papers.common import PaperCell
from rnncc.layers.specs import InputSpec, fixed_width


class IndRNNCell(PaperCell):
    """Recurrent cell of independent neurons: S. Li, W. Li, C. Cook, C. Zhu, Y. Gao, "Independently Recurrent Neural
    Network (IndRNN): Building A Longer and Deeper RNN", CVPR 2018, equation 2.

    ::

        h = relu(x W + u * h + b)

    Args:
        units: Integer. Size of the state and the output.
        activation: Function of the new state: "relu" by default.
        trainable: Whether the weights count as trainable.
        dtype: Element type of the weights and states: "float32" (the default) or "float64".
        name: The layer's name; by default ind_rnn_cell, ind_rnn_cell_1, ...

    Call arguments:
        inputs: floats of shape ``(batch, width)``.
        states: the list ``[h]``, with h of shape ``(batch, units)``.

    Returns:
        The output, which is the new h, and the list of new states.

    Weights:
        `kernel`, `recurrent_kernel` (u, a vector: 1 at first, as the paper has it for long memory) and `bias`.

    Example:
        >>> layers.RNN(layers.IndRNNCell(4))(layers.Input((None, 8))).shape
        (None, 4)
    """

    def __init__(
        self,
        units: int,
        activation: Any = "relu",
        *,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(units, activation, trainable=trainable, dtype=dtype, name=name)

    def build(self, input_shape: Any) -> None:
        """Create the weights for the width of the input."""
        width = fixed_width(self.name, type(self).__name__, input_shape)
        self.kernel = self.add_weight("kernel", (width, self.units), "glorot_uniform")
        self.recurrent_kernel = self.add_weight("recurrent_kernel", (self.units,), "ones")
        self.bias = self.add_weight("bias", (self.units,), "zeros")
        self.input_spec = InputSpec("(batch, width)", ndim=2, width=width)

    def call(self, inputs: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """One step."""
        (h,) = states
        h = self.activation(inputs @ self.kernel + self.recurrent_kernel * h + self.bias)
        return h, [h]


class SRUCell(PaperCell):
    """Simple recurrent unit: T. Lei, Y. Zhang, S. I. Wang, H. Dai, Y. Artzi, "Simple Recurrent Units for Highly
    Parallelizable Recurrence", EMNLP 2018, equations 1-4.

    All products with matrices are of inputs, so that they are done for all steps at once; a step is a few products of
    elements::

        f = sigmoid(x W_f + v_f * c + b_f)
        r = sigmoid(x W_r + v_r * c + b_r)
        c' = f * c + (1 - f) * (x W)
        h = r * c' + (1 - r) * x

    Args:
        units: Integer. Size of the state and the output. Where the input has another width, the last x is ``x W_x``.
        highway_scale: What the last x is multiplied by (the paper's alpha, section 3.2).
        trainable: Whether the weights count as trainable.
        dtype: Element type of the weights and states: "float32" (the default) or "float64".
        name: The layer's name; by default sru_cell, sru_cell_1, ...

    Call arguments:
        inputs: floats of shape ``(batch, width)``.
        states: the list ``[c]``, with c of shape ``(batch, units)``.

    Returns:
        The output h and the list of new states.

    Weights:
        `kernel`, the parts in the order c, f, r and (for another width) x; `recurrent_kernel`, of shape
        ``(2, units)``: v_f and v_r; `bias`, of shape ``(2, units)``: b_f and b_r.

    Example:
        >>> layers.RNN(layers.SRUCell(4), return_sequences=True)(layers.Input((None, 8))).shape
        (None, None, 4)
    """

    def __init__(
        self,
        units: int,
        highway_scale: float = 1.0,
        *,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(units, trainable=trainable, dtype=dtype, name=name)
        self.highway_scale = float(highway_scale)

    def build(self, input_shape: Any) -> None:
        """Create the weights for the width of the input."""
        width = fixed_width(self.name, type(self).__name__, input_shape)
        self.gates = 3 if width == self.units else 4
        self.kernel = self.add_weight("kernel", (width, self.gates * self.units), "glorot_uniform")
        self.recurrent_kernel = self.add_weight("recurrent_kernel", (2, self.units), "glorot_uniform")
        self.bias = self.add_weight("bias", (2, self.units), "zeros")
        self.input_spec = InputSpec("(batch, width)", ndim=2, width=width)

    def call(self, inputs: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """One step."""
        (c,) = states
        candidate, f, r, *projected = self.parts(inputs @ self.kernel)
        x = projected[0] if projected else inputs
        f = self.recurrent_activation(f + self.recurrent_kernel[0] * c + self.bias[0])
        r = self.recurrent_activation(r + self.recurrent_kernel[1] * c + self.bias[1])
        c = f * c + (1 - f) * candidate
        h = r * c + (1 - r) * (self.highway_scale * x)
        return h, [c]
