"""`compile`, which users call: checks what is chosen, and takes machine code from the cache or from the pipeline."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache as once
from functools import partial
from typing import TYPE_CHECKING, Any

from rnncc.codegen.target import Target
from rnncc.graph.ir import Graph
from rnncc.graph.trace import sources_of
from rnncc.keys import key_in_cache, schedule_key
from rnncc.layers.stateful import StateSlot
from rnncc.lower.setup import convert_floats
from rnncc.options import (
    Options,
    check_cache,
    check_precision,
    float_type,
    optimization_level,
    table_limit,
    unroll_factor,
)
from rnncc.passes.loop.schedule import as_schedule
from rnncc.passes.streaming import expose_states
from rnncc.runtime.artifact import Artifact
from rnncc.runtime.cache import DiskCache, cache_folder
from rnncc.runtime.compiled import CompiledModel
from rnncc.runtime.jit import Loaded, load
from rnncc.runtime.schedules import remembered
from rnncc.runtime.stream import Stream
from rnncc.runtime.threads import check_threads
from rnncc.start import graph_of
from rnncc.types import DType

if TYPE_CHECKING:
    from rnncc.pipeline import Compilation
    from rnncc.runtime.profiler import Profiler


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
            them; of few rows, each takes panels of every large kernel, or its layers, one behind the other. The results
            have the same bits.
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
        table_limit(table_bytes),
        optimization_level(level),
        check_threads(threads),
        check_precision(precision, dtype),
        as_schedule(schedule),
    )
    check_cache(cache)
    folder = cache_folder(os.environ) if cache else None
    disk = None if folder is None else DiskCache(folder)
    graph = graph_of(model, training)
    if schedule is None and disk is not None:
        options = replace(options, schedule=remembered(disk, schedule_key(graph, options)))
    kept, structure = getattr(model, "state_slots", ()), getattr(model, "output_structure", None)
    return _compile(graph, options, disk, streams=True, kept=kept, structure=structure)


def _compile(
    graph: Graph,
    options: Options,
    disk: DiskCache | None,
    *,
    streams: bool,
    kept: Sequence[StateSlot] = (),
    structure: Any = None,
) -> CompiledModel:
    """From the cache, or by running the pipeline. Texts are made when somebody asks, by compiling (again)."""
    compilation = once(partial(_compilation, graph, options))
    if options.target != "host":
        Target.parse(options.target)  # a wrong name is an error now
    artifact = _artifact(graph, options, disk, compilation)
    stream_maker = once(partial(_stream_maker, graph, options, disk, structure))
    profiler = once(partial(_profiler, graph, options, kept))
    return CompiledModel(
        artifact.graph,
        artifact.setup,
        sources_of(graph),
        artifact.procedure,
        artifact.emitted,
        partial(_loaded, artifact, options),
        lambda stage: compilation().text(stage),
        (lambda batch, inputs: stream_maker()(batch, inputs)) if streams else None,
        kept,
        graph.feeds,
        threads=options.threads,
        rows=artifact.rows,
        step_weights=artifact.step_weights,
        structure=structure,
        profile=lambda arrays, named: profiler().run(arrays, named),
    )


def _compilation(graph: Graph, options: Options) -> Compilation:
    """Run the pipeline. It is imported here: that is a third of all files, and a model from the cache needs none."""
    from rnncc.pipeline import compile_graph  # noqa: PLC0415

    return compile_graph(graph, options)


def _loaded(artifact: Artifact, options: Options) -> Loaded:
    target = None if artifact.is_for_host else Target.parse(options.target)
    return load(artifact.object_code, target, has_matrix=artifact.emitted.has_matrix)


def _profiler(graph: Graph, options: Options, kept: Sequence[StateSlot]) -> Profiler:
    """Compile `graph` once more, with counters, for one thread."""
    from rnncc.runtime.profiler import Profiler  # noqa: PLC0415

    compilation = _compilation(graph, replace(options, threads=1, counts_cycles=True))
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
        with suppress(ValueError, KeyError, TypeError):  # not what `to_bytes` wrote
            return Artifact.from_bytes(content)
    artifact = compilation().artifact()
    disk.put(key, artifact.to_bytes())
    return artifact


def _stream_maker(
    graph: Graph, options: Options, disk: DiskCache | None, structure: Any
) -> Callable[[int, Mapping[str, Any]], Stream]:
    """Compile the step of `graph` once; the result makes streams of any batch size, from any initial states.

    What computes initial states from inputs is compiled as well: they have the bits that they have in the whole model.
    """
    floats = graph if options.dtype is DType.F32 else convert_floats(graph, options.dtype)
    parts = expose_states(floats)
    own = replace(options, schedule=(), is_stream=True)
    step = _compile(parts.step, own, disk, streams=False)
    start = _compile(parts.initial, own, disk, streams=False) if parts.has_computed_start else None
    feeds = [graph.feeds[value.name] for value in graph.inputs[len(graph.arguments) :]]
    return lambda batch, inputs: Stream(
        step, start, parts.initial, sources_of(graph), parts.time, parts.states, batch, inputs, feeds, structure
    )
