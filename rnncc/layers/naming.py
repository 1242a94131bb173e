"""Names of layers, numbered over the process as in Keras 2: embedding, embedding_1, ...; inputs start at input_1."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable

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


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that `word` was most likely meant to be, if one is close."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return close[0] if close else None
