"""Make the states of all scans arguments and results, so that a sequence can be computed piece by piece.

    def model(u, /, x: f32[B, T, 8]):                  def model(u, /, x: f32[B, T, 8], h_in: f32[B, 16]):
        h, ys = scan(u, h0, x_t, body=step)     ->         h, ys = scan(u, h_in, x_t, body=step)
        return dense(h)                                    return dense(h), h

The results for a sequence are those of its pieces in a row, each starting from the states that the piece before it
ended with. That holds when nothing but the scans looks at more than one step, and no scan runs from the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rnncc.errors import UnsupportedError, caller
from rnncc.graph.deps import needed_nodes
from rnncc.graph.ir import Graph, Node, is_scan, scan_view
from rnncc.graph.rewrite import rewriter_for
from rnncc.graph.value import Value
from rnncc.ops.shapes import factors
from rnncc.passes.graph.center_weights import center_weights
from rnncc.passes.graph.cse import cse
from rnncc.passes.graph.last_step import last_step
from rnncc.records import record
from rnncc.types import Dim, named_dims


@record(frozen=True, slots=True)
class Streaming:
    """A graph in pieces: `step` takes the inputs and the states and returns the outputs and the new states.

    Hidden inputs are ordinary ones of `step`: what was drawn for a sequence holds for all its pieces.
    `initial` computes the states before the first piece, from those inputs of the model that are no sequences. What it
    alone reads is no input of `step`.
    """

    step: Graph
    initial: Graph
    time: str
    states: tuple[str, ...]

    @property
    def has_computed_start(self) -> bool:
        """True when `initial` computes something from inputs, for as many sequences as they say."""
        shapes = (
            tuple(value.type.shape for value in values) for values in (self.initial.values(), self.initial.inputs)
        )
        in_all, in_inputs = map(set, map(named_dims, shapes))
        return bool(self.initial.inputs) and in_all <= in_inputs


def expose_states(graph: Graph) -> Streaming:
    """`graph` as a step and its initial states. Raises UnsupportedError naming what looks at the whole sequence.

    The last step of a piece is where the states are that it leaves; a piece may be empty. Passes that look at who reads
    a value come first, as they do in the whole (see `pipeline`): in the pieces more is read.
    """
    graph = last_step(center_weights(cse(graph)), may_be_empty=True)
    scans = [node for node in graph.nodes if is_scan(node)]
    time = _time_of(graph, scans)
    for node in graph.nodes:
        _check_flows_forward(node, time)
    _check_nothing_flows_back(graph, time)
    names = rewriter_for(graph)
    inits = [init for node in scans for init in scan_view(node).init]
    states = [Value(names.unique(f"{value.name}_in"), value.type) for value in _carries(scans)]
    replaced = iter(states)
    nodes = tuple(_with_inits(node, replaced) if is_scan(node) else node for node in graph.nodes)
    final = [value for node in scans for value in scan_view(node).final]
    outputs = (*graph.outputs, *final)
    step_nodes = needed_nodes(nodes, outputs)
    initial_nodes = needed_nodes(graph.nodes, inits)
    read = {value for node in initial_nodes for value in node.inputs} | set(inits)
    inputs = tuple(value for value in graph.inputs if value in read)
    read_later = {value for node in step_nodes for value in node.inputs} | set(outputs)
    kept = (value for value in graph.inputs if value in read_later or value not in read)
    step = replace(graph, inputs=(*kept, *states), feeds={}, nodes=step_nodes, outputs=outputs)
    if not set(inputs) <= set(graph.arguments):
        raise _cannot(f"the initial states of {graph.name} are random")
    for value in inputs:
        if time in value.type.shape:
            raise _cannot(f"the initial states of {graph.name} depend on the sequence {value.name}")
    initial = replace(graph, inputs=inputs, feeds={}, nodes=initial_nodes, outputs=tuple(inits))
    return Streaming(step, initial, time, tuple(value.name for value in states))


def _carries(scans: list[Node]) -> list[Value]:
    return [value for node in scans for value in scan_view(node).body.inputs]


def _with_inits(node: Node, states: Iterator[Value]) -> Node:
    scan = scan_view(node)
    taken = tuple(next(states) for _ in scan.init)
    return replace(node, inputs=(*scan.consts, *taken, *scan.xs))


def _time_of(graph: Graph, scans: list[Node]) -> str:
    """The one extent that all scans run over."""
    lengths = list(dict.fromkeys(scan_view(node).length for node in scans))
    if not lengths:
        raise _cannot(f"{graph.name} has no layer that runs over time")
    if len(lengths) > 1:
        raise _cannot(f"{graph.name} runs over several sequences: {', '.join(map(str, lengths))}")
    (time,) = lengths
    if not isinstance(time, str):
        raise _cannot(f"{graph.name} was declared for sequences of length {time}")
    return time


def _check_flows_forward(node: Node, time: str) -> None:
    """Raise when a result at one step of `node` needs operands of another one (scans may look back)."""
    where = node.scope or node.op.name
    if is_scan(node):
        scan = scan_view(node)
        if scan.reverse:
            raise _cannot(f"{where} runs from the end of the sequence")
        inside = (*scan.body.values(), *(value for inner in _bodies(scan.body) for value in inner.values()))
        if any(time in value.type.shape for value in inside):
            raise _cannot(f"a step of {where} looks at the whole sequence")
        return
    if not any(time in value.type.shape for value in (*node.inputs, *node.outputs)):
        return
    if not node.inputs:
        raise _cannot(f"{where} counts the steps of the whole sequence: it knows the number of each, or draws by it")
    if not _keeps_time(node, time):
        raise _cannot(f"{node.op.name} in {where} looks at the whole sequence")


def _check_nothing_flows_back(graph: Graph, time: str) -> None:
    """Raise when a step needs a state that only the end of the sequence has: a piece would take that of its own end."""
    late: set[Value] = set()
    for node in graph.nodes:
        has_late = not late.isdisjoint(node.inputs)
        if has_late and (is_scan(node) or any(time in value.type.shape for value in node.outputs)):
            raise _cannot(f"steps of {node.scope or node.op.name} need a state from the end of the sequence")
        late.update(scan_view(node).final if is_scan(node) else node.outputs if has_late else ())


def _bodies(graph: Graph) -> Iterator[Graph]:
    for node in graph.nodes:
        if is_scan(node):
            yield node.attrs["body"]
            yield from _bodies(node.attrs["body"])


def _keeps_time(node: Node, time: str) -> bool:
    """True when the result at a step comes from the operands at that step: known ops only, time an axis of its own."""
    shapes = [value.type.shape for value in node.inputs]
    result = node.output.type.shape
    if any(shape.count(time) > 1 for shape in (*shapes, result)):
        return False
    at = [shape.index(time) if time in shape else None for shape in shapes]
    match node.op.name:
        case _ if node.op.elementwise:
            return True
        case "broadcast_to" | "transpose":
            return True
        case "reshape":
            return _same_cut(shapes[0], result, time)
        case "matmul":
            return at[1] is None and at[0] is not None and at[0] < len(shapes[0]) - 1
        case "take":
            return at[0] is None
        case "sum" | "max" | "min" | "flip" | "concatenate":
            return node.attrs["axis"] not in at
        case "slice":
            return True  # an extent can only be taken whole
        case _:
            return False


def _same_cut(before: tuple[Dim, ...], after: tuple[Dim, ...], time: str) -> bool:
    """True when a reshape keeps what is left and what is right of the time axis on its side."""
    if time not in before or time not in after:
        return False
    left = factors(before[: before.index(time)]), factors(before[before.index(time) + 1 :])
    return left == (factors(after[: after.index(time)]), factors(after[after.index(time) + 1 :]))


def _cannot(reason: str) -> UnsupportedError:
    return UnsupportedError(
        f"this model cannot be streamed: {reason}",
        place=caller(),
        remedy="call it on whole sequences, or stream the part of it whose time flows forward",
    )
