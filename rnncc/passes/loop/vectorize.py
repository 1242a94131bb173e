"""Turn loops over lanes into vectors: contiguous accesses become spans, the others are broadcast.

    for j in lanes(js, js + 16):                         z = acc[0, 0, span(0, 16)]
        z = acc[0, 0, j - js]                      ->    y[b, span(js, 16)] = tanh(z + bias[span(js, 16)])
        y[b, j] = tanh(z + bias[j])
    for j in lanes(js, min(js + 16, 37)):          ->    y[b, span(js, 16, 37)] = tanh(x[b, span(js, 16, 37)])
        y[b, j] = tanh(x[b, j])
    for j in lanes(js, js + 16):                   ->    n[b, span(js, 16)] = ramp(js, 16)
        n[b, j] = j

Requires: `tile` (a loop over lanes has no loops inside, and its accesses have stride 0 or 1).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from rnncc.loop.builder import add, folded, integer
from rnncc.loop.index import difference, stride_in
from rnncc.loop.ir import Call, Const, Expr, For, Index, Let, Load, Procedure, Ramp, Reduce, Span, Stmt, Store, Var
from rnncc.loop.names import Names
from rnncc.loop.visit import map_children, map_expr, map_statement, substitute
from rnncc.passes.loop.nest import scalars


def vectorize(procedure: Procedure) -> Procedure:
    """Replace every loop over lanes by vector statements."""
    padded = {buffer.name for buffer in procedure.buffers if buffer.is_private or buffer.space == "packed"}
    names = _LetNames(procedure)
    body = tuple(inner for statement in procedure.body for inner in _statement(statement, padded, names))
    return procedure if body == procedure.body else replace(procedure, body=body)


class _LetNames:
    """Names of values: a loop over lanes was a scope, so that the same name may come again outside of it."""

    def __init__(self, procedure: Procedure) -> None:
        self._names = Names(procedure)
        self._seen: set[str] = set()

    def unique(self, name: str) -> str:
        """`name` the first time, another one from then on."""
        new = self._names.fresh(name) if name in self._seen else name
        self._seen.add(name)
        return new


def _statement(statement: Stmt, padded: set[str], names: _LetNames) -> tuple[Stmt, ...]:
    match statement:
        case For() if statement.kind == "lanes":
            return _Lanes.of(statement, padded, names).statements(statement.body)
        case For():
            body = tuple(inner for outer in statement.body for inner in _statement(outer, padded, names))
            return (replace(statement, body=body),)
        case Let() | Store():
            return (map_statement(statement, _fold_lanes),)
        case _:
            return (statement,)


def _fold_lanes(expr: Expr) -> Expr:
    """Reductions over the lanes of one register, as `reduce_add` and the like."""
    if isinstance(expr, Reduce):
        assert isinstance(expr.value, Load) and isinstance(expr.size, Const), "tile leaves folds of registers only"
        *lead, last = scalars(expr.value.index)
        assert last == Var(expr.variable), "a fold runs over the lanes"
        vector = replace(expr.value, index=(*lead, Span(integer(0), int(expr.size.value))))
        return Call(f"reduce_{expr.function}", (vector,), expr.dtype)
    return map_children(expr, _fold_lanes)


@dataclass(slots=True)
class _Lanes:
    """One loop over lanes: `variable` runs over `lanes` elements from `start`, below `limit` if there is one."""

    variable: str
    start: Expr
    lanes: int
    limit: Expr | None
    padded: set[str]
    names: _LetNames
    bound: dict[str, Var] = field(default_factory=dict)

    @staticmethod
    def of(loop: For, padded: set[str], names: _LetNames) -> _Lanes:
        """The lanes of a loop `lanes(start, start + n)` or `lanes(start, min(start + n, limit))`."""
        stop, limit = loop.stop, None
        if isinstance(stop, Call) and stop.function == "min":
            stop, limit = stop.args
        count = difference(stop, loop.start)
        assert count is not None and count > 0, "a loop over lanes has a fixed number of turns"
        lanes = 1 << (count - 1).bit_length()
        if lanes != count:
            assert limit is None, "only full vectors have a limit"
            limit = stop
        return _Lanes(loop.variable, loop.start, lanes, limit, padded, names)

    def statements(self, body: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
        """`body` with vectors."""
        result: list[Stmt] = []
        for statement in body:
            match statement:
                case Let(name, value):
                    vector = self.expr(value)
                    self.bound[name] = Var(self.names.unique(name), vector.dtype, vector.lanes)
                    result.append(Let(self.bound[name].name, vector))
                case Store(buffer, index, value, combine):
                    result.append(Store(buffer, self.index(buffer, scalars(index)), self.expr(value), combine))
                case _:
                    raise AssertionError("a loop over lanes holds lets and stores only")
        return tuple(result)

    def expr(self, expr: Expr) -> Expr:
        match expr:
            case Var(name) if name in self.bound:
                return self.bound[name]
            case Var(name) if name == self.variable:
                first = _folded(self.start)
                return first if self.lanes == 1 else Ramp(first, self.lanes)
            case Load(buffer, index, dtype):
                return Load(buffer, self.index(buffer, scalars(index)), dtype)
            case _:
                return map_children(expr, self.expr)

    def index(self, buffer: str, index: tuple[Expr, ...]) -> tuple[Index, ...]:
        """The place of a load or store: a span when its last axis walks with the lanes."""
        if not index or stride_in(index[-1], self.variable) != 1:
            return index
        last = index[-1]
        rest = _folded(substitute(last, {self.variable: integer(0)}))  # the index is the variable plus this
        first = _folded(substitute(last, {self.variable: self.start}))
        if difference(first, integer(0)) == 0:
            first = integer(0)
        limit = None if self.limit is None or buffer in self.padded else add(self.limit, rest)
        return (*index[:-1], Span(first, self.lanes, limit))


def _folded(expr: Expr) -> Expr:
    return map_expr(expr, folded)
