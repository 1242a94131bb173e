"""The states of a cell: tensors in a list, or nested in tuples, lists and dicts. Their names, sizes and checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnncc.errors import ArgumentError, ShapeError, caller
from rnncc.graph.symbolic import Tensor, as_tensor
from rnncc.layers.nested import by_name, check_structure, described, entries, mapped
from rnncc.numeric import whole_number
from rnncc.ops import functions as ops
from rnncc.ops.structure import difference, flatten, has_names, rebuild
from rnncc.types import Dim, DType

_NAMES = ("h", "c")


def state_names(count: int) -> list[str]:
    """What states are called in graphs and errors: h, c; s0, s1, ... when there are more."""
    return list(_NAMES[:count]) if count <= len(_NAMES) else [f"s{number}" for number in range(count)]


def name_tensors(tensors: Sequence[Tensor], names: Sequence[str]) -> None:
    """Give tensors the names that the field uses, so that graphs read well."""
    for tensor, name in zip(tensors, names, strict=False):
        tensor.name = name


def labels(states: Any) -> list[str]:
    """What the leaves of `states` are called in errors: by their names where they have some."""
    return entries(states) if has_names(states) else state_names(len(flatten(states)))


def zero_states(cell: Any, batch: Dim, dtype: DType) -> Any:
    """The states before the first step, as the cell says (`get_initial_state`), or zeros of its `state_size`."""
    own = getattr(cell, "get_initial_state", None)
    made = _zeros(cell.state_size, batch, dtype) if own is None else own(batch_size=batch)
    if made is None:
        raise ArgumentError(
            f"get_initial_state of {type(cell).__name__} returned None",
            place=caller(),
            remedy="return the states before the first step: [rnncc.ops.zeros((batch_size, 4))]",
        )
    leaves = [ops.cast(as_tensor(leaf, dtype), dtype) if _is_float(leaf) else as_tensor(leaf) for leaf in flatten(made)]
    return as_list(rebuild(made, leaves))


def _is_float(leaf: Any) -> bool:
    return not isinstance(leaf, Tensor) or leaf.dtype.is_float


def _zeros(size: Any, batch: Dim, dtype: DType) -> Any:
    if isinstance(size, dict):
        return {key: _zeros(item, batch, dtype) for key, item in size.items()}
    if isinstance(size, list | tuple):
        return [_zeros(item, batch, dtype) for item in size]
    number = whole_number(size, 0)
    if number is None:
        raise ArgumentError(
            f"state_size is the width of a state, or a list or dict of them, not {size!r}",
            place=caller(),
            remedy="give it as a number: state_size = 64",
        )
    return ops.zeros((batch, number), dtype)


def as_list(states: Any) -> Any:
    """States as a cell gets them: in a list also when there is only one; a dict stays."""
    if isinstance(states, dict):
        return states
    return list(states) if isinstance(states, list | tuple) else [states]


def fitted(name: str, given: Any, zeros: Any) -> Any:
    """The states that a user gives for the first step, in the structure of `zeros`, checked against it."""
    given = mapped(by_name(zeros, given), as_tensor)
    needed, names = flatten(zeros), labels(zeros)
    if has_names(zeros) or has_names(given):
        remedy = "use the structure of state_size, or what return_state=True returns behind the output"
        check_structure(f"initial_state of {name}", zeros, given, remedy)
    items = flatten(given)
    if len(items) != len(needed):
        raise ArgumentError(
            f"{name} has {len(needed)} state{'s' if len(needed) > 1 else ''}, initial_state has {len(items)}",
            *[f"{label}: {_shape(zero)}" for label, zero in zip(names, needed, strict=True)],
            place=caller(),
            remedy="pass what a layer of the same kind returns with return_state=True, without its output",
        )
    states = []
    for label, item, zero in zip(names, items, needed, strict=True):
        state = ops.cast(item, zero.dtype)
        if state.type.shape != zero.type.shape:
            raise ShapeError(
                f"initial_state {label} of {name} has a wrong shape",
                f"needed: {zero.type}",
                f"given:  {state.type}",
                place=caller(),
                remedy="see the state_size of the cell" if has_names(zeros) else _remedy(name, zero),
            )
        states.append(state)
    return rebuild(zeros, states)


def _shape(tensor: Tensor) -> str:
    batch, *sizes = tensor.type.shape or ("",)
    return f"({', '.join(['batch', *map(str, sizes)])})" if isinstance(batch, str) else str(tensor.type.shape)


def _remedy(name: str, zero: Tensor) -> str:
    units = zero.type.shape[-1] if zero.ndim == 2 else None
    return f"{name} has {units} units; its state has one row per sample of the batch" if units else "see state_size"


def checked_step(name: str, before: Any, after: Any) -> Any:
    """The states that a cell returned, in the structure of those that it was given."""
    old, new = flatten(before), flatten(after)
    found = difference(before, after) if has_names(before) or has_names(after) else None
    if found is not None:
        raise ArgumentError(
            f"the cell of {name} returned its states in another structure: {found}",
            f"given:    {described(before)}",
            f"returned: {described(after)}",
            place=caller(),
            remedy="return the new states under the same names",
        )
    if len(old) != len(new):
        raise ArgumentError(
            f"the cell of {name} returned {len(new)} states, its state_size has {len(old)}",
            place=caller(),
            remedy="call(inputs, states) returns (output, new_states) with as many states as it is given",
        )
    tensors = [as_tensor(leaf, state.dtype) for leaf, state in zip(new, old, strict=True)]
    for label, state, tensor in zip(labels(before), old, tensors, strict=True):
        if tensor.type != state.type:
            raise ShapeError(
                f"the cell of {name} changes the shape of its state {label} over a step",
                f"given:    {state.type}",
                f"returned: {tensor.type}",
                place=caller(),
                remedy="a state keeps its shape and dtype; compare state_size with what call returns",
            )
    return rebuild(before, tensors)
