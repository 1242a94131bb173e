"""scan: the only loop of the graph IR, over a leading time axis, with a closed body graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rnncc.errors import ArgumentError, DTypeError, ShapeError, caller
from rnncc.graph.interp import interpret
from rnncc.graph.ir import Graph
from rnncc.graph.op import Attrs, Op, register
from rnncc.graph.symbolic import StepTensor, Tensor, apply_many, as_tensor
from rnncc.graph.trace import build_body, check_takes
from rnncc.numeric import whole_number
from rnncc.ops.structure import difference, flatten, has_names, rebuild
from rnncc.types import Dim, TensorType


def _infer(types: Sequence[TensorType], attrs: Attrs) -> tuple[TensorType, ...]:
    body: Graph = attrs["body"]
    length: Dim = attrs["length"]
    n_consts, n_carry = len(body.consts), len(body.inputs)
    expected = [value.type for value in (*body.consts, *body.inputs)]
    expected += [TensorType(value.type.dtype, (length, *value.type.shape)) for value in body.xs]
    if len(types) != len(expected):
        raise ShapeError(f"the body takes {len(expected)} operands, {len(types)} given")
    for value, given, needed in zip(body.parameters, types, expected, strict=True):
        if given != needed:
            raise ShapeError(f"operand for {value.name} has another type", f"{given} given", f"{needed} needed")
    results = [value.type for value in body.outputs]
    for value, result in zip(body.inputs, results, strict=False):
        if result != value.type:
            raise ShapeError(
                f"the state {value.name} changes type over a step", f"{value.type} before", f"{result} after"
            )
    assert n_consts + n_carry <= len(types)
    final = results[:n_carry]
    ys = [TensorType(type.dtype, (length, *type.shape)) for type in results[n_carry:]]
    return (*final, *ys)


def _eval(arrays: Sequence[np.ndarray], attrs: Attrs, extents: Mapping[str, int]) -> tuple[np.ndarray, ...]:
    body: Graph = attrs["body"]
    n_consts, n_carry = len(body.consts), len(body.inputs)
    consts, carry = list(arrays[:n_consts]), list(arrays[n_consts : n_consts + n_carry])
    xs = arrays[n_consts + n_carry :]
    length = attrs["length"]
    steps = extents[length] if isinstance(length, str) else length
    collected: list[list[np.ndarray]] = [[] for _ in body.outputs[n_carry:]]
    for step in reversed(range(steps)) if attrs["reverse"] else range(steps):
        results = interpret(body, [*consts, *carry, *(x[step] for x in xs)], extents)
        carry = results[:n_carry]
        for column, result in zip(collected, results[n_carry:], strict=True):
            column.append(result)
    ys = []
    for column, value in zip(collected, body.outputs[n_carry:], strict=True):
        shape = tuple(dim if isinstance(dim, int) else extents[dim] for dim in value.type.shape)
        order = column[::-1] if attrs["reverse"] else column
        ys.append(np.stack(order) if order else np.zeros((0, *shape), value.type.dtype.numpy))
    return (*carry, *ys)


SCAN = register(Op("scan", attrs=("body", "reverse", "length", "unroll"), infer=_infer, eval=_eval))
"""scan(consts, init, xs; body, reverse, length, unroll) -> (final carry, ys); no steps: the final carry is init."""


def scan(
    step: Callable[..., Any],
    init: Any,
    xs: Any = None,
    *,
    length: Dim | None = None,
    reverse: bool = False,
    unroll: int = 1,
    name: str | None = None,
) -> tuple[Any, Any]:
    """Run ``carry, y = step(carry, x)`` over the leading axis of `xs`; returns ``(final carry, ys)``.

    Args:
        step: a Python function of symbolic tensors, called once while the graph is declared. What it uses from outside
            (weights, other tensors) becomes a constant of the loop.
        init: the carry before the first step: a tensor, or a tuple, list or dict of them.
        xs: tensors of shape ``[T, ...]`` (or a structure of them); a step sees ``[...]``. None: give `length`.
        length: the number of steps, a number or the name of an extent, when `xs` is None.
        reverse: run from the last slice to the first; ys keep the order of xs.
        unroll: steps that one turn of the compiled loop holds.

    Returns:
        The carry after the last step (`init` when there are no steps), and what the steps returned, stacked on a new
        leading axis.

    Raises:
        ShapeError: a state changes its shape over a step, or the leading axes of `xs` differ.
        ArgumentError: the step returns its carry in another structure.

    Example:
        >>> from rnncc import ops
        >>> def running_sum(x):
        ...     _, ys = rnncc.scan(lambda total, step: (total + step, total + step), ops.zeros(("B",)), x)
        ...     return ys
        >>> graph = rnncc.trace(running_sum, ("float32", ("T", "B")))
    """
    in_a_turn = whole_number(unroll, 1)
    if in_a_turn is None:
        raise ArgumentError(f"unroll must be a number of steps above 0, not {unroll!r}", place=caller())
    init_leaves = [as_tensor(leaf) for leaf in flatten(init)]
    x_leaves = [as_tensor(leaf) for leaf in flatten(xs)]
    steps = _length(x_leaves, length)
    if not isinstance(reverse, bool | np.bool_):
        raise ArgumentError(f"reverse of a scan is True or False, not {reverse!r}", place=caller())
    carry = [StepTensor(leaf.type, _hint(leaf, "carry")) for leaf in init_leaves]
    slices = [StepTensor(TensorType(leaf.dtype, leaf.type.shape[1:]), _hint(leaf, "x")) for leaf in x_leaves]
    if not callable(step):
        raise ArgumentError(f"the step of a scan must be a function, not {step!r}", place=caller())
    check_takes(step, 2, "the step of a scan", "the carry, and the slices of xs for this step (None without xs)")
    result = step(rebuild(init, carry), rebuild(xs, slices))
    if not (isinstance(result, tuple) and len(result) == 2):
        kind = "Tensor" if isinstance(result, Tensor) else type(result).__name__
        raise ArgumentError(
            f"the step of a scan must return (carry, y), not {kind}",
            place=caller(),
            remedy="for one state that is collected as well: return h, h; for none that is: return h, None",
        )
    next_carry, y = result
    next_leaves = _check_carry(init, init_leaves, next_carry)
    y_leaves = [as_tensor(leaf) for leaf in flatten(y)]
    body, consts = build_body(name or _step_name(step), carry, slices, [*next_leaves, *y_leaves])
    leaves = apply_many(
        "scan", *consts, *init_leaves, *x_leaves, body=body, reverse=bool(reverse), length=steps, unroll=in_a_turn
    )
    return rebuild(init, leaves[: len(init_leaves)]), rebuild(y, leaves[len(init_leaves) :])


def _step_name(step: Callable[..., Any]) -> str:
    name = getattr(step, "__name__", "step")
    return name if name.isidentifier() else "step"


def _hint(leaf: Tensor, other: str) -> str:
    return leaf.name if leaf.origin is None else other


def _length(xs: list[Tensor], length: Dim | None) -> Dim:
    if not xs and length is None:
        raise ArgumentError("a scan without xs needs length=", place=caller())
    if length is not None and not isinstance(length, str):
        number = whole_number(length, 0)
        if number is None:
            raise ArgumentError(f"length of a scan must be a number of steps from 0 on, not {length!r}", place=caller())
        length = number
    for leaf in xs:
        if leaf.ndim == 0:
            raise ShapeError("xs must have a leading time axis", f"{leaf.name}: {leaf.type}", place=caller())
        length = leaf.type.shape[0] if length is None else length
        if leaf.type.shape[0] != length:
            raise ShapeError(
                "the leading axes of xs differ",
                f"{leaf.name}: {leaf.type}",
                f"{length} steps before",
                place=caller(),
            )
    assert length is not None
    return length


def _check_carry(init: Any, before: list[Tensor], next_carry: Any) -> list[Tensor]:
    leaves = flatten(next_carry)
    found = difference(init, next_carry) if has_names(init) or has_names(next_carry) else None
    if found is not None:
        raise ArgumentError(
            f"the step returns its carry in another structure: {found}",
            place=caller(),
            remedy="return the new carry in the same structure as init",
        )
    if len(leaves) != len(before):
        raise ArgumentError(
            f"the step returns {len(leaves)} states, but init has {len(before)}",
            place=caller(),
            remedy="return the new carry in the same structure as init",
        )
    after = [as_tensor(leaf, old.dtype) for leaf, old in zip(leaves, before, strict=True)]
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        if old.type != new.type:
            kind = DTypeError if old.dtype != new.dtype else ShapeError
            raise kind(
                f"state {number} of a scan changes over a step",
                f"before: {old.type}",
                f"after:  {new.type}",
                place=caller(),
                remedy="a state keeps its shape and dtype; check what the step returns for it",
            )
    return after
