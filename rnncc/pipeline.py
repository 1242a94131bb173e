"""The whole compiler on one page: every pass in order with its reason, and `compile`, which runs them.

model -> graph -> GRAPH_PASSES -> lower -> LOOP_PASSES -> LLVM IR -> machine code -> CompiledModel
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache as once
from functools import partial
from time import perf_counter
from typing import Any

from rnncc.codegen.emit import Emitted, emit
from rnncc.codegen.native import NativeCode, compile_module
from rnncc.codegen.permission import ask_for_matrix_unit
from rnncc.codegen.target import Target
from rnncc.errors import ArgumentError, caller
from rnncc.graph.ir import Graph, count_nodes
from rnncc.graph.printer import show as show_graph
from rnncc.graph.trace import sources_of
from rnncc.graph.verify import verify as verify_graph
from rnncc.keys import key_in_cache, schedule_key
from rnncc.layers.stateful import StateSlot
from rnncc.loop.ir import Procedure
from rnncc.loop.matrix import TILE_PAIRS
from rnncc.loop.printer import show as show_procedure
from rnncc.loop.verify import verify as verify_procedure
from rnncc.loop.visit import count_statements
from rnncc.lower.lower import lower
from rnncc.lower.rows import row_extent
from rnncc.lower.setup import convert_floats, split_setup
from rnncc.options import Options, check_options, check_precision, float_type, unroll_factor
from rnncc.passes.graph.accumulate import accumulate
from rnncc.passes.graph.cse import cse
from rnncc.passes.graph.dce import dce
from rnncc.passes.graph.fold import fold
from rnncc.passes.graph.fold_embedding import fold_embedding
from rnncc.passes.graph.fuse_gates import fuse_gates
from rnncc.passes.graph.hoist_scan import hoist_scan
from rnncc.passes.graph.last_step import last_step
from rnncc.passes.graph.reassociate import reassociate
from rnncc.passes.graph.simplify import simplify
from rnncc.passes.graph.sink_scan import sink_scan
from rnncc.passes.graph.split_gates import split_gates
from rnncc.passes.graph.unroll import unroll as unroll_scan
from rnncc.passes.loop.alternate_panels import alternate_panels
from rnncc.passes.loop.chunk_steps import chunk_steps
from rnncc.passes.loop.forward_copies import forward_copies
from rnncc.passes.loop.fuse import fuse
from rnncc.passes.loop.inline_moves import inline_moves
from rnncc.passes.loop.instrument import instrument
from rnncc.passes.loop.machine import NEAR_BYTES, Machine
from rnncc.passes.loop.merge_rows import merge_rows
from rnncc.passes.loop.narrow import narrow
from rnncc.passes.loop.pack import pack
from rnncc.passes.loop.plan_memory import plan_memory
from rnncc.passes.loop.prefetch import prefetch
from rnncc.passes.loop.rotate_copies import rotate_copies
from rnncc.passes.loop.schedule import Schedule, as_schedule
from rnncc.passes.loop.share_threads import share_threads
from rnncc.passes.loop.shorten_chunks import shorten_chunks
from rnncc.passes.loop.split_nests import split_nests
from rnncc.passes.loop.tile import tile
from rnncc.passes.loop.turn_sequences import turn_sequences
from rnncc.passes.loop.unroll import unroll
from rnncc.passes.loop.vectorize import vectorize
from rnncc.passes.loop.wavefront import wavefront
from rnncc.passes.manager import Pass, Snapshot, deciding, run_passes
from rnncc.passes.streaming import expose_states
from rnncc.runtime.artifact import Artifact
from rnncc.runtime.cache import DiskCache, cache_folder
from rnncc.runtime.caches import caches
from rnncc.runtime.compiled import CompiledModel
from rnncc.runtime.jit import Loaded, load
from rnncc.runtime.profiler import Profiler
from rnncc.runtime.schedules import remembered
from rnncc.runtime.stream import Stream
from rnncc.runtime.threads import check_threads
from rnncc.start import graph_of, prepared
from rnncc.types import DType

STAGES = ("graph", "fused", "loop", "scheduled", "llvm", "llvm-opt", "asm")
"""What `CompiledModel.ir` can show, in the order of the pipeline."""


def graph_passes(options: Options) -> list[Pass[Graph]]:
    """The passes over the graph IR."""
    return [
        Pass("simplify", "fewer forms for all that follows: layout changes between layers meet and cancel", simplify),
        Pass("fold", "what depends on numbers only", fold),
        Pass("last_step", "the last output of a loop is one of its states: all others need not be kept", last_step),
        Pass("cse", "what is the same once", cse),
        Pass("dce", "what nobody needs not at all: states that feed themselves, unread results", dce),
        Pass("accumulate", "what is added up over steps is a state: the sequence need not be kept", accumulate),
        Pass("split_gates", "each gate an expression of its own: wide and separate kernels look alike", split_gates),
        Pass("reassociate", "in every sum, what is carried comes last, so that the rest can leave", reassociate),
        Pass("hoist_scan", "what a step does not carry is done for all steps at once, before", hoist_scan),
        Pass("fuse_gates", "one product for all gates again, inside and outside of the loop", fuse_gates),
        deciding(
            "fold_embedding",
            "the projection of an embedding is a table: it costs nothing per call",
            fold_embedding,
            table_bytes=options.table_bytes,
        ),
        Pass("hoist_again", "joined kernels do not change over the steps", hoist_scan),
        Pass("sink_scan", "what only the results of steps need is done for all steps at once, after", sink_scan),
        Pass("unroll", "short loops of fixed length, now that a step holds only what it must", unroll_scan),
        Pass("simplify_again", "slices of joined kernels close up: scans read one tensor, not four slices", simplify),
        Pass("fold_again", "the numbers that this leaves", fold),
        Pass("cse_again", "what the passes above made twice", cse),
        Pass("dce_again", "what they made useless", dce),
    ]


def loop_passes(
    machine: Machine,
    threads: int = 1,
    precision: str = "float32",
    counts_cycles: bool = False,
    schedule: Schedule = (),
) -> list[Pass[Procedure]]:
    """The passes over the loop IR."""
    left_out = {
        "narrow": precision == "float32",
        "wavefront": threads == 1,
        "instrument": not counts_cycles,
        "share_threads": threads == 1,
        "turn_sequences": machine.has_matrix_unit,
    }
    parts = 3 if precision == "float32-bf16x6" else 1
    pairs = TILE_PAIRS if machine.has_matrix_unit else 1
    passes = [
        Pass("inline_moves", "no memory for what only moves: views are index arithmetic", inline_moves),
        Pass("forward_copies", "results are computed where they are wanted", forward_copies),
        Pass("fuse", "every value is computed where it is used: one nest a step", fuse),
        Pass("split_nests", "what was fused without need, and has too many sums or several readers", split_nests),
        Pass(
            "turn_sequences",
            "what a loop reads backwards is made backwards, and meets it at equal steps",
            turn_sequences,
        ),
        deciding("narrow", "products with weights in bfloat16, two at a time", narrow, parts=parts, at_once=pairs),
        deciding("chunk_steps", "of what is done for all steps, only what the next ones need is kept", chunk_steps),
        deciding("wavefront", "loops that pass sequences on, each on its own thread", wavefront, threads=threads),
        deciding(
            "shorten_chunks",
            "fewer steps at a time where there are many rows: what is passed on stays in the cache",
            shorten_chunks,
        ),
        Pass("instrument", "what the cycles of a kernel are is known as long as it is one nest", instrument),
        deciding("tile", "sums in registers, the loop over k around them", tile, machine=machine, schedule=schedule),
        Pass("merge_rows", "a row that was just written is still in the cache", merge_rows),
        deciding("pack", "weights in the order in which the tiles read them, once", pack),
        Pass("vectorize", "lanes become vectors", vectorize),
        Pass("unroll_tiles", "register tiles are written out; what is loaded twice is loaded once", unroll),
        Pass("prefetch", "what a tile's end reads comes while its sums are added up", prefetch),
        Pass(
            "plan_memory",
            "temporaries that are never alive together share memory",
            partial(plan_memory, threads=threads),
        ),
        deciding("share_threads", "each thread its panels, step after step", share_threads, threads=threads),
        deciding(
            "rotate_copies",
            "a cache that is asked too soon for the same line is slow",
            rotate_copies,
            machine=machine,
            schedule=schedule,
        ),
        deciding(
            "alternate_panels",
            "what the last step left is read first",
            alternate_panels,
            machine=machine,
            schedule=schedule,
        ),
    ]
    return [step for step in passes if not left_out.get(step.name)]


@dataclass(frozen=True, slots=True)
class Compilation:
    """Everything between a graph and its machine code, for the tools that look inside."""

    options: Options
    target: Target
    graph: Graph
    setup: Graph
    graph_snapshots: tuple[Snapshot[Graph], ...]
    fused: Graph
    lowered: Procedure
    loop_snapshots: tuple[Snapshot[Procedure], ...]
    scheduled: Procedure
    emitted: Emitted
    native: NativeCode
    milliseconds: dict[str, float]
    """Time of each part: graph, lower, loop, emit, llvm."""

    def artifact(self) -> Artifact:
        """What calling the compiled model needs."""
        return Artifact(
            self.fused,
            self.setup,
            self.scheduled,
            self.emitted,
            self.native.object_code,
            row_extent(self.lowered),
            self.target.runs_on_host,
        )

    def text(self, stage: str) -> str:
        """One stage as text: see `STAGES`."""
        makers: dict[str, Callable[[], str]] = {
            "graph": lambda: show_graph(self.graph),
            "fused": lambda: show_graph(self.fused),
            "loop": lambda: show_procedure(self.lowered),
            "scheduled": lambda: show_procedure(self.scheduled),
            "llvm": lambda: self.emitted.text,
            "llvm-opt": lambda: self.native.llvm_optimized,
            "asm": lambda: self.native.assembly,
        }
        if stage not in makers:
            raise ArgumentError(f"unknown stage {stage!r}", f"stages: {', '.join(STAGES)}", place=caller())
        return makers[stage]()


def compile(
    model: Any,
    *,
    dtype: Any = "float32",
    threads: int = 1,
    precision: str = "float32",
    target: str = "host",
    unroll: int | None = None,
    table_bytes: int = 64 << 20,
    level: int = 2,
    cache: bool = True,
    training: bool = False,
    schedule: Mapping[str, Mapping[str, int]] | None = None,
) -> CompiledModel:
    """Compile a model or a graph to machine code.

    Args:
        model: a `Model`, a `Sequential`, or a `Graph` (`rnncc.trace` makes one of a function).
        dtype: "float32" (floats are as declared) or "float64" (all floats, those of inputs and results included, are
            float64; arrays that were captured while tracing keep the precision they had there).
        threads: how many threads work on a call that is worth it, the calling one included. Many rows are cut between
            them; of few rows, each takes its panels of every large kernel, or its layers, one behind the other. The
            results have the same bits.
        precision: "float32", or "bfloat16": products with weights are of factors rounded to bfloat16 (8 bits of
            precision), and added up in float32. Weights take half the memory, and where the machine has AVX512-BF16 two
            products cost as much as one; where it has AMX, and the system lets us use it, they are done by its matrix
            unit. Everything else stays float32. "float32-bf16x6": every factor is a sum of three numbers of bfloat16,
            and six products of those stand for one. That is at least as accurate as float32 (half the error in a long
            sum; factors beyond 3.39e38 count as infinite). It is for matrix units and many rows: with vectors, it takes
            two to four times as long as float32 where AVX512-BF16 is, and up to ten times elsewhere. Weights take 1.5
            times the memory.
        target: "host", or an instruction set to compile for less ("x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4",
            "x86-64-v4-amx", which is v4 with AVX512-BF16 and AMX), or for reading only ("aarch64").
        unroll: steps that one turn of every loop over time holds; None leaves that to the layers (`unroll=`).
        table_bytes: an embedding is folded into the projection behind it when the table has at most as many bytes.
        level: optimization level of LLVM, 0 to 3.
        cache: keep the machine code in the user's cache folder (RNNCC_CACHE_DIR, or off), and take it from there when
            the same graph was compiled before, with the same options, versions and CPU features.
        training: True compiles what ``model(x, training=True)`` computes: dropout drops, other elements at every call.
        schedule: what is not left to the cost model, by the first of the buffers that a nest writes, which is how
            ``rnncc dump --list`` begins the lines about it:
            ``{"h": {"rows": 4, "width": 1, "panel": 2}}`` is a register tile of 4 rows x 1 vector, and a
            row on its own in panels of 2 vectors; ``"copies": 2`` keeps two copies of the weights that rows on their
            own read, step by step in turn; ``"back_and_forth": True`` walks over the panels from back to front at every
            second step. Where the matrix unit does the products, there is no tile to choose. The results have the same
            bits. Streams are left to the cost model. None takes what ``rnncc
            bench --tune --remember`` has found for this graph, if that was ever asked for.

    Returns:
        A `CompiledModel`: ``fn(x)``. It serves all batch sizes and lengths, and follows the model's weights. The states
        of stateful layers stay from call to call, until ``fn.reset_states()``.

    Raises:
        ArgumentError, DTypeError: an option has no meaning.
        UnsupportedError: an option that this version, or this machine, cannot do.
    """
    options = Options(
        float_type(dtype),
        target,
        unroll_factor(unroll),
        table_bytes,
        level,
        check_threads(threads),
        check_precision(precision, dtype),
        as_schedule(schedule),
    )
    check_options(level, table_bytes, cache)
    folder = cache_folder(os.environ) if cache else None
    disk = None if folder is None else DiskCache(folder)
    graph = graph_of(model, training)
    if schedule is None and disk is not None:
        options = replace(options, schedule=remembered(disk, schedule_key(graph, options)))
    return _compile(graph, options, disk, streams=True, kept=getattr(model, "state_slots", ()))


def _compile(
    graph: Graph, options: Options, disk: DiskCache | None, *, streams: bool, kept: Sequence[StateSlot] = ()
) -> CompiledModel:
    """From the cache, or by running the pipeline. Texts are made when somebody asks, by compiling (again)."""
    compilation = once(partial(compile_graph, graph, options))
    if options.target != "host":
        Target.parse(options.target)  # a wrong name is an error now
    artifact = _artifact(graph, options, disk, compilation)
    stream_maker = once(partial(_stream_maker, graph, options, disk))
    profiler = once(partial(_profiler, graph, options, kept))
    return CompiledModel(
        artifact.graph,
        artifact.setup,
        sources_of(graph),
        artifact.procedure,
        artifact.emitted,
        partial(_loaded, artifact, options),
        lambda stage: compilation().text(stage),
        (lambda batch: stream_maker()(batch)) if streams else None,
        kept,
        graph.feeds,
        threads=options.threads,
        rows=artifact.rows,
        profile=lambda arrays, named: profiler().run(arrays, named),
    )


def _loaded(artifact: Artifact, options: Options) -> Loaded:
    target = None if artifact.is_for_host else Target.parse(options.target)
    return load(artifact.object_code, target, has_matrix=artifact.emitted.has_matrix)


def _profiler(graph: Graph, options: Options, kept: Sequence[StateSlot]) -> Profiler:
    """Compile `graph` once more, with counters, for one thread."""
    counting = replace(options, threads=1, counts_cycles=True)
    compilation = compile_graph(graph, counting)
    artifact = compilation.artifact()
    compiled = CompiledModel(
        artifact.graph,
        artifact.setup,
        sources_of(graph),
        artifact.procedure,
        artifact.emitted,
        partial(_loaded, artifact, options),
        compilation.text,
        feeds=graph.feeds,
    )
    names = [snapshot.name for snapshot in compilation.loop_snapshots]
    before = compilation.loop_snapshots[names.index("instrument") - 1]
    return Profiler(compiled, before.ir, kept)


def _artifact(
    graph: Graph, options: Options, disk: DiskCache | None, compilation: Callable[[], Compilation]
) -> Artifact:
    """From `disk`, where there is one, or else from the compiler, and then it is kept there."""
    if disk is None:
        return compilation().artifact()
    key = key_in_cache("code", graph, options)
    content = disk.get(key)
    if content is not None:
        return Artifact.from_bytes(content)
    artifact = compilation().artifact()
    disk.put(key, artifact.to_bytes())
    return artifact


def _stream_maker(graph: Graph, options: Options, disk: DiskCache | None) -> Callable[[int], Stream]:
    """Compile the step of `graph` once; the result makes streams of any batch size."""
    floats = graph if options.dtype is DType.F32 else convert_floats(graph, options.dtype)
    parts = expose_states(floats)
    step = _compile(parts.step, replace(options, schedule=()), disk, streams=False)
    feeds = [graph.feeds[value.name] for value in graph.inputs[len(graph.arguments) :]]
    return lambda batch: Stream(step, parts.initial, sources_of(graph), parts.time, parts.states, batch, feeds)


def compile_graph(graph: Graph, options: Options) -> Compilation:
    """Run the whole pipeline and keep every step of it."""
    target = Target.parse(options.target)
    clock = _Clock()
    fused, graph_snapshots = run_passes(
        prepared(graph, options), graph_passes(options), verify=verify_graph, show=show_graph, count=count_nodes
    )
    setup, main = split_setup(fused)
    clock.lap("graph")
    lowered = lower(main)
    verify_procedure(lowered)
    clock.lap("lower")
    scheduled, loop_snapshots = run_passes(
        lowered,
        loop_passes(
            machine_of(target, options.precision),
            options.threads,
            options.precision,
            options.counts_cycles,
            options.schedule,
        ),
        verify=verify_procedure,
        show=show_procedure,
        count=count_statements,
    )
    clock.lap("loop")
    emitted = emit(scheduled, target, options.threads)
    clock.lap("emit")
    native = compile_module(emitted.text, target, options.level)
    clock.lap("llvm")
    return Compilation(
        options,
        target,
        graph,
        setup,
        tuple(graph_snapshots),
        main,
        lowered,
        tuple(loop_snapshots),
        scheduled,
        emitted,
        native,
        clock.laps,
    )


def machine_of(target: Target, precision: str) -> Machine:
    """What the loop passes need to know of a target. It has a matrix unit where that is of use, and may be used."""
    is_host = target == Target.parse("host")
    has_unit = precision != "float32" and target.has_matrix_unit
    if has_unit and is_host:
        has_unit = ask_for_matrix_unit()
    return Machine(
        target.vector_bits // 8,
        target.registers,
        caches().l1 if is_host else NEAR_BYTES,
        long_walk_bytes=target.long_walk_bytes,
        has_pairs=target.has_bfloat16,
        has_matrix_unit=has_unit,
    )


class _Clock:
    """Times the parts of a compilation."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = perf_counter()

    def lap(self, name: str) -> None:
        now = perf_counter()
        self.laps[name] = (now - self._last) * 1e3
        self._last = now


def passes_of(compilation: Compilation) -> Sequence[Snapshot[Any]]:
    """Every snapshot of a compilation, in order."""
    return (*compilation.graph_snapshots, *compilation.loop_snapshots)
