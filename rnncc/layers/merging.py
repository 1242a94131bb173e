"""Merge layers: one tensor from several, elementwise (Add, Multiply, ...) or side by side (Concatenate)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

from rnncc.errors import ArgumentError, ShapeError, caller
from rnncc.graph.symbolic import Tensor, shown
from rnncc.layers.base import Layer
from rnncc.layers.core import as_float
from rnncc.numeric import whole_number
from rnncc.ops import functions as ops
from rnncc.types import DType


class Merge(Layer):
    """Base of the merge layers: checks the list of inputs, gives them one element type and one rank."""

    count: int | None = None
    """The number of inputs that the layer needs, if it needs a certain number."""

    def __init__(self, *, trainable: bool = True, dtype: Any = None, name: str | None = None) -> None:
        super().__init__(trainable=trainable, dtype=dtype, name=name)

    def call(self, inputs: Any) -> Tensor:
        """All inputs in one."""
        tensors = self._same_type(self._tensors(inputs))
        rank = max(tensor.ndim for tensor in tensors)
        return self.merge([_with_rank(tensor, rank) for tensor in tensors])  # a new axis loses the mask, as in Keras

    def merge(self, tensors: list[Tensor]) -> Tensor:
        """What the layer is: one tensor from tensors of one type and one rank."""
        raise NotImplementedError

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """A step counts when it counts in one of the inputs; without a mask on every input, all steps count."""
        if not isinstance(mask, list | tuple) or any(item is None for item in mask):
            return None
        return reduce(ops.logical_or, mask)

    def _tensors(self, inputs: Any) -> list[Tensor]:
        wrong = not isinstance(inputs, list | tuple) or not all(isinstance(item, Tensor) for item in inputs)
        needed = "a list of tensors" if self.count is None else f"a list of {self.count} tensors"
        if wrong or not inputs or len(inputs) != (self.count or len(inputs)):
            given = [shown(item) if isinstance(item, Tensor) else repr(item) for item in _items(inputs)]
            raise ArgumentError(
                f"{self.name} ({type(self).__name__}) is called on {needed}",
                f"given: {', '.join(given) or 'nothing'}",
                place=caller(),
                remedy=f"{self.name}([a, b])",
            )
        return list(inputs)

    def _same_type(self, tensors: list[Tensor]) -> list[Tensor]:
        """Integers become floats where a float is among the inputs."""
        mixed = len({tensor.dtype for tensor in tensors}) > 1
        return [as_float(tensor, self.dtype) for tensor in tensors] if mixed else tensors


def _items(inputs: Any) -> Sequence[Any]:
    return inputs if isinstance(inputs, list | tuple) else (inputs,)


def _with_rank(tensor: Tensor, rank: int) -> Tensor:
    """A tensor of lower rank has the same numbers at every step: new axes come behind the batch, as in Keras."""
    while tensor.ndim < rank:
        tensor = ops.expand_dims(tensor, min(1, tensor.ndim))
    return tensor


def _counts(mask: Tensor, tensor: Tensor) -> Tensor:
    """`mask`, of the first dims, with as many dims as `tensor`."""
    return ops.reshape(mask, (*mask.type.shape, *(1,) * (tensor.ndim - mask.ndim)))


def _where_it_counts(function: Callable[[Tensor, Tensor], Tensor], tensors: Sequence[Tensor]) -> Tensor:
    """`function` of the tensors, one after the other; where a mask leaves one of two out, the other one."""
    result, counts = tensors[0], tensors[0].mask
    for tensor in tensors[1:]:
        mask = tensor.mask
        if mask is not None:
            tensor = ops.where(_counts(mask, tensor), tensor, result)
        if counts is not None:
            result = ops.where(_counts(counts, result), result, tensor)
        counts = None if mask is None or counts is None else ops.logical_or(counts, mask)
        result = function(result, tensor)
    return result


class Add(Merge):
    """The sum of several tensors.

    Args:
        trainable: Accepted as everywhere; the layer has no weights.
        dtype: Element type of the computation: "float32" (the default) or "float64".
        name: The layer's name; by default add, add_1, ...

    Call arguments:
        inputs: a list of tensors whose shapes broadcast; one of lower rank is repeated along the axes behind the
            batch: ``(batch, 8)`` and ``(batch, time, 8)`` go together.

    Output shape:
        The common shape.

    Raises:
        ArgumentError: the layer is not called on a list of tensors.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> layers.Add()([np.ones((2, 3)), np.ones((2, 3))])
        array([[2., 2., 2.],
               [2., 2., 2.]], dtype=float32)

    Source: Keras 3, ``keras.layers.Add``.
    """

    def merge(self, tensors: list[Tensor]) -> Tensor:
        """a + b + ..."""
        return reduce(ops.add, tensors)


class Subtract(Merge):
    """The difference of two tensors.

    Args:
        trainable: Accepted as everywhere; the layer has no weights.
        dtype: Element type of the computation: "float32" (the default) or "float64".
        name: The layer's name; by default subtract, subtract_1, ...

    Call arguments:
        inputs: a list of two tensors whose shapes broadcast.

    Output shape:
        The common shape.

    Raises:
        ArgumentError: the layer is not called on a list of two tensors.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> layers.Subtract()([np.ones((1, 3)), np.full((1, 3), 3.0)])
        array([[-2., -2., -2.]], dtype=float32)

    Source: Keras 3, ``keras.layers.Subtract``.
    """

    count = 2

    def merge(self, tensors: list[Tensor]) -> Tensor:
        """a - b"""
        return ops.subtract(*tensors)


class Multiply(Merge):
    """The product of several tensors, element by element; a masked step of one of them does not count.

    Args:
        trainable: Accepted as everywhere; the layer has no weights.
        dtype: Element type of the computation: "float32" (the default) or "float64".
        name: The layer's name; by default multiply, multiply_1, ...

    Call arguments:
        inputs: a list of tensors whose shapes broadcast; see `Add`.

    Output shape:
        The common shape.

    Raises:
        ArgumentError: the layer is not called on a list of tensors.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> layers.Multiply()([np.full((1, 3), 2.0), np.full((1, 3), 3.0)])
        array([[6., 6., 6.]], dtype=float32)

    Source: Keras 3, ``keras.layers.Multiply``.
    """

    def merge(self, tensors: list[Tensor]) -> Tensor:
        """a * b * ..., of the inputs that are not masked; 0 where all are."""
        masks = [tensor.mask for tensor in tensors]
        factors = [
            tensor if mask is None else ops.where(_counts(mask, tensor), tensor, 1)
            for tensor, mask in zip(tensors, masks, strict=True)
        ]
        product = reduce(ops.multiply, factors)
        counted = [mask for mask in masks if mask is not None]
        if len(counted) < len(masks):
            return product
        return ops.where(_counts(reduce(ops.logical_or, counted), product), product, 0)


class Average(Merge):
    """The mean of several tensors, element by element.

    Args:
        trainable: Accepted as everywhere; the layer has no weights.
        dtype: Element type of the computation: "float32" (the default) or "float64".
        name: The layer's name; by default average, average_1, ...

    Call arguments:
        inputs: a list of tensors whose shapes broadcast; see `Add`. Integers become floats.

    Output shape:
        The common shape.

    Raises:
        ArgumentError: the layer is not called on a list of tensors.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> layers.Average()([np.full((1, 3), 2.0), np.full((1, 3), 3.0)])
        array([[2.5, 2.5, 2.5]], dtype=float32)

    Source: Keras 3, ``keras.layers.Average``.
    """

    def merge(self, tensors: list[Tensor]) -> Tensor:
        """(a + b + ...) / n"""
        return reduce(ops.add, [as_float(tensor, self.dtype) for tensor in tensors]) / len(tensors)


class Maximum(Merge):
    """The largest of several tensors, element by element; a masked step of one of them does not count.

    Args:
        trainable: Accepted as everywhere; the layer has no weights.
        dtype: Element type of the computation: "float32" (the default) or "float64".
        name: The layer's name; by default maximum, maximum_1, ...

    Call arguments:
        inputs: a list of tensors whose shapes broadcast; see `Add`.

    Output shape:
        The common shape.

    Raises:
        ArgumentError: the layer is not called on a list of tensors.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> layers.Maximum()([np.array([[1.0, 5.0]]), np.array([[2.0, 3.0]])])
        array([[2., 5.]], dtype=float32)

    Source: Keras 3, ``keras.layers.Maximum``.
    """

    def merge(self, tensors: list[Tensor]) -> Tensor:
        """max(a, b, ...), of the inputs that are not masked"""
        return _where_it_counts(ops.maximum, tensors)


class Minimum(Merge):
    """The smallest of several tensors, element by element; a masked step of one of them does not count.

    Args:
        trainable: Accepted as everywhere; the layer has no weights.
        dtype: Element type of the computation: "float32" (the default) or "float64".
        name: The layer's name; by default minimum, minimum_1, ...

    Call arguments:
        inputs: a list of tensors whose shapes broadcast; see `Add`.

    Output shape:
        The common shape.

    Raises:
        ArgumentError: the layer is not called on a list of tensors.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> layers.Minimum()([np.array([[1.0, 5.0]]), np.array([[2.0, 3.0]])])
        array([[1., 3.]], dtype=float32)

    Source: Keras 3, ``keras.layers.Minimum``.
    """

    def merge(self, tensors: list[Tensor]) -> Tensor:
        """min(a, b, ...), of the inputs that are not masked"""
        return _where_it_counts(ops.minimum, tensors)


class Concatenate(Merge):
    """Tensors side by side.

    Args:
        axis: The axis along which they are put, -1 by default; the batch is axis 0.
        trainable: Accepted as everywhere; the layer has no weights.
        dtype: Element type of the computation: "float32" (the default) or "float64".
        name: The layer's name; by default concatenate, concatenate_1, ...

    Call arguments:
        inputs: a list of tensors of one rank that differ in the size of `axis` only.

    Output shape:
        That of the inputs, with the sum of their sizes along `axis`.

    Raises:
        ArgumentError: the layer is not called on a list of tensors.
        ShapeError: the shapes differ elsewhere, or a size along `axis` is not fixed.

    Example:
        >>> forward, backward = layers.Input((None, 8)), layers.Input((None, 8))
        >>> last = [layers.LSTM(4)(forward), layers.LSTM(5)(backward)]
        >>> layers.Concatenate()(last).shape
        (None, 9)

    Source: Keras 3, ``keras.layers.Concatenate``.
    """

    def __init__(self, axis: int = -1, *, trainable: bool = True, dtype: Any = None, name: str | None = None) -> None:
        number = whole_number(axis)
        if number is None:
            raise ArgumentError("axis of Concatenate must be a whole number", f"axis: {axis!r}", place=caller())
        super().__init__(trainable=trainable, dtype=dtype, name=name)
        self.axis = number

    def call(self, inputs: Any) -> Tensor:
        """All inputs side by side."""
        tensors = self._same_type(self._tensors(inputs))
        for tensor in tensors:
            if -tensor.ndim <= self.axis < tensor.ndim and isinstance(tensor.type.shape[self.axis], str):
                raise ShapeError(
                    f"{self.name} (Concatenate) cannot add up sizes of axis {self.axis} that are bound at the call",
                    *[shown(item) for item in tensors],
                    place=caller(),
                    remedy="give this axis a size: Input(shape=(10, 8)); or concatenate along another axis",
                )
        return ops.concatenate(tensors, self.axis)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Masks side by side along the time axis, else as in `Merge`; an input without a mask counts everywhere."""
        if not isinstance(mask, list | tuple) or all(item is None for item in mask):
            return None
        rank = next(item.ndim for item in mask if item is not None)
        whole = [
            ops.full(tensor.type.shape[:rank], True, DType.BOOL) if item is None else item
            for tensor, item in zip(inputs, mask, strict=True)
        ]
        axis = self.axis % inputs[0].ndim
        return ops.concatenate(whole, axis) if axis < rank else reduce(ops.logical_or, whole)


# ------------------------------------------------------------------ as functions


def add(inputs: Any, **options: Any) -> Any:
    """``Add(**options)(inputs)``"""
    return Add(**options)(inputs)


def subtract(inputs: Any, **options: Any) -> Any:
    """``Subtract(**options)(inputs)``"""
    return Subtract(**options)(inputs)


def multiply(inputs: Any, **options: Any) -> Any:
    """``Multiply(**options)(inputs)``"""
    return Multiply(**options)(inputs)


def average(inputs: Any, **options: Any) -> Any:
    """``Average(**options)(inputs)``"""
    return Average(**options)(inputs)


def maximum(inputs: Any, **options: Any) -> Any:
    """``Maximum(**options)(inputs)``"""
    return Maximum(**options)(inputs)


def minimum(inputs: Any, **options: Any) -> Any:
    """``Minimum(**options)(inputs)``"""
    return Minimum(**options)(inputs)


def concatenate(inputs: Any, axis: int = -1, **options: Any) -> Any:
    """``Concatenate(axis, **options)(inputs)``"""
    return Concatenate(axis, **options)(inputs)
