"""Where random numbers at run time come from: a generator of keys for each layer that draws, one key for each call.

A key is a hidden input of the compiled function. Masks are made from it there, so that they depend on the seed, on how
often the layer was run, and on nothing else.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnncc.errors import ArgumentError, caller
from rnncc.graph.symbolic import Tensor, fed_tensor
from rnncc.layers.initializers import draw_seed
from rnncc.loop.threefry import threefry
from rnncc.numeric import whole_number
from rnncc.ops import functions as ops
from rnncc.ops.random import Key, folded_key, random_choice
from rnncc.types import Dim, DType, TensorType

_WORD = 2**32
_steps: ContextVar[tuple[Step, ...]] = ContextVar("rnncc_steps", default=())


@dataclass(slots=True)
class Step:
    """A step of a loop around: its number, whether it carries states on, and whether somebody drew by the number."""

    number: Tensor
    is_recurrent: bool
    is_asked: bool = False


class SeedGenerator:
    """Keys that follow from a seed: the first one is always the same, all others differ from it.

    Args:
        owner: whose seed it is, for errors.
        seed: a whole number; None draws one, which `set_random_seed` makes reproducible.
        stream: which of the many sequences of keys that follow from the seed.
    """

    def __init__(self, owner: str, seed: int | None = None, stream: int = 0) -> None:
        number = whole_number(seed)
        if seed is not None and number is None:
            raise ArgumentError(f"seed of {owner} must be a whole number or None", f"seed: {seed!r}", place=caller())
        self._owner, self._stream = owner, stream
        self.seed = draw_seed() if number is None else number
        high, low = threefry(_words(self.seed), (0, stream))
        self._first = int(high) * _WORD + int(low)
        self._count = itertools.count()  # next() of it is one step: threads never draw the same key

    def other(self) -> SeedGenerator:
        """A generator of other keys that follow from the same seed."""
        return SeedGenerator(self._owner, self.seed, self._stream + 1)

    def restart(self) -> None:
        """Let the first key come next, as if nothing had been drawn."""
        self._count = itertools.count()

    def draw(self) -> np.ndarray:
        """The next key: two words, as the i32 with the same bits."""
        return np.array(_words(self._first + next(self._count)), np.uint32).view(np.int32)

    def key(self, layer: str, *, all_steps: bool = False) -> Key:
        """A key for symbolic tensors: another one at every call of the compiled function, and at every step around.

        `all_steps`: it is the same at all steps of the recurrent loop that `layer` is the cell of.
        """
        words = fed_tensor(TensorType(DType.I32, (2,)), f"{layer}_key", self)
        key, steps = (words[0], words[1]), _steps.get()
        for step in steps[:-1] if all_steps and steps and steps[-1].is_recurrent else steps:
            step.is_asked = True
            key = folded_key(key, step.number)
        return key


def use_other_keys(layer: Any) -> None:
    """Let `layer` and all layers inside draw other keys than their copies with the same seeds."""
    if hasattr(layer, "seed_generator"):
        layer.seed_generator = layer.seed_generator.other()
    for inner in layer.sublayers():
        use_other_keys(inner)


def _words(number: int) -> tuple[int, int]:
    return number // _WORD % _WORD, number % _WORD


@contextmanager
def at_step(*number: Tensor, is_recurrent: bool = False) -> Iterator[tuple[Step, ...]]:
    """Layers that are called in this block get other keys at every step `number` (an i32 scalar) of a loop."""
    steps = tuple(Step(one, is_recurrent) for one in number)
    token = _steps.set((*_steps.get(), *steps))
    try:
        yield steps
    finally:
        _steps.reset(token)


def dropout_mask(key: Key, shape: tuple[Dim, ...], rate: float, dtype: DType) -> Tensor:
    """What inputs are multiplied by: 0 for a share `rate` of the elements, 1 / (1 - rate) for the others.

    So the expected value of an element stays what it was (Srivastava et al. 2014, section 10).
    """
    if rate >= 1:
        return ops.zeros(shape, dtype)
    return ops.where(random_choice(key, shape, rate), _number(1 / (1 - rate), dtype), _number(0.0, dtype))


def _number(value: float, dtype: DType) -> Any:
    return ops.full((), value, dtype)
