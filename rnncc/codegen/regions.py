"""The lines of a function body in nested regions (loops, branches), and which values are known where.

    for j:                                     %1 = mul i64 %b, 256       of b alone: before the loop over j
        x = f[b * 256 + j]             ->      j:
        y = g[b * 256 + j]                         %2 = add i64 %1, %j    once, for f and g

LLVM finds the same instruction twice, and moves what does not change out of loops, but has to analyse loops and memory
for that, and takes a third of its time. Here it is known while writing: what an operand depends on, and what was
written before. Control flow is nested, so that what stands before or in a region is known to all that is inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import field

from rnncc.records import record


@record(frozen=True, slots=True)
class _Region:
    """An open region: the lines that come right before it, and the names of the values that were computed in it."""

    before: list[str]
    values: dict[str, str] = field(default_factory=dict)


class Regions:
    """Takes lines one after the other. A depth is a number of regions that are open: 0 is outside of all."""

    def __init__(self) -> None:
        self._lines: list[str | list[str]] = []
        self._open = [_Region([])]
        self._depths: dict[str, int] = {}

    @property
    def lines(self) -> list[str]:
        """All lines, in order."""
        return [line for part in self._lines for line in ([part] if isinstance(part, str) else part)]

    def append(self, line: str) -> None:
        """One more line."""
        self._lines.append(line)

    def enter(self) -> None:
        """What follows is inside of a loop or a branch, until `leave`."""
        before: list[str] = []
        self._lines.append(before)
        self._open.append(_Region(before))

    def leave(self) -> None:
        """The innermost region ends, and with it all that is known there."""
        self._open.pop()

    def bind(self, name: str) -> None:
        """`name` is known from here to the end of the region."""
        self._depths[name] = len(self._open) - 1

    def depth_of(self, operands: Iterable[str]) -> int:
        """The depth of the innermost operand; literals and parameters are known everywhere."""
        deepest = 0
        for operand in operands:
            depth = self._depths.get(operand, 0)
            if depth > deepest:
                deepest = depth
        return deepest

    def value(self, instruction: str, depth: int, fresh: Callable[[], str]) -> str:
        """The name of the result of `instruction`, written once for the whole region of its innermost operand."""
        values = self._open[depth].values
        name = values.get(instruction)
        if name is None:
            name = values[instruction] = fresh()
            self._depths[name] = depth
            lines = self._lines if depth == len(self._open) - 1 else self._open[depth + 1].before
            lines.append(f"  {name} = {instruction}")
        return name

    def value_here(self, instruction: str, depth: int, fresh: Callable[[], str]) -> str:
        """The same for an instruction that must not run where nobody asks for it: written here, if not before."""
        for region in self._open[depth:]:
            if instruction in region.values:
                return region.values[instruction]
        return self.value(instruction, len(self._open) - 1, fresh)
