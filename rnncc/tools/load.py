"""What `FILE[:NAME]` on the command line means: a model, graph or function of a Python file, or IR in a text file."""

from __future__ import annotations

import contextlib
import inspect
import re
import runpy
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnncc.errors import ArgumentError, RnnccError, nearest
from rnncc.graph.ir import Graph
from rnncc.graph.parser import parse as parse_graph
from rnncc.graph.trace import trace
from rnncc.graph.verify import verify as verify_graph
from rnncc.layers.model import Model
from rnncc.loop.ir import SPACES, Procedure
from rnncc.loop.parser import parse as parse_procedure
from rnncc.loop.verify import verify as verify_procedure
from rnncc.runtime.compiled import CompiledModel
from rnncc.types import TensorType, as_shape, dtype_of

_SPEC = re.compile(r"\s*(\w+)\s*\[([^\[\]]*)\]\s*")
_LOOP_IR = re.compile(rf"^\s+(\w+ = ({'|'.join(SPACES)})\(|with setup\(\):|for \w+ in \w+\()", re.MULTILINE)
_TRACE_LINES = 12


@dataclass(frozen=True, slots=True)
class Subject:
    """What to look at; `where` is how the command line names it."""

    where: str
    ir: Graph | Procedure


def load_subject(where: str, specs: Sequence[str] = ()) -> Subject:
    """The subject that `where` names: ``model.py``, ``model.py:name``, a file with IR text, or ``-`` (text from stdin).

    `specs` are the argument types of a function: ``float32[B, T, 3]``.

    Raises ArgumentError for a missing file or name, and for a Python file that fails; ParseError for wrong text.
    """
    types = [parse_spec(spec) for spec in specs]
    if where == "-":
        return Subject(where, parse_text(sys.stdin.read()))
    path, name = split_name(where)
    if path.suffix != ".py":
        if name:
            raise ArgumentError(f"{path} is a text file: it holds one graph or procedure, and no {name!r}")
        try:
            return Subject(where, parse_text(path.read_text()))
        except UnicodeDecodeError:
            raise ArgumentError(f"{path} is neither a Python file (.py) nor text") from None
    found = run_file(path)
    if not name:
        name = only_candidate(path, found, types)
    item = _lookup(path, found, name)
    with _user_code(path):
        return Subject(f"{path}:{name}", as_graph(item, name, types))


def split_name(where: str) -> tuple[Path, str]:
    """The file and the name in ``FILE:NAME``; the name is empty when there is none."""
    path, name = Path(where), ""
    if not path.exists() and ":" in where:
        before, _, name = where.rpartition(":")
        path = Path(before)
    if path.is_dir():
        raise ArgumentError(f"{path} is a folder", remedy="give a Python file, or a text file with IR")
    if path.exists() and not path.is_file():
        raise ArgumentError(f"{path} is not a regular file", remedy=f"text can come from a pipe: rnncc dump - < {path}")
    if not path.is_file():
        folder = path.parent if path.parent.is_dir() else Path()
        meant = nearest(path.name, [item.name for item in folder.iterdir() if item.is_file()])
        raise ArgumentError(
            f"there is no file {str(path)!r}", remedy=f"did you mean {str(folder / meant)!r}?" if meant else None
        )
    return path, name


def parse_text(text: str) -> Graph | Procedure:
    """The verified graph or procedure that `text` holds."""
    if _LOOP_IR.search(text):
        procedure = parse_procedure(text)
        verify_procedure(procedure)
        return procedure
    graph = parse_graph(text)
    verify_graph(graph)
    return graph


def parse_spec(spec: str) -> TensorType:
    """The type that ``float32[B, T, 3]`` says, or ``f32[]`` for a scalar."""
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise ArgumentError(f"{spec!r} is not a type", remedy='write an element type and a shape: "float32[B, T, 3]"')
    dims = [dim.strip() for dim in match[2].split(",")] if match[2].strip() else []
    for dim in dims:
        if not (dim.isdecimal() or dim.isidentifier()):
            raise ArgumentError(f"{dim!r} in {spec!r} is not a dim", remedy="a dim is a whole number or a name")
    return TensorType(dtype_of(match[1]), as_shape(int(dim) if dim.isdecimal() else dim for dim in dims))


# ------------------------------------------------------------------ Python files


def run_file(path: Path) -> Mapping[str, Any]:
    """The names that a Python file defines."""
    with _user_code(path):
        return runpy.run_path(str(path), run_name=path.stem)


@contextlib.contextmanager
def _user_code(path: Path) -> Iterator[None]:
    """Where code of a user's file runs: its folder comes first when it imports, what it prints goes to stderr (stdout
    is for what was asked for), and what it raises becomes an RnnccError."""
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except Exception as error:
        raise _failure(path, error) from None
    except SystemExit as error:
        raise ArgumentError(
            f"{path} ended the program (exit code {error.code})",
            remedy='put what is for the command line under if __name__ == "__main__":',
        ) from None
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def _failure(path: Path, error: Exception) -> RnnccError:
    """What is said when the user's file raises: its part of the trace. Our own errors say where they come from."""
    if isinstance(error, RnnccError):
        return error
    frames = traceback.extract_tb(error.__traceback__)
    first = next((number for number, frame in enumerate(frames) if Path(frame.filename) == path), len(frames))
    lines = [*traceback.format_list(frames[first:]), *traceback.format_exception_only(error)]
    facts = "".join(lines).rstrip().split("\n")
    if len(facts) > 2 * _TRACE_LINES:
        facts = [*facts[:_TRACE_LINES], "...", *facts[-_TRACE_LINES:]]
    return ArgumentError(f"{path} raised {type(error).__name__}", *facts)


