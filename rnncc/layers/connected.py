"""Whether layers make a model: inputs and outputs that are symbolic tensors and hang together, names that differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnncc.errors import ArgumentError, StructureError, UnsupportedError, caller
from rnncc.graph.symbolic import Tensor, shown
from rnncc.graph.trace import is_name
from rnncc.layers.base import Layer
from rnncc.layers.history import History, LayerCall, history_of
from rnncc.layers.inputs import InputLayer
from rnncc.ops.structure import flatten, is_nested


def check_names(model: str, layers: Sequence[Layer]) -> None:
    """Raise ArgumentError when two layers of a model have one name."""
    names = [layer.name for layer in layers]
    for name in names:
        if names.count(name) > 1:
            raise ArgumentError(
                f"two layers of {model} have the name {name!r}",
                f"layers: {', '.join(names)}",
                place=caller(),
                remedy="give each layer a name of its own",
            )


def tensors_of(role: str, given: Any) -> list[Tensor]:
    """The inputs or the outputs of a model, or an ArgumentError for what is no symbolic tensor."""
    if isinstance(given, dict) and (odd := [key for key in given if not isinstance(key, str)]):
        raise ArgumentError(f"the keys of {role} of Model are names, not {odd[0]!r}", place=caller())
    if role == "inputs" and isinstance(given, dict) and (odd := [key for key in given if not is_name(key)]):
        raise ArgumentError(
            f"the key {odd[0]!r} of inputs of Model cannot name an input",
            place=caller(),
            remedy="names are of letters, digits and _, begin with no digit, and are no words of Python",
        )
    found = flatten(given)
    parts = given.values() if isinstance(given, dict) else given if is_nested(given) else ()
    if role == "inputs" and any(map(is_nested, parts)):
        raise UnsupportedError(
            "inputs of Model are nested",
            f"given: {', '.join(map(item_text, found))}",
            place=caller(),
            remedy="give them as one list, or as one dict of inputs by name",
        )
    for item in found:
        if not isinstance(item, Tensor):
            raise ArgumentError(
                f"{role} of Model must be symbolic tensors",
                f"given: {item_text(item)}",
                place=caller(),
                remedy="inputs come from layers.Input, outputs from calling layers on them",
            )
    if not found:
        raise ArgumentError(f"Model needs {role}", place=caller())
    return found


def check_inputs(name: str, inputs: Sequence[Tensor]) -> None:
    """Raise StructureError when an input does not come from an Input, or comes twice."""
    for number, tensor in enumerate(inputs):
        history = history_of(tensor)
        if history is None or not isinstance(history.call.layer, InputLayer):
            raise StructureError(
                f"input {number} of {name} does not come from layers.Input",
                f"given: {shown(tensor)}",
                place=caller(),
                remedy="start the model at an Input: x = layers.Input(shape=...)",
            )
        if any(tensor is other for other in inputs[:number]):
            raise StructureError(f"{name} is given the input {tensor.name} twice", place=caller())


def check_connected(
    name: str, inputs: list[Tensor], outputs: list[Tensor], calls: list[LayerCall], *, needs_all: bool
) -> None:
    """Raise StructureError when the outputs need another Input, or (`needs_all`) do not need one of `inputs`."""
    needed = {call.serial: call.layer.name for call in calls if isinstance(call.layer, InputLayer)}
    given = {_history(tensor).call.serial: tensor.name for tensor in inputs}
    names = f"given:  {', '.join(given.values())}"
    if missing := [needed[serial] for serial in needed if serial not in given]:
        raise StructureError(
            f"the outputs of {name} need an input that it is not given",
            f"needed: {', '.join(missing)}",
            names,
            place=caller(),
            remedy=f"add {missing[0]} to the list of inputs",
        )
    unused = [given[serial] for serial in given if serial not in needed]
    if unused and needs_all:
        raise StructureError(
            f"the input {unused[0]} of {name} is not connected: no output is computed from it",
            f"outputs: {', '.join(tensor.name for tensor in outputs)}",
            names,
            place=caller(),
            remedy=f"use {unused[0]} in the network, or leave it out of the list of inputs",
        )


def _history(tensor: Tensor) -> History:
    history = history_of(tensor)
    assert history is not None
    return history


def item_text(item: Any) -> str:
    """What was given instead of a tensor, or the tensor, for a message."""
    if isinstance(item, np.ndarray):
        return f"an array of shape {item.shape}"
    return shown(item) if isinstance(item, Tensor) else repr(item)
