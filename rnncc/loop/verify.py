"""The rules of loop IR that its grammar in `ir.py` does not show. A procedure that breaks one is a bug in a pass.

Names are unique in their scope and bound before they are used. Operands have one dtype, and lanes 1 or those of the
widest. Every access has the rank of its buffer. Spaces say who writes: nobody `input` and `weight`, `setup` alone
`packed`; `setup` itself knows neither extents nor the memory of a call. Register indices are constant once `unroll`
and `lanes` loops, and reductions of constant size, are expanded. Barriers stand where every thread comes by: in no loop
but those over `range`. So do loops around shares, of which each holds one loop whose turns are claimed, and all threads
meet between two of them.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Sequence
from dataclasses import field
from typing import assert_never

from rnncc.errors import VerifyError
from rnncc.loop.builder import add, integer
from rnncc.loop.functions import FUNCTIONS
from rnncc.loop.index import affine
from rnncc.loop.ir import (
    COMBINE,
    FOR_THREADS,
    KINDS,
    SPACES,
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
    Reduce,
    Span,
    Stmt,
    Store,
    Var,
)
from rnncc.loop.printer import lines, show_expr
from rnncc.loop.visit import free_variables, result_dtype, substitute
from rnncc.records import record
from rnncc.types import DType

_FLOATS = ("div", "floor", "sqrt", "exp", "log", "log1p", "tanh", "sigmoid", "erf")
_BOOLS = ("logical_and", "logical_or", "logical_not")
_ANY = ("equal", "not_equal", "where", "f32", "f64", "i32", "i64")
_TAKES = {
    **dict.fromkeys(("floordiv", "mod"), (DType.I32, DType.I64)),
    **dict.fromkeys(_FLOATS, (DType.F32, DType.F64)),
    **dict.fromkeys(_BOOLS, (DType.BOOL,)),
    **dict.fromkeys(_ANY, tuple(DType)),
    "pair": (DType.F32,),
    "dot": (DType.I32,),
    "rest": (DType.F32,),
    "threefry": (DType.I32,),
    "cycles": (DType.I64,),
}
"""What a function's operands may be; any number for all others."""
_NUMBERS = (DType.F32, DType.F64, DType.I32, DType.I64)


def _shares_before_meeting(statements: Iterable[Stmt]) -> bool:
    """True when `statements` may come to a loop around shares before all threads have met."""
    for statement in statements:
        if isinstance(statement, Barrier):
            return False
        # A barrier in a loop that has no turn is none.
        if isinstance(statement, For) and (statement.kind == "around" or _shares_before_meeting(statement.body)):
            return True
    return False


def verify(procedure: Procedure, *, after: str | None = None, context: Sequence[str] = ()) -> None:
    """Raise VerifyError, with the line and what is wrong in it, when `procedure` breaks a rule.

    `after` names the pass that made it; `context` are more lines for the message.
    """
    try:
        _Verifier(procedure).run()
    except _Broken as broken:
        what = f"after {after}: {broken.what}" if after else broken.what
        raise VerifyError(what, *broken.facts, *context) from None


class _Broken(Exception):
    def __init__(self, what: str, facts: tuple[str, ...]) -> None:
        super().__init__(what)
        self.what = what
        self.facts = facts


@record(frozen=True, slots=True)
class _Scope:
    """What may be named here. `samples` has a value of every variable that will be expanded away."""

    variables: dict[str, Var]
    samples: dict[str, Expr] = field(default_factory=dict)
    alone: bool = False
    """Inside of a loop that not every thread runs, or not in step with the others."""
    kind: str | None = None
    """Of the innermost loop."""

    def nested(self, kind: str | None = None) -> _Scope:
        """A scope whose additions end with it, of a loop of that kind if it is one."""
        alone = self.alone or kind not in (None, "range")
        return _Scope(dict(self.variables), dict(self.samples), alone, kind or self.kind)


