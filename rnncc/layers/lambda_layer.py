"""Lambda: a function as a layer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rnncc.errors import ArgumentError, caller
from rnncc.graph.symbolic import Tensor
from rnncc.layers.base import Layer
from rnncc.ops.structure import flatten


class Lambda(Layer):
    """Any function of symbolic tensors as a layer without weights. It is compiled like all others.

    Args:
        function: Takes the input (a symbolic tensor, or a list of them) and returns symbolic tensors; it computes with
            operators and `rnncc.ops`. When it has parameters `mask` or `training`, it is given these too.
        output_shape: Accepted as in Keras; the shape follows from the function.
        mask: The mask of the output: a tensor, or a function of the inputs and their mask; None for no mask.
        arguments: More arguments for the function, by name.
        trainable: Accepted as everywhere; the layer has no weights.
        dtype: Element type that float inputs are converted to: "float32" (the default) or "float64".
        name: The layer's name; by default lambda, lambda_1, ...
        input_shape: Shape of one input without the batch, when the layer comes first in a `Sequential`.
        batch_input_shape: The same with the batch size (or None) in front.

    Input shape, output shape:
        What the function takes and returns.

    Raises:
        ArgumentError: `function` cannot be called, or returns something else than symbolic tensors.

    Example:
        >>> layers.Lambda(lambda x: x * x)(np.array([[1.0, 2.0, 3.0]]))
        array([[1., 4., 9.]], dtype=float32)
    """

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Any = None,
        mask: Any = None,
        arguments: Mapping[str, Any] | None = None,
        *,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
        input_shape: Sequence[int | None] | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
    ) -> None:
        if not callable(function):
            raise ArgumentError("function of Lambda cannot be called", f"function: {function!r}", place=caller())
        super().__init__(
            trainable=trainable,
            dtype=dtype,
            name=name,
            input_shape=input_shape,
            batch_input_shape=batch_input_shape,
        )
        self.function = function
        self.output_shape_given = output_shape
        self.mask = mask
        self.arguments = dict(arguments or {})
        self._takes = set(_parameters(function)) & {"mask", "training"}

    def call(self, inputs: Any, mask: Any = None, training: bool | None = None) -> Any:
        """function(inputs, **arguments)."""
        offered = {"mask": mask, "training": training}
        result = self.function(inputs, **self.arguments, **{name: offered[name] for name in sorted(self._takes)})
        found = flatten(result)
        if not found or not all(isinstance(item, Tensor) for item in found):
            raise ArgumentError(
                f"the function of {self.name} must return symbolic tensors",
                f"returned: {result!r}",
                place=caller(),
                remedy="compute with operators and rnncc.ops; numpy functions need numbers, which come with the call",
            )
        return result

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask that was given."""
        return self.mask(inputs, mask) if callable(self.mask) else self.mask


def _parameters(function: Callable[..., Any]) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # some built-in functions have no signature
        return []
