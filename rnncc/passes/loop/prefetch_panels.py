"""Ask for the next panel of large weights while several rows share this one: a core multiplies and waits by turns else.

    for js in parallel(0, 512, 16):                    for js in parallel(0, 512, 16):
        for r in parallel(0, end_6, 6):                    first_tiles = min(end_6, 24)
            for k in range(0, 512):                        for r in parallel(0, first_tiles, 6):
                acc[0, 0, span(0, 16)] += ...     ->           ahead = min(js + 16, 496) // 16
                acc[1, 0, span(0, 16)] += ...                  share = r // 6 * 128
                                                               for k in range(0, 512):
                                                                   prefetch(wp[ahead, share, 0, k, span(0, 16)])
                                                                   acc[0, 0, span(0, 16)] += ...
                                                                   acc[1, 0, span(0, 16)] += ...
                                                           for r in parallel(first_tiles, end_6, 6):
                                                               (as before)

The first tile of rows reads a panel from beyond the level 2 cache, slower than it multiplies; those after it find it
near, and leave the memory alone. So each of the first tiles asks for a share of the next panel, one vector at each k
and in the order in which they lie in memory (counted from the beginning of the share, whatever axis they are on): that
takes as many tiles as there are vectors at one k. Measured on four sums of 1,024 columns of 1,024 products, 32 rows,
with 2 MiB of level 2: 13 % of the time of a step. Two vectors of each k at a time, which do not lie side by side,
gained nothing. A row on its own reads one stream, which a prefetcher of the machine follows.

Weights are large when those of one statement, such as a loop over steps, take more than half of level 2: the other half
has what is passed on. 64 rows of four sums of n columns of n products, twice: 800 KiB 0 %, 1.2 to 3.1 MiB 3 to 5 % of
the time.

Of several turns at once, each asks for one vector. Requires: `alternate_panels`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from math import prod

from rnncc.loop.builder import ZERO, add, call, floordiv, folded, integer, multiply, subtract
from rnncc.loop.index import difference
from rnncc.loop.ir import K_AXIS, PACKED_AXES, Buffer, Const, Expr, For, Let, Load, Prefetch, Procedure, Span, Stmt, Var
from rnncc.loop.names import Names
from rnncc.loop.visit import buffers_of, free_variables, is_over_k, map_expr, substitute, walk_exprs
from rnncc.passes.loop.machine import Machine
from rnncc.passes.loop.nest import packed_sizes
from rnncc.passes.manager import Note, nobody
from rnncc.records import record


def prefetch_panels(procedure: Procedure, machine: Machine, note: Note = nobody) -> Procedure:
    """Prefetch the next panel in the loops over k of several rows, where the weights around do not stay in level 2."""
    far = _far(procedure, machine)
    if not far:
        return procedure
    walker = _Walker({name: procedure.buffer(name) for name in far}, Names(procedure))
    body = walker.block(procedure.body, (), {})
    for name, size in far.items():
        if name in walker.asked:
            why = f"{size >> 10:,} KiB of weights are read in turn, more than half of level 2"
            note(f"{name}: the next panel is asked for by the first rows of this one, {why}")
    return procedure if body == procedure.body else replace(procedure, body=body)


def _far(procedure: Procedure, machine: Machine) -> dict[str, int]:
    """Packed buffers that are gone from level 2 when they are read again, and how many bytes are read together."""
    sizes = packed_sizes(procedure)
    far: dict[str, int] = {}
    for statement in procedure.body:
        used = buffers_of(statement)
        own = [name for name in sizes if name in used]
        total = sum(sizes[name] for name in own)
        if total > machine.middle_bytes // 2:
            far |= {name: max(total, far.get(name, 0)) for name in own if sizes[name] > machine.near_bytes}
    return far


@record(frozen=True, slots=True)
class _Walker:
    """`far` are the packed buffers that no near cache holds, `asked` those for whose panels something asks."""

    far: Mapping[str, Buffer]
    names: Names
    asked: set[str] = field(default_factory=set)

    def block(self, statements: Sequence[Stmt], around: tuple[For, ...], known: Mapping[str, Expr]) -> tuple[Stmt, ...]:
        """`statements` inside of the loops `around`; `known` are the values of names."""
        result: list[Stmt] = []
        known = dict(known)
        for statement in statements:
            if isinstance(statement, Let):
                known[statement.name] = statement.value
            if isinstance(statement, For) and statement.kind != "matrix":
                statement = replace(statement, body=self.block(statement.body, (*around, statement), known))
                if statement.kind == "parallel" and statement.step > 1 and statement.start == ZERO:
                    result += self.tiles(statement, around, known)
                    continue
            result.append(statement)
        return tuple(result)

    def tiles(self, rows: For, around: tuple[For, ...], known: Mapping[str, Expr]) -> list[Stmt]:
        """`rows`, the first turns of which ask for the next panel if a loop over k in it reads weights from afar."""
        lets: list[Let] = []
        most = 0

        def asking(statement: Stmt) -> Stmt:
            if not isinstance(statement, For) or statement.kind != "range":
                return statement
            if is_over_k(statement):
                return over_k(statement)
            return replace(statement, body=tuple(map(asking, statement.body)))

        def over_k(loop: For) -> For:
            nonlocal most
            loads = [part for part in walk_exprs(loop.body) if isinstance(part, Load) and part.buffer in self.far]
            done = {statement.buffer for statement in loop.body if isinstance(statement, Prefetch)}
            for load in {load.buffer: load for load in reversed(loads) if load.buffer not in done}.values():
                ahead = _next_panel(load, around, known)
                if ahead is None:
                    continue
                _, depth, *vectors, _ = self.far[load.buffer].shape[-PACKED_AXES:]
                shares = prod(int(size.value) for size in vectors if isinstance(size, Const))
                size = floordiv(add(depth, integer(shares - 1)), integer(shares))
                share = multiply(floordiv(Var(rows.variable), integer(rows.step)), size)
                most = max(most, shares)
                names = [self.named(lets, hint, value) for hint, value in (("ahead", ahead), ("share", share))]
                copy, k, lanes = load.index[:-PACKED_AXES], load.index[K_AXIS], load.index[-1]
                assert not isinstance(k, Span), "a vector is of one k"
                at = [(*copy, *names, ZERO, add(k, integer(turn)), lanes) for turn in range(loop.step)]
                loop = replace(loop, body=(*(Prefetch(load.buffer, index) for index in at), *loop.body))
                self.asked.add(load.buffer)
            return loop

        body = tuple(map(asking, rows.body))
        if not most:
            return [rows]
        some = folded(call("min", rows.stop, integer(rows.step * most)))
        first = [] if isinstance(some, Const) else [Let(self.names.fresh("first_tiles"), some)]
        stop = Var(first[0].name) if first else some
        rest = [] if stop == rows.stop else [replace(rows, start=stop)]
        return [*first, replace(rows, stop=stop, body=(*lets, *body)), *rest]

    def named(self, lets: list[Let], hint: str, value: Expr) -> Var:
        """A name for `value`, from `lets` where there is one."""
        for let in lets:
            if let.value == value:
                return Var(let.name)
        lets.append(Let(self.names.fresh(hint), value))
        return Var(lets[-1].name)


def _next_panel(load: Load, around: Sequence[For], known: Mapping[str, Expr]) -> Expr | None:
    """The panel that is read after that of `load`; None where no loop walks over panels."""
    panel = load.index[-PACKED_AXES]
    assert not isinstance(panel, Span), "a vector is of one panel"
    walks = {loop.variable: loop for loop in around}
    while not (variables := free_variables(panel)) & walks.keys() and variables & known.keys():
        panel = substitute(panel, known)
    loop = next((walks[name] for name in reversed(walks) if name in variables), None)
    if loop is None or ((turns := difference(loop.stop, loop.start)) is not None and turns <= loop.step):
        return None
    last = subtract(loop.stop, integer(loop.step))
    following = call("min", add(Var(loop.variable), integer(loop.step)), last)
    return map_expr(substitute(panel, {loop.variable: following}), folded)
