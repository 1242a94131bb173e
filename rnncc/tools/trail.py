"""The trail that a compilation leaves: every stage and pass in order, as far as it came.

A compilation that fails is run once more, one pass at a time, so that what came before the failure can be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from rnncc.codegen.emit import emit
from rnncc.codegen.emitted import Emitted
from rnncc.codegen.native import NativeCode, compile_module
from rnncc.codegen.target import Target
from rnncc.graph.ir import Graph, count_nodes
from rnncc.graph.printer import show as show_graph
from rnncc.graph.verify import verify as verify_graph
from rnncc.loop.ir import For, Procedure
from rnncc.loop.printer import show as show_procedure
from rnncc.loop.verify import verify as verify_procedure
from rnncc.loop.visit import count_statements, has_vectors, walk_statements
from rnncc.lower.lower import lower
from rnncc.lower.setup import split_setup
from rnncc.options import Options
from rnncc.passes.manager import IR, Pass, Snapshot, run_passes
from rnncc.pipeline import (
    Compilation,
    compile_graph,
    graph_passes,
    loop_passes,
    machine_of,
)
from rnncc.start import prepared
from rnncc.tools.annotate import annotate

# ------------------------------------------------------------------ a compilation, whole or not


@dataclass(frozen=True, slots=True)
class Trail:
    """What a compilation made, in order; what it did not reach is None or empty.

    `start` is `graph` with the float type and the unrolling that the options ask for. `failed` names the pass or
    stage that stopped with `error`.
    """

    options: Options
    graph: Graph | None = None
    start: Graph | None = None
    graph_snapshots: tuple[Snapshot[Graph], ...] = ()
    setup: Graph | None = None
    fused: Graph | None = None
    lowered: Procedure | None = None
    loop_snapshots: tuple[Snapshot[Procedure], ...] = ()
    scheduled: Procedure | None = None
    emitted: Emitted | None = None
    native: NativeCode | None = None
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    failed: str = ""
    error: Exception | None = None


def trail_of(ir: Graph | Procedure, options: Options) -> Trail:
    """Compile `ir` and keep everything; loops start behind `lower`, or behind all passes if they went through them
    already (such as the text that ``rnncc dump`` shows of them). A failure is not raised, but kept as well.

    Raises ArgumentError for an unknown target.
    """
    target = Target.parse(options.target)
    if isinstance(ir, Procedure):
        return _run(Trail(options, lowered=ir), target)
    try:
        return from_compilation(compile_graph(ir, options))
    except Exception as error:
        trail = _run(Trail(options, graph=ir, start=prepared(ir, options)), target)
        return replace(trail, error=error)  # it names all passes that ran before; that of the second run does not


def from_compilation(compilation: Compilation) -> Trail:
    """The trail of a compilation that went through."""
    return Trail(
        compilation.options,
        compilation.graph,
        prepared(compilation.graph, compilation.options),
        compilation.graph_snapshots,
        compilation.setup,
        compilation.fused,
        compilation.lowered,
        compilation.loop_snapshots,
        compilation.scheduled,
        compilation.emitted,
        compilation.native,
        compilation.milliseconds,
    )


def _run(trail: Trail, target: Target) -> Trail:
    try:
        for progress in _progress(trail, target):
            trail = progress
    except Exception as error:
        return replace(trail, error=error)
    return trail


def _passes_done(loops: Procedure, passes: Sequence[Pass[Procedure]]) -> int:
    """How many passes `loops` went through before they became text: none, those up to the vectors, or all."""
    if not has_vectors(loops):
        return 0
    names = [loop_pass.name for loop_pass in passes]
    statements = walk_statements(loops.body)
    is_whole = not any(isinstance(statement, For) and statement.kind == "unroll" for statement in statements)
    return len(passes) if is_whole else names.index("vectorize") + 1


def _progress(trail: Trail, target: Target) -> Iterator[Trail]:
    """The trail before each part, with that part's name as `failed`, and at last the whole trail."""
    if trail.lowered is None:
        assert trail.start is not None
        graph = trail.start
        for graph_pass in graph_passes(trail.options):
            yield (trail := replace(trail, failed=graph_pass.name))
            graph, made = run_passes(graph, [graph_pass], verify=verify_graph, show=show_graph, count=count_nodes)
            trail = replace(trail, graph_snapshots=(*trail.graph_snapshots, *made))
        yield (trail := replace(trail, failed="fused"))
        setup, fused = split_setup(graph)
        yield (trail := replace(trail, setup=setup, fused=fused, failed="loop"))
        lowered = lower(fused)
        verify_procedure(lowered)
        trail = replace(trail, lowered=lowered)
    assert trail.lowered is not None
    loops = trail.lowered
    passes = loop_passes(
        machine_of(target, trail.options.precision),
        trail.options.threads,
        trail.options.precision,
        trail.options.counts_cycles,
        trail.options.schedule,
    )
    for loop_pass in passes[_passes_done(loops, passes) :]:
        yield (trail := replace(trail, failed=loop_pass.name))
        loops, found = run_passes(
            loops, [loop_pass], verify=verify_procedure, show=show_procedure, count=count_statements
        )
        trail = replace(trail, loop_snapshots=(*trail.loop_snapshots, *found))
    yield (trail := replace(trail, scheduled=loops, failed="llvm"))
    emitted = emit(loops, target, trail.options.threads)
    yield (trail := replace(trail, emitted=emitted, failed="llvm-opt"))
    native = compile_module(emitted.text, target, trail.options.level)
    yield replace(trail, native=native, failed="")


