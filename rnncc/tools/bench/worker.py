"""Where rows are measured: a fresh process for each number of threads, kept on as many cores.

Most libraries read their number of threads when they are loaded, and some have no other way to set it.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial

from rnncc.errors import ArgumentError, RnnccError
from rnncc.memory import memory_errors
from rnncc.runtime.roof import Roof, RoofMeter
from rnncc.tools.bench.cases import Case, prepare
from rnncc.tools.bench.floor import Work, floor_of, work_of
from rnncc.tools.bench.machine import cores, environment, stay_on
from rnncc.tools.bench.measure import measure
from rnncc.tools.bench.peers import PEERS
from rnncc.tools.bench.progress import ProgressLine
from rnncc.tools.bench.results import Row
from rnncc.tools.bench.workloads import find_workload


@dataclass(frozen=True, slots=True)
class Order:
    """What to measure. None for batch and length: the sizes of each workload."""

    workloads: tuple[str, ...]
    peers: tuple[str, ...]
    threads: int
    seconds: float
    batch: int | None = None
    length: int | None = None
    precision: str = "float32"


class WorkerError(RnnccError):
    """The process that measures ended before it was done."""


def measure_in_process(order: Order) -> tuple[Roof, list[Row]]:
    """Carry out an order in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with environment(order.threads), ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(_in_worker, order).result()
        except BrokenProcessPool:
            raise WorkerError(
                f"the process that measures with threads={order.threads} died",
                f"workloads: {', '.join(order.workloads)}",
                f"peers: {', '.join(order.peers) or 'none'}",
                remedy="leave peers out (--peers) to find the one that ends the process",
            ) from None


def _in_worker(order: Order) -> tuple[Roof, list[Row]]:
    stay_on(cores(order.threads))
    return measure_rows(order)


def measure_rows(order: Order) -> tuple[Roof, list[Row]]:
    """Carry out an order in this process. The roof is the best of what is measured beside every row."""
    line = ProgressLine(sys.stderr)
    meter = RoofMeter(order.threads)
    peers = [peer for peer in PEERS if peer.key in order.peers]
    todo = jobs(order)
    rows: list[tuple[Row, list[Work]]] = []
    for number, (name, batch, length) in enumerate(todo, 1):
        title = f"[{number}/{len(todo)}] {name} {batch} x {length}, threads {order.threads}: "
        line.show(f"{title}measuring the roof of this machine")
        meter.measure()
        line.show(f"{title}preparing")
        with enough_memory(name, batch, length):
            case = case_of(order, name, batch, length)
            row = measure(case, peers, order.threads, order.seconds, partial(_show, line, title))
        rows.append((row, _counted(case)))
    roof = meter.measure()
    line.clear()
    return roof, [replace(row, floor=floor_of(works, roof, order.precision) if works else None) for row, works in rows]


def case_of(order: Order, name: str, batch: int, length: int) -> Case:
    """A workload at one size. Raises ArgumentError when the order asks for another one than its model has."""
    case = prepare(find_workload(name), batch, length, order.precision)
    for option, wanted, found in (("batch", order.batch, case.batch), ("length", order.length, case.length)):
        if wanted is not None and wanted != found:
            raise ArgumentError(
                f"--{option} {wanted} has no effect on {name}",
                f"its {option} is fixed: {found}",
                remedy=f"leave --{option} out, or declare the model for any {option}",
            )
    return case


def _counted(case: Case) -> list[Work]:
    """What the floor of a case is made of: nothing for a model that is not described, nor where compiling counts."""
    return [] if case.problem is None or case.workload.way == "cold" else work_of(case.problem, case.precision)


def enough_memory(name: str, batch: int, length: int) -> memory_errors:
    """For a ``with`` block that works on a workload at one size: its MemoryErrors say which, and what to do."""
    return memory_errors(f"{name}, {batch} x {length}", "give a smaller --batch or --length")


def _show(line: ProgressLine, title: str, text: str) -> None:
    line.show(title + text)


def jobs(order: Order) -> Sequence[tuple[str, int, int]]:
    """Workloads and sizes, each once."""
    found = [
        (name, order.batch or batch, order.length or length)
        for name in order.workloads
        for batch, length in find_workload(name).sizes
    ]
    return list(dict.fromkeys(found))
