"""Ask for what a tile's end will read before its loop over k: it arrives while the sums are added up.

    for r in parallel(0, B // 2 * 2, 2):               for r in parallel(0, B // 2 * 2, 2):
        for k in range(0, 256):                            for part in range(0, 2):
            acc[0, 0, span(0, 16)] += ...          ->          prefetch(z[t, r + part, span(js, 16)])
            acc[1, 0, span(0, 16)] += ...                      for k in range(part * 128, part * 128 + 128):
        ... acc[0, ...] + z[t, r, span(js, 16)]                    acc[0, 0, span(0, 16)] += ...
        ... acc[1, ...] + z[t, r + 1, span(js, 16)]                acc[1, 0, span(0, 16)] += ...
                                                           ... acc[0, ...] + z[t, r, span(js, 16)]
                                                           ... acc[1, ...] + z[t, r + 1, span(js, 16)]

Of the projection of a whole sequence, every tile reads a line here and a line there: more streams than a prefetcher of
the machine follows, from memory that no cache near by holds. Without this, the multiply-adds of the next tile wait for
each of them. What every tile reads alike (a bias) is near anyway.

A core waits for a few dozen lines at a time, and the weights that the loop over k begins with would stand in line
behind those of all rows. So each row is asked for before its own part of a long loop over k; parts have an even number
of turns, for `two_turns`. Measured on four sums of 1,024 columns with 32 rows: 4 % of the time in bfloat16, 2 % in
float32. Before each of the loops of a matrix unit a share of all is asked for: 6 % there, with AMX. To ask for what a
tile writes as well made it slower by a tenth.

Requires: `unroll`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rnncc.loop.builder import ZERO, add, call, folded, integer, multiply
from rnncc.loop.ir import Const, Expr, For, Let, Load, Prefetch, Procedure, Span, Stmt, Var
from rnncc.loop.names import Names
from rnncc.loop.visit import (
    free_variables,
    index_exprs,
    is_over_k,
    is_tile_end,
    map_expr,
    map_index,
    substitute,
    walk_exprs,
    walk_statements,
)
from rnncc.passes.loop.two_turns import AT_ONCE
from rnncc.records import record
from rnncc.types import DType

TURNS = 16
"""The shortest part of a loop over k that is worth one more loop around it."""


def prefetch(procedure: Procedure) -> Procedure:
    """Prefetch before every loop over k what the straight line behind it loads."""
    far = {
        buffer.name
        for buffer in procedure.buffers
        if buffer.space in ("input", "temporary", "weight") and len(buffer.shape) > 1
    }
    stacks = {buffer.name for buffer in procedure.buffers if buffer.space == "stack"}
    body = _Prefetcher(far, stacks, Names(procedure)).block(procedure.body, None)
    return procedure if body == procedure.body else replace(procedure, body=body)


@record(frozen=True, slots=True)
class _Prefetcher:
    """`far` are the buffers that are worth a prefetch, `stacks` those in which a tile leaves values for its end."""

    far: set[str]
    stacks: set[str]
    names: Names

    def block(self, statements: Sequence[Stmt], around: For | None) -> tuple[Stmt, ...]:
        """`statements`, the body of the loop `around`."""
        result: list[Stmt] = []
        shares = self.shares(statements)
        for position, statement in enumerate(statements):
            if not isinstance(statement, For):
                result.append(statement)
            elif statement.kind == "matrix":
                result += (*shares.get(position, ()), statement)
            elif not is_over_k(statement):
                result.append(replace(statement, body=self.block(statement.body, statement)))
            else:
                has_some = any(isinstance(other, Prefetch) for other in walk_statements(result))
                wanted = [] if has_some else _prefetches(statements[position + 1 :], self.far, self.stacks)
                result += self.loop_over_k(statement, wanted, around)
        return tuple(result)

    def shares(self, statements: Sequence[Stmt]) -> dict[int, list[Stmt]]:
        """What to ask for in front of each matrix loop, by its position: a share of what the end of the tile wants."""
        loops = [place for place, one in enumerate(statements) if isinstance(one, For) and one.kind == "matrix"]
        if not loops or any(isinstance(one, Prefetch) for one in walk_statements(statements)):
            return {}
        wanted = _prefetches(statements[loops[-1] + 1 :], self.far, self.stacks)
        return {place: [one.loop() for one in wanted[number :: len(loops)]] for number, place in enumerate(loops)}

    def loop_over_k(self, loop: For, wanted: Sequence[_Wanted], rows: For | None) -> list[Stmt]:
        """`loop` with what is `wanted`: at once, or row by row if the loop `rows` around it takes several at a time."""
        at_once = [line for one in wanted for line in one.statements()]
        parts = rows.step if rows is not None and rows.kind == "parallel" else 1
        if rows is None or parts == 1 or not isinstance(loop.stop, Const) or loop.stop.value < parts * TURNS:
            return [*at_once, loop]
        if loop.start != ZERO or loop.step != 1:  # k in vectors, of which there are few
            return [*at_once, loop]
        part = Var(self.names.fresh("part"))
        by_row, others = _by_row(wanted, rows, part)
        if not by_row:
            return [*at_once, loop]
        size = integer(AT_ONCE * -(-int(loop.stop.value) // (AT_ONCE * parts)))  # the last parts may be empty
        start = multiply(part, size)
        stop = add(start, size)
        if parts * int(size.value) > loop.stop.value:
            stop = call("min", stop, loop.stop)
        piece = replace(loop, start=start, stop=stop)
        first, later = ([line for one in some for line in one.statements()] for some in (others, by_row))
        return [*first, For(part.name, "range", ZERO, integer(parts), 1, (*later, piece))]


@record(frozen=True, slots=True)
class _Wanted:
    """A line of memory, or with `loops` one in each of their turns; `by_row`: the first of them is over rows."""

    line: Prefetch
    loops: tuple[For, ...] = ()
    by_row: bool = False

    def at(self, place: Mapping[str, Expr]) -> _Wanted:
        """Where `place` says what variables are."""
        index = map_index(self.line.index, lambda expr: map_expr(substitute(expr, place), folded))
        return replace(self, line=replace(self.line, index=index))

    def loop(self) -> Stmt:
        """What asks for it, in loops."""
        statement: Stmt = self.line
        for loop in reversed(self.loops):
            statement = replace(loop, kind="range", body=(statement,))
        return statement

    def statements(self) -> list[Prefetch]:
        """What asks for it, turn by turn."""
        if not self.loops:
            return [self.line]
        loop, *inner = self.loops
        assert isinstance(loop.stop, Const), "a tile has as many rows and vectors as the code says"
        copies = (self.at({loop.variable: integer(turn)}) for turn in range(int(loop.stop.value)))
        return [line for copy in copies for line in replace(copy, loops=tuple(inner)).statements()]


def _by_row(wanted: Sequence[_Wanted], rows: For, part: Var) -> tuple[list[_Wanted], list[_Wanted]]:
    """What is wanted alike for every row of a tile, said once, for row number `part`; and what else is wanted."""
    taken: set[_Wanted] = set()
    by_row: list[_Wanted] = []
    for one in wanted:
        if one.by_row and one.loops[0].stop == integer(rows.step):
            taken.add(one)
            by_row.append(replace(one.at({one.loops[0].variable: part}), loops=one.loops[1:]))
            continue
        row = Var(rows.variable)
        copies = {one.at({row.name: add(row, integer(number))}) for number in range(rows.step)}
        if len(copies) == rows.step and copies <= set(wanted) - taken:
            taken |= copies
            by_row.append(one.at({row.name: add(row, part)}))
    return by_row, [one for one in wanted if one not in taken]


def _prefetches(line: Sequence[Stmt], far: set[str], stacks: set[str]) -> list[_Wanted]:
    """One for every vector that `line` loads from `far`, and whose place is known before the line.

    A row of a table is: its number, which the line looks up, is looked up here as well.
    """
    found: dict[_Wanted, None] = {}
    numbers: dict[str, Expr] = {}
    own: set[str] = set()

    def search(statements: Sequence[Stmt], loops: tuple[For, ...]) -> None:
        for statement in statements:
            if isinstance(statement, For):
                if not is_tile_end(statement, stacks):
                    own.add(statement.variable)
                search(statement.body, (*loops, statement))
                continue
            for part in walk_exprs(statement):
                if isinstance(part, Load) and part.buffer in far and part.index and isinstance(part.index[-1], Span):
                    index = map_index(part.index, lambda expr: substitute(expr, numbers))
                    used = frozenset[str]().union(*map(free_variables, index_exprs(index)))
                    if own.isdisjoint(used):
                        around = tuple(replace(loop, body=()) for loop in loops if loop.variable in used)
                        by_row = bool(loops) and loops[0].variable in used
                        found[_Wanted(Prefetch(part.buffer, index), around, by_row)] = None
            if isinstance(statement, Let):
                value = substitute(statement.value, numbers)
                if value.dtype is DType.I64 and value.lanes == 1 and own.isdisjoint(free_variables(value)):
                    numbers[statement.name] = value
                else:
                    own.add(statement.name)

    search(line, ())
    return list(found)
