"""What the built-in cells share: sizes, activations, initializers, weights of Keras's shapes, and dropout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import rnncc.layers.activations as activations
import rnncc.layers.initializers as initializers
from rnncc.graph.symbolic import Tensor
from rnncc.layers.base import Layer
from rnncc.layers.checks import positive, rate
from rnncc.layers.seeds import SeedGenerator, dropout_mask
from rnncc.layers.specs import InputSpec, fixed_width


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

    def dropped(self, inputs: Tensor, h: Tensor, training: bool | None) -> tuple[Tensor, Tensor]:
        """The inputs and the state as their products get them: in training, with a share of their elements dropped.

        The masks depend on nothing that a loop over time changes: they are made once, in front of it. All gates have
        the same ones (Gal and Ghahramani 2016, "tied weights"). Keras 3.15 does so for `dropout`, and draws masks for
        each gate when there is a `recurrent_dropout`: a product for each with another h costs a fifth of the time.
        """
        if not training:
            return inputs, h
        return self._dropped(inputs, self.dropout), self._dropped(h, self.recurrent_dropout)

    def _dropped(self, x: Tensor, share: float) -> Tensor:
        if share == 0 or (share == 1 and not self.drops_all):
            return x
        return x * dropout_mask(self.seed_generator.key(self.name, all_steps=True), x.type.shape, share, self.dtype)
