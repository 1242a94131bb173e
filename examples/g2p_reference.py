"""The model of the `g2p.py` example once more, as plain NumPy loops: what its compiled form is checked against.

It shares nothing with rnncc: float64, one word and one step at a time, PyTorch's equations on the arrays as they are
in the checkpoint (gates in the order r, z, n; a bias for the input and one for the state).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

Arrays = Mapping[str, np.ndarray]


def gru_step(arrays: Arrays, side: str, x: np.ndarray, h: np.ndarray) -> np.ndarray:
    """The state after one step of the "enc" or "dec" GRU: x of shape ``(width,)``, h of shape ``(units,)``."""
    from_input = arrays[f"{side}_w_ih"] @ x + arrays[f"{side}_b_ih"]
    from_state = arrays[f"{side}_w_hh"] @ h + arrays[f"{side}_b_hh"]
    units = len(h)
    r = _sigmoid(from_input[:units] + from_state[:units])
    z = _sigmoid(from_input[units : 2 * units] + from_state[units : 2 * units])
    n = np.tanh(from_input[2 * units :] + r * from_state[2 * units :])
    return (1 - z) * n + z * h


def encode(arrays: Arrays, graphemes: Sequence[int]) -> np.ndarray:
    """The state of the encoder after a word, of shape ``(units,)``."""
    h = np.zeros(arrays["enc_w_hh"].shape[1])
    for grapheme in graphemes:
        h = gru_step(arrays, "enc", arrays["enc_emb"][grapheme], h)
    return h


def decode(arrays: Arrays, graphemes: Sequence[int], start: int, end: int, steps: int) -> tuple[list[int], np.ndarray]:
    """The phonemes of a word, greedily, until `end` or for `steps`, and the logits of every step.

    Logits have a row for each phoneme, and one for `end` when it came: shape ``(steps made, phonemes)``.
    """
    h = encode(arrays, graphemes)
    token, phonemes, logits = start, [], []
    for _ in range(steps):
        h = gru_step(arrays, "dec", arrays["dec_emb"][token], h)
        logits.append(arrays["fc_w"] @ h + arrays["fc_b"])
        token = int(np.argmax(logits[-1]))
        if token == end:
            break
        phonemes.append(token)
    return phonemes, np.array(logits)


def as_float64(arrays: Arrays) -> dict[str, np.ndarray]:
    """The arrays in double precision."""
    return {name: array.astype(np.float64) for name, array in arrays.items()}


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
