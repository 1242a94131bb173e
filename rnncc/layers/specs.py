"""What a layer needs of its input: rank and width, and the errors when they are not met."""

from __future__ import annotations

from rnncc.errors import ArgumentError, ShapeError, StructureError, caller
from rnncc.graph.symbolic import Tensor, shown
from rnncc.records import record


@record(frozen=True, slots=True)
class InputSpec:
    """What a layer needs of its (first) input; `axes` names the axes in errors, `width` is the size of the last one.

    Source: Keras 3, ``keras.layers.InputSpec``.
    """

    axes: str
    ndim: int | None = None
    min_ndim: int | None = None
    width: int | None = None
    remedy: str | None = None


def check_input(name: str, kind: str, spec: InputSpec, tensor: Tensor) -> None:
    """Raise ShapeError when `tensor` does not have the rank or width that the layer `name` needs."""
    rank, needed = tensor.ndim, None
    if spec.ndim is not None and rank != spec.ndim:
        needed = f"rank {spec.ndim}"
    elif spec.min_ndim is not None and rank < spec.min_ndim:
        needed = f"rank {spec.min_ndim} or more"
    if needed:
        raise ShapeError(
            f"{name} ({kind}) needs an input of {needed}: {spec.axes}",
            f"{shown(tensor)}, rank {rank}",
            place=caller(),
            remedy=spec.remedy,
        )
    if spec.width is not None and tensor.type.shape[-1] != spec.width:
        raise ShapeError(
            f"{name} ({kind}) was built for inputs of width {spec.width}",
            f"{shown(tensor)}, width {tensor.type.shape[-1]}",
            place=caller(),
            remedy="a layer keeps the width of its first input; make another layer for another width",
        )


def not_one_tensor(name: str, kind: str, given: object, *facts: str) -> ArgumentError:
    """The error for a list, tuple or dict that the layer `name` was given instead of a tensor."""
    return ArgumentError(
        f"{name} ({kind}) takes one tensor, not a {type(given).__name__}",
        *facts,
        place=caller(),
        remedy="join several first: layers.Concatenate()([a, b]); or call it on each of them",
    )


def fixed_width(name: str, kind: str, shape: tuple[int | None, ...]) -> int:
    """The last dim of `shape`, or a StructureError: the layer cannot size its weights without it."""
    if not isinstance(shape, tuple):
        raise not_one_tensor(name, kind, shape, f"shapes: {shape}")
    if shape[-1] is None:
        raise StructureError(
            f"{name} ({kind}) cannot create its weights: the width of its input is not fixed",
            f"input: {shape}",
            place=caller(),
            remedy="give the last dim of the Input a size: Input(shape=(None, 64)); token ids need an Embedding first",
        )
    return shape[-1]
