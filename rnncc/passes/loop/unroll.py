"""Write out loops of kind `unroll`, and load what several copies read once.

    for m in unroll(0, 2):                                       w = wp[p, k, 0, span(0, 16)]
        acc[m, 0, span(0, 16)] += h[r + m, k] * wp[...]    ->    acc[0, 0, span(0, 16)] += h[r, k] * w
                                                                 acc[1, 0, span(0, 16)] += h[r + 1, k] * w

Registers are indexed by constants from here on.

Requires: `vectorize`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rnncc.loop.builder import folded, folded_index, integer
from rnncc.loop.ir import Check, Const, Expr, For, Let, Load, Procedure, Stmt, Store, Var
from rnncc.loop.names import Names
from rnncc.loop.visit import map_children, map_statement, walk_exprs
from rnncc.records import record


def unroll(procedure: Procedure) -> Procedure:
    """Unroll, fold indices, and share loads within straight lines."""
    names = Names(procedure)
    registers = {buffer.name for buffer in procedure.buffers if buffer.is_private}
    body = _share_loads(_Unroller(names).block(procedure.body, {}), registers, names)
    return procedure if body == procedure.body else replace(procedure, body=body)


def written_out(loop: For, names: Names) -> list[Stmt]:
    """The turns of `loop`, one after the other."""
    return _Unroller(names).copies(loop, {})


@record(frozen=True, slots=True)
class _Unroller:
    """Writes out loops from the outside in, so that every copy is made once, when all its numbers are known."""

    names: Names

    def block(self, statements: Sequence[Stmt], known: Mapping[str, Expr]) -> tuple[Stmt, ...]:
        """`statements` where variables are replaced by what is `known` of them."""
        result: list[Stmt] = []
        for statement in statements:
            if not isinstance(statement, For):
                result.append(_resolved(statement, known))
            elif statement.kind == "unroll":
                result += self.copies(statement, known)
            else:
                start, stop = _filled(statement.start, known), _filled(statement.stop, known)
                result.append(replace(statement, start=start, stop=stop, body=self.block(statement.body, known)))
        return tuple(result)

    def copies(self, loop: For, known: Mapping[str, Expr]) -> list[Stmt]:
        """A copy for each turn of `loop`; every `Let` in it gets a new name."""
        start, stop = _filled(loop.start, known), _filled(loop.stop, known)
        assert isinstance(start, Const) and isinstance(stop, Const), "an unrolled loop has constant bounds"
        result: list[Stmt] = []
        for turn in range(int(start.value), int(stop.value), loop.step):
            inside = {**known, loop.variable: integer(turn)}
            for statement in loop.body:
                if not isinstance(statement, Let):
                    result += self.block((statement,), inside)
                    continue
                value = _filled(statement.value, inside)
                name = self.names.fresh(statement.name)
                inside[statement.name] = Var(name, value.dtype, value.lanes)
                result.append(Let(name, value))
        return result


def _resolved(statement: Stmt, known: Mapping[str, Expr]) -> Stmt:
    """A statement that is no loop, with what is `known` of variables filled in."""
    if not known:
        return statement
    statement = map_statement(statement, lambda expr: _filled(expr, known))
    if not isinstance(statement, Store):
        return statement
    index = folded_index(statement.index)
    return statement if index is statement.index else replace(statement, index=index)


def _filled(expr: Expr, known: Mapping[str, Expr]) -> Expr:
    """`expr` with what is `known` of variables filled in, and folded."""
    if not known:
        return expr

    def filled(part: Expr) -> Expr:
        if isinstance(part, Const):
            return part
        return known.get(part.name, part) if isinstance(part, Var) else folded(map_children(part, filled))

    return filled(expr)


def _share_loads(statements: Sequence[Stmt], registers: set[str], names: Names) -> tuple[Stmt, ...]:
    """Bind every load that a straight line does more than once, where nothing is stored to its buffer in between."""
    result: list[Stmt] = []
    line: list[Stmt] = []
    for statement in [*statements, None]:
        if statement is not None and not isinstance(statement, For):
            line.append(statement)
            continue
        result += _shared_line(line, registers, names)
        line = []
        if statement is not None:
            result.append(replace(statement, body=_share_loads(statement.body, registers, names)))
    return tuple(result)


def _shared_line(line: Sequence[Stmt], registers: set[str], names: Names) -> list[Stmt]:
    written = {statement.buffer for statement in line if isinstance(statement, Store)} | registers
    count = Counter(
        part
        for statement in line
        if not isinstance(statement, Check)  # it reports where its number was loaded from
        for part in walk_exprs(statement)
        if isinstance(part, Load) and part.index and part.buffer not in written
    )
    often = {load for load, times in count.items() if times > 1}
    bound: dict[Load, Var] = {}
    result: list[Stmt] = []

    def shared(expr: Expr) -> Expr:
        expr = map_children(expr, shared)
        if not isinstance(expr, Load) or expr.buffer in written or expr not in often:
            return expr
        if expr not in bound:
            bound[expr] = Var(names.fresh(f"{expr.buffer}_at"), expr.dtype, expr.lanes)
            result.append(Let(bound[expr].name, expr))
        return bound[expr]

    for statement in line:
        result.append(statement if isinstance(statement, Check) or not often else map_statement(statement, shared))
    return result
