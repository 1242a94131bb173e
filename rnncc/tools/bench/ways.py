"""What one contender does in one call: whole sequences, one step of a sequence, or many lengths from cold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from rnncc.codegen.native import modules_compiled
from rnncc.compiler import compile as compile_model
from rnncc.errors import UnsupportedError
from rnncc.graph.ir import Graph
from rnncc.layers.execution import evaluate
from rnncc.ops.structure import flatten
from rnncc.tools.bench.cases import Case
from rnncc.tools.bench.network import Problem
from rnncc.tools.bench.peers import Peer, Run, numpy_loop

Ready = tuple[Run, list[np.ndarray]]
"""What is timed, and the outputs of all pieces of the case, in order."""


def ready_model(model: Any, case: Case, threads: int) -> Ready:
    """A model of ours."""
    if case.workload.way == "cold":
        return _cold(lambda: partial(_called, _compiled(model, case, threads)), case)
    function = _compiled(model, case, threads)
    if case.workload.way == "step":
        steps = [tuple(np.ascontiguousarray(array[:, 0]) for array in piece) for piece in case.pieces]
        stream = function.stream(batch=case.batch)
        outputs = [array for x in steps for array in flatten(stream.step(*x))]
        return partial(stream.step, *steps[0]), [array[:, None] for array in outputs]
    return _whole(partial(_called, function, case.inputs))


def _compiled(model: Any, case: Case, threads: int) -> Any:
    return compile_model(model, threads=threads, precision=case.precision, cache=False)


def ready_peer(peer: Peer, problem: Problem, case: Case, threads: int) -> Ready:
    """A peer. Raises UnsupportedError when it has no such precision."""
    if problem.precision not in peer.precisions:
        raise UnsupportedError(f"does not compute in {problem.precision} here")
    if case.workload.way == "cold":
        return _cold(lambda: peer.make(problem, threads).on, case)
    if case.workload.way == "step":
        step = peer.stepper(problem, threads)
        return partial(step, case.inputs[0]), [np.array(array) for (x,) in case.pieces for array in step(x)]
    return _whole(peer.build(problem, threads))


def reference(case: Case) -> list[np.ndarray]:
    """The outputs of all pieces: those of a NumPy loop or, for what that does not know, of the interpreter."""
    if case.problem is None:
        return meaning(case.model, case)
    return ready_peer(numpy_loop.PEER, replace(case.problem, precision="float32"), case, 1)[1]


def meaning(model: Any, case: Case) -> list[np.ndarray]:
    """The outputs of all pieces by the interpreter of graphs; random numbers are those of the first calls."""
    for feed in (model if isinstance(model, Graph) else model.graph()).feeds.values():
        feed.restart()
    if case.workload.way != "step":
        return [array for piece in case.pieces for array in flatten(evaluate(model, *piece))]
    whole = [np.concatenate(arrays, axis=1) for arrays in zip(*case.pieces, strict=True)]
    outputs = flatten(evaluate(model, *whole))
    return [array[:, t : t + 1] for t in range(len(case.pieces)) for array in outputs]


def compilations(run: Run) -> int:
    """How often LLVM runs in one call of `run`."""
    before = modules_compiled()
    run()
    return modules_compiled() - before


def _whole(run: Run) -> Ready:
    return run, [np.array(array) for array in run()]


def _cold(make: Callable[[], Callable[[Sequence[np.ndarray]], list[np.ndarray]]], case: Case) -> Ready:
    """Make the function anew in every call, and run it on all pieces."""

    def run() -> list[np.ndarray]:
        function = make()
        return [np.array(array) for piece in case.pieces for array in function(piece)]  # some share their memory

    return _whole(run)


def _called(function: Any, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    return flatten(function(*inputs))
