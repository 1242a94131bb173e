"""The errors a user can meet, and the one form they all have.

A message says what is wrong, then the facts (both sides of a disagreement), then where the user wrote it,
then what to do. Everything a user can cause is an `RnnccError`; anything else is an assertion with a sentence.
"""

from __future__ import annotations

import difflib
import linecache
import os
import re
import sys
from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path
from types import ModuleType

_PACKAGE = str(Path(__file__).parent) + os.sep
_LIBRARY = str(Path(os.__file__).parent) + os.sep
_INSTALLED = ("site-packages", "dist-packages")
_COMMAND_LINE = str(Path(__file__).parent / "tools" / "main.py")


class RnnccError(Exception):
    """Base of every error that wrong input can cause.

    `what` is one sentence; `facts` are lines of the form ``name: value`` that show both sides; `place` is where the
    user wrote it; `remedy` says what to do.
    """

    def __init__(self, what: str, *facts: str, place: str | None = None, remedy: str | None = None) -> None:
        self.what = what
        self.facts = facts
        self.place = place
        self.remedy = remedy
        lines = _plain_extents(what, *(f"  {fact}" for fact in facts))
        if place:
            lines.append(f"  at {place}")
        if remedy:
            lines.append(f"  {remedy}")
        super().__init__("\n".join(lines))

    def __str__(self) -> str:  # KeyError and friends would print the repr of their argument
        return str(self.args[0])


class ShapeError(RnnccError, ValueError):
    """Shapes of operands, weights or arguments do not fit each other."""


class DTypeError(RnnccError, TypeError):
    """An element type is not the one that is needed, and no conversion keeps the values."""


class ArgumentError(RnnccError, ValueError):
    """An argument of a layer, op or call has a value that has no meaning."""


class StructureError(RnnccError, ValueError):
    """A graph of layers does not hang together: a cycle, an unconnected input, a layer called too early."""


class TokenError(RnnccError, IndexError):
    """An index (a token id) lies outside its table."""


class MemberError(RnnccError, AttributeError):
    """An attribute that similar objects have, in Keras or in rnncc, and this one has not."""


class UnsupportedError(RnnccError, NotImplementedError):
    """A known option that this version does not compile."""


class ParseError(RnnccError, ValueError):
    """Text is not valid graph IR or loop IR."""


class VerifyError(RnnccError):
    """An IR breaks one of its own rules: a bug in a pass, or in a text written by hand."""


class MemoryLimitError(RnnccError, MemoryError):
    """A model or a call needs more memory than there is."""


def _plain_extents(*lines: str) -> list[str]:
    """`lines` with ``T?7``, an extent that nobody named, as T; a second one is T_2. In quotes it stays."""
    taken = set(re.findall(r"(?<![\w?])\w+(?![\w?])", "\n".join(lines)))
    plain: dict[str, str] = {}

    def name(found: re.Match[str]) -> str:
        if found[0] not in plain:
            names = (found[1] if number == 1 else f"{found[1]}_{number}" for number in count(1))
            plain[found[0]] = next(each for each in names if each not in taken)
            taken.add(plain[found[0]])
        return plain[found[0]]

    return [re.sub(r"(?<!')\b([A-Z])\?\d+", name, line) for line in lines]


def caller() -> str | None:
    """Where the user's code called into rnncc: ``file.py:31: y = LSTM(128)(x)``.

    None outside of a file, and for what the command line asks for itself: whoever started that wrote no line.
    """
    frame = sys._getframe(1)
    while frame is not None and not _is_of_user(frame.f_code.co_filename):
        if frame.f_code.co_filename == _COMMAND_LINE:
            return None
        frame = frame.f_back  # type: ignore[assignment]
    if frame is None:
        return None
    name = frame.f_code.co_filename
    source = linecache.getline(name, frame.f_lineno).strip()
    return f"{Path(name).name}:{frame.f_lineno}: {source}" if source else None


def _is_of_user(file: str) -> bool:
    """False for files of rnncc and of Python itself: the user's line is the one that called them."""
    if file.startswith(_PACKAGE):
        return False
    return not file.startswith(_LIBRARY) or file.removeprefix(_LIBRARY).startswith(_INSTALLED)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that `word` was most likely meant to be, if one is close."""
    known = list(known)
    same = [name for name in known if name.lower() == word.lower()]
    close = same or difflib.get_close_matches(word, known, n=1)
    return close[0] if close else None


def public_names(module: Mapping[str, object]) -> list[str]:
    """What users look for in a module, given its globals: not its files, and nothing that begins with an underscore."""
    return [name for name, item in module.items() if not name.startswith("_") and not isinstance(item, ModuleType)]
