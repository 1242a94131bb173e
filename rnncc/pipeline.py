"""The whole compiler on one page: every pass in order with its reason, and `compile_graph`, which runs them.

model -> graph -> GRAPH_PASSES -> lower -> LOOP_PASSES -> LLVM IR -> machine code
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import Any

from rnncc.codegen.emit import emit
from rnncc.codegen.emitted import Emitted
from rnncc.codegen.native import NativeCode, compile_module
from rnncc.codegen.permission import ask_for_matrix_unit
from rnncc.codegen.target import Target
from rnncc.collector import at_rest
from rnncc.errors import ArgumentError, caller
from rnncc.graph.ir import Graph, count_nodes
from rnncc.graph.printer import show as show_graph
from rnncc.graph.verify import verify as verify_graph
from rnncc.loop.ir import Procedure
from rnncc.loop.matrix import TILE_PAIRS
from rnncc.loop.printer import show as show_procedure
from rnncc.loop.verify import verify as verify_procedure
from rnncc.loop.visit import count_statements
from rnncc.lower.lower import lower
from rnncc.lower.rows import number_rows, row_extent
from rnncc.lower.setup import split_setup
from rnncc.options import Options
from rnncc.passes.graph.accumulate import accumulate
from rnncc.passes.graph.center_weights import center_weights
from rnncc.passes.graph.cse import cse
from rnncc.passes.graph.dce import dce
from rnncc.passes.graph.divide_once import divide_once
from rnncc.passes.graph.fold import fold
from rnncc.passes.graph.fold_embedding import fold_embedding
from rnncc.passes.graph.fuse_gates import fuse_gates
from rnncc.passes.graph.hoist_scan import hoist_scan
from rnncc.passes.graph.last_step import last_step
from rnncc.passes.graph.reassociate import reassociate
from rnncc.passes.graph.rotate_scan import rotate_scan
from rnncc.passes.graph.simplify import simplify
from rnncc.passes.graph.sink_scan import sink_scan
from rnncc.passes.graph.split_gates import split_gates
from rnncc.passes.graph.unroll import unroll as unroll_scan
from rnncc.passes.loop.alternate_panels import alternate_panels
from rnncc.passes.loop.chunk_steps import chunk_steps
from rnncc.passes.loop.chunks import step_weights
from rnncc.passes.loop.forward_copies import forward_copies
from rnncc.passes.loop.fuse import fuse
from rnncc.passes.loop.in_place import in_place
from rnncc.passes.loop.inline_moves import inline_moves
from rnncc.passes.loop.instrument import instrument
from rnncc.passes.loop.machine import MIDDLE_BYTES, NEAR_BYTES, Machine
from rnncc.passes.loop.merge_rows import merge_rows
from rnncc.passes.loop.narrow import narrow
from rnncc.passes.loop.pack import pack
from rnncc.passes.loop.plan_memory import plan_memory
from rnncc.passes.loop.prefetch import prefetch
from rnncc.passes.loop.prefetch_panels import prefetch_panels
from rnncc.passes.loop.rotate_copies import rotate_copies
from rnncc.passes.loop.schedule import Schedule
from rnncc.passes.loop.share_threads import share_threads
from rnncc.passes.loop.shorten_chunks import ROW_BYTES, UNIT_ROW_BYTES, shorten_chunks
from rnncc.passes.loop.split_nests import split_nests
from rnncc.passes.loop.steps_first import steps_first
from rnncc.passes.loop.tile import tile
from rnncc.passes.loop.turn_sequences import turn_sequences
from rnncc.passes.loop.two_turns import two_turns
from rnncc.passes.loop.unroll import unroll
from rnncc.passes.loop.vectorize import vectorize
from rnncc.passes.loop.wavefront import wavefront
from rnncc.passes.manager import Pass, Snapshot, deciding, run_passes
from rnncc.records import record
from rnncc.runtime.artifact import Artifact
from rnncc.runtime.caches import caches
from rnncc.start import prepared

STAGES = ("graph", "fused", "loop", "scheduled", "llvm", "llvm-opt", "asm")
"""What `CompiledModel.ir` can show, in the order of the pipeline."""


def graph_passes(options: Options) -> list[Pass[Graph]]:
    """The passes over the graph IR."""
    passes = [
        Pass("divide_once", "a product of sigmoids and tanhs takes one division, whoever reads them", divide_once),
        Pass("cse_first", "a mean that is written twice is one mean", cse),
        Pass(
            "center_weights",
            "the mean of a product is taken from its weights: all that read it are there yet",
            center_weights,
        ),
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
        Pass(
            "rotate_scan",
            "what a step makes of its states for a product, the step before makes: no loop of its own",
            rotate_scan,
        ),
        Pass("dce_again", "what they made useless", dce),
    ]
    not_in_streams = ("center_weights", "rotate_scan")
    return [step for step in passes if not (options.is_stream and step.name in not_in_streams)]


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
            "what loops go over backwards is kept backwards, so that they meet at equal steps",
            turn_sequences,
        ),
        Pass("steps_first", "who reads a sequence step by step can do that for some steps at a time", steps_first),
        deciding("narrow", "products with weights in bfloat16, two at a time", narrow, parts=parts, at_once=pairs),
        deciding("chunk_steps", "of what is done for all steps, only what the next ones need is kept", chunk_steps),
        deciding("wavefront", "loops that pass sequences on, each on its own thread", wavefront, threads=threads),
        deciding(
            "shorten_chunks",
            "fewer steps at a time where there are many rows: what is passed on stays in the cache",
            shorten_chunks,
            row_bytes=UNIT_ROW_BYTES if machine.has_matrix_unit else ROW_BYTES,
        ),
        Pass("instrument", "what the cycles of a kernel are is known as long as it is one nest", instrument),
        deciding("in_place", "what nobody needs any more is written over", in_place),
        deciding(
            "tile",
            "sums in registers, the loop over k around them",
            tile,
            machine=machine,
            schedule=schedule,
            threads=threads,
        ),
        Pass("merge_rows", "a row that was just written is still in the cache", merge_rows),
        deciding("pack", "weights in the order in which the tiles read them, once", pack),
        Pass("vectorize", "lanes become vectors", vectorize),
        Pass("unroll_tiles", "register tiles are written out; what is loaded twice is loaded once", unroll),
        Pass("prefetch", "what a tile's end reads comes while its sums are added up", prefetch),
        Pass("two_turns", "counting takes the ports of multiply-adds: half as often is enough", two_turns),
        Pass(
            "plan_memory",
            "temporaries that are never alive together share memory",
            partial(plan_memory, threads=threads),
        ),
        deciding(
            "share_threads",
            "each thread its panels, step after step, then those that others leave",
            share_threads,
            threads=threads,
        ),
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
        deciding(
            "prefetch_panels",
            "large weights are on their way while rows share what is there",
            prefetch_panels,
            machine=machine,
        ),
    ]
    return [step for step in passes if not left_out.get(step.name)]


@record(frozen=True, slots=True)
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
            step_weights(self.lowered),
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


@at_rest()
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
    if options.threads > 1:
        lowered = number_rows(lowered)
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
        middle_bytes=caches().l2 if is_host else MIDDLE_BYTES,
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
