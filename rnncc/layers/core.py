"""The layers without a loop: Embedding, Dense and Activation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import rnncc.layers.activations as activations
import rnncc.layers.initializers as initializers
from rnncc.errors import ArgumentError, ShapeError, caller
from rnncc.graph.symbolic import Tensor, shown
from rnncc.layers.base import Layer
from rnncc.layers.checks import positive
from rnncc.layers.specs import InputSpec, fixed_width
from rnncc.ops import functions as ops
from rnncc.types import Dim, DType


def as_float(x: Tensor, dtype: DType) -> Tensor:
    """`x` itself when it is a float tensor, else its values as floats."""
    if x.dtype.is_float:
        return x
    converted = ops.cast(x, dtype)
    converted.name, converted.mask = x.name, x.mask
    return converted


class Embedding(Layer):
    """Turns non-negative integers (token ids) into dense vectors of fixed size, by a table with one row per token.

    e.g. ``[[4], [20]] -> [[[0.25, 0.1]], [[0.6, -0.2]]]``

    It can be the first layer of a `Sequential` without an `Input` before it; ids then have shape ``(batch, time)``.
    An id below 0, or not below `input_dim`, is a `TokenError` at the call that names its position: nothing outside
    of the table is ever read.

    Args:
        input_dim: Integer. Size of the vocabulary: the largest token id + 1, the number of rows of the table.
        output_dim: Integer. Size of the vectors: the number of columns of the table.
        embeddings_initializer: How the table gets its first numbers: a name such as "uniform" (-0.05 to 0.05, the
            default) or "glorot_uniform", an initializer, or a function of a shape.
        embeddings_regularizer: Kept for training; it changes nothing at inference.
        embeddings_constraint: Kept for training; it changes nothing at inference.
        mask_zero: Whether id 0 is padding that later layers skip: the output then carries a mask.
        weights: The table itself, as an array of shape ``(input_dim, output_dim)`` or a list of that one array,
            instead of first numbers from `embeddings_initializer`.
        activity_regularizer: Kept for training; it changes nothing at inference.
        input_length: Length of the sequences when it is always the same: as first layer of a `Sequential`, the input
            then has shape ``(batch, input_length)``.
        sparse: Kept for training (whether gradients are sparse); it changes nothing at inference.
        trainable: Whether the table counts as trainable.
        dtype: Element type of the table: "float32" (the default) or "float64".
        name: The layer's name; by default embedding, embedding_1, ...
        input_shape: Shape of the ids without the batch, when the layer comes first in a `Sequential`.
        batch_input_shape: The same with the batch size (or None) in front.

    Input shape:
        Integers of any shape, usually ``(batch, time)``. Floats that hold whole numbers work too.

    Output shape:
        The shape of the input with `output_dim` appended: ``(batch, time, output_dim)``.

    Weights:
        `embeddings`, of shape ``(input_dim, output_dim)``.

    Raises:
        ArgumentError: `input_dim` or `output_dim` is not a whole number above 0, or the initializer is unknown.
        MemoryLimitError: the table does not fit into memory.

    Example:
        >>> model = rnncc.Sequential()
        >>> model.add(layers.Embedding(1000, 64, input_length=10))
        >>> # The model takes an integer array of shape (batch, 10); the largest id must be below 1000.
        >>> model.output_shape
        (None, 10, 64)
        >>> model.predict(np.random.randint(1000, size=(32, 10))).shape
        (32, 10, 64)

    Source: Keras 3, ``keras.layers.Embedding``.
    """

    autocast = False

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        *,
        activity_regularizer: Any = None,
        input_length: int | None = None,
        sparse: bool = False,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
        input_shape: Sequence[int | None] | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
    ) -> None:
        self.input_dim = positive("Embedding", "input_dim", input_dim)
        self.output_dim = positive("Embedding", "output_dim", output_dim)
        self.embeddings_initializer = initializers.get(embeddings_initializer, "embeddings_initializer of Embedding")
        super().__init__(
            activity_regularizer=activity_regularizer,
            trainable=trainable,
            dtype=dtype,
            name=name,
            input_shape=input_shape,
            batch_input_shape=batch_input_shape,
        )
        self.embeddings_regularizer = embeddings_regularizer
        self.embeddings_constraint = embeddings_constraint
        self.mask_zero = mask_zero
        self.input_length = None if input_length is None else positive("Embedding", "input_length", input_length)
        self.sparse = sparse
        if self.declared_shape is None:
            self.declared_shape = (None, self.input_length)
        if weights is not None:
            self._ensure_built(())
            self.set_weights(weights if isinstance(weights, list | tuple) else [weights])

    def build(self, input_shape: Any) -> None:
        """Create the table; it does not depend on the input."""
        self.embeddings = self.add_weight("embeddings", (self.input_dim, self.output_dim), self.embeddings_initializer)

    def call(self, inputs: Tensor) -> Tensor:
        """Rows of the table."""
        if inputs.dtype is DType.BOOL:
            raise ArgumentError(f"{self.name} looks up token ids, not booleans", shown(inputs), place=caller())
        ids = ops.cast(inputs, DType.I64)
        vectors = ops.take(self.embeddings, ids)
        if self.mask_zero:
            vectors.mask = ops.not_equal(ids, 0)
        return vectors

    def compute_mask(self, inputs: Tensor, mask: Any = None) -> Tensor | None:
        """What `call` found, if id 0 is padding; a mask of the ids themselves ends here."""
        return None


class Dense(Layer):
    """A fully connected layer: ``activation(x @ kernel + bias)`` over the last axis.

    Args:
        units: Integer. Size of the output vectors.
        activation: Function of the result: "tanh", "sigmoid", "exponential", "relu", "softmax", "linear", a function
            of a symbolic tensor, or None (the default: no function).
        use_bias: Whether a bias is added.
        kernel_initializer: How the kernel gets its first numbers: a name, an initializer, or a function of a shape.
        bias_initializer: The same for the bias.
        kernel_regularizer: Kept for training; it changes nothing at inference.
        bias_regularizer: Kept for training; it changes nothing at inference.
        activity_regularizer: Kept for training; it changes nothing at inference.
        kernel_constraint: Kept for training; it changes nothing at inference.
        bias_constraint: Kept for training; it changes nothing at inference.
        trainable: Whether the weights count as trainable.
        dtype: Element type of the weights: "float32" (the default) or "float64".
        name: The layer's name; by default dense, dense_1, ...
        input_dim: Width of the input, when the layer comes first in a `Sequential`.
        input_shape: Shape of one input without the batch, when the layer comes first in a `Sequential`.
        batch_input_shape: The same with the batch size (or None) in front.

    Input shape:
        ``(batch, ..., width)``; the width must be fixed.

    Output shape:
        ``(batch, ..., units)``.

    Weights:
        `kernel`, of shape ``(width, units)``, and `bias`, of shape ``(units,)``.

    Raises:
        ArgumentError: `units` is not a whole number above 0, or a name is unknown.
        ShapeError: the input has no feature axis, or another width than at the first call.

    Example:
        >>> layers.Dense(10, activation="softmax")(layers.Input(shape=(None, 16))).shape
        (None, None, 10)

    Source: Keras 3, ``keras.layers.Dense``.
    """

    supports_masking = True

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        *,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
        input_dim: int | None = None,
        input_shape: Sequence[int | None] | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
    ) -> None:
        self.units = positive("Dense", "units", units)
        self.activation = activations.get(activation, "activation of Dense")
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer, "kernel_initializer of Dense")
        self.bias_initializer = initializers.get(bias_initializer, "bias_initializer of Dense")
        super().__init__(
            activity_regularizer=activity_regularizer,
            trainable=trainable,
            dtype=dtype,
            name=name,
            input_shape=input_shape if input_dim is None else (input_dim,),
            batch_input_shape=batch_input_shape,
        )
        self.kernel_regularizer = kernel_regularizer
        self.bias_regularizer = bias_regularizer
        self.kernel_constraint = kernel_constraint
        self.bias_constraint = bias_constraint
        remedy = "for one sample x of shape (width,): x[None]"
        self.input_spec = InputSpec("(batch, ..., width)", min_ndim=2, remedy=remedy)

    def build(self, input_shape: Any) -> None:
        """Create kernel and bias for the width of the input."""
        width = fixed_width(self.name, "Dense", input_shape)
        self.kernel = self.add_weight("kernel", (width, self.units), self.kernel_initializer)
        self.bias = self.add_weight("bias", (self.units,), self.bias_initializer) if self.use_bias else None
        self.input_spec = InputSpec("(batch, ..., width)", min_ndim=2, width=width)

    def call(self, inputs: Tensor) -> Tensor:
        """activation(inputs @ kernel + bias)."""
        result = as_float(inputs, self.dtype) @ self.kernel
        if self.bias is not None:
            result = result + self.bias
        return self.activation(result)


class Activation(Layer):
    """Applies a function to every element (softmax: to every vector along the last axis).

    Args:
        activation: "tanh", "sigmoid", "relu", "gelu", "softmax" or another of Keras's names ("hard_sigmoid_keras2" is
            what "hard_sigmoid" was in Keras 2), or a function of a symbolic tensor. Functions that take arguments are
            in `rnncc.layers.activations`.
        activity_regularizer: Kept for training; it changes nothing at inference.
        trainable: Accepted as everywhere; the layer has no weights.
        dtype: Element type of the computation: "float32" (the default) or "float64".
        name: The layer's name; by default activation, activation_1, ...
        input_shape: Shape of one input without the batch, when the layer comes first in a `Sequential`.
        batch_input_shape: The same with the batch size (or None) in front.

    Input shape:
        Any.

    Output shape:
        The same; "glu" halves the last axis.

    Raises:
        ArgumentError: the activation is unknown.
        ShapeError: the function returns a tensor of another shape.

    Example:
        >>> layers.Activation("relu")(np.array([[-1.0, 2.0]]))
        array([[0., 2.]], dtype=float32)
    """

    supports_masking = True

    def __init__(
        self,
        activation: Any,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
        input_shape: Sequence[int | None] | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
    ) -> None:
        self.activation = activations.get(activation, "activation of Activation")
        super().__init__(
            activity_regularizer=activity_regularizer,
            trainable=trainable,
            dtype=dtype,
            name=name,
            input_shape=input_shape,
            batch_input_shape=batch_input_shape,
        )

    def call(self, inputs: Tensor) -> Tensor:
        """activation(inputs)."""
        result = self.activation(as_float(inputs, self.dtype))
        if not _keeps_shape(inputs.type.shape, result.type.shape):
            raise ShapeError(
                f"the function of {self.name} must return a tensor of the shape it is given",
                f"given:    {shown(inputs)}",
                f"returned: {shown(result)}",
                place=caller(),
            )
        return result


def _keeps_shape(given: tuple[Dim, ...], returned: tuple[Dim, ...]) -> bool:
    """Whether an activation may turn one shape into the other: the same, or (glu) one axis halved."""
    changed = [(a, b) for a, b in zip(given, returned, strict=False) if a != b]
    is_halved = len(changed) == 1 and all(isinstance(b, int) and a == 2 * b for a, b in changed)
    return len(given) == len(returned) and (not changed or is_halved)
