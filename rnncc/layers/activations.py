"""Activation functions by name. A layer takes a name, None (no activation) or any function of a symbolic tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnncc.errors import ArgumentError, caller, nearest
from rnncc.graph.symbolic import Tensor
from rnncc.ops import functions as ops

ActivationFunction = Callable[[Tensor], Tensor]


def linear(x: Tensor) -> Tensor:
    """x itself."""
    return x


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent, -1 to 1."""
    return ops.tanh(x)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)), 0 to 1."""
    return ops.sigmoid(x)


def exponential(x: Tensor) -> Tensor:
    """e to the x."""
    return ops.exp(x)


def relu(x: Tensor) -> Tensor:
    """max(x, 0)."""
    return ops.relu(x)


def softmax(x: Tensor) -> Tensor:
    """exp(x), scaled so that the last axis sums to 1."""
    return ops.softmax(x, axis=-1)


KNOWN: dict[str, ActivationFunction] = {
    "tanh": tanh,
    "sigmoid": sigmoid,
    "exponential": exponential,
    "relu": relu,
    "softmax": softmax,
    "linear": linear,
}


def get(spec: Any, argument: str = "activation") -> ActivationFunction:
    """The function that a user means by a name, None or a function."""
    if spec is None:
        return linear
    if isinstance(spec, str):
        if spec in KNOWN:
            return KNOWN[spec]
        meant = nearest(spec.lower(), KNOWN)
        raise ArgumentError(
            f"{argument}: there is no activation {spec!r}",
            f"known: {', '.join(KNOWN)}",
            place=caller(),
            remedy=f"did you mean {meant!r}?" if meant else "give a known name, or a function built from rnncc.ops",
        )
    if callable(spec):
        function: ActivationFunction = spec
        return function
    raise ArgumentError(
        f"{argument} must be a name, None or a function of a tensor", f"given: {spec!r}", place=caller()
    )
