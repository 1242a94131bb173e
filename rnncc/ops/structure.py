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
