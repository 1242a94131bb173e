"""The loop IR: how a model is computed, with memory and loops and nothing else.

    procedure  ::=  def name(dims): buffers; with setup(): statement*; statement*
                    dims: name, ... | name, ..., *, first_row        see `Procedure.first_row`
    buffer     ::=  name = space(dtype, [size, ...]) | name = space(dtype, [size, ...], slot=number)
                    space: input | output | weight | packed | temporary | register | stack
    statement  ::=  for i in kind(start, stop, step): statement*
                    kind: range (in this order) | parallel (any order) | unroll | lanes (one vector) |
                    threads (side by side: turn number s on thread s % threads) |
                    around (by every thread, from its own number on) of loops that are
                    claimed (side by side: each turn on the thread that comes first) |
                    matrix (side by side, the rows of a matrix unit: see `matrix.py`)
                 |  name = expr                                a scalar or vector, bound once
                 |  buffer[index, ...] = expr                  store
                 |  buffer[index, ...] += expr                 combine (sum, max, min: `+=`, `max=`, `min=` in prose)
                 |  check(condition, message, expr, ...)       leave the procedure when the condition is false
                 |  prefetch(buffer[index, ...])               bring it near: it will be loaded
                 |  barrier()                                  wait for all threads, and see what they wrote
    expr       ::=  number | name | buffer[index, ...] | function(expr, ...)
                 |  sum(expr for k in range(size))             reduction at one point (also: max, min)
                 |  ramp(start, lanes)                         the vector start, start + 1, ...
    index      ::=  expr | span(start, lanes) | span(start, lanes, limit)

A span, allowed in the last place of an index only, makes a load or a store a vector: elements start, start + 1, ...;
those at `limit` or beyond are neither read (they count as 0) nor written. Loop variables, dims and indices are i64.
Registers are indexed by constants once loops of kind `unroll` and `lanes` are gone. `setup` runs once for a set of
weights; it is the only place where `packed` buffers are written. `weight` buffers are never written.
"""

from __future__ import annotations

from collections.abc import Callable

from rnncc.records import record
from rnncc.types import DType

# ------------------------------------------------------------------ expressions


@record(frozen=True, slots=True)
class Const:
    """A number."""

    value: float | int | bool
    dtype: DType

    @property
    def lanes(self) -> int:
        """Constants are scalars; operations broadcast them."""
        return 1


@record(frozen=True, slots=True)
class Var:
    """A loop variable, a dim, or a name bound by `Let`."""

    name: str
    dtype: DType = DType.I64
    lanes: int = 1


@record(frozen=True, slots=True)
class Span:
    """The last index of a vector access: `lanes` elements from `start`, none at `limit` or beyond."""

    start: Expr
    lanes: int
    limit: Expr | None = None


@record(frozen=True, slots=True)
class Load:
    """An element, or with a span a vector, of a buffer."""

    buffer: str
    index: tuple[Index, ...]
    dtype: DType

    @property
    def lanes(self) -> int:
        """1 for a scalar."""
        last = self.index[-1] if self.index else None
        return last.lanes if isinstance(last, Span) else 1


@record(frozen=True, slots=True)
class Call:
    """A function of `rnncc.loop.functions` applied to operands of one lane count (scalars are broadcast)."""

    function: str
    args: tuple[Expr, ...]
    dtype: DType

    @property
    def lanes(self) -> int:
        """Lanes of the widest operand; a horizontal function gives 1."""
        return 1 if self.function.startswith("reduce_") else max((arg.lanes for arg in self.args), default=1)


@record(frozen=True, slots=True)
class Reduce:
    """`sum(value for variable in range(size))` at one point; gone after `tile`."""

    function: str  # add, max or min
    variable: str
    size: Expr
    value: Expr

    @property
    def dtype(self) -> DType:
        """Element type of the result."""
        return self.value.dtype

    @property
    def lanes(self) -> int:
        """Reductions at a point are scalars."""
        return 1


@record(frozen=True, slots=True)
class Ramp:
    """The vector of the i64 numbers start, start + 1, ...: what the variable of a loop over lanes becomes."""

    start: Expr
    lanes: int

    @property
    def dtype(self) -> DType:
        """As that of all loop variables."""
        return DType.I64


Expr = Const | Var | Load | Call | Reduce | Ramp
Index = Const | Var | Load | Call | Reduce | Ramp | Span

