"""Checks of constructor arguments that several layers share; errors say which layer, which argument, what to do."""

from __future__ import annotations

import inspect
from typing import Any, Self

from rnncc.errors import ArgumentError, UnsupportedError, caller, nearest
from rnncc.numeric import real_number, whole_number


class CheckedArguments:
    """Base of `Layer`: an unknown keyword argument of a constructor is an ArgumentError with the nearest known name."""

    _made_with: tuple[tuple[Any, ...], dict[str, Any]]
    """What the constructor was given, by position and by name."""

    def __new__(cls, *args: Any, **arguments: Any) -> Self:
        """Check the names of the keyword arguments against the constructor's signature."""
        parameters = inspect.signature(cls.__init__).parameters
        known = [name for name in parameters if name != "self"]
        if not any(item.kind is inspect.Parameter.VAR_KEYWORD for item in parameters.values()):
            for name in arguments:
                if name not in known:
                    raise unknown_argument(cls.__name__, name, known)
        layer = super().__new__(cls)
        layer._made_with = (args, arguments)
        return layer


def unknown_argument(owner: str, name: str, known: list[str]) -> ArgumentError:
    """The error for an argument that `owner` does not have."""
    meant = nearest(name, known)
    remedy = f"did you mean {meant}?" if meant else f"known: {', '.join(known)}"
    return ArgumentError(f"{owner} has no argument {name!r}", place=caller(), remedy=remedy)


def positive(owner: str, name: str, value: object) -> int:
    """`value` as an int above 0."""
    size = whole_number(value, 1)
    if size is None:
        raise ArgumentError(
            f"{name} of {owner} must be a whole number above 0",
            f"{name}: {value!r}",
            place=caller(),
            remedy=f"give the size as an int: {name}=64",
        )
    return size


def number(owner: str, name: str, value: object) -> float:
    """`value` as a float."""
    given = real_number(value)
    if given is None:
        raise ArgumentError(f"{name} of {owner} must be a number", f"{name}: {value!r}", place=caller())
    return given


def rate(owner: str, name: str, value: Any) -> float:
    """`value` as a share of units to drop: 0 to 1."""
    share = real_number(value)
    if share is None or not 0 <= share <= 1:
        raise ArgumentError(f"{name} of {owner} must be a number from 0 to 1", f"{name}: {value!r}", place=caller())
    return share


def not_yet(owner: str, option: str, remedy: str) -> UnsupportedError:
    """The error for a known option that is not compiled yet."""
    return UnsupportedError(f"{owner} does not support {option} yet", place=caller(), remedy=remedy)
