"""What the emitter makes, as far as calling it goes: a model from the cache needs this much, and no emitter."""

from __future__ import annotations

from rnncc.records import record

STATUS_VALUES = 16
"""How many values `status` must have room for, besides their number."""


@record(frozen=True, slots=True)
class Emitted:
    """An LLVM module: its text, its entry point, and what the entry point's pointers are.

    A pointer is a buffer's name, or for temporaries the number of a slot. `checks` has the message of each, and the
    name of what is checked; value and position come with the status.
    """

    text: str
    entry: str
    pointers: tuple[str | int, ...]
    checks: tuple[tuple[str, str], ...]
    shares: bool = False
    """True when the threads of a team share the work inside of a call."""
    has_matrix: bool = False
    """True when it needs the matrix unit, which the system lends to those that ask (`codegen.permission`)."""
