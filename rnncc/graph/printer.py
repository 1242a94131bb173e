"""Graphs as text: a small subset of Python that `rnncc.graph.parser` reads back.

    def model(kernel: f32[64, 128], /, tokens: i64[B, T]):          consts, /, inputs, *, xs
        def step(/, h: f32[B, 128], *, x: f32[B, 128]):             a scan's body, right before the scan
            ...
        z: f32[B, 128] = add(x, y)                                  one result: its type is the annotation
        h, ys = scan(z, xw, body=step, length=T, ...)  # f32[...]   several: their types are a comment

In attrs a string that is an identifier (an extent, always, today) is printed bare, any other in quotes; dtypes, `inf`
and `nan` are bare names too, and so no extent can be called that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from rnncc.graph.ir import Graph, Node, set_printer
from rnncc.graph.op import Attr
from rnncc.graph.value import Value
from rnncc.names import unused
from rnncc.records import record
from rnncc.types import Dim, DType, TensorType, is_extent_name


class Part(NamedTuple):
    """What a stretch of printed text stands for. `path` leads to the graph: positions of the enclosing scans."""

    path: tuple[int, ...]
    kind: str
    """``def``, ``parameter``, ``return`` of a graph; ``op``, ``input``, ``output``, ``attr`` of a node."""
    which: int | str = 0
    """Number of the parameter, operand or result; name of the attr."""
    node: int = -1
    """Position of the node in its graph."""


@record(frozen=True, slots=True)
class Spot:
    """A stretch of one line; `line` and `column` count from 1."""

    line: int
    column: int
    width: int


@record(frozen=True, slots=True)
class Listing:
    """The text of a graph, and where its parts are."""

    lines: tuple[str, ...]
    spots: Mapping[Part, Spot]


def show(graph: Graph) -> str:
    """`graph` as text, without a newline at the end; `parse` reads it back. Payloads of weights are not printed."""
    return "\n".join(listing(graph).lines)


def listing(graph: Graph) -> Listing:
    """The text of `graph` with the positions of its parts. Broken graphs are printed too."""
    page = _Page()
    _print_graph(page, graph, graph.name, ())
    return Listing(tuple(page.lines), page.spots)


def excerpt(lines: Iterable[str], spot: Spot) -> tuple[str, str]:
    """The line at `spot` with its number, and a line with carets under the spot."""
    line = [*lines][spot.line - 1]
    number = str(spot.line)
    pad = "".join("\t" if letter == "\t" else " " for letter in line[: spot.column - 1])
    return f"{number} | {line}", f"{' ' * len(number)} | {pad}{'^' * max(1, spot.width)}"


class _Page:
    """Lines being written; remembers where each part went."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.spots: dict[Part, Spot] = {}
        self._line = ""

    def write(self, text: str, part: Part | None = None) -> None:
        if part is not None:
            self.spots[part] = Spot(len(self.lines) + 1, len(self._line) + 1, len(text))
        self._line += text

    def end_line(self) -> None:
        self.lines.append(self._line)
        self._line = ""


def _print_graph(page: _Page, graph: Graph, name: str, path: tuple[int, ...]) -> None:
    margin = "    " * len(path)
    page.write(f"{margin}def ")
    page.write(name, Part(path, "def"))
    page.write("(")
    for position, (text, number) in enumerate(_parameters(graph)):
        page.write(", " if position else "")
        page.write(text, None if number is None else Part(path, "parameter", number))
    page.write("):")
    page.end_line()
    names = _body_names(graph)
    for position, node in enumerate(graph.nodes):
        body_names = {}
        for key, attr in node.attrs.items():
            if isinstance(attr, Graph):
                body_names[key] = next(names)
                _print_graph(page, attr, body_names[key], (*path, position))
        page.write(f"{margin}    ")
        _print_node(page, node, body_names, path, position)
        page.end_line()
    page.write(f"{margin}    return")
    for number, value in enumerate(graph.outputs):
        page.write(", " if number else " ")
        page.write(value.name, Part(path, "return", number))
    page.end_line()


def _parameters(graph: Graph) -> Iterator[tuple[str, int | None]]:
    """The parts of a parameter list; the marks between the kinds have no number."""
    for number, value in enumerate(graph.parameters):
        if number == len(graph.consts) + len(graph.inputs):
            yield "*", None
        yield f"{value.name}: {show_type(value.type)}", number
        if number == len(graph.consts) - 1:
            yield "/", None


def _body_names(graph: Graph) -> Iterator[str]:
    """Names for the bodies in `graph`, in order of appearance, each once."""
    bodies = [attr for node in graph.nodes for attr in node.attrs.values() if isinstance(attr, Graph)]
    wanted = {body.name for body in bodies}
    taken: set[str] = set()
    for body in bodies:
        name = body.name if body.name not in taken else unused(body.name, taken | wanted)
        taken.add(name)
        yield name


def _print_node(page: _Page, node: Node, bodies: Mapping[str, str], path: tuple[int, ...], position: int) -> None:
    for number, value in enumerate(node.outputs):
        page.write(", " if number else "")
        page.write(value.name, Part(path, "output", number, position))
    if len(node.outputs) == 1:
        page.write(f": {show_type(node.outputs[0].type)}")
    page.write(" = " if node.outputs else "")
    page.write(node.op.name, Part(path, "op", 0, position))
    page.write("(")
    for number, value in enumerate(node.inputs):
        page.write(", " if number else "")
        page.write(value.name, Part(path, "input", number, position))
    for number, (key, attr) in enumerate(node.attrs.items()):
        page.write(", " if number or node.inputs else "")
        page.write(f"{key}={bodies.get(key) or show_attr(attr)}", Part(path, "attr", key, position))
    page.write(")")
    if len(node.outputs) > 1:
        page.write(f"  # {_types(node.outputs)}")


def _types(values: Iterable[Value]) -> str:
    return ", ".join(show_type(value.type) for value in values)


def show_type(type: TensorType) -> str:
    """``f32[B, T, 64]``."""
    return f"{type.dtype}[{', '.join(map(_show_dim, type.shape))}]"


def _show_dim(dim: Dim) -> str:
    return dim if isinstance(dim, str) and is_extent_name(dim) else repr(dim)


def show_attr(attr: Attr) -> str:
    """A static argument as the parser reads it; what no op should hold is printed by `repr`, for the verifier."""
    match attr:
        case bool():
            return str(attr)
        case DType():
            return attr.value
        case str() if is_extent_name(attr):
            return attr
        case int():
            return int.__repr__(attr)
        case float():
            return float.__repr__(attr)
        case tuple():
            return f"({', '.join(map(show_attr, attr))}{',' if len(attr) == 1 else ''})"
        case _:
            return repr(attr)


set_printer(show)
