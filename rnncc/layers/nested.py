"""Nested inputs and states of cells: whether two structures fit, which entry does not, and how a structure is shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

from rnncc.errors import ArgumentError, ShapeError, caller
from rnncc.graph.symbolic import Tensor
from rnncc.ops import functions as ops
from rnncc.ops.structure import difference, flatten, is_nested, rebuild


def one_or_list(items: Sequence[Any]) -> Any:
    """The only item, or a list of all: how inputs and outputs are given to the user."""
    return items[0] if len(items) == 1 else list(items)


def described(structure: Any) -> str:
    """The structure with the types of its tensors: ``{c: f32[B, 4], h: [f32[B, 4], f32[B, 2]]}``."""
    if isinstance(structure, dict):
        return "{" + ", ".join(f"{key}: {described(item)}" for key, item in structure.items()) + "}"
    if isinstance(structure, list | tuple):
        return "[" + ", ".join(map(described, structure)) + "]"
    return str(structure.type) if isinstance(structure, Tensor) else repr(structure)


def entries(structure: Any, path: str = "") -> list[str]:
    """How each leaf is written: ``['a'][0]``, in the order of `flatten`."""
    if isinstance(structure, dict):
        return [name for key in sorted(structure) for name in entries(structure[key], f"{path}[{key!r}]")]
    if isinstance(structure, list | tuple):
        return [name for number, item in enumerate(structure) for name in entries(item, f"{path}[{number}]")]
    return [path]


def by_name(needed: Any, given: Any) -> Any:
    """`given` with names where `needed` has them: a list stands for the values of a dict, in the order of `needed`."""
    if isinstance(needed, dict) and isinstance(given, list | tuple) and len(needed) == len(given):
        given = dict(zip(needed, given, strict=True))
    if isinstance(needed, dict) and isinstance(given, dict) and set(needed) == set(given):
        return {key: by_name(needed[key], given[key]) for key in needed}
    if isinstance(needed, list | tuple) and isinstance(given, list | tuple) and len(needed) == len(given):
        return [by_name(one, other) for one, other in zip(needed, given, strict=True)]
    return given


def check_structure(what: str, needed: Any, given: Any, remedy: str) -> None:
    """Raise ArgumentError when `given` has another structure than `needed`: which entry, and both."""
    if found := difference(needed, given):
        raise ArgumentError(
            f"{what} has another structure: {found}",
            f"needed: {described(needed)}",
            f"given:  {described(given)}",
            place=caller(),
            remedy=remedy,
        )


# ------------------------------------------------------------------ sequences


def step_shapes(shapes: Any) -> Any:
    """Shapes of one step, without the time axis, in the structure of `shapes` (a shape is a tuple)."""
    if isinstance(shapes, dict):
        return {key: step_shapes(item) for key, item in shapes.items()}
    if isinstance(shapes, list):
        return [step_shapes(item) for item in shapes]
    return (None, *shapes[2:])


def flat_shapes(shapes: Any) -> list[tuple[int | None, ...]]:
    """The shapes in such a structure."""
    if isinstance(shapes, dict | list):
        items = [shapes[key] for key in sorted(shapes)] if isinstance(shapes, dict) else shapes
        return [shape for item in items for shape in flat_shapes(item)]
    return [tuple(shapes)]


def check_sequences(name: str, inputs: Any) -> None:
    """Raise ShapeError when nested inputs are no sequences, or differ in their batch or time."""
    leaves, names = flatten(inputs), entries(inputs, "inputs")
    for path, leaf in zip(names, leaves, strict=True):
        if leaf.ndim < 2:
            raise ShapeError(
                f"{path} of {name} must have a batch and a time axis",
                f"{path}: {leaf.type}",
                place=caller(),
                remedy="what is the same at every step goes to the cell with constants=",
            )
        if leaf.type.shape[:2] != leaves[0].type.shape[:2]:
            raise ShapeError(
                f"the nested inputs of {name} differ in their batch or time",
                f"{names[0]}: {leaves[0].type}",
                f"{path}: {leaf.type}",
                place=caller(),
                remedy='give the time axis one name in all inputs: Input(shape=("T", 8)), Input(shape=("T", 3))',
            )


def input_names(inputs: Any) -> list[str]:
    """What nested inputs are called in graphs: x, or x with where they stand."""
    return ["x" + re.sub(r"\W+", "_", path).rstrip("_") for path in entries(inputs)]


def time_first(x: Tensor) -> Tensor:
    """`x` with its first two axes exchanged."""
    return ops.transpose(x, (1, 0, *range(2, x.ndim)))


def one_mask(mask: Any) -> Any:
    """One mask from those of nested inputs: a step counts when it counts in every input that has a mask."""
    leaves = flatten(mask)
    if not is_nested(mask) or not all(isinstance(leaf, Tensor) for leaf in leaves):
        return mask
    distinct: Sequence[Tensor] = list({id(leaf): leaf for leaf in leaves}.values())
    return reduce(ops.logical_and, distinct) if distinct else None


def mapped(structure: Any, function: Callable[[Any], Any]) -> Any:
    """`function` of every leaf, in the same structure."""
    return rebuild(structure, [function(leaf) for leaf in flatten(structure)])


def shapes_of(structure: Any) -> Any:
    """The shapes of tensors; several come in a list, those of a dict in a dict."""
    if isinstance(structure, Mapping):
        return {key: shapes_of(item) for key, item in structure.items()}
    if isinstance(structure, list | tuple):
        return [shapes_of(item) for item in structure]
    return getattr(structure, "shape", None)