def pass_names(trail: Trail) -> list[str]:
    """Names of all passes that `trail` has or would have had."""
    options = trail.options
    machine = machine_of(Target.parse(options.target), options.precision)
    loops = [item.name for item in loop_passes(machine, options.threads, options.precision, options.counts_cycles)]
    return loops if trail.graph is None else [*(item.name for item in graph_passes(trail.options)), *loops]


# ------------------------------------------------------------------ one list of all that can be shown


@dataclass(frozen=True, slots=True)
class Step:
    """A stage, or what a pass left."""

    name: str
    kind: str
    """stage or pass"""
    reason: str
    language: str
    """python, llvm or asm"""
    text: Callable[[], str]
    before: Callable[[], str] | None = None
    """The text that `text` came from, where the two can be compared line by line."""
    ir: Graph | Procedure | None = None
    changed: bool = True
    sizes: tuple[int, int] | None = None
    """Nodes or statements, before and after."""
    milliseconds: float | None = None
    notes: tuple[str, ...] = ()
    """What a pass decided."""


def steps_of(trail: Trail) -> list[Step]:
    """Every stage and pass of `trail`, in order."""
    return [*_graph_steps(trail), *_loop_steps(trail), *_code_steps(trail)]


def _graph_steps(trail: Trail) -> Iterator[Step]:
    if trail.graph is None or trail.start is None:
        return
    count = count_nodes(trail.graph)
    declared = partial(show_graph, trail.graph)
    yield Step("graph", "stage", "the graph as declared", "python", declared, ir=trail.graph, sizes=(count, count))
    yield from _pass_steps(trail.graph_snapshots, partial(show_graph, trail.start))
    if trail.fused is not None:
        last = trail.graph_snapshots[-1].ir
        reason = "what depends on weights only has left: it is computed once for a set of weights"
        changed = len(last.nodes) != len(trail.fused.nodes)
        sizes = (count_nodes(last), count_nodes(trail.fused))
        before, after = partial(show_graph, last), partial(show_graph, trail.fused)
        yield Step("fused", "stage", reason, "python", after, before, trail.fused, changed, sizes)


def _loop_steps(trail: Trail) -> Iterator[Step]:
    if trail.lowered is None:
        return
    count = count_statements(trail.lowered)
    lowered = partial(show_procedure, trail.lowered)
    time = trail.milliseconds.get("lower")
    sizes = (count if trail.fused is None else count_nodes(trail.fused), count)
    yield Step("loop", "stage", "each node as a loop nest", "python", lowered, None, trail.lowered, True, sizes, time)
    yield from _pass_steps(trail.loop_snapshots, lowered)
    if trail.scheduled is not None:
        last = partial(show_procedure, trail.scheduled)
        count = count_statements(trail.scheduled)
        reason = "the loops as they are emitted"
        yield Step("scheduled", "stage", reason, "python", last, last, trail.scheduled, False, (count, count))


def _pass_steps(snapshots: Sequence[Snapshot[IR]], start: Callable[[], str]) -> Iterator[Step]:
    before = start
    for snapshot in snapshots:
        yield Step(
            snapshot.name,
            "pass",
            snapshot.reason,
            "python",
            partial(snapshot.show, snapshot.ir),
            before,
            snapshot.ir if isinstance(snapshot.ir, Graph | Procedure) else None,
            snapshot.changed,
            (snapshot.nodes_before, snapshot.nodes_after),
            snapshot.milliseconds,
            snapshot.notes,
        )
        before = partial(snapshot.show, snapshot.ir)


def _code_steps(trail: Trail) -> Iterator[Step]:
    emitted, native, scheduled = trail.emitted, trail.native, trail.scheduled
    if emitted is not None:
        time = trail.milliseconds.get("emit")
        yield Step(
            "llvm", "stage", "LLVM IR, instruction by instruction", "llvm", lambda: emitted.text, milliseconds=time
        )
    if native is not None and scheduled is not None:
        time = trail.milliseconds.get("llvm")
        yield Step("llvm-opt", "stage", "what LLVM's optimizer makes of it", "llvm", lambda: native.llvm_optimized)
        reason = "machine code; the time is that of all of LLVM"
        assembly = lambda: annotate(native.assembly, scheduled)  # noqa: E731
        yield Step("asm", "stage", reason, "asm", assembly, milliseconds=time)
