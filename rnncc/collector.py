"""A rest for Python's garbage collector while a model is compiled.

The collector looks at all objects of the process again and again as a compilation makes new ones, which takes a tenth
of its time, and a fifth for large models. Almost all of them are freed without it; what is not, some megabytes for a
dozen layers, the collector finds afterwards.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


class _Rest:
    """Counts who wants the collector to rest; the first stops it, the last lets it go on if it did before."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._was_on = False

    def enter(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._was_on = gc.isenabled()
                gc.disable()
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            if self._inside == 1 and self._was_on:
                gc.enable()
            self._inside = max(0, self._inside - 1)

    def forget(self) -> None:
        """In the child of a fork: the threads that were compiling are the parent's."""
        self._lock = Lock()
        if self._inside and self._was_on:
            gc.enable()
        self._inside = 0


_REST = _Rest()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_REST.forget)


@contextmanager
def at_rest() -> Iterator[None]:
    """Inside, in whatever thread and however deep, the garbage collector does not run by itself."""
    _REST.enter()
    try:
        yield
    finally:
        _REST.leave()