# ------------------------------------------------------------------ statements


@record(frozen=True, slots=True)
class For:
    """A loop over start, start + step, ... < stop."""

    variable: str
    kind: str  # one of KINDS
    start: Expr
    stop: Expr
    step: int
    body: tuple[Stmt, ...]


@record(frozen=True, slots=True)
class Let:
    """Bind a name once."""

    name: str
    value: Expr


@record(frozen=True, slots=True)
class Store:
    """Write an element or a vector, or combine it with what is there (`combine`: add, max, min)."""

    buffer: str
    index: tuple[Index, ...]
    value: Expr
    combine: str | None = None


@record(frozen=True, slots=True)
class Check:
    """Leave the procedure with message `code` of `Procedure.messages` when `condition` is false.

    `values` holds the offending number (an i64); where it was loaded from says the position that is reported.
    """

    condition: Expr
    code: int
    values: tuple[Expr, ...]


@record(frozen=True, slots=True)
class Prefetch:
    """Bring what a load of `buffer` at `index` reads into the nearest cache. Changes nothing else."""

    buffer: str
    index: tuple[Index, ...]


@record(frozen=True, slots=True)
class Barrier:
    """No thread goes on before all of them are here. Outside of `threads` loops every thread runs every statement."""


Stmt = For | Let | Store | Check | Prefetch | Barrier

# ------------------------------------------------------------------ procedure


@record(frozen=True, slots=True)
class Buffer:
    """A block of memory or (space `register`) a group of registers. Row-major; the last axis is contiguous.

    A `stack` is a small block like a group of registers, but is indexed by variables. What a turn of a `parallel` loop
    writes to either is seen in that turn and in the loops inside of it, not after it; the turns of other loops share
    them. Hence the stages of a tile's end, which pass values on, are `range` loops.
    """

    name: str
    dtype: DType
    shape: tuple[Expr, ...]
    space: str  # one of SPACES
    slot: int | None = None
    """Temporaries of one slot share memory; set by `plan_memory`."""

    @property
    def is_private(self) -> bool:
        """True when each turn of a parallel loop has its own: nothing is carried in it from one to the next."""
        return self.space in ("register", "stack")


@record(frozen=True, slots=True)
class Procedure:
    """A whole compiled function: `dims` are the named extents, bound at the call."""

    name: str
    dims: tuple[str, ...]
    buffers: tuple[Buffer, ...]
    setup: tuple[Stmt, ...]
    body: tuple[Stmt, ...]
    messages: tuple[str, ...] = ()
    first_row: str | None = None
    """A name for the number that row 0 has in the whole call: 0 but where rows of a call are computed by themselves."""

    @property
    def given(self) -> tuple[str, ...]:
        """The numbers that are bound at the call."""
        return self.dims if self.first_row is None else (*self.dims, self.first_row)

    def __str__(self) -> str:
        return _printers[0](self) if _printers else repr(self)

    def __repr__(self) -> str:
        buffers, statements = len(self.buffers), len((*self.setup, *self.body))
        return (
            f"<Procedure {self.name}({', '.join(self.dims)}): {buffers} buffer{'' if buffers == 1 else 's'}, "
            f"{statements} statement{'' if statements == 1 else 's'}>"
        )

    def buffer(self, name: str) -> Buffer:
        """The buffer called `name`."""
        for buffer in self.buffers:
            if buffer.name == name:
                return buffer
        raise AssertionError(f"{self.name} has no buffer {name}")


_printers: list[Callable[[Procedure], str]] = []


def set_printer(printer: Callable[[Procedure], str]) -> None:
    """Install what `str` and `print` make of a procedure; the printer is above this file."""
    _printers[:] = [printer]


SPACES = ("input", "output", "weight", "packed", "temporary", "register", "stack")
PACKED_AXES = 5
"""Of a packed buffer: panel, k, member, vector, lane. An axis before them says which of several equal copies."""
K_AXIS = -4
"""That of k among them."""
KINDS = ("range", "parallel", "unroll", "lanes", "threads", "around", "claimed", "matrix")
FOR_THREADS = ("threads", "around")
"""Kinds of loops that say which thread does what."""
INDEPENDENT = ("parallel", *FOR_THREADS, "claimed")
"""Kinds of loops whose turns do not need each other."""
COMBINE = {"add": "sum", "max": "max", "min": "min"}
"""Combining functions and the name of the reduction in text."""
