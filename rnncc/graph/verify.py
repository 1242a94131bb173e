"""The rules of the graph IR, checked. Passes are run between two of these; a parsed text is checked once.

- every value has a name of its own in its graph, and is defined once, before it is used (so there are no cycles);
- a body uses its own values only;
- a node has as many operands as its op takes, attrs of the known kinds, and the result types that the op infers;
- a scan has what its body asks for: operands by kind, `reverse`, `length`, `unroll`;
- every extent is mentioned by a parameter of the outermost graph, where it can be bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rnncc.errors import RnnccError, VerifyError
from rnncc.graph.ir import Graph, Node, Scan, is_scan, scan_view
from rnncc.graph.op import Attr
from rnncc.graph.printer import Part, excerpt, listing
from rnncc.graph.value import Value
from rnncc.records import record
from rnncc.types import DType, TensorType, is_extent_name, is_name


def verify(graph: Graph, *, after: str | None = None, context: Sequence[str] = ()) -> None:
    """Check every rule above, bodies included.

    `after` names the pass that made `graph`; `context` lines are put below the offending line.

    Raises VerifyError with that line as `show` prints it.
    """
    try:
        _verify_graph(graph, (), frozenset(graph.extents), frozenset())
    except _BrokenError as broken:
        printed = listing(graph)
        what = f"after {after}: {broken.what}" if after else broken.what
        remedy = "this is a bug in rnncc; `rnncc bisect FILE` names the first wrong pass" if after else None
        raise VerifyError(
            what, *excerpt(printed.lines, printed.spots[broken.part]), *broken.facts, *context, remedy=remedy
        ) from None


class _BrokenError(Exception):
    """A broken rule, before it is known how the graph prints."""

    def __init__(self, part: Part, what: str, *facts: str) -> None:
        super().__init__(what)
        self.part = part
        self.what = what
        self.facts = facts


def _verify_graph(graph: Graph, path: tuple[int, ...], extents: frozenset[str], outside: frozenset[Value]) -> None:
    """`outside` are the values of the enclosing graphs."""
    if not is_name(graph.name):
        raise _BrokenError(Part(path, "def"), f"{graph.name!r} is not a name that a graph can have")
    scope = _Scope(graph, path, extents, outside, frozenset(graph.values()))
    defined: dict[Value, None] = {}
    names: dict[str, None] = {}
    for value, part in _definitions(graph, path):
        if value in defined:
            raise _BrokenError(part, f"{value.name} is defined twice")
        if value.name in names:
            raise _BrokenError(part, f"two values are called {value.name}")
        defined[value] = None
        names[value.name] = None
        _verify_value(value, part, extents)
    known = set(graph.parameters)
    for position, node in enumerate(graph.nodes):
        for number, value in enumerate(node.inputs):
            if value not in known:
                raise scope.unknown(value, Part(path, "input", number, position))
        _verify_node(scope, node, position)
        known.update(node.outputs)
    for number, value in enumerate(graph.outputs):
        if value not in known:
            raise scope.unknown(value, Part(path, "return", number))


@record(frozen=True, slots=True)
class _Scope:
    """The graph whose nodes are being checked."""

    graph: Graph
    path: tuple[int, ...]
    extents: frozenset[str]
    outside: frozenset[Value]
    own: frozenset[Value]

    def unknown(self, value: Value, part: Part) -> _BrokenError:
        """What is wrong with the use of a value that is not defined."""
        if value in self.own:
            return _BrokenError(part, f"{value.name} is used before it is defined")
        if value in self.outside:
            return _BrokenError(
                part, f"{value.name} belongs to an enclosing graph: the body {self.graph.name} is closed"
            )
        same_name = any(own.name == value.name for own in self.own)
        what = f"this is another value than the {value.name} of" if same_name else f"{value.name} is not defined in"
        return _BrokenError(part, f"{what} {self.graph.name}")


def _definitions(graph: Graph, path: tuple[int, ...]) -> Iterator[tuple[Value, Part]]:
    for number, value in enumerate(graph.parameters):
        yield value, Part(path, "parameter", number)
    for position, node in enumerate(graph.nodes):
        for number, value in enumerate(node.outputs):
            yield value, Part(path, "output", number, position)


def _verify_value(value: Value, part: Part, extents: frozenset[str]) -> None:
    if not is_name(value.name):
        raise _BrokenError(part, f"{value.name!r} is not a name that a value can have")
    for dim in value.type.shape:
        _verify_dim(dim, part, extents)


def _verify_dim(dim: object, part: Part, extents: frozenset[str]) -> None:
    match dim:
        case str() if not is_extent_name(dim):
            raise _BrokenError(part, f"{dim!r} is not a name that an extent can have")
        case str() if dim not in extents:
            raise _BrokenError(part, f"no parameter of the outermost graph mentions the extent {dim}")
        case bool():
            raise _BrokenError(part, f"{dim} is not a dim")
        case int() if dim < 0:
            raise _BrokenError(part, f"{dim} is not a dim")
        case int() | str():
            pass
        case _:
            raise _BrokenError(part, f"{dim!r} is not a dim")


def _verify_node(scope: _Scope, node: Node, position: int) -> None:
    here = Part(scope.path, "op", 0, position)
    if node.op.arity is not None and len(node.inputs) != node.op.arity:
        raise _BrokenError(here, f"{node.op.name} takes {node.op.arity} operands, {len(node.inputs)} given")
    if wrong := node.op.wrong_attrs(node.attrs):
        raise _BrokenError(here, *wrong)
    for key, attr in node.attrs.items():
        _verify_attr(scope, attr, Part(scope.path, "attr", key, position))
    if is_scan(node):
        _verify_scan(scope, node, position)
    inferred = _infer(node, here)
    if len(inferred) != len(node.outputs):
        raise _BrokenError(here, f"{node.op.name} has {len(inferred)} results, not {len(node.outputs)}")
    for number, (value, type) in enumerate(zip(node.outputs, inferred, strict=True)):
        if value.type != type:
            part = Part(scope.path, "output", number, position)
            what = f"the type of {value.name} is not what {node.op.name} infers"
            raise _BrokenError(part, what, f"{value.type} claimed", f"{type} inferred")


def _infer(node: Node, here: Part) -> tuple[TensorType, ...]:
    try:
        return node.op.infer([value.type for value in node.inputs], node.attrs)
    except RnnccError as error:
        raise _BrokenError(here, f"{node.op.name}: {error.what}", *error.facts) from None
    except Exception as error:  # attrs of another kind: rules compare them freely
        given = [f"{key}={node.attrs[key]}" for key in node.op.attrs]
        raise _BrokenError(here, f"an attr of {node.op.name} is of a wrong kind: {error}", *given) from None


def _verify_attr(scope: _Scope, attr: Attr, part: Part) -> None:
    match attr:
        case Graph():
            _verify_graph(attr, (*scope.path, part.node), scope.extents, scope.outside | scope.own)
        case tuple():
            for item in attr:
                _verify_attr(scope, item, part)
        case str():
            _verify_dim(attr, part, scope.extents)
        case bool() | int() | float() | DType():
            pass
        case _:
            raise _BrokenError(part, f"{type(attr).__name__} is no kind of attr", repr(attr))


def _verify_scan(scope: _Scope, node: Node, position: int) -> None:
    """Attrs, and operands of the right kinds; the states are left to `infer`."""
    here = Part(scope.path, "op", 0, position)
    for key, kinds in (("body", Graph), ("reverse", bool), ("length", int | str), ("unroll", int)):
        attr = node.attrs[key]
        if not isinstance(attr, kinds) or (isinstance(attr, bool) and kinds is not bool):
            raise _BrokenError(Part(scope.path, "attr", key, position), f"{key} cannot be {attr!r}")
    _verify_dim(node.attrs["length"], Part(scope.path, "attr", "length", position), scope.extents)
    if node.attrs["unroll"] < 1:
        raise _BrokenError(Part(scope.path, "attr", "unroll", position), f"unroll cannot be {node.attrs['unroll']}")
    body: Graph = node.attrs["body"]
    if len(body.outputs) < len(body.inputs):
        what = f"{body.name} has {len(body.inputs)} states, but returns only {len(body.outputs)} values"
        raise _BrokenError(here, what)
    if len(node.inputs) != len(body.parameters):
        counts = f"{len(body.consts)} consts, {len(body.inputs)} states, {len(body.xs)} xs"
        what = f"{body.name} takes {len(body.parameters)} operands ({counts}), {len(node.inputs)} given"
        raise _BrokenError(here, what)
    for number, (given, needed, what) in enumerate(_scan_operands(scan_view(node))):
        if given.type != needed:
            raise _BrokenError(
                Part(scope.path, "input", number, position),
                f"{given.name} does not fit {what} of {body.name}",
                f"{given.type} given",
                f"{needed} needed",
            )


def _scan_operands(scan: Scan) -> Iterator[tuple[Value, TensorType, str]]:
    """Each operand, the type it needs, and what it is to the body."""
    for value, parameter in zip(scan.consts, scan.body.consts, strict=True):
        yield value, parameter.type, f"the const {parameter.name}"
    for value, parameter in zip(scan.init, scan.body.inputs, strict=True):
        yield value, parameter.type, f"the state {parameter.name}"
    for value, parameter in zip(scan.xs, scan.body.xs, strict=True):
        type = TensorType(parameter.type.dtype, (scan.length, *parameter.type.shape))
        yield value, type, f"the slices {parameter.name}"
