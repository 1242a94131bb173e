"""The meaning of a graph, in numpy: run every node's `eval` in order. No compilation; the oracle of all tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rnncc.errors import ShapeError
from rnncc.graph.ir import Graph
from rnncc.graph.value import Value
from rnncc.types import Dim


def interpret(graph: Graph, arrays: Sequence[np.ndarray], extents: Mapping[str, int] | None = None) -> list[np.ndarray]:
    """The outputs of `graph` for one array per parameter (consts, inputs, xs).

    Raises ShapeError when arrays and parameter shapes cannot be brought together.
    """
    bound = dict(extents or {})
    assert len(arrays) == len(graph.parameters), f"{len(arrays)} arrays for {len(graph.parameters)} parameters"
    environment: dict[Value, np.ndarray] = {}
    for value, array in zip(graph.parameters, arrays, strict=True):
        bind_extents(value.name, value.type.shape, array.shape, bound)
        environment[value] = array
    for node in graph.nodes:
        results = node.op.eval([environment[value] for value in node.inputs], node.attrs, bound)
        environment.update(zip(node.outputs, results, strict=True))
    return [environment[value] for value in graph.outputs]


def bind_extents(name: str, shape: Sequence[Dim], sizes: Sequence[int], bound: dict[str, int]) -> None:
    """Bind the extents in `shape` to `sizes`, in `bound`; a ShapeError says which dim disagrees."""
    if len(shape) != len(sizes):
        raise ShapeError(f"{name} has rank {len(sizes)}, but rank {len(shape)} is needed: {_show(shape)}")
    for dim, size in zip(shape, sizes, strict=True):
        expected = bound.setdefault(dim, size) if isinstance(dim, str) else dim
        if expected != size:
            what = f"{dim} is {size} here but {expected} before" if isinstance(dim, str) else f"{size} != {dim}"
            raise ShapeError(f"{name} has shape {tuple(sizes)}, but {_show(shape)} is needed: {what}")


def _show(shape: Sequence[Dim]) -> str:
    return f"({', '.join(map(str, shape))})"
