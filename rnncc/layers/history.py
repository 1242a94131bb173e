"""Which layer call made a tensor: the record behind `Model.layers` and the "Connected to" column.

This is not a second graph: a model computes what its tensors' origins say. The history only groups that by layer.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from rnncc.graph.symbolic import Tensor
from rnncc.records import record

if TYPE_CHECKING:
    from rnncc.layers.base import Layer

_serial = itertools.count()
_inside: ContextVar[bool] = ContextVar("rnncc_inside_layer", default=False)


@record(frozen=True, slots=True, eq=False)
class LayerCall:
    """One call of `layer`, its `index`-th, on `inputs`, the tensors in `args` and `kwargs`; `serial` orders all calls
    by time."""

    layer: Layer
    index: int
    inputs: tuple[Tensor, ...]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    serial: int

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """The tensors that came back."""
        return self.layer._calls[self.index][1]


@record(frozen=True, slots=True, eq=False)
class History:
    """A tensor is output number `position` of `call`."""

    call: LayerCall
    position: int

    def __str__(self) -> str:
        return f"{self.call.layer.name}[{self.call.index}][{self.position}]"

    @property
    def what_to_unpack(self) -> str | None:
        """What to do for somebody who takes the only output of a layer apart, expecting its states as well."""
        if getattr(self.call.layer, "return_state", True):
            return None
        return f"{self.call.layer.name} returns one tensor; with return_state=True it returns its states as well"


def new_call(
    layer: Layer,
    index: int,
    inputs: Iterable[Tensor],
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> LayerCall:
    """The record of a call that happens now."""
    return LayerCall(layer, index, tuple(inputs), tuple(args), dict(kwargs or {}), next(_serial))


def history_of(tensor: Tensor) -> History | None:
    """The layer call that made `tensor`, if one did."""
    history = tensor.history
    assert history is None or isinstance(history, History)
    return history


@contextmanager
def inside_layer(inside: bool = True) -> Iterator[None]:
    """Layer calls in this block are part of the layer that is running, and leave no record of their own."""
    token = _inside.set(inside)
    try:
        yield
    finally:
        _inside.reset(token)


def outside_layers() -> AbstractContextManager[None]:
    """Layer calls in this block are recorded, even while the `call` of some layer runs."""
    return inside_layer(False)


def is_inside_layer() -> bool:
    """True while the `call` of some layer runs."""
    return _inside.get()


def layer_outputs(tensors: Iterable[Tensor]) -> list[History]:
    """The layer outputs that `tensors` are, or (behind ops on symbolic tensors) are computed from, each once."""
    found: dict[tuple[int, int], History] = {}
    seen: set[int] = set()
    stack = list(tensors)[::-1]
    while stack:
        tensor = stack.pop()
        if (history := history_of(tensor)) is not None:
            found.setdefault((history.call.serial, history.position), history)
        elif tensor.origin is not None and tensor.origin.serial not in seen:
            seen.add(tensor.origin.serial)
            stack.extend(tensor.origin.inputs[::-1])
    return list(found.values())


def network(outputs: Iterable[Tensor]) -> list[LayerCall]:
    """The layer calls that `outputs` need, in Keras's order: farthest from the outputs first, then as they are met.

    The distance of a call is the longest way from it to an output; calls of one layer count with the largest.
    """
    met = _met(outputs)
    distance: dict[int, int] = {}
    layer_distance: dict[int, int] = {}
    for call in sorted(met, key=lambda call: -call.serial):
        far = max(distance.get(call.serial, 0), layer_distance.get(id(call.layer), 0))
        layer_distance[id(call.layer)] = distance[call.serial] = far
        for parent in layer_outputs(call.inputs):
            serial = parent.call.serial
            distance[serial] = max(distance.get(serial, 0), far + 1)
    order = {call.serial: number for number, call in enumerate(met)}
    return sorted(met, key=lambda call: (-distance[call.serial], order[call.serial]))


def _met(outputs: Iterable[Tensor]) -> list[LayerCall]:
    """Calls in the order in which a walk from the outputs, depth first, meets them."""
    met: dict[int, LayerCall] = {}
    stack = layer_outputs(outputs)[::-1]
    while stack:
        call = stack.pop().call
        if call.serial not in met:
            met[call.serial] = call
            stack.extend(layer_outputs(call.inputs)[::-1])
    return list(met.values())
