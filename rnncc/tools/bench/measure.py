"""One row of the benchmark: build all contenders, compare their outputs, then time them in turns.

Turns go round: each contender runs for a short while, then the next, until the time is over, so that whatever else the
machine does meets all of them alike. A turn starts when the worker threads of the one before have gone to sleep, which
some do only after a tenth of a second, and with a call that is not counted, which fills the caches again.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter, perf_counter_ns, process_time

import numpy as np

from rnncc.errors import ArgumentError, RnnccError
from rnncc.tools.bench.cases import Case
from rnncc.tools.bench.peers import Peer, Run, numpy_loop
from rnncc.tools.bench.results import SELF, Row, Target, Timing
from rnncc.tools.bench.ways import Ready, compilations, meaning, ready_model, ready_peer, reference
from rnncc.tools.tolerance import COARSE

RELATIVE, ABSOLUTE = 1e-4, 1e-5
"""How far an output may be from the reference, the NumPy loop: sums of float32 in another order, over many steps."""


def tolerance(precision: str) -> tuple[float, float]:
    """The relative and the absolute distance from the reference that is right in a precision."""
    coarse = COARSE.get(precision)
    return (RELATIVE, ABSOLUTE) if coarse is None else (coarse, coarse)


_ROUNDS = 10
_FEWEST_ROUNDS = 3
_PAUSE = 0.003
"""Seconds in which this process must be idle before a turn begins."""
_IDLE = 0.2
"""The share of a pause that it may compute for, and is idle."""
_MOST_PAUSES = 300
"""As long as that it gets to become idle: about a second."""
_SHORT = 20_000
"""Nanoseconds: shorter calls are timed several at a time, so that reading the clock does not count."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Contender:
    """Something that computes a case, its outputs, and how long it took to get ready and compute them once."""

    name: str
    is_peer: bool
    run: Run
    outputs: list[np.ndarray]
    build_ms: float


def measure(case: Case, peers: Sequence[Peer], threads: int, seconds: float, progress: Progress) -> Row:
    """Run a case with rnncc and all peers, with the same number of threads, for about so many seconds.

    The row has no floor: the roof is known best when everything was run.
    """
    if getattr(case.model, "state_slots", ()):
        raise ArgumentError(
            f"{case.workload.name} is stateful: every call goes on where the one before stopped",
            "so no two of them have the same outputs to compare",
            remedy="leave stateful out to time it, or look at one call with --profile",
        )
    notes: list[str] = []
    contenders = build_all(case, peers, threads, notes, progress)
    progress("checking the outputs")
    differences = _differences(case, contenders)
    right = [contender for contender in contenders if differences[contender.name] <= 1]
    for contender in contenders:
        if contender not in right:
            error = differences[contender.name]
            notes.append(f"{contender.name}: wrong, {error:.3g} times the tolerance from the reference: not timed")
    same_bits = _same_bits(case, right)
    notes += [f"{name}: {'the same bits' if same else 'other bits'} as {SELF}" for name, same in same_bits.items()]
    own = next((contender for contender in right if contender.name == SELF), None)
    counted = compilations(own.run) if own and case.workload.way == "cold" else None
    if counted is not None:
        notes.append(f"{SELF}: {counted} compilation{'' if counted == 1 else 's'} for {len(case.pieces)} lengths")
    samples = interleave([(c.name, c.run) for c in right], seconds, progress)
    return Row(
        case.workload.name,
        case.workload.about,
        case.batch,
        case.length,
        threads,
        tuple(_timing(contender, samples[contender.name]) for contender in right),
        max((float(differences[contender.name]) for contender in right), default=0.0),
        len(right) == len(contenders),
        tuple(notes),
        _targets(case, threads),
        same_bits,
        counted,
    )


def _targets(case: Case, threads: int) -> tuple[Target, ...]:
    """What is promised for this size and number of threads."""
    if (case.batch, case.length) not in case.workload.sizes:
        return ()
    targets = (target for target in case.workload.targets if target.precision == case.precision)
    return tuple(target for target in targets if threads in target.threads)


# ------------------------------------------------------------------ contenders


