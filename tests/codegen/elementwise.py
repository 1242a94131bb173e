"""Runs an LLVM function of one or two vectors over numpy arrays, and measures errors in units in the last place."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np

from rnncc.codegen.native import NativeCode, compile_module
from rnncc.codegen.target import Target
from rnncc.codegen.vector_math import math_function
from rnncc.loop.functions import FUNCTIONS
from rnncc.runtime.jit import Loaded, load
from rnncc.types import DType

_LOOP = """
define void @apply(ptr noalias %first, ptr noalias %second, ptr noalias %target, i64 %count) {{
entry:
  br label %loop
loop:
  %index = phi i64 [0, %entry], [%next, %loop]
  %from = getelementptr {element}, ptr %first, i64 %index
  %also = getelementptr {element}, ptr %second, i64 %index
  %to = getelementptr {element}, ptr %target, i64 %index
  %x0 = load {vector}, ptr %from, align {align}
  %x1 = load {vector}, ptr %also, align {align}
  %y = call {vector} @{symbol}({arguments})
  store {vector} %y, ptr %to, align {align}
  %next = add i64 %index, {lanes}
  %more = icmp ult i64 %next, %count
  br i1 %more, label %loop, label %done
done:
  ret void
}}
"""


def module_text(name: str, dtype: DType, lanes: int, target: Target) -> str:
    """A module with `apply`, which applies the function called `name` to an array, or to two."""
    function = math_function(name, dtype, lanes, target)
    element = "float" if dtype is DType.F32 else "double"
    vector = element if lanes == 1 else f"<{lanes} x {element}>"
    arguments = ", ".join(f"{vector} %x{position}" for position in range(FUNCTIONS[name].arity))
    loop = _LOOP.format(
        element=element, vector=vector, align=dtype.size, symbol=function.symbol, lanes=lanes, arguments=arguments
    )
    return "\n".join((*function.declarations, function.definition, loop))


@dataclass(frozen=True)
class Elementwise:
    """A math function, compiled: call it with an array of any length, or with two equally long ones."""

    code: NativeCode
    loaded: Loaded
    lanes: int

    def __call__(self, x: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
        first, second = (self._padded(array) for array in (x, x if y is None else y))
        result = np.empty_like(first)
        signature = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
        apply = signature(self.loaded.address("apply"))
        apply(first.ctypes.data, second.ctypes.data, result.ctypes.data, first.size)
        return result[: x.size].reshape(x.shape)

    def _padded(self, x: np.ndarray) -> np.ndarray:
        padded = np.zeros(-(-x.size // self.lanes) * self.lanes, x.dtype)
        padded[: x.size] = x.ravel()
        return padded


def compile_function(name: str, dtype: DType, target: Target, lanes: int | None = None) -> Elementwise:
    """`name` with whole vectors of `target`, or with `lanes` elements at a time."""
    lanes = lanes or target.lanes(dtype)
    code = compile_module(module_text(name, dtype, lanes, target), target)
    return Elementwise(code, load(code.object_code, target), lanes)


def errors_in_last_place(result: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """|result - exact| in units in the last place of `exact`, which is given with more bits than the result has.

    A result that is not finite has to be the right one of inf, -inf and NaN: then its error is 0, and otherwise inf.
    """
    info = np.finfo(result.dtype)
    with np.errstate(all="ignore"):
        rounded = exact.astype(result.dtype)
        finite = np.isfinite(result) & np.isfinite(rounded)
        exponents = np.frexp(np.where(finite, exact, 1))[1]
        lowest = int(info.minexp) - info.nmant
        units = np.ldexp(exact.dtype.type(1), np.maximum(exponents - info.nmant - 1, lowest))
        errors = np.abs(np.where(finite, result, 1) - np.where(finite, exact, 1)) / units
    same = (result == rounded) | (np.isnan(result) & np.isnan(rounded))
    return np.where(finite, errors, np.where(same, 0, np.inf))
