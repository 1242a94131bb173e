"""JAX: the whole network in one `jit`, loops as `lax.scan`, weights as arguments, shapes fixed.

Whether it pays to multiply by the kernel for all steps at once differs from problem to problem: both are compiled, and
the faster one is kept.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np

from rnncc.tools.bench.network import Problem
from rnncc.tools.bench.peers.array_steps import Arrays, run_network
from rnncc.tools.bench.peers.peer import Peer, Run, optional

_TRIES = 5


def build(problem: Problem, threads: int) -> Run:
    """The number of threads is set before JAX is loaded: it has no call for it."""
    jax, jnp = optional("jax"), optional("jax.numpy")

    def scan(step: Any, states: Any, xs: Any, weights: Any) -> Any:
        def body(carry: Any, x: Any) -> Any:
            after = step(carry, x, weights)
            return after, after[0]

        return jax.lax.scan(body, states, xs)

    weights = {name: jnp.asarray(array) for name, array in problem.weights.items()}
    inputs = tuple(
        jnp.asarray(array.astype(np.int32) if array.dtype == np.int64 else array) for array in problem.inputs
    )

    def compiled(projects_first: bool) -> Run:
        library = Arrays(jnp, jax.nn.sigmoid, jax.nn.softmax, scan, projects_first)
        function = jax.jit(lambda weights, inputs: run_network(library, problem.network, weights, inputs))
        return lambda: [np.asarray(output) for output in function(weights, inputs)]

    return min((compiled(True), compiled(False)), key=_best_time)


def _best_time(run: Run) -> float:
    run()
    times = []
    for _ in range(_TRIES):
        start = perf_counter()
        run()
        times.append(perf_counter() - start)
    return min(times)


PEER = Peer("jax", "JAX", ("jax",), build)
