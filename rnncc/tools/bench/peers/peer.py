"""What every peer is: a library, how to ask whether it is there, and how to build a problem with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from importlib.util import find_spec
from typing import Any

import numpy as np

from rnncc.tools.bench.network import Problem

Run = Callable[[], list[np.ndarray]]
"""Computes a problem once, on the inputs that it was built with, and returns its outputs."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A library that models run with.

    Args:
        key: what `--peers` calls it.
        title: its name in tables.
        requires: the packages it needs, the one that says the version first.
        build: makes a `Run` for a problem and a number of threads. It may raise UnsupportedError. Everything that a
            careful user would do once is done there: converting weights and inputs, fixing shapes, compiling.
        is_default: False for a peer that has to be asked for.
        engine: says what the library computes with, where that can be chosen.
    """

    key: str
    title: str
    requires: tuple[str, ...]
    build: Callable[[Problem, int], Run]
    is_default: bool = True
    engine: Callable[[], str] | None = None

    def available(self) -> bool:
        """True when all that it needs is installed."""
        return all(find_spec(name) is not None for name in self.requires)

    def version(self) -> str:
        """The installed version, and the engine."""
        try:
            found = installed_version(self.requires[0])
        except PackageNotFoundError:
            found = "of unknown version"
        return f"{found} on {self.engine()}" if self.engine else found


def optional(name: str) -> Any:
    """An optional module, imported now."""
    return import_module(name)
