"""Straight-line LLVM IR over vectors (or scalars) of one element type: what vector math is written in.

Operands and results are LLVM operand texts (``%3``, ``splat (float 0x…)``). No instruction carries a fast-math flag, so
that every element is rounded as IEEE 754 says, whatever the number of lanes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from rnncc.codegen.target import Target
from rnncc.types import DType


@dataclass(slots=True)
class StraightCode:
    """A growing list of instructions. An `int` pattern is a word as wide as the element."""

    dtype: DType
    lanes: int
    target: Target
    lines: list[str] = field(default_factory=list)
    declarations: dict[str, None] = field(default_factory=dict)  # a set that keeps its order

    @property
    def floats(self) -> str:
        """LLVM's type of the values."""
        return self._wide("float" if self.dtype is DType.F32 else "double")

    @property
    def words(self) -> str:
        """LLVM's type of the values' bit patterns."""
        return self._wide(f"i{8 * self.dtype.size}")

    @property
    def flags(self) -> str:
        """LLVM's type of one truth value for each lane."""
        return self._wide("i1")

    def constant(self, value: float) -> str:
        """`value`, rounded to the element type, in every lane."""
        if self.dtype is DType.F32:
            (value,) = struct.unpack("<f", struct.pack("<f", value))
        # LLVM writes a float as the pattern of the double with the same value.
        return self._everywhere(f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}", self.floats)

    def word(self, value: int) -> str:
        """The bit pattern `value` in every lane."""
        return self._everywhere(str(value), self.words)

    def add(self, left: str, right: str) -> str:
        """left + right"""
        return self._assign(f"fadd {self.floats} {left}, {right}")

    def subtract(self, left: str, right: str) -> str:
        """left - right"""
        return self._assign(f"fsub {self.floats} {left}, {right}")

    def multiply(self, left: str, right: str) -> str:
        """left * right"""
        return self._assign(f"fmul {self.floats} {left}, {right}")

    def divide(self, left: str, right: str) -> str:
        """left / right"""
        return self._assign(f"fdiv {self.floats} {left}, {right}")

    def negate(self, value: str) -> str:
        """-value"""
        return self._assign(f"fneg {self.floats} {value}")

    def multiply_add(self, left: str, right: str, addend: str) -> str:
        """left * right + addend, rounded once where the target can (elsewhere `llvm.fma` would be a call)"""
        if not self.target.has_fma:
            return self.add(self.multiply(left, right), addend)
        return self.intrinsic("fma", left, right, addend)

    def horner(self, coefficients: Sequence[float], point: str) -> str:
        """The polynomial with `coefficients`, the constant one first, at `point`."""
        *lower, result = map(self.constant, coefficients)
        for coefficient in reversed(lower):
            result = self.multiply_add(result, point, coefficient)
        return result

    def paired(self, coefficients: Sequence[float], point: str, square: str) -> str:
        """The same polynomial with as many instructions, half as deep: pairs by `point`, Horner in its `square`."""
        pairs = [coefficients[index : index + 2] for index in range(0, len(coefficients), 2)]
        *lower, result = [self.horner(pair, point) for pair in pairs]
        for pair in reversed(lower):
            result = self.multiply_add(result, square, pair)
        return result

    def compare(self, predicate: str, left: str, right: str) -> str:
        """The truth of `left predicate right`, in LLVM's words: ``olt`` is false for NaN, ``ult`` is true."""
        return self._assign(f"fcmp {predicate} {self.floats} {left}, {right}")

    def select(self, flags: str, chosen: str, other: str) -> str:
        """`chosen` where the flag is set, else `other`"""
        return self._assign(f"select {self.flags} {flags}, {self.floats} {chosen}, {self.floats} {other}")

    def at_least(self, value: str, bound: float) -> str:
        """The larger one of `value` and `bound`. NaN stays NaN: the comparison must not be turned round."""
        low = self.constant(bound)
        return self.select(self.compare("olt", value, low), low, value)

    def at_most(self, value: str, bound: float) -> str:
        """The smaller one of `value` and `bound`. NaN stays NaN."""
        high = self.constant(bound)
        return self.select(self.compare("ogt", value, high), high, value)

    def clamp(self, value: str, low: float, high: float) -> str:
        """`value` within low..high. NaN stays NaN."""
        return self.at_most(self.at_least(value, low), high)

    def intrinsic(self, name: str, *operands: str) -> str:
        """LLVM's own function `name` of values: ``fma``, ``fabs``, ``copysign``"""
        bits = f"f{8 * self.dtype.size}"
        suffix = bits if self.lanes == 1 else f"v{self.lanes}{bits}"
        return self.call(f"llvm.{name}.{suffix}", *((self.floats, operand) for operand in operands))

    def call(self, symbol: str, *arguments: tuple[str, str]) -> str:
        """The result of an intrinsic of LLVM or of the target; an argument is its type and its operand"""
        self.declarations[f"declare {self.floats} @{symbol}({', '.join(kind for kind, _ in arguments)})"] = None
        return self._assign(f"call {self.floats} @{symbol}({', '.join(map(' '.join, arguments))})")

    def integer(self, operation: str, left: str, right: str) -> str:
        """An LLVM integer `operation` (``add``, ``shl``, ``lshr`` …) on bit patterns"""
        return self._assign(f"{operation} {self.words} {left}, {right}")

    def pattern(self, value: str) -> str:
        """The bit pattern of a value"""
        return self._assign(f"bitcast {self.floats} {value} to {self.words}")

    def value(self, pattern: str) -> str:
        """The value that has a bit pattern"""
        return self._assign(f"bitcast {self.words} {pattern} to {self.floats}")

    def _assign(self, instruction: str) -> str:
        name = f"%v{len(self.lines)}"
        self.lines.append(f"{name} = {instruction}")
        return name

    def _wide(self, element: str) -> str:
        return element if self.lanes == 1 else f"<{self.lanes} x {element}>"

    def _everywhere(self, literal: str, kind: str) -> str:
        return literal if self.lanes == 1 else f"splat ({kind.removesuffix('>').split()[-1]} {literal})"
