"""What every peer is: a library, how to ask whether it is there, and how to build a problem with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, packages_distributions
from importlib.metadata import version as installed_version
from importlib.util import find_spec
from typing import Any

import numpy as np

from rnncc.tools.bench.network import Problem

Run = Callable[[], list[np.ndarray]]
"""Computes a problem once, on the inputs that it was built with, and returns its outputs."""

Step = Callable[[np.ndarray], list[np.ndarray]]
"""Computes the next step of a sequence, from the states that the step before has left."""


@dataclass(frozen=True, slots=True)
class Function:
    """A problem built with a library. `call` takes and returns arrays of the library, one per input and output."""

    call: Callable[..., Sequence[Any]]
    given: Callable[[np.ndarray], Any] = lambda array: array
    """An array for `call`."""
    taken: Callable[[Any], np.ndarray] = lambda array: array
    """What `call` returned as an array of NumPy."""

    def on(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs for these inputs."""
        return [self.taken(output) for output in self.call(*map(self.given, inputs))]


@dataclass(frozen=True, slots=True)
class Peer:
    """A library that models run with.

    Args:
        key: what `--peers` calls it.
        title: its name in tables.
        requires: the packages it needs, the one that says the version first.
        make: makes a `Function` of a problem and a number of threads. It may raise UnsupportedError. Everything that a
            careful user would do once is done there: converting weights, fixing shapes, compiling.
        is_default: False for a peer that has to be asked for.
        precisions: what products with weights can be computed in.
        engine: says what the library computes with, where that can be chosen.
    """

    key: str
    title: str
    requires: tuple[str, ...]
    make: Callable[[Problem, int], Function]
    is_default: bool = True
    engine: Callable[[], str] | None = None
    precisions: tuple[str, ...] = ("float32",)

    def available(self) -> bool:
        """True when all that it needs is installed."""
        return all(find_spec(name) is not None for name in self.requires)

    def build(self, problem: Problem, threads: int) -> Run:
        """What computes a problem on its own inputs, which are converted once."""
        function = self.make(problem, threads)
        inputs = [function.given(array) for array in problem.inputs]
        call, taken = function.call, function.taken
        return lambda: [taken(output) for output in call(*inputs)]

    def stepper(self, problem: Problem, threads: int) -> Step:
        """What computes step after step of a `stepwise` problem: takes the input of a step, returns its outputs."""
        function = self.make(problem, threads)
        call, given, taken = function.call, function.given, function.taken
        states: Sequence[Any] = [given(array) for array in problem.inputs[len(problem.inputs) - problem.carried :]]
        count = len(problem.network.outputs) - problem.carried

        def step(x: np.ndarray) -> list[np.ndarray]:
            nonlocal states
            outputs = call(given(x), *states)
            states = outputs[count:]
            return [taken(output) for output in outputs[:count]]

        return step

    def version(self) -> str:
        """The installed version, and the engine."""
        name = self.requires[0]
        try:
            found = installed_version(name)
        except PackageNotFoundError:  # the package may have another name than what is imported
            packages = packages_distributions().get(name, [])
            found = installed_version(packages[0]) if packages else "of unknown version"
        return f"{found} on {self.engine()}" if self.engine else found


def optional(name: str) -> Any:
    """An optional module, imported now."""
    return import_module(name)


def short_integers(array: np.ndarray) -> np.ndarray:
    """`array`, of int32 if it was of int64: what these libraries take for indices."""
    return array.astype(np.int32) if array.dtype == np.int64 else array
