"""Compute a declared network again on other inputs: what calling a model inside another model does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rnncc.errors import ShapeError, caller
from rnncc.graph.ir import Graph
from rnncc.graph.rewrite import rename_extents
from rnncc.graph.symbolic import Application, Tensor, apply_many, scope
from rnncc.layers.history import LayerCall, history_of
from rnncc.ops.structure import flatten, rebuild
from rnncc.types import Dim


def replay(
    name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], given: Sequence[Tensor], options: Mapping[str, Any]
) -> list[Tensor]:
    """`outputs` with `given` in the place of `inputs`; extents take the sizes or names that `given` has.

    Layers are called again (with `options` that are not None, where the first call had none), so that they follow the
    masks of `given`; ops outside layers are applied again. Raises ShapeError when the shapes of `given` do not fit
    those of `inputs`.
    """
    extents = _extents(name, inputs, given)
    new = {id(tensor): replacement for tensor, replacement in zip(inputs, given, strict=True)}
    for step in _steps(outputs, inputs):
        if isinstance(step, LayerCall):
            results: Sequence[Tensor] = _called_again(step, new, options)
        else:
            results = _again(step, [new.get(id(tensor), tensor) for tensor in step.inputs], extents)
        new.update({id(old): result for old, result in zip(step.outputs, results, strict=True)})
    return [new.get(id(tensor), tensor) for tensor in outputs]


def _called_again(call: LayerCall, new: Mapping[int, Tensor], options: Mapping[str, Any]) -> list[Tensor]:
    arguments = (call.args, dict(call.kwargs))
    args, kwargs = rebuild(arguments, [new.get(id(leaf), leaf) for leaf in flatten(arguments)])
    open_options = {key: value for key, value in options.items() if value is not None and kwargs.get(key) is None}
    results: list[Tensor] = flatten(call.layer(*args, **{**kwargs, **open_options}))
    known = {id(leaf) for leaf in flatten((args, kwargs))}
    for old, result in zip(call.outputs, results, strict=True):
        if id(result) not in known and result.origin is not None and result.history is None:
            result.name = old.name
    return results


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


def _steps(outputs: Iterable[Tensor], inputs: Iterable[Tensor]) -> list[LayerCall | Application]:
    """The layer calls, and the ops outside layers, that `outputs` need, oldest first; the walk stops at `inputs`."""
    stop = {id(tensor) for tensor in inputs}
    found: dict[int, LayerCall | Application] = {}
    stack = list(outputs)
    while stack:
        tensor = stack.pop()
        step = None if id(tensor) in stop else _maker(tensor)
        if step is not None and id(step) not in found:
            found[id(step)] = step
            stack.extend(step.inputs)
    return sorted(found.values(), key=_time)


def _maker(tensor: Tensor) -> LayerCall | Application | None:
    history = history_of(tensor)
    return tensor.origin if history is None else history.call


def _time(step: LayerCall | Application) -> int:
    """When the outputs were made."""
    if isinstance(step, Application):
        return step.serial
    return max(tensor.origin.serial for tensor in step.outputs if tensor.origin is not None)
