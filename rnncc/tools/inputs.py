"""Random arguments for any graph: token ids that are valid, sizes that tell the dims apart."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from rnncc.errors import ArgumentError, TokenError, nearest
from rnncc.graph.interp import interpret
from rnncc.graph.ir import Graph, is_scan, scan_view
from rnncc.graph.value import Value
from rnncc.types import bind_shape

_SIZES = (7, 5, 3, 11, 13, 17, 19, 23)
"""The first extent is the batch, as a rule: 7 rows are a block of rows and rest for most tiles."""
_NOISE = 0.3
_UNLIMITED = 8
"""Integers that are no index lie below this."""


def distinct_sizes(graph: Graph, given: Mapping[str, int]) -> dict[str, int]:
    """A size for every extent of `graph`: as given, all others different from each other and from the fixed dims.

    Raises ArgumentError when `given` has a name that is no extent of the graph, or a size that is none.
    """
    for name, size in given.items():
        if name not in graph.extents:
            meant = nearest(name, graph.extents)
            raise ArgumentError(
                f"{graph.name} has no extent {name!r}",
                f"extents: {', '.join(graph.extents) or 'none'}",
                remedy=f"did you mean {meant!r}?" if meant else None,
            )
        if size < 0:
            raise ArgumentError(f"the size of {name} cannot be {size}")
    taken = {*given.values(), *_fixed_dims(graph)}
    free = (size for size in itertools.chain(_SIZES, itertools.count(29, 2)) if size not in taken)
    return {extent: given[extent] if extent in given else next(free) for extent in graph.extents}


def _fixed_dims(graph: Graph) -> Iterator[int]:
    for value in graph.values():
        yield from (dim for dim in value.type.shape if isinstance(dim, int))
    for node in graph.nodes:
        if is_scan(node):
            yield from _fixed_dims(scan_view(node).body)


def random_arrays(graph: Graph, extents: Mapping[str, int], seed: int) -> list[np.ndarray]:
    """An array for every parameter of `graph`.

    Weights are those of the model with some noise: what initializers leave equal (zeros in biases, mostly) would hide
    errors. Integers that are used as indices or lengths are valid ones. Raises ArgumentError when none are found.
    """
    limits = index_limits(graph, extents)
    for attempt in range(8):  # an index that is computed from an input may still be outside: try smaller ones
        rng = np.random.default_rng(seed)
        arrays = [
            _random_array(graph, value, extents, rng, limits.get(value, _UNLIMITED)) for value in graph.parameters
        ]
        try:
            with np.errstate(all="ignore"):
                interpret(graph, arrays, extents)
            return arrays
        except (TokenError, ArgumentError):
            limits = {value: max(1, limit // 2) if attempt < 6 else 1 for value, limit in limits.items()}
    raise ArgumentError(
        f"no random inputs of {graph.name} give valid indices into its tables, and lengths of its sequences"
    )


def _random_array(
    graph: Graph, value: Value, extents: Mapping[str, int], rng: np.random.Generator, limit: int
) -> np.ndarray:
    shape, dtype = bind_shape(value.type.shape, extents), value.type.dtype
    source = graph.sources.get(value.name)
    if source is not None:
        payload = np.asarray(source.value, dtype.numpy)
        return payload + _noise(rng, shape).astype(dtype.numpy) if dtype.is_float else payload
    if dtype.is_integer:
        return rng.integers(0, max(limit, 1), shape).astype(dtype.numpy)
    if dtype.is_float:
        noise = _noise(rng, shape) if value in graph.consts else rng.standard_normal(shape)
        return noise.astype(dtype.numpy)
    return rng.integers(0, 2, shape).astype(dtype.numpy)


def _noise(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    """Small enough that a product of it with a vector is no larger than the vector."""
    rows = shape[-2] if len(shape) > 1 else 1
    return np.asarray(rng.standard_normal(shape) * (_NOISE / math.sqrt(max(rows, 1))))


def index_limits(graph: Graph, extents: Mapping[str, int]) -> dict[Value, int]:
    """For each value that is an index of `take` or a length, how many different numbers it may hold, from 0 on."""
    limits: dict[Value, int] = {}
    while _collect_limits(graph, extents, limits):
        pass
    return limits


def _collect_limits(graph: Graph, extents: Mapping[str, int], limits: dict[Value, int]) -> bool:
    """One walk against the flow of data; True when it found something new."""
    before = dict(limits)

    def limit(value: Value, rows: int | None) -> None:
        if rows is not None:
            limits[value] = min(rows, limits.get(value, rows))

    for node in reversed(graph.nodes):
        if is_scan(node):
            scan = scan_view(node)
            for inner, outer in zip(scan.body.outputs, node.outputs, strict=True):
                limit(inner, limits.get(outer))
            for state, after in zip(scan.body.inputs, scan.next_carry, strict=True):
                limit(after, limits.get(state))
            _collect_limits(scan.body, extents, limits)
            for inner, outer in zip(scan.body.parameters, node.inputs, strict=True):
                limit(outer, limits.get(inner))
        elif node.op.name == "take":
            table, index = node.inputs
            limit(index, bind_shape(table.type.shape[:1], extents)[0])
            limit(table, limits.get(node.output))
        elif node.op.name == "lengths":
            limit(node.inputs[0], bind_shape((node.attrs["steps"],), extents)[0] + 1)
        else:
            for value in node.inputs:
                limit(value, limits.get(node.output))
    return limits != before
