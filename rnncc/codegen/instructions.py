"""LLVM instructions as text, for scalars and vectors alike: what the emitter says, this file spells."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from rnncc.codegen.random_bits import threefry_function
from rnncc.codegen.regions import Regions
from rnncc.codegen.target import Target
from rnncc.codegen.vector_math import FUNCTIONS, MathFunction, math_function
from rnncc.records import record
from rnncc.types import DType

_TYPES = {DType.F32: "float", DType.F64: "double", DType.I32: "i32", DType.I64: "i64", DType.BOOL: "i1"}
_SUFFIX = {DType.F32: "f32", DType.F64: "f64", DType.I32: "i32", DType.I64: "i64", DType.BOOL: "i1"}


def _is_positive(text: str) -> bool:
    return text.isdigit() and int(text) > 0


def llvm_type(dtype: DType, lanes: int, *, memory: bool = False) -> str:
    """The LLVM type of a value; in memory a bool is a byte."""
    element = "i8" if memory and dtype is DType.BOOL else _TYPES[dtype]
    return element if lanes == 1 else f"<{lanes} x {element}>"


@record(frozen=True, slots=True)
class Operand:
    """An LLVM value: its name or literal, and its type."""

    text: str
    dtype: DType
    lanes: int

    @property
    def type(self) -> str:
        """The LLVM type."""
        return llvm_type(self.dtype, self.lanes)


_FLOAT = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
# Operands of // and % are indices and sizes, which are never negative.
_INTEGER = {"add": "add", "sub": "sub", "mul": "mul", "floordiv": "udiv", "mod": "urem"}
_COMPARE = {"less": ("olt", "slt"), "less_equal": ("ole", "sle"), "equal": ("oeq", "eq"), "not_equal": ("une", "ne")}
_LOGICAL = {"logical_and": "and", "logical_or": "or"}
_INTRINSIC = {"max": ("maximum", "smax"), "min": ("minimum", "smin"), "abs": ("fabs", ""), "sqrt": ("sqrt", "")}


_ALIGNED = '!0 = !{!"llvm.loop.align", i32 64}'


class Code:
    """Lines of one function body, and what the module has to define or declare for them."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.regions = Regions()
        self._definitions: dict[str, str] = {}
        self._declarations: dict[str, None] = {}
        self._number = 0
        self._labels: dict[str, int] = {}
        self._aligned_loops = 0

    @property
    def lines(self) -> list[str]:
        """The function's body so far."""
        return self.regions.lines

    def module_lines(self) -> list[str]:
        """Definitions and declarations that the body needs."""
        loops = range(1, self._aligned_loops + 1)
        marks = [*(f"!{loop} = distinct !{{!{loop}, !0}}" for loop in loops), _ALIGNED] if loops else []
        return [*self._definitions.values(), *self._declarations, *marks]

    def line(self, text: str) -> None:
        """Append one instruction."""
        self.regions.append(f"  {text}")

    def open(self, label: str) -> None:
        """Start a basic block."""
        self.regions.append(f"{label}:")

    def label(self, hint: str) -> str:
        """A new block name."""
        self._labels[hint] = self._labels.get(hint, 0) + 1
        return hint if self._labels[hint] == 1 else f"{hint}.{self._labels[hint]}"

    def alignment(self) -> str:
        """What the branch back of an inner loop says besides where to: that the loop's code starts at a line's start.

        Else its speed depends on the code in front of it: by up to a fifth, for a loop of a hundred bytes.
        """
        self._aligned_loops += 1
        return f", !llvm.loop !{self._aligned_loops}"

    def name(self, hint: str = "") -> str:
        """A new value name."""
        self._number += 1
        return f"%{hint}.{self._number}" if hint else f"%v{self._number}"

    def assign(self, instruction: str) -> str:
        """Append `instruction` and return the name of its result."""
        name = self.name()
        self.bind(name, instruction)
        return name

    def bind(self, name: str, instruction: str) -> None:
        """Append `instruction`, whose result is called `name`."""
        self.line(f"{name} = {instruction}")
        self.regions.bind(name)

    @contextmanager
    def region(self) -> Iterator[None]:
        """A loop or a branch: what is computed inside is known inside only, and what need not be inside goes before."""
        self.regions.enter()
        yield
        self.regions.leave()

    @contextmanager
    def function(self) -> Iterator[Regions]:
        """What is written inside is the body of another function, whose lines are in what this yields."""
        outside, self.regions = self.regions, Regions()
        yield self.regions
        self.regions = outside

    def define(self, name: str, text: str) -> None:
        """The module needs the function `name`."""
        self._definitions[name] = text

    def pure(self, instruction: str, *operands: str) -> str:
        """The result of an `instruction` that has no other effect: computed once, outside of all loops it may leave."""
        return self.regions.value(instruction, self.regions.depth_of(operands), self.name)

    def pure_here(self, instruction: str, *operands: str) -> str:
        """The same for one that could fail where nobody asks for it: computed once, but here."""
        return self.regions.value_here(instruction, self.regions.depth_of(operands), self.name)

    def declare(self, declaration: str) -> None:
        """The module needs `declaration`."""
        self._declarations[f"declare {declaration}"] = None

    # -------------------------------------------------------------- constants, vectors

    def constant(self, value: float | int | bool, dtype: DType) -> Operand:
        """A literal."""
        if dtype is DType.BOOL:
            return Operand("true" if value else "false", dtype, 1)
        if not dtype.is_float:
            return Operand(str(int(value)), dtype, 1)
        exact = float(np.float32(value)) if dtype is DType.F32 else float(value)
        (bits,) = struct.unpack("<Q", struct.pack("<d", exact))
        return Operand(f"0x{bits:016X}", dtype, 1)

    def broadcast(self, value: Operand, lanes: int) -> Operand:
        """`value` in every lane; a vector stays as it is."""
        if value.lanes == lanes:
            return value
        assert value.lanes == 1, f"{value.lanes} lanes are not {lanes}"
        one = llvm_type(value.dtype, lanes)
        first = self.pure(f"insertelement {one} poison, {value.type} {value.text}, i64 0", value.text)
        all_ = self.pure(f"shufflevector {one} {first}, {one} poison, <{lanes} x i32> zeroinitializer", first)
        return Operand(all_, value.dtype, lanes)

    def ramp(self, start: Operand, lanes: int) -> Operand:
        """start, start + 1, ... in the lanes."""
        first = self.broadcast(start, lanes)
        numbers = ", ".join(f"i64 {lane}" for lane in range(lanes))
        return Operand(self.pure(f"add {first.type} {first.text}, <{numbers}>", first.text), start.dtype, lanes)

    def lane_mask(self, start: Operand, limit: Operand, lanes: int) -> Operand:
        """Lane i is on when start + i < limit."""
        if start.text.isdigit() and limit.text.isdigit():
            active = int(limit.text) - int(start.text)
            bits = ", ".join(f"i1 {'true' if lane < active else 'false'}" for lane in range(lanes))
            return Operand(f"<{bits}>", DType.BOOL, lanes)
        # Not llvm.get.active.lane.mask: it compares in i64, twice the vectors, and ends LLVM's process at level 0.
        left = Operand(self.pure(f"sub i64 {limit.text}, {start.text}", limit.text, start.text), DType.I64, 1)
        count = self.cast(self.intrinsic("smin", [left, Operand(str(lanes), DType.I64, 1)]), DType.I32)
        numbers = ", ".join(f"i32 {lane}" for lane in range(lanes))
        all_ = self.broadcast(count, lanes)
        return Operand(self.pure(f"icmp slt {all_.type} <{numbers}>, {all_.text}", all_.text), DType.BOOL, lanes)

    # -------------------------------------------------------------- memory

    def load(self, dtype: DType, lanes: int, address: str, mask: Operand | None, constant: bool = False) -> Operand:
        """Read elements; masked ones are 0 and not touched. `constant`: the whole function does not write to them."""
        memory = llvm_type(dtype, lanes, memory=True)
        operands = (address,) if mask is None else (address, mask.text)
        if mask is None:
            instruction = f"load {memory}, ptr {address}, align {dtype.size}"
        else:
            suffix = f"v{lanes}{'i8' if dtype is DType.BOOL else _SUFFIX[dtype]}.p0"
            self.declare(f"{memory} @llvm.masked.load.{suffix}(ptr, {mask.type}, {memory})")
            instruction = (
                f"call {memory} @llvm.masked.load.{suffix}(ptr align {dtype.size} {address}, "
                f"{mask.type} {mask.text}, {memory} zeroinitializer)"
            )
        value = self.pure_here(instruction, *operands) if constant else self.assign(instruction)
        if dtype is DType.BOOL:
            value = self.pure(f"trunc {memory} {value} to {llvm_type(dtype, lanes)}", value)
        return Operand(value, dtype, lanes)

    def store(self, value: Operand, address: str, mask: Operand | None) -> None:
        """Write elements; masked ones stay as they are."""
        text, memory = value.text, llvm_type(value.dtype, value.lanes, memory=True)
        if value.dtype is DType.BOOL:
            text = self.pure(f"zext {value.type} {text} to {memory}", text)
        align = value.dtype.size
        if mask is None:
            self.line(f"store {memory} {text}, ptr {address}, align {align}")
            return
        suffix = f"v{value.lanes}{'i8' if value.dtype is DType.BOOL else _SUFFIX[value.dtype]}.p0"
        self.declare(f"void @llvm.masked.store.{suffix}({memory}, ptr, {mask.type})")
        self.line(
            f"call void @llvm.masked.store.{suffix}({memory} {text}, ptr align {align} {address}, "
            f"{mask.type} {mask.text})"
        )

    def prefetch(self, address: str) -> None:
        """Bring a cache line near, to be read."""
        self.declare("void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        self.line(f"call void @llvm.prefetch.p0(ptr {address}, i32 0, i32 3, i32 1)")

    # -------------------------------------------------------------- functions

    def call(self, function: str, args: Sequence[Operand], dtype: DType) -> Operand:
        """A function of `rnncc.loop.functions` on operands that are brought to one number of lanes."""
        if function.startswith("reduce_"):
            return self.fold_lanes(function.removeprefix("reduce_"), args[0])
        lanes = max((arg.lanes for arg in args), default=1)
        operands = [self.broadcast(arg, lanes) for arg in args]
        first = operands[0]
        is_float = operands[-1].dtype.is_float
        texts = [operand.text for operand in operands]
        names = ", ".join(texts)
        if function in FUNCTIONS:
            return self.defined(math_function(function, first.dtype, lanes, self.target), operands)
        if function == "threefry":
            return self.defined(threefry_function(lanes, self.target), operands)
        if function == "cycles":
            self.declare("i64 @llvm.readcyclecounter()")
            now = self.assign("call i64 @llvm.readcyclecounter()")
            return Operand(self.assign(f"sub i64 {now}, {first.text}"), DType.I64, 1)
        if function in _FLOAT and is_float:
            text = f"{_FLOAT[function]} {first.type} {names}"
        elif function in _INTEGER:
            text = f"{_INTEGER[function]} {first.type} {names}"
        elif function in _COMPARE:
            predicate = _COMPARE[function][0 if first.dtype.is_float else 1]
            text = f"{'fcmp' if first.dtype.is_float else 'icmp'} {predicate} {first.type} {names}"
        elif function in _LOGICAL:
            text = f"{_LOGICAL[function]} {first.type} {names}"
        elif function == "logical_not":
            ones = self.broadcast(Operand("true", DType.BOOL, 1), lanes)
            text = f"xor {first.type} {first.text}, {ones.text}"
        elif function == "where":
            chosen, other = operands[1:]
            text = f"select {first.type} {first.text}, {chosen.type} {chosen.text}, {other.type} {other.text}"
        elif function == "neg":
            text = f"fneg {first.type} {names}" if is_float else f"sub {first.type} {self.zero(first)}, {names}"
        elif function == "abs" and not is_float:
            return self.intrinsic("abs", [first, Operand("false", DType.BOOL, 1)])
        elif function in _INTRINSIC:
            return self.intrinsic(_INTRINSIC[function][0 if is_float else 1], operands)
        elif function == "floor":
            return self.floor(first)
        else:
            return self.cast(first, dtype)
        may_fail = function in ("floordiv", "mod") and not _is_positive(texts[1])  # an extent may be zero
        return Operand(self.pure_here(text, *texts) if may_fail else self.pure(text, *texts), dtype, lanes)

    def zero(self, like: Operand) -> str:
        """A zero of the type of `like`."""
        return "zeroinitializer" if like.lanes > 1 else "0"

    def intrinsic(self, name: str, operands: Sequence[Operand]) -> Operand:
        """An LLVM intrinsic of one type."""
        first = operands[0]
        shape = f"v{first.lanes}" if first.lanes > 1 else ""
        symbol = f"@llvm.{name}.{shape}{_SUFFIX[first.dtype]}"
        self.declare(f"{first.type} {symbol}({', '.join(operand.type for operand in operands)})")
        arguments = ", ".join(f"{operand.type} {operand.text}" for operand in operands)
        texts = [operand.text for operand in operands]
        return Operand(self.pure(f"call {first.type} {symbol}({arguments})", *texts), first.dtype, first.lanes)

    def multiply_add(self, left: Operand, right: Operand, addend: Operand) -> Operand:
        """left * right + addend, rounded once where the target can."""
        if self.target.has_fma:
            return self.intrinsic("fma", [left, right, addend])
        product = self.call("mul", [left, right], left.dtype)
        return self.call("add", [product, addend], left.dtype)

    def defined(self, function: MathFunction, operands: Sequence[Operand]) -> Operand:
        """exp, tanh and the like, as our own vector code; the result has the type of the operands."""
        self._definitions[function.symbol] = function.definition
        for declaration in function.declarations:
            self._declarations[declaration] = None
        first = operands[0]
        arguments = ", ".join(f"{operand.type} {operand.text}" for operand in operands)
        texts = [operand.text for operand in operands]
        call = self.pure(f"call {first.type} @{function.symbol}({arguments})", *texts)
        return Operand(call, first.dtype, first.lanes)

    def floor(self, value: Operand) -> Operand:
        """The largest whole number not above `value`, without the library call that plain SSE2 would need."""
        if not (self.target.is_x86 and self.target.vector_bits == 128):
            return self.intrinsic("floor", [value])
        word = DType.I32 if value.dtype is DType.F32 else DType.I64
        whole = self.cast(self.cast(value, word), value.dtype)
        above = self.call("less", [value, whole], DType.BOOL)
        one, zero = self.constant(1.0, value.dtype), self.constant(0.0, value.dtype)
        floored = self.call("sub", [whole, self.call("where", [above, one, zero], value.dtype)], value.dtype)
        exact = self.constant(2.0**23 if value.dtype is DType.F32 else 2.0**52, value.dtype)
        small = self.call("less", [self.call("abs", [value], value.dtype), exact], DType.BOOL)
        signed = self.intrinsic("copysign", [floored, value])
        return self.call("where", [small, signed, value], value.dtype)

    def cast(self, value: Operand, dtype: DType) -> Operand:
        """`value` with another element type; a float that does not fit an integer saturates."""
        if value.dtype is dtype:
            return value
        result = llvm_type(dtype, value.lanes)
        if value.dtype.is_float and dtype.is_integer:
            shape = f"v{value.lanes}" if value.lanes > 1 else ""
            symbol = f"@llvm.fptosi.sat.{shape}{_SUFFIX[dtype]}.{shape}{_SUFFIX[value.dtype]}"
            self.declare(f"{result} {symbol}({value.type})")
            call = self.pure(f"call {result} {symbol}({value.type} {value.text})", value.text)
            return Operand(call, dtype, value.lanes)
        if value.dtype.is_float:
            word = "fpext" if dtype is DType.F64 else "fptrunc"
        elif dtype.is_float:
            word = "uitofp" if value.dtype is DType.BOOL else "sitofp"
        elif value.dtype is DType.BOOL:
            word = "zext"
        else:
            word = "sext" if dtype is DType.I64 else "trunc"
        return Operand(self.pure(f"{word} {value.type} {value.text} to {result}", value.text), dtype, value.lanes)

    def fold_lanes(self, function: str, value: Operand) -> Operand:
        """All lanes combined, halves at a time: an order that depends on the number of lanes alone."""
        while value.lanes > 1:
            half = value.lanes // 2
            low, high = (self.part(value, first, half) for first in (0, half))
            value = self.call(function, [low, high], value.dtype)
        return value

    def part(self, value: Operand, first: int, count: int) -> Operand:
        """`count` lanes from `first` on."""
        if count == 1:
            element = self.pure(f"extractelement {value.type} {value.text}, i64 {first}", value.text)
            return Operand(element, value.dtype, 1)
        lanes = ", ".join(f"i32 {lane}" for lane in range(first, first + count))
        shuffle = f"shufflevector {value.type} {value.text}, {value.type} poison, <{count} x i32> <{lanes}>"
        return Operand(self.pure(shuffle, value.text), value.dtype, count)
