"""`rnncc bisect`: runs every snapshot of a compilation, and names the first pass after which the numbers change."""

from __future__ import annotations

import math
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnncc.codegen.target import Target
from rnncc.errors import ArgumentError, RnnccError, VerifyError
from rnncc.graph.interp import interpret as interpret_graph
from rnncc.graph.ir import ArraySource, Graph
from rnncc.loop.interp import interpret as interpret_loops
from rnncc.loop.ir import Procedure
from rnncc.lower.setup import convert_floats
from rnncc.memory import available_memory, memory_errors, memory_limit
from rnncc.pipeline import Compilation
from rnncc.runtime.compiled import CompiledModel
from rnncc.runtime.jit import load
from rnncc.tools.inputs import distinct_sizes, random_arrays
from rnncc.tools.load import load_subject
from rnncc.tools.options import add_compile_options, add_subject, compile_options
from rnncc.tools.page import Page
from rnncc.tools.tolerance import COARSE
from rnncc.tools.trail import Trail, from_compilation, steps_of, trail_of
from rnncc.types import DType, bind_shape

TOLERANCE = {DType.F32: 2e-5, DType.F64: 1e-12}
"""Of the largest number in an output: sums of some hundred numbers in another order, a few steps deep."""

_NOISE_FACTOR = 16.0
"""Rounding may move a result by as many times as it moves that of the graph as declared."""

_NARROWING = "narrow"
"""The pass from which on products are computed in the precision that the options ask for."""

_TOO_LARGE, _SMALLER = "all values at these sizes", "give smaller sizes with --dims"

Arrays = list[np.ndarray]


@dataclass(frozen=True, slots=True)
class Result:
    """How one snapshot did. `name` is that of the pass, or of the stage: fused, loop, compiled."""

    name: str
    is_right: bool
    difference: float = 0.0
    """The largest difference; infinite where one side is not a number, or has another shape."""
    where: str = ""
    """Place and numbers of the largest difference; or what was raised, or why it was not run."""


def check_snapshots(compilation: Compilation, *, dims: Mapping[str, int] | None = None, seed: int = 0) -> list[Result]:
    """Run every snapshot on random inputs and compare with the numpy meaning of the declared graph.

    Graphs run in `graph.interp`, loops (setup included) in `loop.interp`, and at last the machine code if this machine
    can execute it. `dims` fixes sizes of extents; all others differ from each other.
    """
    return check_trail(from_compilation(compilation), dims=dims or {}, seed=seed)


def check_trail(trail: Trail, *, dims: Mapping[str, int], seed: int) -> list[Result]:
    """The same for a compilation that may have stopped on the way: then the pass that stopped it is wrong as well."""
    assert trail.graph is not None
    graph = trail.graph if trail.options.dtype is DType.F32 else convert_floats(trail.graph, trail.options.dtype)
    extents = distinct_sizes(graph, dims)
    arrays = random_arrays(graph, extents, seed)
    reference = _Reference.of(graph, arrays, extents)
    results: list[Result] = []
    for name, changed, compute in _computations(trail, arrays, extents):
        if name == _NARROWING:
            reference = reference.in_precision(trail.options.precision)
        if changed or not results:
            results.append(_result(name, compute, reference))
        else:
            results.append(replace(results[-1], name=name))
    if trail.error is not None:
        results.append(Result(trail.failed, False, math.inf, _message(trail.error)))
    return results


def first_wrong(results: Sequence[Result]) -> Result | None:
    """The first result that is not right."""
    return next((result for result in results if not result.is_right), None)


# ------------------------------------------------------------------ running snapshots


def _computations(
    trail: Trail, arrays: Arrays, extents: Mapping[str, int]
) -> Iterator[tuple[str, bool, Callable[[], Arrays]]]:
    """For each snapshot its name, whether it differs from the one before, and how to compute its outputs."""
    assert trail.start is not None
    given = dict(zip((value.name for value in trail.start.parameters), arrays, strict=True))

    def run_graph(graph: Graph) -> Arrays:
        return interpret_graph(graph, [given[value.name] for value in graph.parameters], extents)

    for snapshot in trail.graph_snapshots:
        yield snapshot.name, snapshot.changed, lambda ir=snapshot.ir: run_graph(ir)  # type: ignore[misc]
    if trail.setup is None or trail.fused is None:
        return
    setup, fused = trail.setup, trail.fused

    def weights() -> dict[str, np.ndarray]:
        return dict(zip((value.name for value in fused.consts), run_graph(setup), strict=True))

    def run_fused() -> Arrays:
        prepared = given | weights()
        return interpret_graph(fused, [prepared[value.name] for value in fused.parameters], extents)

    yield "fused", True, run_fused
    if trail.lowered is None:
        return
    # Buffers of weights and inputs come in the order of the graph; their names are its names where these are free.
    parameters = [buffer.name for buffer in trail.lowered.buffers if buffer.space in ("weight", "input")]

    def run_loops(procedure: Procedure) -> Arrays:
        prepared = given | weights()
        values = [prepared[value.name] for value in fused.parameters]
        return list(interpret_loops(procedure, dict(zip(parameters, values, strict=True)), extents).values())

    yield "loop", True, lambda: run_loops(trail.lowered)  # type: ignore[arg-type]
    for loops in trail.loop_snapshots:
        yield loops.name, loops.changed, lambda ir=loops.ir: run_loops(ir)  # type: ignore[misc]
    if trail.native is not None:
        yield "compiled", True, lambda: _run_compiled(trail, given)


