"""Names that nothing else has: of values, buffers, extents, loop variables."""

from __future__ import annotations

from collections.abc import Collection


def unused(hint: str, taken: Collection[str]) -> str:
    """`hint`, or with a number behind it when it is taken: h, h_2, h_3, ..."""
    name, number = hint, 2
    while name in taken:
        name, number = f"{hint}_{number}", number + 1
    return name
