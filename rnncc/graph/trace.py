"""From symbolic tensors to a flat graph: collect what a set of outputs needs, in order of creation."""

from __future__ import annotations

import inspect
import itertools
import keyword
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from rnncc.errors import ArgumentError, StructureError, caller
from rnncc.graph.ir import Feed, Graph, Node, Source, is_scan
from rnncc.graph.rewrite import rename_extents
from rnncc.graph.symbolic import Application, FedTensor, StepTensor, Tensor, input_tensor
from rnncc.graph.value import Value
from rnncc.names import unused
from rnncc.types import Dim, TensorType, as_shape, dtype_of, is_extent_name

_fresh = itertools.count(1)


def fresh_extent(letter: str) -> str:
    """A new extent that differs from all others: ``T?1``; `build_graph` gives it a plain name."""
    return f"{letter}?{next(_fresh)}"


def build_graph(name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], names: Sequence[str] = ()) -> Graph:
    """The graph that computes `outputs` from `inputs` and the weights and hidden inputs that are reached.

    `names` are those of the first inputs in the graph, where they are not their own.

    Raises StructureError when an output needs an input that is not among `inputs`.
    """
    graph, free = _flatten(name, (), inputs, (), outputs, names=names)
    sources: dict[str, Source] = {}
    feeds: dict[str, Feed] = {}
    for value, tensor in zip(graph.consts, free, strict=True):
        if isinstance(tensor, StepTensor):
            raise _from_inside_a_step(graph, value)
        if isinstance(tensor, FedTensor):
            feeds[value.name] = tensor.feed
            continue
        if tensor.source is None:
            raise StructureError(
                f"{name} needs an input that it is not given",
                f"needed: {tensor.name}: {tensor.type}",
                f"given:  {', '.join(t.name for t in inputs) or 'nothing'}",
                place=caller(),
                remedy="add the missing Input to the list of inputs",
            )
        sources[value.name] = tensor.source
    _check_extents(graph)
    weights = tuple(value for value in graph.consts if value.name in sources)
    hidden = tuple(value for value in graph.consts if value.name in feeds)
    graph = replace(graph, consts=weights, inputs=(*graph.inputs, *hidden), sources=sources, feeds=feeds)
    return _plain_extents(graph)


def _from_inside_a_step(graph: Graph, leaf: Value) -> StructureError:
    """The error for a value that a step of some scan left lying about, and that is used outside of that step."""
    reader = next((node for node in graph.nodes if leaf in node.inputs), None)
    if reader is None or is_scan(reader):
        what, where = f"{leaf.name}: {leaf.type}", "used at"
    else:
        what, where = f"the result of {reader.op.name}", "made at"
    return StructureError(
        f"{graph.name} uses {what} from inside the step of a scan, where there is one for every step",
        *([f"{where} {reader.place}"] if reader is not None and reader.place else []),
        place=caller(),
        remedy="let the step return it: scan returns the last state, and all results of the steps",
    )


def _check_extents(graph: Graph) -> None:
    """Every extent has a proper name, and a parameter that binds it at the call."""
    for extent in graph.extents:
        if not is_extent_name(extent.partition("?")[0]):
            raise ArgumentError(
                f"{extent!r} cannot name an extent", place=caller(), remedy='give it a plain name, such as "T"'
            )
    for value in graph.values():
        for dim in value.type.shape:
            if isinstance(dim, str) and dim not in graph.extents:
                raise StructureError(
                    f"no input of {graph.name} has the extent {dim}, so its size is not known at the call",
                    f"{value.name}: {value.type}",
                    place=caller(),
                )