def build_all(case: Case, peers: Sequence[Peer], threads: int, notes: list[str], progress: Progress) -> list[Contender]:
    """Everything that can compute the case; a line in `notes` for what cannot."""
    models = [(SELF, case.model), *((one.name, model) for one, model in case.beside)]
    builders: list[tuple[str, bool, Callable[[], Ready]]] = [
        (name, False, partial(ready_model, model, case, threads)) for name, model in models
    ]
    if case.problem is not None:
        builders += [(peer.title, True, partial(ready_peer, peer, case.problem, case, threads)) for peer in peers]
    elif peers:
        notes.append(f"no peers: {case.reason}")
    found = []
    for name, is_peer, build in builders:
        progress(f"building {name}")
        start = perf_counter()
        try:
            run, outputs = build()
        except RnnccError as error:
            notes.append(f"{name}: {error.what}")
        except Exception as error:  # a peer's own trouble is not the end of the run
            if not is_peer:
                raise
            notes.append(f"{name}: {type(error).__name__}: {_first_line(error)}")
        else:
            found.append(Contender(name, is_peer, run, outputs, (perf_counter() - start) * 1e3))
    return found


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "no message")


# ------------------------------------------------------------------ outputs


def difference(outputs: Sequence[np.ndarray], reference: Sequence[np.ndarray], precision: str = "float32") -> float:
    """The largest distance from the reference in tolerances: up to 1 is right. Infinite when shapes differ, or NaN."""
    if [array.shape for array in outputs] != [array.shape for array in reference]:
        return np.inf
    relative, absolute = tolerance(precision)
    worst = 0.0
    for array, right in zip(outputs, reference, strict=True):
        excess = np.abs(array - right) / (absolute + relative * np.abs(right))
        worst = max(worst, float(np.nan_to_num(excess, nan=np.inf).max(initial=0)))
    return worst


def _differences(case: Case, contenders: Sequence[Contender]) -> dict[str, float]:
    """How far each contender is from what it should compute."""
    given = next((c.outputs for c in contenders if c.name == numpy_loop.PEER.title), None)
    usual = reference(case) if given is None else given
    others = {one.name: meaning(model, case) for one, model in case.beside if not one.is_same}
    return {
        contender.name: difference(contender.outputs, others.get(contender.name, usual), case.precision)
        for contender in contenders
    }


def _same_bits(case: Case, contenders: Sequence[Contender]) -> dict[str, bool]:
    """Whether the other ways to write the model give the same bits."""
    found = {contender.name: contender.outputs for contender in contenders}
    return {
        one.name: all(np.array_equal(a, b) for a, b in zip(found[SELF], found[one.name], strict=True))
        for one, _ in case.beside
        if one.is_same and SELF in found and one.name in found
    }


# ------------------------------------------------------------------ times


def interleave(runs: Sequence[tuple[str, Run]], seconds: float, progress: Progress) -> dict[str, list[float]]:
    """Nanoseconds of every call, by name.

    A contender whose one call takes longer than its share of the time is called once a turn, and only in the first
    turn when it takes longer than a fifth of the whole.
    """
    samples: dict[str, list[float]] = {name: [] for name, _ in runs}
    turn = int(seconds * 1e9 / max(len(runs), 1) / _ROUNDS)
    start = perf_counter()
    rounds = 0
    while runs and (rounds < _FEWEST_ROUNDS or perf_counter() - start < seconds):
        for name, run in runs:
            progress(f"timing {name}, {min(perf_counter() - start, seconds):.0f} of {seconds:g} s")
            taken = samples[name]
            if not taken or taken[-1] < seconds * 1e9 / 5:
                _settle()
                taken += _turn(run, turn)
        rounds += 1
    return samples


def _settle() -> None:
    """Wait until no thread of this process is at work, as workers are that look for more of it when there is none.

    A thread like that has a core to itself, which the next contender needs for its own.
    """
    for _ in range(_MOST_PAUSES):
        start, used = perf_counter(), process_time()
        time.sleep(_PAUSE)
        if process_time() - used < _IDLE * (perf_counter() - start):
            return


def _turn(run: Run, nanoseconds: int) -> list[float]:
    """Call for so long; times of the calls. The first does not count, unless it takes all the time there is."""
    with _no_collection():
        first = _timed(run, 1)
        if first >= nanoseconds:
            return [first]
        count = max(1, int(_SHORT / max(_timed(run, 1), 1))) if first < 10 * _SHORT else 1
        taken: list[float] = []
        end = perf_counter_ns() + nanoseconds
        while not taken or perf_counter_ns() < end:
            taken.append(_timed(run, count))
        return taken


def _timed(run: Run, count: int) -> float:
    """Nanoseconds of one of `count` calls, on average."""
    turns = range(count)
    start = perf_counter_ns()
    for _ in turns:
        run()
    return (perf_counter_ns() - start) / count


@contextmanager
def _no_collection() -> Iterator[None]:
    """No garbage collection inside: it would hit whoever runs at that moment."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _timing(contender: Contender, taken: Sequence[float]) -> Timing:
    first, median, third = (float(value) / 1e3 for value in np.percentile(taken, (25, 50, 75)))
    return Timing(contender.name, contender.is_peer, median, first, third, len(taken), contender.build_ms)
