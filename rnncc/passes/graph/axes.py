"""Where axes go in a reshape, and along which of them operands vary."""

from __future__ import annotations

from rnncc.types import Dim, TensorType


def moved_axes(before: tuple[Dim, ...], after: tuple[Dim, ...]) -> dict[int, int] | None:
    """The place of every axis in a shape that has other axes of size 1, which are left out; None for other shapes."""
    old, new = ([axis for axis, dim in enumerate(shape) if dim != 1] for shape in (before, after))
    if [before[axis] for axis in old] != [after[axis] for axis in new]:
        return None
    return dict(zip(old, new, strict=True))


def varies_along(operand: TensorType, axis: int) -> bool:
    """False when broadcasting repeats `operand` along `axis`, which is counted from behind and therefore negative."""
    return operand.rank >= -axis and operand.shape[axis] != 1