def build_body(
    name: str, carry: Sequence[Tensor], xs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> tuple[Graph, list[Tensor]]:
    """The closed body of a scan, and the tensors of the enclosing graph that it closes over.

    What does not depend on `carry` or `xs` is not part of the body: it is computed once, outside.
    """
    return _flatten(name, (), carry, xs, outputs, stop_outside=True)


def trace(function: Callable[..., object], *specs: TensorType | tuple[object, Sequence[Dim]]) -> Graph:
    """The graph of a Python function of symbolic tensors.

    Each spec is the TensorType of one argument, or a pair of dtype and shape: ``("float32", ("B", 3))``. The function
    returns a tensor or a sequence of tensors.
    """
    if not callable(function):
        raise ArgumentError(
            f"{function!r} is not a function",
            place=caller(),
            remedy="trace takes a function of symbolic tensors, and then the type of each argument",
        )
    for spec in specs:
        is_pair = isinstance(spec, tuple | list) and len(spec) == 2 and isinstance(spec[1], tuple | list)
        if not isinstance(spec, TensorType) and not is_pair:
            raise ArgumentError(
                f"{spec!r} is not the type of an argument",
                place=caller(),
                remedy='give dtype and shape: ("float32", ("B", 3))',
            )
    types = [s if isinstance(s, TensorType) else TensorType(dtype_of(s[0]), as_shape(s[1])) for s in specs]
    check_takes(function, len(types), "the function that trace is given", "one for each type")
    code = getattr(function, "__code__", None)
    names = list(code.co_varnames[: code.co_argcount]) if code else []
    names += [f"x{i}" for i in range(len(names), len(types))]
    inputs = [input_tensor(type, name) for type, name in zip(types, names, strict=False)]
    result = function(*inputs)
    outputs: list[Tensor] = []
    for output in result if isinstance(result, list | tuple) else [result]:
        if not isinstance(output, Tensor):
            raise ArgumentError(f"{_name_of(function)} must return symbolic tensors, not {output!r}", place=caller())
        outputs.append(output)
    return build_graph(_name_of(function), inputs, outputs)


def check_takes(function: Callable[..., object], count: int, what: str, why: str) -> None:
    """Raise ArgumentError when `function` does not take `count` arguments by position; the message says `what` it is,
    and `why` it has to.

    So that a TypeError of the call itself can only come from inside of the function, and is left as it is.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # not every function of C has one
        return
    try:
        signature.bind(*range(count))
    except TypeError:
        raise ArgumentError(
            f"{what} must take {count} argument{'' if count == 1 else 's'}: {why}",
            f"it takes: {signature}",
            place=caller(),
        ) from None


def _name_of(function: Callable[..., object]) -> str:
    name = getattr(function, "__name__", "graph")
    return name if name.isidentifier() else "graph"


def _flatten(
    name: str,
    consts: Sequence[Tensor],
    inputs: Sequence[Tensor],
    xs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    *,
    stop_outside: bool = False,
    names: Sequence[str] = (),
) -> tuple[Graph, list[Tensor]]:
    """The graph and, for each of its consts, the tensor outside that it stands for."""
    given = list(dict.fromkeys([*inputs, *xs]))
    needed = _reachable(outputs, given)
    inside = _dependent(needed, given) if stop_outside else needed
    serials = {application.serial for application in inside}
    unique = _Names()
    values: dict[int, Value] = {}

    def define(tensor: Tensor, hint: str) -> Value:
        values[id(tensor)] = Value(unique(hint), tensor.type)
        return values[id(tensor)]

    hints = (*names, *(tensor.name for tensor in inputs[len(names) :]))
    input_values = tuple(map(define, inputs, hints))
    x_values = tuple(define(tensor, tensor.name) for tensor in xs)
    free: dict[int, Tensor] = {}
    for tensor in [*(t for a in inside for t in a.inputs), *outputs]:
        outside = tensor.origin is None or tensor.origin.serial not in serials
        if outside and id(tensor) not in values:
            free[id(tensor)] = tensor
            define(tensor, tensor.name)
    nodes = []
    for application in inside:
        results = tuple(define(tensor, tensor.name) for tensor in application.outputs)
        operands = tuple(values[id(tensor)] for tensor in application.inputs)
        nodes.append(Node(application.op, operands, results, application.attrs, application.scope, application.place))
    const_values = tuple(values[key] for key in free)
    result = tuple(values[id(tensor)] for tensor in outputs)
    return Graph(_identifier(name), const_values, input_values, x_values, tuple(nodes), result), list(free.values())


def _reachable(outputs: Iterable[Tensor], given: Iterable[Tensor]) -> list[Application]:
    """Applications that `outputs` need, oldest first; the walk stops at `given`."""
    stop = {id(tensor) for tensor in given}
    found: dict[int, Application] = {}
    stack = [tensor for tensor in outputs if id(tensor) not in stop]
    while stack:
        origin = stack.pop().origin
        if origin is not None and origin.serial not in found:
            found[origin.serial] = origin
            stack.extend(tensor for tensor in origin.inputs if id(tensor) not in stop)
    return [found[serial] for serial in sorted(found)]


def _dependent(applications: Iterable[Application], given: Iterable[Tensor]) -> list[Application]:
    """Those of `applications` whose results depend on `given`."""
    known = {id(tensor) for tensor in given}
    dependent = []
    for application in applications:
        if any(id(tensor) in known for tensor in application.inputs):
            dependent.append(application)
            known.update(id(tensor) for tensor in application.outputs)
    return dependent


class _Names:
    """Hands out identifiers, each once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def __call__(self, hint: str) -> str:
        name = unused(_identifier(hint), self._taken)
        self._taken.add(name)
        return name


def is_name(text: str) -> bool:
    """True for what is a name in a graph as it stands."""
    return text == _identifier(text)


def _identifier(hint: str) -> str:
    """`hint` as a Python identifier."""
    word = re.sub(r"\W", "_", unicodedata.normalize("NFKC", hint)) or "v"
    if word[0].isdigit():
        word = f"v{word}"
    return f"{word}_" if keyword.iskeyword(word) else word


def _plain_extents(graph: Graph) -> Graph:
    """`graph` with its fresh extents (``T?7``) renamed to T, T_2, ... in order of appearance."""
    taken = {extent for extent in graph.extents if "?" not in extent}
    renamed: dict[str, str] = {}
    for extent in graph.extents:
        letter, fresh, _ = extent.partition("?")
        if fresh:
            renamed[extent] = unused(letter, taken)
            taken.add(renamed[extent])
    return rename_extents(graph, renamed)


def sources_of(graph: Graph) -> Mapping[str, Source]:
    """The payload of every const of `graph`, or a StructureError that names those that have none."""
    missing = [value.name for value in graph.consts if value.name not in graph.sources]
    if missing:
        raise StructureError(
            f"graph {graph.name} has weights without values: {', '.join(missing)}",
            remedy="a graph that was read from text has types only; give it sources, or make them inputs",
        )
    return graph.sources
