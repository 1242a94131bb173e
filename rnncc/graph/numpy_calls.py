"""What happens when a numpy function is given a symbolic tensor: operators work, all else says what to use instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnncc.errors import ArgumentError, MemberError, caller

OPERATORS = {
    "add": "add",
    "subtract": "sub",
    "multiply": "mul",
    "divide": "div",
    "negative": "neg",
    "less": "less",
    "less_equal": "less_equal",
    "equal": "equal",
    "not_equal": "not_equal",
    "bitwise_and": "logical_and",
    "bitwise_or": "logical_or",
}
"""The op for each ufunc that stands behind an operator: ``array + tensor`` asks numpy first."""

SWAPPED = {"greater": "less", "greater_equal": "less_equal"}
"""The same for those whose operands change places."""

COMPOSED = {
    "matmul": "matmul",
    "power": "power",
    "remainder": "mod",
    "floor_divide": "floor_divide",
    "bitwise_xor": "logical_xor",
}
"""The same for those that are functions of `rnncc.ops`, of several ops each."""

OFFERED: dict[str, Callable[..., Any]] = {}
"""The functions of `rnncc.ops`, which fills this in: it stands above this module."""

_OTHER_NAMES = {"remainder": "mod", "fabs": "abs", "rint": "round", "float_power": "power"}


def no_numpy_function(function: str, tensor: str) -> ArgumentError:
    """The error for a numpy function that was called on `tensor` ("x: f32[B, 3]")."""
    ours = _OTHER_NAMES.get(function, function)
    return ArgumentError(
        f"numpy's {function} cannot compute with a symbolic tensor",
        tensor,
        place=caller(),
        remedy=f"use rnncc.ops.{ours}"
        if ours in OFFERED
        else f"there is no rnncc.ops.{ours} yet: build it from the functions of rnncc.ops",
    )


METHODS = {"T": "transpose", "astype": "cast", "flatten": "ravel", "view": "reshape", "permute": "transpose"}
"""Attributes of arrays that have another name among the functions."""


def no_method(name: str, tensor: str) -> MemberError:
    """The error for an attribute of arrays that is a function of `rnncc.ops`."""
    return MemberError(
        f"a symbolic tensor has no {name}", tensor, place=caller(), remedy=f"use rnncc.ops.{METHODS.get(name, name)}"
    )


def no_array_to_write_to(tensor: str) -> ArgumentError:
    """The error for ``array += tensor``, and for a ufunc with ``out=``."""
    return ArgumentError(
        "a symbolic tensor cannot be written into an array",
        tensor,
        place=caller(),
        remedy="write a = a + b instead of a += b",
    )


def no_numbers(use: str, tensor: str) -> ArgumentError:
    """The error for asking a symbolic tensor for its numbers (or its length): `use` says for what."""
    return ArgumentError(
        f"{use} of a symbolic tensor is not known while the graph is declared",
        tensor,
        place=caller(),
        remedy="compute with rnncc.ops, and call the model on arrays to get numbers",
    )
