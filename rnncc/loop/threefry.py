"""Threefry2x32-20: random bits as a function of a key and a counter, without state (Salmon et al. 2011, section 4.2).

The numbers at two counters are as good as independent, so that every element of a tensor computes its own: they are
the same in any order, on any number of lanes and threads, and for any number of rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
"""Distances of the rounds' rotations, over and over."""
ROUNDS = 20
PARITY = 0x1BD11BDA
"""What the third word of the key schedule is made with: the other two and this, exclusive or."""

Words = np.ndarray[Any, np.dtype[np.uint32]]


def threefry(key: tuple[Any, Any], counter: tuple[Any, Any]) -> tuple[Words, Words]:
    """The two words of 32 random bits for a key and a counter of two words each; arrays broadcast."""
    k0, k1, c0, c1 = np.broadcast_arrays(*(np.asarray(word).astype(np.uint32) for word in (*key, *counter)))
    schedule = (k0, k1, k0 ^ k1 ^ np.uint32(PARITY))
    with np.errstate(over="ignore"):
        x0, x1 = c0 + k0, c1 + k1
        for number in range(ROUNDS):
            distance = ROTATIONS[number % 8]
            x0 = x0 + x1
            x1 = (x1 << np.uint32(distance) | x1 >> np.uint32(32 - distance)) ^ x0
            if number % 4 == 3:
                turn = number // 4 + 1
                x0 = x0 + schedule[turn % 3]
                x1 = x1 + schedule[(turn + 1) % 3] + np.uint32(turn)
    return x0, x1


def first_word(k0: Any, k1: Any, c0: Any, c1: Any) -> np.ndarray:
    """The first word of `threefry`, all words as the i32 with the same bits."""
    words = (np.asarray(word, np.int32).view(np.uint32) for word in (k0, k1, c0, c1))
    key0, key1, counter0, counter1 = words
    word, _ = threefry((key0, key1), (counter0, counter1))
    return word.view(np.int32)
