"""Pairs of bfloat16 in 32 bits, as LLVM IR: making them, and adding the products of two pairs to a float32.

With AVX512-BF16, adding the products is one instruction; without, each half becomes a float32 by moving its bits, which
is exact. The instruction takes denormal factors for 0 and rounds sums its own way, so that the last bits of a result
depend on the machine.
"""

from __future__ import annotations

from rnncc.codegen.instructions import Code, Operand, llvm_type
from rnncc.types import DType

_DOT = "<16 x float> @llvm.x86.avx512bf16.dpbf16ps.512"


def pair(code: Code, low: Operand, high: Operand) -> Operand:
    """Two float32, rounded to nearest and even, in the halves of an i32."""
    type_ = llvm_type(DType.I32, low.lanes)
    upper = code.assign(f"shl {type_} {_rounded(code, high)}, {_splat(16, low.lanes)}")
    return Operand(code.assign(f"or {type_} {upper}, {_rounded(code, low)}"), DType.I32, low.lanes)


def dot_add(code: Code, first: Operand, second: Operand, addend: Operand) -> Operand:
    """`addend` and the products of both halves of two pairs."""
    lanes = addend.lanes
    if code.target.has_bfloat16 and lanes == 16:
        left, right = (code.assign(f"bitcast <16 x i32> {one.text} to <32 x bfloat>") for one in (first, second))
        return Operand(code.assign(dot_instruction(code, left, right, addend.text)), DType.F32, lanes)
    high = code.multiply_add(_high(code, first), _high(code, second), addend)
    return code.multiply_add(_low(code, first), _low(code, second), high)


def dot_instruction(code: Code, first: str, second: str, addend: str) -> str:
    """The instruction of AVX512-BF16: 16 numbers, and the products of both halves of 16 pairs."""
    code.declare(f"{_DOT}(<16 x float>, <32 x bfloat>, <32 x bfloat>)")
    return f"call {_DOT}(<16 x float> {addend}, <32 x bfloat> {first}, <32 x bfloat> {second})"


def rest(code: Code, value: Operand) -> Operand:
    """What rounding takes from a float32: exact, and no number of an infinite one."""
    first = _low(code, Operand(_rounded(code, value), DType.I32, value.lanes))
    return Operand(code.assign(f"fsub {value.type} {value.text}, {first.text}"), DType.F32, value.lanes)


def _rounded(code: Code, value: Operand) -> str:
    """The upper half of a float32, rounded, in the low bits of an i32; not-a-number stays so."""
    lanes = value.lanes
    type_ = llvm_type(DType.I32, lanes)
    bits = code.assign(f"bitcast {value.type} {value.text} to {type_}")
    upper = code.assign(f"lshr {type_} {bits}, {_splat(16, lanes)}")
    odd = code.assign(f"and {type_} {upper}, {_splat(1, lanes)}")
    half = code.assign(f"add {type_} {odd}, {_splat(0x7FFF, lanes)}")
    sum_ = code.assign(f"add {type_} {bits}, {half}")
    rounded = code.assign(f"lshr {type_} {sum_}, {_splat(16, lanes)}")
    is_nan = code.assign(f"fcmp uno {value.type} {value.text}, {value.text}")
    condition = llvm_type(DType.BOOL, lanes)
    return code.assign(f"select {condition} {is_nan}, {type_} {_splat(0x7FC0, lanes)}, {type_} {rounded}")


def _low(code: Code, value: Operand) -> Operand:
    return _as_float(code, value, f"shl {value.type} {value.text}, {_splat(16, value.lanes)}")


def _high(code: Code, value: Operand) -> Operand:
    return _as_float(code, value, f"and {value.type} {value.text}, {_splat(-65536, value.lanes)}")


def _as_float(code: Code, value: Operand, instruction: str) -> Operand:
    type_ = llvm_type(DType.F32, value.lanes)
    return Operand(code.assign(f"bitcast {value.type} {code.assign(instruction)} to {type_}"), DType.F32, value.lanes)


def _splat(number: int, lanes: int) -> str:
    """A literal: shifts and masks by it need no register."""
    return str(number) if lanes == 1 else f"splat (i32 {number})"
