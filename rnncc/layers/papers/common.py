"""What the cells of papers share: arguments, sizes and weights. A cell itself is then its equations."""

from __future__ import annotations

from typing import Any

import rnncc.layers.activations as activations
import rnncc.layers.initializers as initializers
from rnncc.graph.symbolic import Tensor
from rnncc.layers.base import Layer
from rnncc.layers.checks import positive
from rnncc.layers.specs import InputSpec, fixed_width
from rnncc.layers.weights import Weight
from rnncc.ops import functions as ops


class PaperCell(Layer):
    """A cell with a kernel for inputs and a recurrent kernel for a state of size `units`, each with `gates` parts.

    A subclass says how many `gates` it has, creates more weights in `build`, and computes one step in `call`.
    """

    gates = 1
    bias_of_forget_gate: int | None = None
    """Which part of the bias starts at 1, so that a new cell remembers (Jozefowicz et al. 2015)."""

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        *,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
    ) -> None:
        kind = type(self).__name__
        self.units = positive(kind, "units", units)
        self.activation = activations.get(activation, f"activation of {kind}")
        self.recurrent_activation = activations.get(recurrent_activation, f"recurrent_activation of {kind}")
        super().__init__(trainable=trainable, dtype=dtype, name=name)
        self.input_spec = InputSpec(
            "(batch, width)", ndim=2, remedy="a cell takes one step; RNN(cell) takes whole sequences"
        )

    @property
    def state_size(self) -> int | list[int]:
        """Size of the state h, or sizes of h and c."""
        return self.units

    @property
    def output_size(self) -> int:
        """Size of the output: that of h."""
        return self.units

    def build(self, input_shape: Any) -> None:
        """Create the weights for the width of the input."""
        width = fixed_width(self.name, type(self).__name__, input_shape)
        columns = self.gates * self.units
        self.kernel = self.add_weight("kernel", (width, columns), "glorot_uniform")
        self.recurrent_kernel = self.add_weight("recurrent_kernel", (self.output_size, columns), "orthogonal")
        self.bias = self.add_weight("bias", (columns,), self._bias_initializer)
        self.input_spec = InputSpec("(batch, width)", ndim=2, width=width)

    def _bias_initializer(self, shape: tuple[int, ...], dtype: Any) -> Any:
        bias = initializers.Zeros()(shape, dtype)
        if self.bias_of_forget_gate is not None:
            bias[self.bias_of_forget_gate * self.units :][: self.units] = 1
        return bias

    def parts(self, z: Tensor, count: int | None = None) -> list[Tensor]:
        """The parts of z, one for each gate."""
        return ops.split(z, count or self.gates, axis=-1)


class Normalization:
    """Layer normalization of the last axis inside a cell: gain and shift are weights of the cell."""

    def __init__(self, cell: Layer, name: str, size: int, epsilon: float) -> None:
        self.gain: Weight = cell.add_weight(f"{name}_gain", (size,), "ones")
        self.shift: Weight = cell.add_weight(f"{name}_shift", (size,), "zeros")
        self.epsilon = epsilon

    def __call__(self, x: Tensor) -> Tensor:
        """x with mean 0 and variance 1, times the gain, plus the shift."""
        centered = x - ops.mean(x, -1, keepdims=True)
        variance = ops.mean(ops.square(centered), -1, keepdims=True)
        return centered * ops.rsqrt(variance + self.epsilon) * self.gain + self.shift