class _Verifier:
    def __init__(self, procedure: Procedure) -> None:
        self.procedure = procedure
        self.buffers: dict[str, Buffer] = {}
        self.in_setup = False
        self.shared = False
        """Whether there was a loop around shares since all threads last met."""
        self.count = 0
        """Of the buffers and statements that were looked at, the last one included."""

    def fail(self, what: str, culprit: str | Expr = "") -> _Broken:
        """The error for the current line, with carets under `culprit`. Texts are made here, and only here."""
        culprit = culprit if isinstance(culprit, str) else show_expr(culprit)
        shown = [(n, text) for n, (text, node) in enumerate(lines(self.procedure), 1) if node is not None or n == 1]
        line, text = shown[self.count]
        found = re.search(rf"(?<!\w){re.escape(culprit)}(?!\w)", text) if culprit else None
        first = found.start() if found else len(text) - len(text.lstrip())
        width = len(culprit) if found else len(text.lstrip())
        number = f"{line:>4} | "
        return _Broken(what, (number + text, " " * (len(number) - 2) + "| " + " " * first + "^" * width))

    # -------------------------------------------------------------- declarations

    def run(self) -> None:
        """Verify the declarations, then the two lists of statements, in the order of the printed lines."""
        scope = _Scope({})
        for dim in self.procedure.given:
            self._bind(Var(dim), scope)
        for buffer in self.procedure.buffers:
            self.count += 1
            self._declare(buffer, scope)
        self.in_setup = True
        self._block(self.procedure.setup, _Scope({}))
        self.in_setup = False
        self._block(self.procedure.body, scope)

    def _declare(self, buffer: Buffer, scope: _Scope) -> None:
        if buffer.space not in SPACES:
            raise self.fail(f"there is no space {buffer.space}; known: {', '.join(SPACES)}", buffer.space)
        self._check_new(buffer.name, scope)
        for size in buffer.shape:
            self._size(size, "a size", scope)
            if (buffer.is_private or buffer.space in ("weight", "packed")) and not isinstance(size, Const):
                raise self.fail(f"sizes of a {buffer.space} buffer are constant", size)
        self.buffers[buffer.name] = buffer

    def _check_new(self, name: str, scope: _Scope) -> None:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise self.fail(f"{name!r} is not an identifier", name)
        if name in self.buffers or name in scope.variables or (self.in_setup and name in self.procedure.given):
            raise self.fail(f"{name} is already bound here", name)

    def _bind(self, variable: Var, scope: _Scope) -> None:
        self._check_new(variable.name, scope)
        scope.variables[variable.name] = variable

    # -------------------------------------------------------------- statements

    def _block(self, statements: Iterable[Stmt], scope: _Scope) -> None:
        inner = scope.nested()
        for statement in statements:
            self.count += 1
            self._statement(statement, inner)

    def _statement(self, statement: Stmt, scope: _Scope) -> None:
        match statement:
            case For():
                self._loop(statement, scope)
            case Let(name, value):
                self._bind(Var(name, value.dtype, self._expr(value, scope)), scope)
            case Store():
                self._store(statement, scope)
            case Check(condition, code, values):
                self._expect(condition, DType.BOOL, "a condition", scope)
                if not 0 <= code < len(self.procedure.messages):
                    raise self.fail(f"there is no message {code} among {len(self.procedure.messages)}", str(code))
                for value in values:
                    self._size(value, "a reported value", scope)
            case Prefetch(name, index):
                self._access(name, index, scope)
            case Barrier():
                if self.in_setup or scope.alone:
                    raise self.fail("not every thread comes by here: a barrier would wait for ever")
                self.shared = False
            case _:
                assert_never(statement)

    def _loop(self, loop: For, scope: _Scope) -> None:
        if loop.kind not in KINDS:
            raise self.fail(f"there is no kind of loop {loop.kind}; known: {', '.join(KINDS)}", loop.kind)
        if loop.step < 1:
            raise self.fail("the step of a loop is positive", str(loop.step))
        self._size(loop.start, "the start of a loop", scope)
        self._size(loop.stop, "the stop of a loop", scope)
        if loop.kind in FOR_THREADS and scope.alone:
            raise self.fail("a loop over threads in a loop that not every thread runs", loop.kind)
        self._shares(loop, scope)
        shared = self.shared
        inner = scope.nested(loop.kind)
        self._bind(Var(loop.variable), inner)
        if loop.kind in ("unroll", "lanes"):
            # Not the start itself: u * n is 0 there and yet no constant.
            inner.samples[loop.variable] = add(_sample(loop.start, scope), integer(7 * loop.step))
        self._block(loop.body, inner)
        if loop.kind == "range" and self.shared and _shares_before_meeting(loop.body):
            raise self.fail("the next turn shares work before all threads have met")
        self.shared |= shared  # there may be no turn at all

    def _shares(self, loop: For, scope: _Scope) -> None:
        """The rules of loops around shares, and of those whose turns are claimed."""
        if loop.kind == "claimed" and scope.kind != "around":
            raise self.fail("turns are claimed of a share: the loop must be in one around shares", loop.kind)
        if loop.kind != "around":
            return
        match loop:
            case For(_, _, Const(0), Const(), 1, (For(_, "claimed"),)):
                pass
            case _:
                what = "a loop around shares goes from 0 to their number, and holds a loop whose turns are claimed"
                raise self.fail(what, loop.kind)
        if self.in_setup:
            raise self.fail("not every thread comes by here", loop.kind)
        if self.shared:
            raise self.fail("threads must meet between two loops around shares", loop.kind)
        self.shared = True

    def _store(self, store: Store, scope: _Scope) -> None:
        buffer = self._access(store.buffer, store.index, scope)
        if buffer.space in ("input", "weight"):
            raise self.fail(f"{buffer.name} is {buffer.space}: nothing writes to it", buffer.name)
        if buffer.space == "packed" and not self.in_setup:
            raise self.fail(f"{buffer.name} is packed: only setup writes to it", buffer.name)
        given = self._expr(store.value, scope)
        if store.value.dtype is not buffer.dtype:
            raise self.fail(f"{store.value.dtype} is stored in {buffer.name} of {buffer.dtype}", store.value)
        lanes = _index_lanes(store.index)
        if given not in (1, lanes):
            raise self.fail(f"{given} lanes are stored in {lanes}", store.value)
        if store.combine is not None:
            if store.combine not in COMBINE:
                raise self.fail(f"{store.combine} does not combine; known: {', '.join(COMBINE)}")
            if buffer.dtype not in _NUMBERS:
                raise self.fail(f"{store.combine} does not combine {buffer.dtype}", buffer.name)

    # -------------------------------------------------------------- accesses

    def _access(self, name: str, index: tuple[Index, ...], scope: _Scope) -> Buffer:
        buffer = self.buffers.get(name)
        if buffer is None:
            raise self.fail(f"{name} is no buffer", name)
        if self.in_setup and buffer.space in ("input", "output", "temporary"):
            raise self.fail(f"{name} is {buffer.space}: setup runs before there is a call", name)
        if len(index) != len(buffer.shape):
            what = f"{name} has {len(buffer.shape)} axes, {len(index)} are indexed"
            raise self.fail(what, Load(name, index, buffer.dtype))
        for position, item in enumerate(index):
            start = item.start if isinstance(item, Span) else item
            if isinstance(item, Span):
                if position != len(index) - 1:
                    raise self.fail("a span is the last index only", Load(name, index, buffer.dtype))
                if item.lanes < 1:
                    raise self.fail(f"a span of {item.lanes} lanes", Load(name, index, buffer.dtype))
                if item.limit is not None:
                    self._size(item.limit, "the limit of a span", scope)
            self._size(start, "an index", scope)
            if buffer.space == "register" and not _is_constant(start, scope):
                raise self.fail("a register has constant indices", Load(name, index, buffer.dtype))
        return buffer

    # -------------------------------------------------------------- expressions

    def _size(self, expr: Expr, role: str, scope: _Scope) -> None:
        if not isinstance(expr, Const) or expr.dtype is not DType.I64:  # it often is one
            self._expect(expr, DType.I64, role, scope)

    def _expect(self, expr: Expr, dtype: DType, role: str, scope: _Scope) -> None:
        lanes = self._expr(expr, scope)
        if expr.dtype is not dtype:
            raise self.fail(f"{role} is {dtype}, this is {expr.dtype}", expr)
        if lanes != 1:
            raise self.fail(f"{role} is a scalar, this has {lanes} lanes", expr)

    def _expr(self, expr: Expr, scope: _Scope) -> int:
        """Verify `expr`; returns how many lanes it has."""
        if isinstance(expr, Const):
            return 1
        if isinstance(expr, Var):
            self._variable(expr, scope.variables.get(expr.name))
            return expr.lanes
        if isinstance(expr, Call):
            return self._call(expr, scope)
        if isinstance(expr, Load):
            buffer = self._access(expr.buffer, expr.index, scope)
            if expr.dtype is not buffer.dtype:
                raise self.fail(f"{buffer.name} is {buffer.dtype}, its load says {expr.dtype}", expr)
            return _index_lanes(expr.index)
        if isinstance(expr, Reduce):
            self._reduce(expr, scope)
            return 1
        self._size(expr.start, "the start of a ramp", scope)
        if expr.lanes < 2:
            raise self.fail(f"a ramp of {expr.lanes} lanes", expr)
        return expr.lanes

    def _variable(self, used: Var, bound: Var | None) -> None:
        name = used.name
        if self.in_setup and bound is None and name in self.procedure.given:
            raise self.fail(f"{name} is an extent: setup runs before extents are known", name)
        if bound is None:
            raise self.fail(f"{name} is used before it is defined", name)
        if used.dtype is not bound.dtype or used.lanes != bound.lanes:
            raise self.fail(f"{name} is {_type(bound)}, its use says {_type(used)}", name)

    def _call(self, call: Call, scope: _Scope) -> int:
        """Verify `call`; returns how many lanes it has."""
        name, args = call.function, call.args
        function = FUNCTIONS.get(name)
        if function is None:
            raise self.fail(f"there is no function {name}", name)
        if len(args) != function.arity:
            raise self.fail(f"{name} takes {function.arity} operands, not {len(args)}", call)
        lanes = [self._expr(arg, scope) for arg in args]
        self._operands(call, args)
        if call.dtype is not (function.result or args[-1].dtype):
            raise self.fail(f"{result_dtype(name, args)} results, the call says {call.dtype}", call)
        widest = max(lanes)
        if widest > 1 and not {1, widest}.issuperset(lanes):
            raise self.fail(f"operands have {' and '.join(map(str, sorted(set(lanes) - {1})))} lanes", call)
        if not name.startswith("reduce_"):
            return widest
        if widest == 1:
            raise self.fail(f"{name} folds a vector, this is a scalar", call)
        return 1

    def _operands(self, call: Call, operands: Sequence[Expr]) -> None:
        """Verify the element types of what `call` is of."""
        name = call.function
        if name == "where":
            if operands[0].dtype is not DType.BOOL:
                raise self.fail(f"a condition is bool, this is {operands[0].dtype}", operands[0])
            operands = operands[1:]
        dtype = operands[0].dtype
        for operand in operands:
            if operand.dtype is not dtype:
                raise self.fail(f"{name} of {' and '.join(str(operand.dtype) for operand in operands)}", call)
        if dtype not in _TAKES.get(name, _NUMBERS):
            raise self.fail(f"{name} does not take {dtype}", call)

    def _reduce(self, reduce: Reduce, scope: _Scope) -> None:
        if reduce.function not in COMBINE:
            raise self.fail(f"{reduce.function} does not reduce; known: {', '.join(COMBINE)}", reduce)
        self._size(reduce.size, "the size of a reduction", scope)
        inner = scope.nested()
        self._bind(Var(reduce.variable), inner)
        if isinstance(reduce.size, Const):
            inner.samples[reduce.variable] = integer(7)
        lanes = self._expr(reduce.value, inner)
        if lanes != 1:
            raise self.fail(f"a reduction is of scalars, this has {lanes} lanes", reduce.value)
        if reduce.value.dtype not in _NUMBERS:
            raise self.fail(f"{reduce.function} does not reduce {reduce.value.dtype}", reduce.value)


def _type(variable: Var) -> str:
    return f"{variable.dtype} x {variable.lanes}" if variable.lanes > 1 else str(variable.dtype)


def _index_lanes(index: Sequence[Index]) -> int:
    last = index[-1] if index else None
    return last.lanes if isinstance(last, Span) else 1


def _sample(expr: Expr, scope: _Scope) -> Expr:
    """`expr` as it is in one iteration of all loops that will be expanded."""
    return substitute(expr, {name: scope.samples[name] for name in free_variables(expr) & scope.samples.keys()})


def _is_constant(index: Expr, scope: _Scope) -> bool:
    """True when expanding those loops leaves a number."""
    if isinstance(index, Const):
        return True
    value = affine(_sample(index, scope))
    return value is not None and not value.terms
