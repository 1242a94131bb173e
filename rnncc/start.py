"""Where a compilation starts: the graph of what a user gives to `compile`, and of that what the first pass gets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rnncc.errors import ArgumentError, caller
from rnncc.graph.ir import Graph, is_scan
from rnncc.layers.execution import is_compiled
from rnncc.lower.setup import convert_floats
from rnncc.options import Options
from rnncc.types import DType


def graph_of(model: Any, training: bool) -> Graph:
    """The graph of a model, or the graph itself; an ArgumentError for anything else."""
    if not isinstance(training, bool):
        raise ArgumentError(f"training must be True or False, not {training!r}", place=caller())
    if training and isinstance(model, Graph):
        raise ArgumentError(
            "a graph is for training or not from the start",
            place=caller(),
            remedy="compile the model with training=True, or the graph of it: model.graph(training=True)",
        )
    options = {"training": True} if training else {}
    if is_compiled(model):
        raise ArgumentError(
            f"{type(model).__name__} is compiled already",
            place=caller(),
            remedy="call it, or compile the model that it was made of with other options",
        )
    has_graph = hasattr(model, "graph") and not isinstance(model, type)
    graph = model if isinstance(model, Graph) else model.graph(**options) if has_graph else None
    if not isinstance(graph, Graph):
        what = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise ArgumentError(f"{what} is not a model or a graph", place=caller(), remedy=_made_compilable(model))
    return graph


def _made_compilable(model: Any) -> str:
    """How to make something to compile of what is not."""
    kind = model if isinstance(model, type) else type(model)
    is_ours = any(base.__module__.startswith("rnncc.") for base in kind.__mro__)
    if not is_ours and hasattr(model, "get_weights"):
        return (
            "make the same layers with rnncc.layers, then model.set_weights(other.get_weights()): the order is Keras's"
        )
    if isinstance(model, type):
        return "make an instance first"
    if hasattr(model, "get_weights"):
        return "put it into a model: rnncc.Sequential([layers.Input(shape=(None, 8)), layer])"
    return 'rnncc.trace makes a graph of a function: rnncc.trace(function, ("float32", ("B", 3)))'


def prepared(graph: Graph, options: Options) -> Graph:
    """What the first pass gets: `graph` with the float type and the steps in a turn that `options` ask for."""
    start = graph if options.dtype is DType.F32 else convert_floats(graph, options.dtype)
    return start if options.unroll is None else _with_unroll(start, options.unroll)


def _with_unroll(graph: Graph, factor: int) -> Graph:
    """`graph` with `factor` steps in one turn of every scan."""
    nodes = tuple(
        replace(node, attrs={**node.attrs, "unroll": factor, "body": _with_unroll(node.attrs["body"], factor)})
        if is_scan(node)
        else node
        for node in graph.nodes
    )
    return replace(graph, nodes=nodes)
