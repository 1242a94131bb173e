"""What the built-in cells share: sizes, activations, initializers, weights of Keras's shapes, and dropout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rnncc.graph.symbolic import Tensor
from rnncc.layers import activations, initializers
from rnncc.layers.base import Layer
from rnncc.layers.checks import positive, rate
from rnncc.layers.seeds import SeedGenerator, dropout_mask
from rnncc.layers.specs import InputSpec, fixed_width
from rnncc.ops import functions as ops


class RecurrentCell(Layer):
    """A cell with a kernel for inputs, a recurrent kernel for the state and a bias, each of `gates` * units columns."""

    gates = 1
    drops_all = False
    """Whether a share of 1 drops everything; if not, it drops nothing. Keras's cells differ in that."""

    def __init__(
        self,
        *,
        units: int,
        activation: Any,
        use_bias: bool,
        kernel_initializer: Any,
        recurrent_initializer: Any,
        bias_initializer: Any,
        dropout: float,
        recurrent_dropout: float,
        seed: int | None,
        for_training: Mapping[str, Any],
        trainable: bool,
        dtype: Any,
        name: str | None,
    ) -> None:
        kind = type(self).__name__.removesuffix("Cell")
        self.units = positive(kind, "units", units)
        self.activation = activations.get(activation, f"activation of {kind}")
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer, f"kernel_initializer of {kind}")
        self.recurrent_initializer = initializers.get(recurrent_initializer, f"recurrent_initializer of {kind}")
        self.bias_initializer = initializers.get(bias_initializer, f"bias_initializer of {kind}")
        self.dropout = rate(kind, "dropout", dropout)
        self.recurrent_dropout = rate(kind, "recurrent_dropout", recurrent_dropout)
        self.seed = seed
        self.seed_generator = SeedGenerator(kind, seed)
        super().__init__(trainable=trainable, dtype=dtype, name=name)
        for option, value in for_training.items():
            setattr(self, option, value)
        self.input_spec = InputSpec(
            "(batch, width)", ndim=2, remedy="a cell takes one step; a layer takes whole sequences"
        )

    @property
    def state_size(self) -> int | list[int]:
        """Size of the state h."""
        return self.units

    @property
    def output_size(self) -> int:
        """Size of the output."""
        return self.units

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """Shape of the bias."""
        return (self.gates * self.units,)

    def build(self, input_shape: Any) -> None:
        """Create the weights for the width of the input."""
        width = fixed_width(self.name, type(self).__name__, input_shape)
        columns = self.gates * self.units
        self.kernel = self.add_weight("kernel", (width, columns), self.kernel_initializer)
        self.recurrent_kernel = self.add_weight("recurrent_kernel", (self.units, columns), self.recurrent_initializer)
        self.bias = self.add_weight("bias", self.bias_shape, self.bias_initializer) if self.use_bias else None
        self.input_spec = InputSpec("(batch, width)", ndim=2, width=width)

    @property
    def masks(self) -> int:
        """How many masks inputs and state have: 1, or with `recurrent_dropout` one for each gate (as in Keras 3.15)."""
        return self.gates if self.recurrent_dropout else 1

    def dropped(self, inputs: Tensor, h: Tensor, training: bool | None) -> tuple[list[Tensor], list[Tensor]]:
        """The inputs and the state as each gate gets them: in training, with a share of their elements dropped.

        The masks depend on nothing that a loop over time changes: they are made once, in front of it.
        """
        if not training:
            return [inputs], [h]
        return self._dropped(inputs, self.dropout), self._dropped(h, self.recurrent_dropout)

    def _dropped(self, x: Tensor, share: float) -> list[Tensor]:
        if share == 0 or (share == 1 and not self.drops_all):
            return [x]
        *lead, width = x.type.shape
        assert isinstance(width, int), "a cell has fixed sizes"
        mask = dropout_mask(self.seed_generator.key(self.name), (*lead, self.masks * width), share, self.dtype)
        return [x * part for part in ops.split(mask, self.masks, axis=-1)]

    def product(self, parts: Sequence[Tensor], kernel: Any) -> Tensor:
        """x @ kernel; when each gate gets another x, the columns of each with its own."""
        if len(parts) == 1:
            return ops.matmul(parts[0], kernel)
        columns = ops.split(kernel, len(parts), axis=-1)
        return ops.concatenate([part @ own for part, own in zip(parts, columns, strict=True)], axis=-1)
