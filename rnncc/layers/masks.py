"""Masks: bool tensors of shape (batch, time) that travel with sequences. False is a step that later layers skip.

A mask is an ordinary symbolic tensor in the `mask` of the tensor that it belongs to, so it is compiled like all else.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from rnncc.errors import ArgumentError, DTypeError, ShapeError, caller
from rnncc.graph.symbolic import Tensor, apply, as_tensor, shown
from rnncc.ops import functions as ops
from rnncc.ops.structure import flatten, rebuild
from rnncc.types import DType


def masks_of(structure: Any) -> Any:
    """The masks of tensors, in the same structure; None when no tensor has one."""
    masks = [leaf.mask if isinstance(leaf, Tensor) else None for leaf in flatten(structure)]
    return rebuild(structure, masks) if any(mask is not None for mask in masks) else None


def with_masks(result: Any, masks: Any, inputs: Sequence[Tensor]) -> Any:
    """`result` with a mask on every tensor that has none yet; `inputs` themselves are left as they are."""
    leaves = flatten(result)
    given = list(masks) if isinstance(masks, list | tuple) else [masks]
    for position, (leaf, mask) in enumerate(zip(leaves, given, strict=False)):
        if mask is None or leaf.mask is not None:
            continue
        if any(leaf is tensor for tensor in inputs):
            leaf = leaves[position] = ops.copy(leaf)
        leaf.mask = as_mask(mask)
    return rebuild(result, leaves)


def as_mask(mask: Any) -> Tensor:
    """`mask` as a bool tensor: of numbers, what is not 0."""
    tensor = as_tensor(mask)
    return tensor if tensor.dtype is DType.BOOL else ops.not_equal(tensor, 0)


def sequence_mask(name: str, x: Tensor, mask: Any, lengths: Any) -> Tensor | None:
    """The mask of shape (batch, time) for the sequences `x`, from a mask, from lengths, from both or from none."""
    found = None if mask is None else _checked(name, x, as_mask(mask))
    if lengths is None:
        return found
    counted = _within(name, x, as_tensor(lengths))
    return counted if found is None else ops.logical_and(found, counted)


def _checked(name: str, x: Tensor, mask: Tensor) -> Tensor:
    if mask.ndim == 3 and mask.type.shape[2] == 1:
        mask = ops.squeeze(mask, 2)
    if mask.type.shape != x.type.shape[:2]:
        raise ShapeError(
            f"the mask of {name} must have one entry for each step of its input",
            f"mask:  {_sizes(mask)}",
            f"input: {_sizes(x)}, so that {_sizes(x, 2)} is needed",
            place=caller(),
            remedy=_remedy(mask, x),
        )
    return mask


def _within(name: str, x: Tensor, lengths: Tensor) -> Tensor:
    """True for the first `lengths` steps of each sequence; they are checked at the call."""
    batch, time = x.type.shape[:2]
    if not lengths.dtype.is_integer:
        raise DTypeError(f"lengths of {name} must be whole numbers", shown(lengths), place=caller())
    if lengths.type.shape != (batch,):
        raise ShapeError(
            f"lengths of {name} must have one entry for each sequence of the batch",
            f"lengths: {_sizes(lengths)}",
            f"input:   {_sizes(x)}, so that {_sizes(x, 1)} is needed",
            place=caller(),
        )
    counted = apply("lengths", ops.cast(lengths, DType.I64), steps=time)
    return ops.less(ops.arange(time), ops.expand_dims(counted, 1))


def _sizes(tensor: Tensor, count: int | None = None) -> str:
    sizes = tensor.type.shape[:count]
    return "(" + ", ".join(map(str, sizes)) + ("," if len(sizes) == 1 else "") + ")"


def _remedy(mask: Tensor, x: Tensor) -> str | None:
    open_dims = [dim for dim in (*mask.type.shape, *x.type.shape) if isinstance(dim, str) and "?" in dim]
    if mask.ndim == 2 and open_dims:
        return 'give the time axis one name in both inputs: Input(shape=("T", 8)), Input(shape=("T",), dtype="bool")'
    return None


def warn_of_loss(name: str, kind: str) -> None:
    """The warning for a layer that cannot pass on the mask of its input."""
    warnings.warn(
        f"{name} ({kind}) does not pass on the mask of its input: the layers after it see all steps. "
        "Set supports_masking = True in the class, or define compute_mask(inputs, mask)",
        stacklevel=4,
    )


def no_mask(name: str, kind: str) -> ArgumentError:
    """The error for an explicit mask that a layer has no use for."""
    return ArgumentError(
        f"{name} ({kind}) takes no mask",
        place=caller(),
        remedy="leave mask out, or give call() a parameter mask",
    )
