"""Compute a declared network again on other inputs: what calling a model inside another model does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rnncc.errors import ShapeError, caller
from rnncc.graph.ir import Graph
from rnncc.graph.rewrite import rename_extents
from rnncc.graph.symbolic import Application, Tensor, apply_many, scope
from rnncc.types import Dim


def replay(name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], given: Sequence[Tensor]) -> list[Tensor]:
    """`outputs` with `given` in the place of `inputs`; extents take the sizes or names that `given` has.

    Raises ShapeError when the shapes of `given` do not fit those of `inputs`.
    """
    extents = _extents(name, inputs, given)
    new = {id(tensor): replacement for tensor, replacement in zip(inputs, given, strict=True)}
    for application in _applications(outputs, inputs):
        operands = [new.get(id(tensor), tensor) for tensor in application.inputs]
        for old, result in zip(application.outputs, _again(application, operands, extents), strict=True):
            new[id(old)] = result
    return [new.get(id(tensor), tensor) for tensor in outputs]


def _again(application: Application, operands: Sequence[Tensor], extents: Mapping[str, Dim]) -> Sequence[Tensor]:
    attrs = {key: _renamed(value, extents) for key, value in application.attrs.items()}
    if application.op.name == "cast" and operands[0].dtype is attrs["dtype"]:
        return operands
    with scope(application.scope):
        results = apply_many(application.op.name, *operands, **attrs)
    for old, result in zip(application.outputs, results, strict=True):
        result.name = old.name
    return results


def _renamed(attr: Any, extents: Mapping[str, Dim]) -> Any:
    if isinstance(attr, Graph):
        return rename_extents(attr, extents)  # type: ignore[arg-type]  # sizes take the place of names as well
    if isinstance(attr, tuple):
        return tuple(_renamed(item, extents) for item in attr)
    return extents.get(attr, attr) if isinstance(attr, str) else attr


def _extents(name: str, inputs: Sequence[Tensor], given: Sequence[Tensor]) -> dict[str, Dim]:
    """What each named extent of `inputs` is in `given`."""
    extents: dict[str, Dim] = {}
    for needed, tensor in zip(inputs, given, strict=True):
        fits = needed.ndim == tensor.ndim and all(
            (extents.setdefault(dim, other) if isinstance(dim, str) else dim) == other
            for dim, other in zip(needed.type.shape, tensor.type.shape, strict=False)
        )
        if not fits:
            raise ShapeError(
                f"{tensor.name} does not fit the input {needed.name} of {name}",
                f"needed: {needed.shape}",
                f"given:  {tensor.shape}",
                place=caller(),
                remedy="None stands for any size, but the same extent must have one size in all inputs",
            )
    return extents


def _applications(outputs: Iterable[Tensor], inputs: Iterable[Tensor]) -> list[Application]:
    """What `outputs` need, oldest first; the walk stops at `inputs`."""
    stop = {id(tensor) for tensor in inputs}
    found: dict[int, Application] = {}
    stack = [tensor for tensor in outputs if id(tensor) not in stop]
    while stack:
        origin = stack.pop().origin
        if origin is not None and origin.serial not in found:
            found[origin.serial] = origin
            stack.extend(tensor for tensor in origin.inputs if id(tensor) not in stop)
    return [found[serial] for serial in sorted(found)]
