"""Where buffers are: the pointers and registers behind them, and the addresses of their elements.

y[b, span(js, 16)]        %1 = mul i64 %b, 512                                    outside of the loop over js
                    ->    %2 = getelementptr float, ptr %buffer.y, i64 %1
                          %3 = getelementptr float, ptr %2, i64 %js
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from rnncc.codegen.instructions import Code, Operand, llvm_type
from rnncc.loop.builder import integer, multiply, product
from rnncc.loop.index import summands
from rnncc.loop.ir import Buffer, Const, Expr, Index, Procedure, Span
from rnncc.types import DType


class Places:
    """The buffers of a procedure, in the code of a function that is being written."""

    def __init__(self, procedure: Procedure, code: Code, expr: Callable[[Expr], Operand]) -> None:
        self.buffers = {buffer.name: buffer for buffer in procedure.buffers}
        self.used: set[str] = set()
        """Buffers in memory that the code reads or writes."""
        self._code = code
        self._expr = expr
        self._registers: dict[str, str] = {}
        self._strides: dict[str, tuple[Expr, ...]] = {}

    @property
    def pointers(self) -> dict[str, str | int]:
        """The pointers that the code asks its caller for, and whose they are: a buffer's, or that of a slot.

        Buffers of one slot share a pointer: each by itself, they would not be free of aliases.
        """
        memory = (self.buffers[name] for name in self.buffers if name in self.used)
        return {
            pointer_name(buffer): buffer.name if buffer.slot is None else buffer.slot
            for buffer in memory
            if buffer.space != "stack"
        }

    @property
    def frame(self) -> dict[str, str]:
        """What the function has of its own, and the types of that."""
        stacks = (buffer for name, buffer in self.buffers.items() if name in self.used and buffer.space == "stack")
        return self._registers | {
            pointer_name(buffer): f"[{prod(map(_number, buffer.shape))} x {llvm_type(buffer.dtype, 1, memory=True)}]"
            for buffer in stacks
        }

    def register(self, name: str, index: tuple[Index, ...]) -> str:
        """The pointer to one register; its place in the group is constant."""
        *lead, last = index
        place = [*lead, last.start if isinstance(last, Span) else last]
        numbers = [str(item.value) for item in place if isinstance(item, Const)]
        assert len(numbers) == len(place), f"register {name} is not indexed by constants"
        return self.own(f"%register.{ascii_name(name)}.{'.'.join(numbers)}", self.buffers[name].dtype, lanes_of(index))

    def own(self, pointer: str, dtype: DType, lanes: int = 1) -> str:
        """`pointer`, to memory of the function for a value of that type."""
        type_ = llvm_type(dtype, lanes)
        known = self._registers.setdefault(pointer, type_)
        assert known == type_, f"{pointer} is used as {known} and {type_}"
        return pointer

    def address(self, name: str, index: tuple[Index, ...]) -> str:
        """A pointer to the (first) element.

        What changes least is added first, and numbers last: accesses share the beginning of their way, and most of it
        is outside of the loop.
        """
        code, buffer = self._code, self.buffers[name]
        terms, constant = self._distance(buffer, [item.start if isinstance(item, Span) else item for item in index])
        element = llvm_type(buffer.dtype, 1, memory=True)
        place = pointer_name(buffer)
        self.used.add(name)
        for position, stride in sorted(terms, key=code.regions.depth_of):
            unit = element
            if stride.isdigit():
                unit = element if stride == "1" else f"[{stride} x {element}]"
            else:
                position = code.pure(f"mul i64 {position}, {stride}", position, stride)
            place = code.pure(f"getelementptr {unit}, ptr {place}, i64 {position}", place, position)
        if constant:
            place = code.pure(f"getelementptr {element}, ptr {place}, i64 {constant}", place)
        return place

    def mask(self, index: tuple[Index, ...]) -> Operand | None:
        """Which lanes of an access are below its limit; None when all are."""
        span = index[-1] if index else None
        if not isinstance(span, Span) or span.limit is None:
            return None
        return self._code.lane_mask(self._expr(span.start), self._expr(span.limit), span.lanes)

    def bytes_between(self, name: str, axis: int) -> str:
        """How many bytes lie between neighbours along an axis."""
        buffer = self.buffers[name]
        return self._expr(multiply(self._strides_of(buffer)[axis], integer(buffer.dtype.size))).text

    def _distance(self, buffer: Buffer, position: Sequence[Expr]) -> tuple[list[tuple[str, str]], int]:
        """How many elements after the first one of `buffer`: operands times strides, and a number."""
        terms: list[tuple[str, str]] = []
        constant = 0
        for item, stride in zip(position, self._strides_of(buffer), strict=True):
            for part, factor in summands(item):
                by = stride if factor == 1 else multiply(stride, integer(factor))
                if isinstance(part, Const) and isinstance(by, Const):
                    constant += int(part.value) * int(by.value)
                elif not isinstance(part, Const) or part.value:
                    terms.append((self._expr(part).text, self._expr(by).text))
        return terms, constant

    def _strides_of(self, buffer: Buffer) -> tuple[Expr, ...]:
        """How many elements lie between neighbours along each axis."""
        if buffer.name not in self._strides:
            sizes = buffer.shape
            self._strides[buffer.name] = tuple(product(sizes[axis + 1 :]) for axis in range(len(sizes)))
        return self._strides[buffer.name]


def lanes_of(index: tuple[Index, ...]) -> int:
    """How many elements an access has."""
    return index[-1].lanes if index and isinstance(index[-1], Span) else 1


def _number(size: Expr) -> int:
    assert isinstance(size, Const), "the verifier has looked at the sizes of private buffers"
    return int(size.value)


def pointer_name(buffer: Buffer) -> str:
    """The pointer behind a buffer in memory: its own, or that of its slot."""
    return f"%buffer.{ascii_name(buffer.name)}" if buffer.slot is None else f"%slot.{buffer.slot}"


def ascii_name(name: str) -> str:
    """`name` as LLVM takes it without quotes; it has no dots, so that two names never become one."""
    return "".join(letter if letter.isascii() else f".{ord(letter):x}." for letter in name)