def _run_compiled(trail: Trail, given: Mapping[str, np.ndarray]) -> Arrays:
    fused, setup, scheduled, emitted, native = (
        trail.fused,
        trail.setup,
        trail.scheduled,
        trail.emitted,
        trail.native,
    )
    assert fused and setup and scheduled and emitted and native
    target = Target.parse(trail.options.target)
    if not target.runs_on_host:
        raise _NotRun(f"not run: this machine cannot execute code for {trail.options.target}")
    sources = {value.name: ArraySource(given[value.name]) for value in setup.consts}
    model = CompiledModel(fused, setup, sources, scheduled, emitted, lambda: load(native.object_code, target), str)
    outputs: Any = model(*(given[value.name] for value in fused.inputs))
    return outputs if isinstance(outputs, list) else [outputs]


class _NotRun(Exception):
    """A snapshot that cannot be run here."""


def _result(name: str, compute: Callable[[], Arrays], reference: _Reference) -> Result:
    try:
        with np.errstate(all="ignore"):
            outputs = compute()
    except _NotRun as reason:
        return Result(name, True, 0.0, str(reason))
    except MemoryError:  # says nothing about the pass
        raise
    except Exception as error:
        return Result(name, False, math.inf, _message(error))
    return reference.compare(name, outputs)


