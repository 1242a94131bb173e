"""Activation functions by name. A layer takes a name, None (no activation) or any function of a symbolic tensor.

Names, arguments and numbers are Keras 3's; "hard_sigmoid_keras2" is what "hard_sigmoid" was in Keras 2. A function with
arguments is given as a function: ``activation=lambda x: activations.relu(x, max_value=1)``. None of them overflows
where its result does not.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from rnncc.errors import ArgumentError, caller, nearest
from rnncc.graph.symbolic import Tensor, shown
from rnncc.graph.trace import check_takes
from rnncc.ops.activations import (
    celu,
    elu,
    exponential,
    gelu,
    glu,
    hard_shrink,
    hard_sigmoid,
    hard_sigmoid_keras2,
    hard_silu,
    hard_tanh,
    leaky_relu,
    linear,
    log_sigmoid,
    log_softmax,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_shrink,
    softmax,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    sparsemax,
    squareplus,
    tanh,
    tanh_shrink,
    threshold,  # noqa: F401  # offered here, but not by name
)

ActivationFunction = Callable[[Tensor], Tensor]

_FUNCTIONS: tuple[Any, ...] = (
    *(linear, tanh, sigmoid, softsign, hard_tanh, hard_sigmoid, hard_sigmoid_keras2, sparse_sigmoid),
    *(relu, relu6, leaky_relu, elu, celu, selu),
    *(softplus, log_sigmoid, silu, hard_silu, gelu, mish, squareplus, sparse_plus),
    *(tanh_shrink, soft_shrink, hard_shrink),
    *(exponential, softmax, log_softmax, sparsemax, glu),
)
KNOWN: dict[str, ActivationFunction] = {
    **{function.__name__: function for function in _FUNCTIONS},
    "swish": silu,
    "hard_swish": hard_silu,
}
"""Every activation that has a name; `threshold` has none, as it has no default for its arguments."""


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
            *([] if meant else [f"known: {', '.join(KNOWN)}"]),
            place=caller(),
            remedy=f"did you mean {meant!r}?" if meant else "give a known name, or a function built from rnncc.ops",
        )
    if isinstance(spec, np.ufunc):
        ours = spec.__name__ if spec.__name__ in KNOWN else None
        raise ArgumentError(
            f"{argument} is numpy's {spec.__name__}, which computes with numbers only",
            place=caller(),
            remedy=f"use {ours!r}" if ours else "give a known name, or a function built from rnncc.ops",
        )
    if callable(spec):
        if any(spec is function for function in KNOWN.values()):
            return spec  # type: ignore[no-any-return]
        check_takes(spec, 1, argument, "it is called on one tensor")
        return _checked(spec, argument)
    raise ArgumentError(
        f"{argument} must be a name, None or a function of a tensor", f"given: {spec!r}", place=caller()
    )


def _checked(function: Callable[[Tensor], Any], argument: str) -> ActivationFunction:
    """A user's function, with an error of ours when it does not return a tensor."""

    @functools.wraps(function)
    def activation(x: Tensor) -> Tensor:
        result = function(x)
        if isinstance(result, Tensor):
            return result
        raise ArgumentError(
            f"{argument} must return a symbolic tensor",
            f"given:    {shown(x)}",
            f"returned: {result!r}",
            place=caller(),
            remedy="build the function from operators and rnncc.ops",
        )

    return activation
