"""States that stay from call to call: extra inputs and outputs of a graph, fed and collected by whoever runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from rnncc.errors import ShapeError, StructureError, caller
from rnncc.graph.arguments import bind_arguments
from rnncc.graph.ir import Graph
from rnncc.graph.symbolic import Application, Tensor
from rnncc.types import TensorType, bind_shape


class StateSlot:
    """One state of a stateful layer; `value` is None (zeros of any batch size) until the first call."""

    def __init__(self, layer: str, name: str) -> None:
        self.layer = layer
        self.name = name
        self.value: np.ndarray | None = None

    def current(self, type: TensorType, extents: Mapping[str, int]) -> np.ndarray:
        """The state for a call with these extents. Raises ShapeError when it belongs to another batch."""
        shape = bind_shape(type.shape, extents)
        if self.value is None:
            return np.zeros(shape, type.dtype.numpy)
        if self.value.shape != shape:
            raise ShapeError(
                f"{self.layer} keeps the state of another batch",
                f"{self.name}: {self.value.shape} from the calls before",
                f"this call: {shape}",
                place=caller(),
                remedy="call reset_states() on the layer, the model or the compiled model before another batch",
            )
        return self.value.astype(type.dtype.numpy, copy=False)


class StateTensor(Tensor):
    """The leaf that stands for a state before the first step."""

    __slots__ = ("slot",)

    def __init__(self, type: TensorType, slot: StateSlot) -> None:
        super().__init__(type, f"{slot.layer}_{slot.name}_before")
        self.slot = slot


def states_of(outputs: Iterable[Tensor]) -> list[tuple[StateTensor, Tensor]]:
    """The states that `outputs` start from, each with what it is after the last step."""
    found: dict[int, tuple[StateTensor, Tensor]] = {}
    seen: dict[int, Application] = {}
    stack = [tensor.origin for tensor in outputs]
    while stack:
        origin = stack.pop()
        if origin is None or origin.serial in seen:
            continue
        seen[origin.serial] = origin
        stack.extend(tensor.origin for tensor in origin.inputs)
    for serial in sorted(seen):
        application = seen[serial]
        skip = len(application.attrs["body"].consts) if application.op.name == "scan" else 0
        for number, tensor in enumerate(application.inputs[skip:]):
            if isinstance(tensor, StateTensor):
                if id(tensor.slot) in found:
                    raise StructureError(
                        f"the stateful layer {tensor.slot.layer} is called twice in one model",
                        place=caller(),
                        remedy="use two layers, or pass the state on with return_state and initial_state",
                    )
                found[id(tensor.slot)] = (tensor, application.outputs[number])
    return list(found.values())


def run_with_states(
    graph: Graph,
    slots: Sequence[StateSlot],
    run: Callable[..., Any],
    arrays: Sequence[Any],
    named: Mapping[str, Any],
) -> list[np.ndarray]:
    """Call `run` with the states as last inputs, and keep its last outputs as the new ones; when it fails, the states
    stay as they were."""
    count = len(graph.arguments) - len(slots)
    inputs, extents = bind_arguments(graph.name, graph.arguments[:count], arrays, named)
    before = [slot.current(value.type, extents) for slot, value in zip(slots, graph.arguments[count:], strict=True)]
    results: list[np.ndarray] = run(*inputs, *before)
    outputs, after = results[: len(results) - len(slots)], results[len(results) - len(slots) :]
    for slot, value in zip(slots, after, strict=True):
        slot.value = value
    return outputs