def _message(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


# ------------------------------------------------------------------ comparing


@dataclass(frozen=True, slots=True)
class _Reference:
    """What is right: the outputs, their names, and by how much each number may differ."""

    names: tuple[str, ...]
    outputs: Arrays
    allowed: tuple[float, ...]

    @staticmethod
    def of(graph: Graph, arrays: Arrays, extents: Mapping[str, int]) -> _Reference:
        """The numpy meaning of `graph`, also in float64: how far the two are apart shows what rounding does to it."""
        exact = convert_floats(graph, DType.F64)
        doubles = [array.astype(value.type.dtype.numpy) for array, value in zip(arrays, exact.parameters, strict=True)]
        with np.errstate(all="ignore"):
            outputs = interpret_graph(graph, arrays, extents)
            better = interpret_graph(exact, doubles, extents)
        allowed = []
        for value, output, precise in zip(graph.outputs, outputs, better, strict=True):
            tolerance = TOLERANCE.get(value.type.dtype, 0.0)
            rounding = _largest(output.astype(float) - precise) if tolerance else 0.0
            allowed.append(tolerance * _largest(output) + _NOISE_FACTOR * rounding)
        return _Reference(tuple(value.name for value in graph.outputs), outputs, tuple(allowed))

    def in_precision(self, precision: str) -> _Reference:
        """The same outputs, for products with weights that are computed in `precision`."""
        coarse = COARSE.get(precision, 0.0)
        pairs = zip(self.outputs, self.allowed, strict=True)
        allowed = (more + coarse * _largest(output) if more else more for output, more in pairs)
        return replace(self, allowed=tuple(allowed))

    def compare(self, name: str, outputs: Arrays) -> Result:
        """`outputs` of a snapshot against these."""
        if len(outputs) != len(self.outputs):
            return Result(name, False, math.inf, f"{len(outputs)} outputs instead of {len(self.outputs)}")
        worst = Result(name, True)
        for label, wanted, given, allowed in zip(self.names, self.outputs, outputs, self.allowed, strict=True):
            if given.shape != wanted.shape or given.dtype != wanted.dtype:
                what = f"{label} is {given.dtype}{given.shape} instead of {wanted.dtype}{wanted.shape}"
                return Result(name, False, math.inf, what)
            if not wanted.size:
                continue
            distance = _distance(given, wanted)
            place = tuple(map(int, np.unravel_index(int(np.argmax(distance)), distance.shape)))
            largest = float(distance[place])
            is_right = largest <= allowed
            if (not is_right, largest) > (not worst.is_right, worst.difference):
                at = f"{label}[{', '.join(map(str, place))}]" if place else label
                worst = Result(name, is_right, largest, f"{at} is {given[place]}, right is {wanted[place]}")
        return worst


def _distance(given: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """|given - wanted|; 0 where both are the same infinity or NaN, infinite where only one is."""
    left, right = given.astype(float), wanted.astype(float)
    with np.errstate(all="ignore"):
        distance = np.abs(left - right)
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    return np.where(same, 0.0, np.where(np.isnan(distance), math.inf, distance))


def _largest(array: np.ndarray) -> float:
    finite = np.abs(array[np.isfinite(array)].astype(float))
    return float(finite.max()) if finite.size else 0.0


# ------------------------------------------------------------------ the command


def add_parser(subparsers: Any) -> None:
    """Add the command to those of the main parser."""
    parser: ArgumentParser = subparsers.add_parser(
        "bisect",
        help="find the first pass after which a model computes something else",
        description="Runs every snapshot of a compilation on random inputs, and compares with the numpy meaning of the "
        "model. Exit code 0: all agree; 1: a pass is wrong; 2: the input is.",
    )
    add_subject(parser)
    parser.add_argument("--seed", type=int, default=0, help="of the random inputs; default: 0")
    parser.add_argument("--dims", default="", metavar="B=3,T=5", help="sizes of extents; by default all differ")
    add_compile_options(parser)
    parser.set_defaults(run=run)


def run(arguments: Namespace, page: Page) -> int:
    """Check what the arguments ask for; 1 when a pass is wrong. Raises RnnccError."""
    dims = parse_dims(arguments.dims)
    if arguments.seed < 0:
        raise ArgumentError(f"--seed {arguments.seed}: a seed is a whole number from 0 on")
    subject = load_subject(arguments.file, arguments.spec)
    if not isinstance(subject.ir, Graph):
        raise ArgumentError("bisect starts from a graph or a model, and this is loop IR")
    sizes = distinct_sizes(subject.ir, dims)
    _check_memory(subject.ir, sizes)
    trail = trail_of(subject.ir, compile_options(arguments))
    if isinstance(trail.error, RnnccError) and not isinstance(trail.error, VerifyError):
        raise trail.error
    extents = ", ".join(f"{name}={size}" for name, size in sizes.items()) or "of fixed sizes"
    page.line(f"inputs: {extents}, seed {arguments.seed}")
    with memory_errors(_TOO_LARGE, _SMALLER):
        results = check_trail(trail, dims=sizes, seed=arguments.seed)
    rows = [[result.name, *_verdict(result)] for result in results]
    page.table(("after", "", "largest difference", ""), rows, right=(2,))
    wrong = first_wrong(results)
    page.line()
    if wrong is None:
        page.line(f"all {len(results)} snapshots agree with the numpy meaning of {subject.ir.name}", "green")
        return 0
    reasons = {step.name: step.reason for step in steps_of(trail)}
    page.line(f"first wrong: {wrong.name}" + (f" ({reasons[wrong.name]})" if wrong.name in reasons else ""), "bold red")
    page.line(f"  {wrong.where}")
    page.line(f"  look at it: rnncc dump {_command(arguments)} {_view(wrong, trail)}")
    return 1


def _check_memory(graph: Graph, sizes: Mapping[str, int]) -> None:
    """Raise MemoryLimitError when the values of `graph` cannot all be there at once, which its interpreters need."""
    needed = sum(math.prod(bind_shape(value.type.shape, sizes)) for value in graph.values()) * DType.F64.size
    if needed > available_memory():
        raise memory_limit(_TOO_LARGE, needed, _SMALLER)


def _verdict(result: Result) -> tuple[str, str, str]:
    if result.is_right and result.where.startswith("not run"):
        return "", "", result.where
    first_line = result.where.splitlines()[0] if result.where else ""
    difference = f"{result.difference:.2g}"
    return ("ok", difference, "") if result.is_right else ("WRONG", difference, first_line)


def _command(arguments: Namespace) -> str:
    """The same subject and options, as words of a command line."""
    words = [arguments.file, *(f"--spec '{spec}'" for spec in arguments.spec)]
    words += [f"--dtype {arguments.dtype}"] if arguments.dtype != "float32" else []
    words += [f"--target {arguments.target}"] if arguments.target != "host" else []
    words += [f"--unroll {arguments.unroll}"] if arguments.unroll is not None else []
    words += [f"--precision {arguments.precision}"] if arguments.precision != "float32" else []
    words += [f"--threads {arguments.threads}"] if arguments.threads != 1 else []
    return " ".join(words)


def _view(wrong: Result, trail: Trail) -> str:
    """The option of dump that shows what is wrong."""
    if wrong.name == trail.failed:
        before = [step.name for step in steps_of(trail) if step.kind == "pass"]
        return f"--after {before[-1]}" if before else "--stage graph"
    stages = {"fused": "--diff fused", "loop": "--stage loop", "compiled": "--stage llvm"}
    return stages.get(wrong.name, f"--diff {wrong.name}")


def parse_dims(text: str) -> dict[str, int]:
    """``B=3,T=5`` as a dict."""
    dims = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, size = part.partition("=")
        if not equals or not size.strip().isdecimal():
            raise ArgumentError(f"--dims {part}: this is not a size", remedy="write NAME=SIZE, as in --dims B=3,T=5")
        dims[name.strip()] = int(size)
    return dims
