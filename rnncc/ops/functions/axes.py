"""What the public ops share: checks of axes, and the result when there is nothing to do."""

from __future__ import annotations

from collections.abc import Sequence

from rnncc.errors import ArgumentError, ShapeError, caller
from rnncc.graph.symbolic import Tensor, apply, shown
from rnncc.numeric import whole_number


def unchanged(tensor: Tensor) -> Tensor:
    """The result of an op that changes nothing: `tensor` itself, or without the mask that no op passes on."""
    return tensor if tensor.mask is None else apply("reshape", tensor, shape=tensor.type.shape)


def axis_of(tensor: Tensor, axis: int, new_axes: int = 0) -> int:
    """`axis` counted from 0, of a tensor that gets `new_axes` more. Raises ShapeError when it does not exist."""
    rank, number = tensor.ndim + new_axes, whole_number(axis)
    if number is None:
        raise ArgumentError(f"an axis is a whole number, not {axis!r}", shown(tensor), place=caller())
    if not -rank <= number < rank:
        raise ShapeError(
            f"axis {axis} does not exist in rank {rank}",
            shown(tensor),
            place=caller(),
        )
    return number % rank


def fixed_size(tensor: Tensor, axis: int) -> int:
    """The size of an axis. Raises ShapeError when it is known only at the call."""
    dim = tensor.type.shape[axis_of(tensor, axis)]
    if not isinstance(dim, int):
        raise ShapeError(
            f"axis {axis} has the extent {dim}, known only at the call",
            shown(tensor),
            place=caller(),
            remedy="this op needs an axis of fixed size",
        )
    return dim


def axes_of(tensor: Tensor, axis: int | Sequence[int] | None) -> tuple[int, ...]:
    """The axes that `axis` stands for, in order: one, several, or all for None."""
    if axis is None:
        return tuple(range(tensor.ndim))
    found = [axis_of(tensor, each) for each in (axis if isinstance(axis, list | tuple) else (axis,))]
    if len(set(found)) < len(found):
        raise ArgumentError(f"axis {axis} names an axis twice", f"{tensor.name}: {tensor.type}", place=caller())
    return tuple(sorted(found))