# ------------------------------------------------------------------ names


def only_candidate(path: Path, found: Mapping[str, Any], types: Sequence[TensorType], *, traces: bool = True) -> str:
    """The name of the one model or graph in a file. Raises ArgumentError when there is none, or more.

    `traces`: functions can be traced, which the message then proposes.
    """
    names = candidates(found, types)
    if len(names) == 1:
        return names[0]
    if names:
        choices = [f"{path}:{name}" for name in names]
        raise ArgumentError(f"{path} holds {len(names)} models and graphs: say which one", *choices)
    functions = [name for name in _own_functions(found) if traces and not name.startswith("_")]
    raise ArgumentError(
        f"{path} holds no model and no graph",
        *([f"functions: {', '.join(functions)}"] if functions else []),
        remedy=f"name a function to trace: rnncc dump {path}:{functions[0]} --spec 'float32[B, 3]'"
        if functions
        else "assign a model to a name in it: model = rnncc.Sequential([...])",
    )


def candidates(found: Mapping[str, Any], types: Sequence[TensorType]) -> list[str]:
    """Names of models and graphs, each object once; functions when their argument types are known."""
    functions = _own_functions(found)
    names: dict[int, str] = {}
    for name, item in found.items():
        is_function = name in functions and (_annotated(item) or _takes(item, len(types) or None))
        if not name.startswith("_") and (isinstance(item, Model | Graph) or is_function):
            names.setdefault(id(item), name)
    return list(names.values())


def _own_functions(found: Mapping[str, Any]) -> dict[str, Callable[..., Any]]:
    """Functions that were defined in the file, and not imported."""
    module = found.get("__name__")
    return {name: item for name, item in found.items() if inspect.isfunction(item) and item.__module__ == module}


def _lookup(path: Path, found: Mapping[str, Any], name: str) -> Any:
    first, *rest = name.split(".")
    if first not in found:
        meant = nearest(first, found)
        known = candidates(found, ())
        raise ArgumentError(
            f"{path} defines no {first!r}",
            *([f"models and graphs: {', '.join(known)}"] if known else []),
            remedy=f"did you mean {meant!r}?" if meant else None,
        )
    item = found[first]
    for attribute in rest:
        if not hasattr(item, attribute):
            raise ArgumentError(f"{first} in {path} has no attribute {attribute!r}")
        item = getattr(item, attribute)
    return item


def as_graph(item: Any, name: str, types: Sequence[TensorType]) -> Graph:
    """The graph of a model, a graph, or a function: traced with `types` or the types that its annotations say.

    A function without arguments is called, and what it returns is taken.
    """
    if types and not inspect.isfunction(item):
        raise ArgumentError(f"{name} is no function: it says itself what it takes", remedy="leave out --spec")
    if isinstance(item, Graph):
        return item
    if isinstance(item, CompiledModel):
        raise ArgumentError(f"{name} is compiled already", remedy="name the model it was compiled from")
    if inspect.isfunction(item):
        if not types and _takes(item, 0):
            return as_graph(item(), f"what {name}() returns", types)
        specs = types or _annotated(item)
        if not specs or not _takes(item, len(specs)):
            takes = ", ".join(inspect.signature(item).parameters)
            raise ArgumentError(
                f"{name} does not take {len(types)} arguments, one for each --spec"
                if types
                else f"the types of the arguments of {name} are not known",
                f"arguments: {takes}",
                remedy="give --spec 'float32[B, T, 3]' once for each, or annotate them: def f(x: 'f32[B, T, 3]')",
            )
        return trace(item, *specs)
    graph = item.graph() if callable(getattr(item, "graph", None)) and not isinstance(item, type) else None
    if not isinstance(graph, Graph):
        raise ArgumentError(
            f"{name} is neither a model nor a graph nor a function of tensors", f"it is of type {type(item).__name__}"
        )
    return graph


def _takes(function: Callable[..., Any], count: int | None) -> bool:
    """True when the function can be called with `count` positional arguments; False for a count that is not known."""
    if count is None:
        return False
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    return True


def _annotated(function: Callable[..., Any]) -> list[TensorType]:
    """The types that the annotations of all arguments say; none unless all do."""
    types = []
    for parameter in inspect.signature(function).parameters.values():
        match parameter.annotation:
            case TensorType() as type_:
                types.append(type_)
            case str() as text if _SPEC.fullmatch(text.strip("'\"")):
                types.append(parse_spec(text.strip("'\"")))
            case _:
                return []
    return types
