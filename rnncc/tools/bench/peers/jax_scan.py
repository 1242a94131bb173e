"""JAX: the whole network in one `jit`, loops as `lax.scan`, weights as arguments.

Whether it pays to multiply by the kernel for all steps at once differs from problem to problem: both are compiled, and
the faster one is kept.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np

from rnncc.tools.bench.network import Problem
from rnncc.tools.bench.peers.array_steps import Arrays, run_network
from rnncc.tools.bench.peers.peer import Function, Peer, optional, short_integers

_TRIES = 5


def make(problem: Problem, threads: int) -> Function:
    """The number of threads is set before JAX is loaded: it has no call for it."""
    jax, jnp = optional("jax"), optional("jax.numpy")

    def scan(step: Any, states: Any, xs: Any, weights: Any) -> Any:
        def body(carry: Any, x: Any) -> Any:
            after = step(carry, x, weights)
            return after, after[0]

        return jax.lax.scan(body, states, xs)

    weights = {name: jnp.asarray(array) for name, array in problem.weights.items()}

    def given(array: np.ndarray) -> Any:
        return jnp.asarray(short_integers(array))

    def compiled(projects_first: bool) -> Function:
        library = Arrays(jnp, jax.nn.sigmoid, jax.nn.softmax, scan, projects_first)
        function = jax.jit(lambda weights, inputs: run_network(library, problem.network, weights, inputs))
        return Function(lambda *inputs: function(weights, inputs), given, np.asarray)

    if problem.any_length:  # compiled for every length, so that trying both would take twice the time
        return compiled(True)
    return min((compiled(True), compiled(False)), key=lambda function: _best_time(function, problem))


def _best_time(function: Function, problem: Problem) -> float:
    function.on(problem.inputs)
    times = []
    for _ in range(_TRIES):
        start = perf_counter()
        function.on(problem.inputs)
        times.append(perf_counter() - start)
    return min(times)


PEER = Peer("jax", "JAX", ("jax",), make)
