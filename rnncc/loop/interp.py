"""The meaning of loop IR, in numpy: one statement after the other, for all iterations of independent loops at once.

Inside of such a loop its variable is an array with a new *leading* axis, so that whatever depends on outer loops only
broadcasts by itself; the lanes of a vector are an extra *last* axis. `parallel` and `lanes` loops promise that their
iterations are independent, and a promise that is broken by a store shows up as an error; `unroll` loops promise
nothing and run in order unless their accesses are visibly apart.

Memory that was never written reads as NaN, or as a wild integer. Registers written inside of a `parallel` loop belong
to one of its iterations, and are gone after it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

import numpy as np

from rnncc.loop.functions import FUNCTIONS, identity_of
from rnncc.loop.index import is_independent
from rnncc.loop.ir import (
    INDEPENDENT,
    Barrier,
    Buffer,
    Call,
    Check,
    Const,
    Expr,
    For,
    Index,
    Let,
    Load,
    Prefetch,
    Procedure,
    Ramp,
    Reduce,
    Span,
    Stmt,
    Store,
    Var,
)
from rnncc.loop.printer import show_expr, show_head
from rnncc.records import record
from rnncc.types import DType

_POINTS = 1 << 20
"""Iterations that run at once, about: what bounds the size of temporary arrays."""

_POISON = {DType.F32: math.nan, DType.F64: math.nan, DType.I32: -2_088_888_888, DType.I64: -(10**18), DType.BOOL: True}

Array = Any
"""A numpy array or scalar."""


class CheckFailed(Exception):
    """A `check` did not hold: the number of its message, and the values it reports."""

    def __init__(self, code: int, values: tuple[int, ...]) -> None:
        super().__init__(code, values)
        self.code = code
        self.values = values


def interpret(procedure: Procedure, arrays: Mapping[str, np.ndarray], dims: Mapping[str, int]) -> dict[str, np.ndarray]:
    """The outputs of a whole call of a verified procedure for its inputs and weights, and the sizes of its extents.

    Raises CheckFailed when a check does not hold, and AssertionError when an access is out of bounds or when two
    iterations of a loop that promises independence write to one place.
    """
    extents: dict[str, Array] = {name: np.int64(dims[name]) for name in procedure.dims}
    if procedure.first_row is not None:
        extents[procedure.first_row] = np.int64(0)
    machine = _Machine({})
    for buffer in procedure.buffers:
        shape = tuple(int(machine.value(size, _Scope(extents))) for size in buffer.shape)
        machine.blocks[buffer.name] = _Block(buffer, shape, _contents(buffer, shape, arrays))
    with np.errstate(all="ignore"):
        for part in (procedure.setup, procedure.body):
            machine.run(part, _Scope(dict(extents)))
    blocks = machine.blocks.values()
    return {block.buffer.name: block.data.reshape(block.shape) for block in blocks if block.buffer.space == "output"}


def _contents(buffer: Buffer, shape: tuple[int, ...], arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    if buffer.space not in ("input", "weight"):
        return _poisoned(buffer.dtype, 0 if buffer.is_private else math.prod(shape))
    array = np.asarray(arrays[buffer.name])
    assert array.shape == shape, f"{buffer.name} has shape {array.shape}, {shape} is needed"
    assert array.dtype == buffer.dtype.numpy, f"{buffer.name} holds {array.dtype}, {buffer.dtype} is needed"
    return np.ascontiguousarray(array).reshape(-1)


def _poisoned(dtype: DType, size: int) -> np.ndarray:
    return np.full(size, _POISON[dtype], dtype.numpy)


@record(frozen=True, slots=True)
class _Block:
    """The memory of a buffer, flat. That of a register is in a `_Registers`."""

    buffer: Buffer
    shape: tuple[int, ...]
    data: np.ndarray


@record(frozen=True, slots=True)
class _Registers:
    """The registers of all iterations of the enclosing `parallel` loops: one row for each in every array."""

    outer: _Registers | None = None
    row: Array = 0
    """Which row an iteration has."""
    rows: int = 1
    copies: int = 1
    """Rows for each row of `outer`."""
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


@record(frozen=True, slots=True)
class _Scope:
    """Where a statement runs: variables, the axes of the enclosing vectorised loops (innermost first), registers.

    `active` says which of the iterations exist; None means all.
    """

    values: dict[str, Array]
    axes: tuple[int, ...] = ()
    active: np.ndarray | None = None
    registers: _Registers = field(default_factory=_Registers)

    def extended(self, name: str, first: Array, step: int, count: int, exists: Array | None) -> _Scope:
        """The scope inside of `count` iterations at once. `exists(values)` is None when all of them do."""
        values = first + np.arange(0, count * step, step).reshape(count, *(1 for _ in self.axes))
        active = self.active
        if exists is not None:
            active = values < exists if active is None else active & (values < exists)
        return replace(self, values={**self.values, name: values}, axes=(count, *self.axes), active=active)


@dataclass(slots=True)
class _Machine:
    blocks: dict[str, _Block]
    independent: dict[int, bool] = field(default_factory=dict)

    # -------------------------------------------------------------- statements

    def run(self, statements: Iterable[Stmt], scope: _Scope) -> None:
        """Run `statements` in order, each for all iterations of the scope. Adds to the scope's values."""
        for statement in statements:
            match statement:
                case For():
                    self._run_loop(statement, scope)
                case Let(name, value):
                    scope.values[name] = self.value(value, scope)
                case Store():
                    self._store(statement, scope)
                case Check():
                    self._check(statement, scope)
                case Prefetch():
                    pass
                case Barrier():
                    pass  # statements run for all threads at once
                case _:
                    assert_never(statement)

    def _run_loop(self, loop: For, scope: _Scope) -> None:
        start, stop = self.value(loop.start, scope), self.value(loop.stop, scope)
        counts = -((start - stop) // loop.step)
        count = int(np.max(counts))
        if count <= 0:
            return
        limit = None if np.min(counts) == count else stop
        if not self._at_once(loop):
            for iteration in range(count):
                self.run(loop.body, _iteration(scope, loop, start + iteration * loop.step, limit))
            return
        chunk = max(1, _POINTS // math.prod(scope.axes))
        for begin in range(0, count, chunk):
            size = min(chunk, count - begin)
            inner = scope.extended(loop.variable, start + begin * loop.step, loop.step, size, limit)
            if loop.kind in INDEPENDENT:
                inner = replace(inner, registers=_fork(scope.registers, inner))
            self.run(loop.body, inner)

    def _at_once(self, loop: For) -> bool:
        if loop.kind != "unroll":
            return loop.kind != "range"
        if id(loop) not in self.independent:
            self.independent[id(loop)] = is_independent(loop)
        return self.independent[id(loop)]

    def _store(self, store: Store, scope: _Scope) -> None:
        lanes = _lanes_of(store.index)
        shape = scope.axes + lanes
        memory, place, mask = self._locate(store.buffer, store.index, scope, store, write=True)
        value = np.broadcast_to(self._expanded(store.value, lanes, scope), shape)
        place = np.broadcast_to(place, shape)
        if mask is not None:
            mask = np.broadcast_to(mask, shape)
            value, place = value[mask], place[mask]
        if store.combine is not None:
            assert _are_distinct(place, len(memory)), f"iterations combine into one place: {show_head(store)}"
            value = FUNCTIONS[store.combine].numpy(memory[place], value)
        memory[place] = value
        written = memory[place]
        same = (written == value) | ((written != written) & (value != value))
        assert np.all(same), f"iterations write different values to one place: {show_head(store)}"

    def _check(self, check: Check, scope: _Scope) -> None:
        failed = np.broadcast_to(np.logical_not(self.value(check.condition, scope)), scope.axes)
        if scope.active is not None:
            failed = failed & scope.active
        if np.any(failed):
            # Axes are innermost first: the transpose is in the order in which the loops would run.
            first = tuple(np.argwhere(failed.T)[0][::-1])
            values = [np.broadcast_to(self.value(value, scope), scope.axes)[first] for value in check.values]
            raise CheckFailed(check.code, tuple(map(int, values)))

    # -------------------------------------------------------------- expressions

    def value(self, expr: Expr, scope: _Scope) -> Array:
        """The value of `expr` in all iterations; its shape broadcasts to the scope's axes (then the lanes)."""
        match expr:
            case Const(value, dtype):
                return dtype.numpy.type(value)
            case Var(name):
                return scope.values[name]
            case Load(buffer, index):
                return self._load(expr, buffer, index, scope)
            case Call(function, args, dtype):
                lanes = max(arg.lanes for arg in args)
                operands = [self._expanded(arg, (lanes,) if lanes > 1 else (), scope) for arg in args]
                result = FUNCTIONS[function].numpy(*operands)
                assert result.dtype == dtype.numpy, f"{show_expr(expr)} gives {result.dtype}, not {dtype}"
                return result
            case Reduce():
                return self._reduce(expr, scope)
            case Ramp(start, lanes):
                return np.asarray(self.value(start, scope))[..., None] + np.arange(lanes)
            case _:
                assert_never(expr)

    def _expanded(self, expr: Expr, lanes: tuple[int, ...], scope: _Scope) -> Array:
        """The value of `expr`, with a last axis of one for the lanes when there are lanes and it has none."""
        value = self.value(expr, scope)
        return np.asarray(value)[..., None] if lanes and expr.lanes == 1 else value

    def _load(self, load: Load, buffer: str, index: Sequence[Index], scope: _Scope) -> Array:
        memory, place, mask = self._locate(buffer, index, scope, load, write=False)
        if mask is None:
            result = memory[place]
        elif not len(memory):
            result = np.zeros(np.broadcast_shapes(np.shape(place), mask.shape), memory.dtype)
        else:
            result = np.where(mask, memory[place], memory.dtype.type(0))
        return result[..., 0] if load.lanes == 1 and _lanes_of(index) else result

    def _reduce(self, reduce: Reduce, scope: _Scope) -> Array:
        size = self.value(reduce.size, scope)
        count, limit = int(np.max(size)), None if np.min(size) == np.max(size) else size
        identity = reduce.dtype.numpy.type(identity_of(reduce.function, reduce.dtype))
        if count <= 0:
            return identity
        function = FUNCTIONS[reduce.function].numpy
        total = identity
        chunk = max(1, _POINTS // math.prod(scope.axes))
        for begin in range(0, count, chunk):
            inner = scope.extended(reduce.variable, np.int64(begin), 1, min(chunk, count - begin), limit)
            value = np.asarray(self.value(reduce.value, inner))
            if limit is not None:
                value = np.where(inner.values[reduce.variable] < limit, value, identity)
            value = value.reshape((1,) * (len(inner.axes) - value.ndim) + value.shape)
            value = np.broadcast_to(value, (inner.axes[0], *value.shape[1:]))
            total = function(total, function.reduce(value, axis=0))  # type: ignore[attr-defined]
        return total

    # -------------------------------------------------------------- memory

    def _locate(
        self, buffer: str, index: Sequence[Index], scope: _Scope, access: Load | Store, *, write: bool
    ) -> tuple[np.ndarray, Array, np.ndarray | None]:
        """The flat memory of `buffer`, the places of an access in it, and which of them it touches (None: all)."""
        block = self.blocks[buffer]
        lanes = _lanes_of(index)
        mask = scope.active[..., None] if lanes and scope.active is not None else scope.active
        elements: list[Array] = []
        for item in index:
            if isinstance(item, Span):
                element = np.asarray(self.value(item.start, scope))[..., None] + np.arange(item.lanes)
                if item.limit is not None:
                    inside = element < np.asarray(self.value(item.limit, scope))[..., None]
                    mask = inside if mask is None else mask & inside
                elements.append(element)
            else:
                elements.append(self._expanded(item, lanes, scope))
        memory, place = self._memory(block, scope, write=write)
        place = place[..., None] if lanes and np.ndim(place) else place
        for axis, (element, size) in enumerate(zip(elements, block.shape, strict=True)):
            ends = (element, element) if isinstance(element, np.integer) else (element.min(), element.max())
            if ends[0] < 0 or ends[1] >= size:
                wrong = (element < 0) | (element >= size)
                wrong = wrong if mask is None else wrong & mask
                assert not np.any(wrong), _out_of_bounds(access, buffer, axis, size, element, wrong)
                element = np.clip(element, 0, max(0, size - 1))
            place = place * size + element
        return memory, place, mask

    def _memory(self, block: _Block, scope: _Scope, *, write: bool) -> tuple[np.ndarray, Array]:
        """The flat memory of a block, and for each iteration its row in there: more than one for registers only."""
        if not block.buffer.is_private:
            return block.data, 0
        name = block.buffer.name
        registers = scope.registers
        if write or all(name not in level.arrays for level in _levels(registers)):
            return _own_registers(registers, block), registers.row
        level = next(level for level in _levels(registers) if name in level.arrays)
        return level.arrays[name], level.row


def _iteration(scope: _Scope, loop: For, value: Array, limit: Array | None) -> _Scope:
    """The scope of one iteration that runs by itself; with a `limit`, only for values below it."""
    active = scope.active
    if limit is not None:
        active = np.broadcast_to(value < limit, scope.axes) if active is None else active & (value < limit)
    return replace(scope, values={**scope.values, loop.variable: value}, active=active)


def _lanes_of(index: Sequence[Index]) -> tuple[int, ...]:
    """The axis that an access adds: that of its span."""
    last = index[-1] if index else None
    return (last.lanes,) if isinstance(last, Span) else ()


def _out_of_bounds(access: Load | Store, buffer: str, axis: int, size: int, element: Array, wrong: np.ndarray) -> str:
    first = int(np.broadcast_to(element, wrong.shape)[wrong][0])
    text = show_head(access) if isinstance(access, Store) else show_expr(access)
    return f"{buffer}: index {first} is outside of axis {axis}, which has {size} elements: {text}"


def _are_distinct(place: Array, size: int) -> bool:
    """True when no two places are the same."""
    flat = np.ravel(place)
    owner = np.empty(size, np.int64)
    numbers = np.arange(len(flat))
    owner[flat] = numbers
    return bool(np.all(owner[flat] == numbers))


# ------------------------------------------------------------------ registers


def _levels(registers: _Registers) -> Iterator[_Registers]:
    level: _Registers | None = registers
    while level is not None:
        yield level
        level = level.outer


def _fork(outer: _Registers, inner: _Scope) -> _Registers:
    """The registers inside of a `parallel` loop that has just become the leading axis of `inner`."""
    count = inner.axes[0]
    positions = np.arange(count).reshape(count, *(1 for _ in inner.axes[1:]))
    return _Registers(outer, outer.row * count + positions, outer.rows * count, count)


def _own_registers(registers: _Registers, block: _Block) -> np.ndarray:
    """This level's copy of a register buffer, which begins as what the level around it holds."""
    name = block.buffer.name
    if name not in registers.arrays:
        size = math.prod(block.shape)
        if registers.outer is None or all(name not in level.arrays for level in _levels(registers.outer)):
            registers.arrays[name] = _poisoned(block.buffer.dtype, registers.rows * size)
        else:
            around = _own_registers(registers.outer, block).reshape(-1, size)
            registers.arrays[name] = np.repeat(around, registers.copies, axis=0).reshape(-1)
    return registers.arrays[name]
