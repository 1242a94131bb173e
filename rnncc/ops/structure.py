"""Nested tuples, lists and dicts of tensors: flatten to a list of leaves, and rebuild. None has no leaves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


def flatten(structure: Any) -> list[Any]:
    """The leaves of `structure`, dicts by sorted key."""
    if structure is None:
        return []
    if isinstance(structure, dict):
        return [leaf for key in sorted(structure) for leaf in flatten(structure[key])]
    if isinstance(structure, list | tuple):
        return [leaf for item in structure for leaf in flatten(item)]
    return [structure]


def rebuild(like: Any, leaves: Sequence[Any]) -> Any:
    """`leaves` in the structure of `like`."""
    rest = iter(leaves)
    result = _take(like, rest)
    assert next(rest, None) is None, "more leaves than the structure has places"
    return result


def outline(structure: Any) -> Any:
    """`structure` with the number of each leaf in its place, for `arranged`; None for one leaf, or a flat list."""
    items = structure if isinstance(structure, list | tuple) else [structure]
    if not any(isinstance(item, dict | list | tuple) for item in items):
        return None
    return rebuild(structure, range(len(flatten(structure))))


def arranged(leaves: Sequence[Any], like: Any) -> Any:
    """`leaves` as a user gets them: in the structure that `like` outlines, or else the only one, or a list of them."""
    if like is not None:
        return rebuild(like, leaves)
    return leaves[0] if len(leaves) == 1 else list(leaves)


def is_nested(item: Any) -> bool:
    """True for tuples, lists and dicts."""
    return isinstance(item, dict | list | tuple)


def has_names(structure: Any) -> bool:
    """True when a dict is in the structure."""
    if isinstance(structure, list | tuple):
        return any(map(has_names, structure))
    return isinstance(structure, dict)


def difference(needed: Any, given: Any, path: str = "") -> str | None:
    """The first entry in which `given` differs from `needed`, or None; tuples are lists, and one item stands for a list
    of one."""
    if isinstance(needed, dict):
        if not isinstance(given, dict):
            return f"{path or 'the whole'} has no names"
        if missing := [key for key in needed if key not in given]:
            return f"{path}[{missing[0]!r}] is missing"
        if extra := [key for key in given if key not in needed]:
            return f"{path}[{extra[0]!r}] is not known"
        return _first(difference(needed[key], given[key], f"{path}[{key!r}]") for key in needed)
    if isinstance(needed, list | tuple):
        if not is_nested(given) and len(needed) == 1:
            return difference(needed[0], given, path)
        if not isinstance(given, list | tuple):
            return f"{path or 'the whole'} is not a list of {len(needed)}"
        if len(needed) != len(given):
            return f"{path or 'the whole'} has {len(given)} entries in place of {len(needed)}"
        pairs = enumerate(zip(needed, given, strict=True))
        return _first(difference(one, other, f"{path}[{number}]") for number, (one, other) in pairs)
    if isinstance(given, list | tuple) and len(given) == 1:
        return difference(needed, given[0], path)
    return f"{path or 'the whole'} is not one tensor" if is_nested(given) else None


def _first(found: Any) -> str | None:
    return next((item for item in found if item is not None), None)


def _take(like: Any, rest: Iterator[Any]) -> Any:
    if like is None:
        return None
    if isinstance(like, dict):
        parts = {key: _take(like[key], rest) for key in sorted(like)}
        return {key: parts[key] for key in like}
    if isinstance(like, tuple) and hasattr(like, "_fields"):
        return type(like)(*(_take(item, rest) for item in like))
    if isinstance(like, list | tuple):
        return type(like)(_take(item, rest) for item in like)
    return next(rest)
