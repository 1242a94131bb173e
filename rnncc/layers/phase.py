"""Whether layers are called for training: what one call says holds for all layers that are called inside of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_training: ContextVar[bool | None] = ContextVar("rnncc_training", default=None)


def is_training(given: bool | None = None) -> bool | None:
    """`given`, or what was said of the layer call around this place; None when nobody said anything."""
    return _training.get() if given is None else bool(given)


@contextmanager
def phase(training: bool | None) -> Iterator[None]:
    """Layers that are called in this block are called for training, or for inference (False)."""
    token = _training.set(training)
    try:
        yield
    finally:
        _training.reset(token)
