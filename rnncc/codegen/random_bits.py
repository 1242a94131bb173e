"""Threefry2x32-20 of whole vectors, as LLVM IR: additions, rotations and exclusive or of 32-bit words.

What depends on the key alone is the same in all lanes and for all elements: LLVM computes it once, outside of loops.
"""

from __future__ import annotations

from functools import cache

from rnncc.codegen.straight import StraightCode
from rnncc.codegen.target import Target
from rnncc.codegen.vector_math import MathFunction
from rnncc.loop.threefry import PARITY, ROTATIONS, ROUNDS
from rnncc.types import DType


@cache
def threefry_function(lanes: int, target: Target) -> MathFunction:
    """The function `threefry` of the loop IR on vectors of `lanes` words; on scalars when `lanes` is 1."""
    code = StraightCode(DType.F32, lanes, target)  # its words are the i32
    last = code.integer("xor", code.integer("xor", "%k0", "%k1"), code.word(PARITY))
    schedule = ("%k0", "%k1", last)
    x0, x1 = code.integer("add", "%c0", "%k0"), code.integer("add", "%c1", "%k1")
    for number in range(ROUNDS):
        x0 = code.integer("add", x0, x1)
        x1 = code.integer("xor", _rotated(code, x1, ROTATIONS[number % 8]), x0)
        if number % 4 == 3:
            turn = number // 4 + 1
            x0 = code.integer("add", x0, schedule[turn % 3])
            key = code.integer("add", schedule[(turn + 1) % 3], code.word(turn))
            x1 = code.integer("add", x1, key)
    symbol = f"rnncc.threefry{f'.x{lanes}' if lanes > 1 else ''}"
    parameters = ", ".join(f"{code.words} %{name}" for name in ("k0", "k1", "c0", "c1"))
    body = "\n".join(f"  {line}" for line in (*code.lines, f"ret {code.words} {x0}"))
    header = f"define internal {code.words} @{symbol}({parameters}) alwaysinline nounwind willreturn memory(none)"
    return MathFunction(symbol, f"{header} {{\n{body}\n}}\n", tuple(code.declarations))


def _rotated(code: StraightCode, value: str, distance: int) -> str:
    """`value` with its bits rotated to the left: a pattern that LLVM knows as one instruction, where there is one."""
    left = code.integer("shl", value, code.word(distance))
    return code.integer("or", left, code.integer("lshr", value, code.word(32 - distance)))
