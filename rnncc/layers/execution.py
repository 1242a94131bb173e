"""Running models and layers on arrays. The compiler sits above this package and is installed from there.

Until `set_compiler` is called, models run by their numpy meaning, which is what `evaluate` always does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from rnncc.arrays import PAD_ROWS, as_numpy
from rnncc.errors import ArgumentError, caller
from rnncc.graph.arguments import bind_arguments
from rnncc.graph.interp import interpret
from rnncc.graph.ir import Graph
from rnncc.graph.symbolic import Tensor, input_tensor
from rnncc.graph.trace import build_graph, sources_of
from rnncc.layers.history import inside_layer
from rnncc.layers.stateful import run_with_states, states_of
from rnncc.memory import memory_errors
from rnncc.ops.lookup import out_of_range
from rnncc.ops.refusals import refused
from rnncc.ops.structure import arranged, flatten, rebuild
from rnncc.types import Dim, DType, TensorType


class HasGraph(Protocol):
    """A model: something that knows its graph."""

    def graph(self) -> Graph:
        """The graph as declared."""


Executable = Callable[..., Any]
"""Takes one array per input, by position or by name; returns an array, or a list of them for several outputs."""

Compiler = Callable[[Any], Executable]
"""Makes an Executable from a model. It is called again only when the structure of the model changes."""

_installed: list[Compiler] = []


def set_compiler(compiler: Compiler | None) -> None:
    """Install what turns a model into an Executable; None goes back to the numpy meaning."""
    _installed[:] = [] if compiler is None else [compiler]


def current_compiler() -> Compiler:
    """The installed compiler, or one that evaluates."""
    return _installed[0] if _installed else _evaluator


def _evaluator(model: HasGraph) -> Executable:
    return partial(evaluate, model)


def evaluate(graph_or_model: Graph | HasGraph, /, *arrays: Any, **named: Any) -> Any:
    """The numpy meaning of a graph or model on arrays: no compilation, one operation after the other.

    Args:
        graph_or_model: a `Graph`, or a model (its weights are taken as they are now).
        arrays: one array per input, in order; lists and pandas columns work too.
        named: inputs by name instead.

    Returns:
        The output as an array, or a list of arrays when there are several, or a model's own structure of them.

    Raises:
        ArgumentError, ShapeError, DTypeError: the arrays do not fit the inputs.
        TokenError: a token id lies outside its table.
    """
    graph = graph_or_model if isinstance(graph_or_model, Graph) else _graph_of(graph_or_model)
    slots = getattr(graph_or_model, "state_slots", ())
    structure = getattr(graph_or_model, "output_structure", None)
    if slots:
        return arranged(run_with_states(graph, slots, partial(evaluate, graph), arrays, named), structure)
    inputs, extents = bind_arguments(graph.name, graph.arguments, arrays, named)
    inputs += [graph.feeds[value.name].draw() for value in graph.inputs[len(inputs) :]]
    sources = sources_of(graph)
    consts = [sources[value.name].value for value in graph.consts]
    _check_tokens(graph, inputs)
    with np.errstate(all="ignore"), memory_errors("the values of this call"):  # infinities and NaN are results
        outputs = [np.array(output) for output in interpret(graph, [*consts, *inputs], extents)]
    return arranged(outputs, structure)


def _check_tokens(graph: Graph, inputs: Sequence[np.ndarray]) -> None:
    """Raise TokenError, with the input's name, when an input that is looked up in a table has an index outside."""
    given = dict(zip(graph.inputs, inputs, strict=True))
    for node in graph.nodes:
        if node.op.name == "take" and node.inputs[1] in given:
            table, index = node.inputs
            rows, ids = table.type.shape[0], given[index]
            if isinstance(rows, int) and len(wrong := np.argwhere((ids < 0) | (ids >= rows))):
                position = tuple(map(int, wrong[0]))
                raise refused(out_of_range(rows, ids.ndim), int(ids[position]), position, {}, index.name)


