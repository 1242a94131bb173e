"""Numbers that an op refuses: what compiled code keeps of the error, a line of text, and the error that comes of it.

A message is a kind, which says the class of the error and its remedy, and a sentence. In the sentence {name} is the
array that holds the number, {value} the number, {position} where it is, and {sizes[T]} the size of the extent T.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rnncc.errors import ArgumentError, RnnccError, TokenError, caller
from rnncc.types import Dim

_KINDS: dict[str, tuple[type[RnnccError], str]] = {
    "token": (TokenError, "a vocabulary of n words needs input_dim=n and ids from 0 to n - 1"),
    "row": (TokenError, "call it with longer sequences, or take a row that they all have"),
    "length": (
        ArgumentError,
        "each is from 0 to the number of steps; np.clip(lengths, 0, x.shape[1]) makes it so",
    ),
}


_WHERE = " at position {position}"
"""Is left out where there is none: what is computed where it is looked up has no place."""


def refusal(kind: str, sentence: str) -> str:
    """The message for numbers that do not fit."""
    assert kind in _KINDS, f"there is no kind {kind}"
    return f"{kind}: {sentence}"


def size_text(dim: Dim) -> str:
    """A size in the sentence of a message."""
    return f"{{sizes[{dim}]}}" if isinstance(dim, str) else str(dim)


def refused(
    message: str, value: int, position: Sequence[int], sizes: Mapping[str, int], name: str = "index"
) -> RnnccError:
    """The error that `message` stands for."""
    kind, _, sentence = message.partition(": ")
    error, remedy = _KINDS[kind]
    if not position:
        sentence = sentence.replace(_WHERE, "")
    what = sentence.format(name=name, value=value, position=tuple(position), sizes=sizes)
    return error(what, place=caller(), remedy=remedy)
