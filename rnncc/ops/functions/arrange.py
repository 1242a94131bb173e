"""Tensors with their elements in another order or shape, in pieces and joined."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from rnncc.errors import ArgumentError, ShapeError, UnsupportedError, caller
from rnncc.graph.symbolic import Tensor, apply, as_tensor, shown
from rnncc.numeric import whole_number
from rnncc.ops.functions.axes import axes_of, axis_of, fixed_size, unchanged
from rnncc.ops.shapes import factors
from rnncc.types import Dim, as_shape


def reshape(x: Any, newshape: Dim | Sequence[Dim]) -> Tensor:
    """The elements of x in row-major order under another shape; one dim may be -1."""
    tensor = as_tensor(x)
    wanted = list(newshape) if isinstance(newshape, list | tuple) else [newshape]
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


def flip(x: Any, axis: int | Sequence[int] | None = None) -> Tensor:
    """x with the elements along one axis, several, or all in reverse order."""
    tensor = as_tensor(x)
    for at in axes_of(tensor, axis):
        made = tensor.origin
        is_flipped = made is not None and made.op.name == "flip" and made.attrs["axis"] == at
        tensor = made.inputs[0] if made is not None and is_flipped else apply("flip", tensor, axis=at)
    return unchanged(tensor)


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
    if long := [at for at in gone if shape[at] != 1]:
        raise ShapeError(
            f"axis {long[0]} has the size {shape[long[0]]}, and only one of size 1 can be left out",
            shown(tensor),
            place=caller(),
            remedy="tensor[:, 0] takes one of its slices",
        )
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
    sections = whole_number(indices_or_sections)
    if sections is not None:
        if sections < 1 or dim % sections:
            raise ShapeError(
                f"axis {axis} of size {dim} does not split into {sections} equal sections",
                f"{tensor.name}: {tensor.type}",
                place=caller(),
            )
        cuts = [dim // sections * number for number in range(sections + 1)]
    elif isinstance(indices_or_sections, list | tuple | np.ndarray):
        cuts = [0, *map(_position, indices_or_sections), dim]
    else:
        raise ArgumentError(
            f"split takes a number of sections, or a list of positions, not {indices_or_sections!r}", place=caller()
        )
    lead = (slice(None),) * at
    return [tensor[(*lead, slice(a, b))] for a, b in itertools.pairwise(cuts)]


def _position(value: Any) -> int:
    """A place where an axis is cut."""
    position = whole_number(value)
    if position is None:
        raise ArgumentError(f"the positions of split are whole numbers, not {value!r}", place=caller())
    return position


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
    given = list(repeats) if isinstance(repeats, list | tuple) else [repeats]
    counts = [whole_number(count, 0) for count in given]
    if None in counts:
        raise ArgumentError(f"tile repeats x a number of times along each axis, not {repeats!r}", place=caller())
    tensor = reshape(tensor, (*(1,) * (len(counts) - tensor.ndim), *tensor.type.shape))
    for axis, count in zip(range(-len(counts), 0), counts, strict=True):
        tensor = concatenate([tensor] * count, axis) if count else split(tensor, [0], axis)[0]
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
    if isinstance(constant_values, str):
        raise UnsupportedError(
            f"pad in mode {constant_values!r} is not there yet",
            place=caller(),
            remedy="it pads with one number, constant_values=0; rnncc.ops.concatenate joins whatever comes in front",
        )
    for axis, sizes in enumerate(_pad_widths(tensor, pad_width)):
        parts = [tensor]
        for number, size in enumerate(sizes):
            shape = tuple(size if at == axis else dim for at, dim in enumerate(tensor.type.shape))
            part = broadcast_to(as_tensor(constant_values, tensor.dtype), shape)
            parts = parts if size == 0 else [part, *parts] if number == 0 else [*parts, part]
        tensor = concatenate(parts, axis)
    return tensor


def _pad_widths(tensor: Tensor, given: Any) -> list[tuple[int, int]]:
    """How many elements come before and after those of each axis, from any of NumPy's ways to say that."""
    try:
        widths = np.broadcast_to(np.asarray(given), (tensor.ndim, 2)).tolist()
    except ValueError:
        widths = [[None]]
    if any(whole_number(width, 0) is None for pair in widths for width in pair):
        raise ArgumentError(
            "pad_width is a number from 0 on, a pair of them, or a pair for each axis",
            f"pad_width: {given!r}",
            shown(tensor),
            place=caller(),
        )
    return [(before, after) for before, after in widths]
