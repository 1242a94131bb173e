"""What each thread keeps of the calls that it made: those that are ready to be made again, and their memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rnncc.runtime.layout import Layout, Places
from rnncc.runtime.memory import Arena
from rnncc.runtime.ready import Native, Ready
from rnncc.runtime.repeat import Repeat, Shape
from rnncc.runtime.weights import BoundWeights

REMEMBERED = 256
"""How many different extents a compiled model remembers the layout of, and a thread what it needs for a call."""


class Frames(threading.local):
    """A frame for each thread that calls."""

    def __init__(self) -> None:
        self.own = Frame()


class Frame:
    """What one thread keeps between calls: those that are ready to be made again, and the memory that they share.

    That is as much as the largest of them needs, for the whole of it and for each of its parts.
    """

    def __init__(self) -> None:
        self.is_busy = False
        """True during a call: what runs in the middle of it, on the same thread, needs a frame of its own."""
        self.bound: BoundWeights | None = None
        """The weights of all calls that are ready."""
        self.repeat: Repeat = _none_yet
        """A call like the last one."""
        self._ready: dict[tuple[Shape, ...], Ready] = {}
        self._arenas: list[Arena] = []

    def prepare(
        self,
        places: Places,
        bound: BoundWeights,
        layout: Layout,
        native: Native,
        draws: Sequence[Callable[[], np.ndarray]] = (),
    ) -> Ready:
        """Make the last call one with these weights and extents. `draws` make the arrays of the last inputs."""
        if self.bound is not bound:
            self.forget()
            self.bound = bound
        key = tuple([shape for shape, _ in layout.inputs[: len(layout.inputs) - len(draws)]])
        ready = self._ready.get(key)
        if ready is None:
            ready = Ready(places, bound, layout, native, self.reserve, draws)
            if len(self._ready) >= REMEMBERED:
                self.forget()
            self._ready[key] = ready
        self.repeat = ready.repeat
        return ready

    def recall(self, arrays: Sequence[Any]) -> bool:
        """Make the last call one for arrays of the shapes of `arrays`; False if none is ready."""
        for array in arrays:
            if array.__class__ is not np.ndarray:
                return False
        ready = self._ready.get(tuple([array.shape for array in arrays]))
        if ready is not None:
            self.repeat = ready.repeat
        return ready is not None

    def forget(self) -> None:
        """No call is ready any more."""
        self.repeat = _none_yet
        self._ready = {}

    def reserve(self, number: int, size: int) -> int:
        """The address of at least `size` bytes for part `number` of a call."""
        while number >= len(self._arenas):
            self._arenas.append(Arena())
        arena = self._arenas[number]
        if arena.size < size:
            self.forget()  # they point at memory that is about to be another one
        return arena.reserve(size)


def _none_yet(arrays: Sequence[Any], *, fit: bool = False) -> None:
    """No call was prepared."""
