"""Cells as a user would write them: the benchmark runs them beside the built-in ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnncc.graph.symbolic import Tensor
from rnncc.layers.base import Layer
from rnncc.ops import functions as ops
from rnncc.ops.scan import scan

EPSILON = 1e-5
"""Added to variances by `LayerNormLSTMCell`, as in PyTorch's and ONNX's layer normalization."""


class ScanLSTM(Layer):
    """An LSTM written with `rnncc.scan` and primitive ops only: ``[B, T, width] -> [B, units]``.

    Weights, gate order and result are those of `layers.LSTM`.
    """

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = units

    def build(self, input_shape: Any) -> None:
        """Kernel, recurrent kernel and bias in Keras's layout."""
        self.kernel = self.add_weight("kernel", (input_shape[-1], 4 * self.units))
        self.recurrent_kernel = self.add_weight("recurrent_kernel", (self.units, 4 * self.units), "orthogonal")
        self.bias = self.add_weight("bias", (4 * self.units,), "zeros")

    def call(self, inputs: Tensor) -> Tensor:
        """The output of the last step."""

        def step(carry: tuple[Tensor, Tensor], x: Tensor) -> tuple[tuple[Tensor, Tensor], None]:
            h, c = carry
            i, f, candidate, o = ops.split(x @ self.kernel + h @ self.recurrent_kernel + self.bias, 4, axis=-1)
            c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(candidate)
            return (ops.sigmoid(o) * ops.tanh(c), c), None

        start = ops.zeros((inputs.type.shape[0], self.units))
        (h, _), _ = scan(step, (start, start), ops.transpose(inputs, (1, 0, 2)))
        result: Tensor = h
        return result


class OwnLSTMCell(Layer):
    """An LSTM cell for `layers.RNN`. Weights, gate order and result are those of `layers.LSTMCell`."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = units
        self.state_size = [units, units]

    def build(self, input_shape: Any) -> None:
        """Kernel, recurrent kernel and bias in Keras's layout."""
        self.kernel = self.add_weight("kernel", (input_shape[-1], 4 * self.units))
        self.recurrent_kernel = self.add_weight("recurrent_kernel", (self.units, 4 * self.units), "orthogonal")
        self.bias = self.add_weight("bias", (4 * self.units,), "zeros")

    def call(self, inputs: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """One step."""
        h, c = states
        i, f, candidate, o = ops.split(inputs @ self.kernel + h @ self.recurrent_kernel + self.bias, 4, axis=-1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(candidate)
        h = ops.sigmoid(o) * ops.tanh(c)
        return h, [h, c]


class LayerNormLSTMCell(Layer):
    """LSTM with layer normalization (Ba, Kiros and Hinton 2016, equations 20 to 22), for `layers.RNN`.

    Each of ``x @ kernel``, ``h @ recurrent_kernel`` and the cell state is normalized over its width and scaled::

        i, f, candidate, o = norm(x @ kernel) * gamma_x + norm(h @ recurrent_kernel) * gamma_h + bias
        c = sigmoid(f) * c + sigmoid(i) * tanh(candidate)
        h = sigmoid(o) * tanh(norm(c) * gamma_c + beta_c)
    """

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = units
        self.state_size = [units, units]

    def build(self, input_shape: Any) -> None:
        """Two kernels, a bias, three scales and the shift of the cell state."""
        columns = 4 * self.units
        self.kernel = self.add_weight("kernel", (input_shape[-1], columns))
        self.recurrent_kernel = self.add_weight("recurrent_kernel", (self.units, columns), "orthogonal")
        self.bias = self.add_weight("bias", (columns,), "zeros")
        self.gamma_x = self.add_weight("gamma_x", (columns,), "ones")
        self.gamma_h = self.add_weight("gamma_h", (columns,), "ones")
        self.gamma_c = self.add_weight("gamma_c", (self.units,), "ones")
        self.beta_c = self.add_weight("beta_c", (self.units,), "zeros")

    def call(self, inputs: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """One step."""
        h, c = states
        z = _normalized(inputs @ self.kernel) * self.gamma_x
        z = z + _normalized(h @ self.recurrent_kernel) * self.gamma_h + self.bias
        i, f, candidate, o = ops.split(z, 4, axis=-1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(candidate)
        h = ops.sigmoid(o) * ops.tanh(_normalized(c) * self.gamma_c + self.beta_c)
        return h, [h, c]


def _normalized(x: Tensor) -> Tensor:
    centered = x - ops.mean(x, axis=-1, keepdims=True)
    return centered / ops.sqrt(ops.mean(ops.square(centered), axis=-1, keepdims=True) + EPSILON)
