"""Where the cache has what belongs to a graph and its options: machine code, and schedules that were found for it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from rnncc.codegen.permission import ask_for_matrix_unit
from rnncc.codegen.target import Target
from rnncc.errors import ArgumentError, caller
from rnncc.graph.ir import Graph
from rnncc.graph.printer import show as show_graph
from rnncc.options import Options
from rnncc.runtime.cache import DiskCache, cache_folder, compiler_fingerprint, key_of, machine_fingerprint
from rnncc.runtime.caches import caches
from rnncc.runtime.schedules import remember


def schedule_key(graph: Graph, options: Options) -> str:
    """Where the cache has the schedule that was found for a graph with these options."""
    return key_in_cache("schedule", graph, replace(options, schedule=()))


def key_in_cache(what: str, graph: Graph, options: Options) -> str:
    """Where the cache has something about a graph that is compiled with these options on this machine."""
    machine = machine_fingerprint() or repr(Target.parse("host"))
    if options.precision != "float32" and not ask_for_matrix_unit():
        machine += "no matrix unit"  # or one that this process may not use
    return key_of(
        what, show_graph(graph), repr(options), machine, f"{caches().l1} {caches().l2}", compiler_fingerprint()
    )


def schedule_folder() -> Path:
    """The folder of the cache, where schedules are remembered. Raises ArgumentError when nothing can be kept there."""
    folder = cache_folder(os.environ)
    if folder is None:
        raise ArgumentError(
            "a schedule is remembered in the cache, and RNNCC_CACHE_DIR is off",
            place=caller(),
            remedy="unset RNNCC_CACHE_DIR, or let it name a folder",
        )
    first = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    if not first.is_dir() or not os.access(first, os.W_OK):
        raise _not_writable(folder)
    return folder


def _not_writable(folder: Path) -> ArgumentError:
    return ArgumentError(
        f"a schedule is remembered in the cache, and nothing can be written to {folder}",
        place=caller(),
        remedy="let RNNCC_CACHE_DIR name a folder that can be written to",
    )


def remember_schedule(graph: Graph, options: Options) -> Path:
    """Let `compile` use the schedule of `options` whenever it is given this graph, these options, and no schedule.

    Returns the folder of the cache. Raises ArgumentError when there is no cache, or nothing can be kept there.
    """
    folder = schedule_folder()
    if not remember(DiskCache(folder), schedule_key(graph, options), options.schedule):
        raise _not_writable(folder)
    return folder
