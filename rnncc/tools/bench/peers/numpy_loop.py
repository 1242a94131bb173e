"""NumPy: a Python loop over the steps, with the projection of the inputs done once before. It is also the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rnncc.tools.bench.network import Problem
from rnncc.tools.bench.peers.array_steps import Arrays, run_network
from rnncc.tools.bench.peers.peer import Function, Peer


def make(problem: Problem, threads: int) -> Function:
    """The number of threads is that of NumPy's BLAS, which is set before NumPy is loaded."""

    def call(*inputs: np.ndarray) -> list[np.ndarray]:
        # The sigmoid of a large negative number is 1 / inf; OpenBLAS looks at what lies beside a row of five numbers.
        with np.errstate(over="ignore", invalid="ignore"):
            return run_network(_LIBRARY, problem.network, problem.weights, inputs)

    return Function(call)


def _scan(step: Callable[..., Any], states: tuple[Any, ...], xs: Any, weights: Any) -> tuple[tuple[Any, ...], Any]:
    outputs = np.empty((len(xs), *states[0].shape), np.float32)
    for number, x in enumerate(xs):
        states = step(states, x, weights)
        outputs[number] = states[0]
    return states, outputs


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _softmax(x: Any) -> Any:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


_LIBRARY = Arrays(np, _sigmoid, _softmax, _scan)
PEER = Peer("numpy", "NumPy", ("numpy",), make)
