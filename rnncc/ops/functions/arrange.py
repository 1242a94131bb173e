"""Tensors with their elements in another order or shape, in pieces and joined."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from rnncc.errors import ArgumentError, ShapeError, caller
from rnncc.graph.symbolic import Tensor, apply, as_tensor
from rnncc.ops.functions.axes import axes_of, axis_of, fixed_size, unchanged
from rnncc.ops.shapes import factors
from rnncc.types import Dim, as_shape


def reshape(x: Any, shape: Sequence[Dim]) -> Tensor:
    """The elements of x in row-major order under `shape`; one dim may be -1."""
    tensor = as_tensor(x)
    wanted = list(shape)
    if -1 in wanted:
        at = wanted.index(-1)
        wanted[at] = _missing_dim(tensor, as_shape(wanted[:at]), as_shape(wanted[at + 1 :]))
    dims = as_shape(wanted)
    return unchanged(tensor) if dims == tensor.type.shape else apply("reshape", tensor, shape=dims)


def shape(x: Any) -> tuple[Dim, ...]:
    """The sizes of x; for one that only the call knows the name of the extent, which all ops take as a size."""
    return as_tensor(x).type.shape


def _missing_dim(tensor: Tensor, before: tuple[Dim, ...], after: tuple[Dim, ...]) -> Dim:
    """The dim that -1 stands for, between those before and after it."""
    number, names = factors(tensor.type.shape)
    given, given_names = factors(before + after)
    rest = list(names)
    for name in given_names:
        if name in rest:
            rest.remove(name)
    if given and number % given == 0 and len(rest) + len(given_names) == len(names):
        if not rest:
            return number // given
        if len(rest) == 1 and number == given:
            return rest[0]
    raise ShapeError(
        f"-1 in the shape {(*before, -1, *after)} stands for no single extent",
        f"{tensor.name}: {tensor.type}",
        place=caller(),
        remedy="name the extents: reshape(x, (*x.type.shape[:2], -1))",
    )


def copy(x: Any) -> Tensor:
    """x as another tensor with the same elements."""
    tensor = as_tensor(x)
    return apply("reshape", tensor, shape=tensor.type.shape)


def transpose(x: Any, axes: Sequence[int] | None = None) -> Tensor:
    """x with its axes in another order; reversed by default."""
    tensor = as_tensor(x)
    order = tuple(range(tensor.ndim))[::-1] if axes is None else tuple(axis_of(tensor, axis) for axis in axes)
    return unchanged(tensor) if order == tuple(range(tensor.ndim)) else apply("transpose", tensor, axes=order)


def flip(x: Any, axis: int) -> Tensor:
    """x with the elements along one axis in reverse order."""
    tensor = as_tensor(x)
    at, made = axis_of(tensor, axis), tensor.origin
    if made is not None and made.op.name == "flip" and made.attrs["axis"] == at:
        return unchanged(made.inputs[0])
    return apply("flip", tensor, axis=at)


def expand_dims(x: Any, axis: int) -> Tensor:
    """x with a new axis of size 1 at `axis`."""
    tensor = as_tensor(x)
    at = axis_of(tensor, axis, new_axes=1)
    shape = tensor.type.shape
    return apply("reshape", tensor, shape=(*shape[:at], 1, *shape[at:]))


def squeeze(x: Any, axis: int | Sequence[int] | None = None) -> Tensor:
    """x without its axis `axis` (or several), which must have size 1; without all axes of size 1 for None."""
    tensor = as_tensor(x)
    shape = tensor.type.shape
    gone = axes_of(tensor, axis) if axis is not None else [at for at, dim in enumerate(shape) if dim == 1]
    return apply("reshape", tensor, shape=tuple(dim for at, dim in enumerate(shape) if at not in gone))


def ravel(x: Any) -> Tensor:
    """The elements of x in row-major order, in one axis."""
    return reshape(x, (-1,))


def swapaxes(x: Any, axis1: int, axis2: int) -> Tensor:
    """x with two axes exchanged."""
    tensor = as_tensor(x)
    order = list(range(tensor.ndim))
    a, b = axis_of(tensor, axis1), axis_of(tensor, axis2)
    order[a], order[b] = b, a
    return transpose(tensor, order)


def moveaxis(x: Any, source: int, destination: int) -> Tensor:
    """x with the axis `source` at `destination`, the others in order."""
    tensor = as_tensor(x)
    order = list(range(tensor.ndim))
    order.insert(axis_of(tensor, destination), order.pop(axis_of(tensor, source)))
    return transpose(tensor, order)


def concatenate(xs: Sequence[Any], axis: int = 0) -> Tensor:
    """Tensors side by side along `axis`."""
    tensors = [as_tensor(x) for x in xs]
    if not tensors:
        raise ArgumentError("nothing to concatenate", place=caller())
    if len(tensors) == 1:
        return unchanged(tensors[0])
    return apply("concatenate", *tensors, axis=axis_of(tensors[0], axis))


def stack(xs: Sequence[Any], axis: int = 0) -> Tensor:
    """Tensors of one shape along a new axis."""
    return concatenate([expand_dims(x, axis) for x in xs], axis)


def split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """x cut into equal sections, or at the given positions, along `axis`."""
    tensor = as_tensor(x)
    at = axis_of(tensor, axis)
    dim = tensor.type.shape[at]
    if not isinstance(dim, int):
        raise ShapeError(
            f"axis {axis} has the extent {dim}, known only at the call: it cannot be split", place=caller()
        )
    if isinstance(indices_or_sections, int):
        if indices_or_sections < 1 or dim % indices_or_sections:
            raise ShapeError(
                f"axis {axis} of size {dim} does not split into {indices_or_sections} equal sections",
                f"{tensor.name}: {tensor.type}",
                place=caller(),
            )
        size = dim // indices_or_sections
        cuts = list(range(0, dim + 1, size))
    else:
        cuts = [0, *indices_or_sections, dim]
    lead = (slice(None),) * at
    return [tensor[(*lead, slice(a, b))] for a, b in itertools.pairwise(cuts)]


def broadcast_to(x: Any, shape: Sequence[Dim]) -> Tensor:
    """x repeated along new and unit axes until it has `shape`."""
    tensor, dims = as_tensor(x), as_shape(shape)
    return unchanged(tensor) if tensor.type.shape == dims else apply("broadcast_to", tensor, shape=dims)


def unstack(x: Any, num: int | None = None, axis: int = 0) -> list[Tensor]:
    """The slices of x along an axis of fixed size, which disappears."""
    tensor = as_tensor(x)
    at, size = axis_of(tensor, axis), fixed_size(tensor, axis)
    if num not in (None, size):
        raise ShapeError(f"axis {axis} has {size} slices, not {num}", f"{tensor.name}: {tensor.type}", place=caller())
    lead = (slice(None),) * at
    return [tensor[(*lead, number)] for number in range(size)]


def repeat(x: Any, repeats: int, axis: int) -> Tensor:
    """x with every slice along `axis` (of fixed size) `repeats` times in a row."""
    tensor = as_tensor(x)
    at, size = axis_of(tensor, axis), fixed_size(tensor, axis)
    shape = tensor.type.shape
    wide = broadcast_to(expand_dims(tensor, at + 1), (*shape[: at + 1], repeats, *shape[at + 1 :]))
    return reshape(wide, (*shape[:at], size * repeats, *shape[at + 1 :]))


def tile(x: Any, repeats: int | Sequence[int]) -> Tensor:
    """x side by side with itself, so many times along each axis (the last ones, when there are fewer numbers)."""
    tensor = as_tensor(x)
    counts = [repeats] if isinstance(repeats, int) else list(repeats)
    tensor = reshape(tensor, (*(1,) * (len(counts) - tensor.ndim), *tensor.type.shape))
    for axis, count in zip(range(-len(counts), 0), counts, strict=True):
        tensor = concatenate([tensor] * count, axis) if count != 1 else tensor
    return tensor


def roll(x: Any, shift: int, axis: int) -> Tensor:
    """x with its slices along `axis` (of fixed size) moved on by `shift`, the last ones to the front."""
    tensor = as_tensor(x)
    at, size = axis_of(tensor, axis), fixed_size(tensor, axis)
    cut = -shift % size if size else 0
    return concatenate(split(tensor, [cut], at)[::-1], at) if cut else unchanged(tensor)


def pad(x: Any, pad_width: Any, constant_values: float = 0) -> Tensor:
    """x with more elements around it: ``pad_width`` is a number, or (before, after), or one such pair for each axis."""
    tensor = as_tensor(x)
    given = [(pad_width, pad_width)] if isinstance(pad_width, int) else list(pad_width)
    pairs = (
        [(given[0], given[1])] if _is_pair(given) else [(one, one) if isinstance(one, int) else one for one in given]
    )
    if len(pairs) not in (1, tensor.ndim):
        raise ArgumentError(
            f"pad needs a pair for each of {tensor.ndim} axes", f"pad_width: {pad_width!r}", place=caller()
        )
    for axis, sizes in enumerate(pairs * tensor.ndim if len(pairs) == 1 else pairs):
        parts = [tensor]
        for number, size in enumerate(sizes):
            shape = tuple(size if at == axis else dim for at, dim in enumerate(tensor.type.shape))
            part = broadcast_to(as_tensor(constant_values, tensor.dtype), shape)
            parts = parts if size == 0 else [part, *parts] if number == 0 else [*parts, part]
        tensor = concatenate(parts, axis)
    return tensor


def _is_pair(items: Sequence[Any]) -> bool:
    return len(items) == 2 and all(isinstance(item, int) for item in items)
