"""The op record: everything the compiler knows of one primitive op, side by side, and the table of all ops.

Definitions live in `rnncc.ops`; this file only says what a definition consists of. Parser, printer, verifier,
interpreter, hoisting and lowering read records and know no op by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from rnncc.errors import ParseError
from rnncc.graph.value import Value
from rnncc.records import record
from rnncc.types import TensorType

Attr = Any
"""A static argument of an op: int, float, bool, str, DType, a scan body, or a tuple of attrs."""

Attrs = Mapping[str, Attr]

Infer = Callable[[Sequence[TensorType], Attrs], tuple[TensorType, ...]]
"""Types in, types out, or a ShapeError / DTypeError. Used to build *and* to verify."""

Eval = Callable[[Sequence[np.ndarray], Attrs, Mapping[str, int]], tuple[np.ndarray, ...]]
"""The meaning, in numpy: arrays, attrs and the sizes of the named extents in, arrays out."""

Lower = Callable[..., Any]
"""The definition at a point, in loop IR: see `rnncc.ops.lowering`."""

Emit = Callable[..., Value]
"""`emit(op_name, *inputs, **attrs)` appends a node and returns its only output."""

Lift = Callable[[Emit, Sequence[Value], Sequence[bool], Attrs, TensorType], Value | None]
"""`lift(emit, inputs, lifted, attrs, output_type)`: the same op over a new leading axis that the inputs marked in
`lifted` have; `output_type` is the type without that axis. None: it cannot be said with one axis more."""


@record(frozen=True, slots=True, eq=False)
class Op:
    """One primitive op. Two ops are the same only if they are the same object."""

    name: str
    infer: Infer
    eval: Eval
    lower: Lower | None = None
    lift: Lift | None = None
    regions: Callable[[Sequence[TensorType], Attrs], Sequence[Any]] | None = None
    """The boxes that make up the output, when `lower` differs between them: see `rnncc.ops.lowering`."""
    guard: Callable[[Sequence[Any], Attrs], Any] | None = None
    """What must hold of the operands' elements before the output may be computed: see `rnncc.ops.lowering`."""
    arity: int | None = None
    """Number of operands; None when it varies."""
    attrs: tuple[str, ...] = ()
    """Names of the attrs, all of which every node of this op has."""
    elementwise: bool = False
    """True when output point i needs operand point i only (after broadcasting)."""
    cheap: bool = False
    """True when doing it twice costs less than keeping the result (moves, copies, additions)."""
    commutes: bool = False
    """True for a binary op with op(a, b) == op(b, a)."""

    def wrong_attrs(self, given: Iterable[str]) -> tuple[str, str] | None:
        """What is wrong with the names of the attrs that a node has, and which there are; None when nothing is."""
        names = set(given)
        facts = f"attrs of {self.name}: {', '.join(self.attrs) or 'none'}"
        for key in self.attrs:
            if key not in names:
                return f"{self.name} needs the attr {key}", facts
        for key in sorted(names.difference(self.attrs)):
            return f"{self.name} has no attr {key}", facts
        return None


_OPS: dict[str, Op] = {}


def register(op: Op) -> Op:
    """Add `op` to the table of all ops; its name must be new."""
    assert op.name not in _OPS, f"op {op.name} is defined twice"
    _OPS[op.name] = op
    return op


def find_op(name: str) -> Op:
    """The op called `name`, or a ParseError that lists near names."""
    if name not in _OPS:
        raise ParseError(f"unknown op {name!r}", f"known: {', '.join(sorted(_OPS))}")
    return _OPS[name]


def all_ops() -> tuple[Op, ...]:
    """Every registered op, by name."""
    return tuple(_OPS[name] for name in sorted(_OPS))
