"""Names of layers, numbered over the process as in Keras 2: embedding, embedding_1, ...; inputs start at input_1."""

from __future__ import annotations

import re
from collections import Counter

_WORD_START = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=.)(?=[A-Z][a-z0-9])")
_counts: Counter[str] = Counter()


def snake_case(name: str) -> str:
    """``SimpleRNN`` -> ``simple_rnn``, ``LSTMCell`` -> ``lstm_cell``."""
    word = _WORD_START.sub("_", name).lower()
    return f"private{word}" if word.startswith("_") else word


def unique_name(prefix: str, *, first: int = 0) -> str:
    """The next name with this prefix in this process; number 0 is not written."""
    number = first + _counts[prefix]
    _counts[prefix] += 1
    return f"{prefix}_{number}" if number else prefix


def clear_session() -> None:
    """Start the numbering of layer names again, as in a new process."""
    _counts.clear()