def is_compiled(model: object) -> bool:
    """True for what was made of a model: its graph is there already, and is no function that makes one."""
    return isinstance(getattr(model, "graph", None), Graph)


def _graph_of(model: object) -> Graph:
    if is_compiled(model):
        raise ArgumentError(
            f"the numpy meaning is that of a model, and {type(model).__name__} is compiled",
            place=caller(),
            remedy="evaluate the model that it was made of",
        )
    if not hasattr(model, "graph"):
        raise ArgumentError(
            f"{model!r} is not a graph or a model", place=caller(), remedy="rnncc.trace makes a graph of a function"
        )
    graph = model.graph()
    assert isinstance(graph, Graph)
    return graph


def call_on_arrays(layer: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call a layer on arrays: declare it for their ranks and evaluate. Arguments that hold no numbers pass through."""
    name: str = layer.name
    arguments = (
        tuple(as_array(name, item) for item in args),
        {key: as_array(name, item) for key, item in kwargs.items()},
    )
    leaves = flatten(arguments)
    arrays = [leaf for leaf in leaves if isinstance(leaf, np.ndarray)]
    if not arrays:
        raise ArgumentError(
            f"{name} was called without a tensor or an array",
            f"given: {', '.join(repr(item) for item in args) or 'nothing'}",
            place=caller(),
            remedy=f"call it on an Input: {name}(layers.Input(shape=...)), or on an array",
        )
    symbols = iter(_symbols(arrays, arguments[1]))
    inputs = [next(symbols) if isinstance(leaf, np.ndarray) else leaf for leaf in leaves]
    symbolic_args, symbolic_kwargs = rebuild(arguments, inputs)
    with inside_layer():
        result = layer(*symbolic_args, **symbolic_kwargs)
    outputs = flatten(result)
    states = states_of(outputs)
    leaves = [leaf for leaf in inputs if isinstance(leaf, Tensor)]
    graph = build_graph(name, [*leaves, *(before for before, _ in states)], [*outputs, *(after for _, after in states)])
    if states:
        slots = [before.slot for before, _ in states]
        values = run_with_states(graph, slots, partial(evaluate, graph), arrays, {})
    else:
        found = evaluate(graph, *arrays)
        values = found if len(outputs) > 1 else [found]
    return rebuild(result, values)


def as_array(layer: str, item: Any) -> Any:
    """`item` as an array when it holds numbers; lists of arrays stay lists."""
    if isinstance(item, dict):
        return {key: as_array(layer, part) for key, part in item.items()}
    if isinstance(item, list | tuple) and any(isinstance(leaf, np.ndarray) for leaf in flatten(item)):
        return rebuild(item, [as_array(layer, leaf) for leaf in flatten(item)])
    if item is None or isinstance(item, bool | str):
        return item
    array = as_numpy(f"an input of {layer}", item, PAD_ROWS)
    return array if array.dtype.kind in "fiub" and array.ndim else item


def _symbols(arrays: Sequence[np.ndarray], named: Mapping[str, Any]) -> list[Tensor]:
    """An input for each array."""
    symbols = [_symbol(f"x{number}" if number else "x", array) for number, array in enumerate(arrays)]
    for name in ("mask", "lengths"):
        for number, array in enumerate(arrays):
            if array is named.get(name):
                symbols[number] = input_tensor(TensorType(symbols[number].dtype, ("B", *array.shape[1:])), name)
    return symbols


def _symbol(name: str, array: np.ndarray) -> Tensor:
    """An input for arrays like `array`, of any batch size."""
    shape: tuple[Dim, ...] = ("B", *array.shape[1:]) if array.ndim > 1 else array.shape
    dtype = {"b": DType.BOOL, "f": DType.F32}.get(array.dtype.kind, DType.I64)
    dtype = DType.F64 if array.dtype == np.float64 else dtype
    return input_tensor(TensorType(dtype, shape), name)
