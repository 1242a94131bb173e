"""Walk over the panels of large weights back and forth: what the last step left in the cache is read first.

    for t in range(0, T):                          for t in range(0, T):
        for js in parallel(0, 512, 16):                for turn in range(0, 512, 16):
            for k in range(0, 512):        ->              js = turn + t % 2 * (496 - turn - turn)
                acc += h[k] * wp[js // 16, k]              for k in range(0, 512):
                                                               acc += h[k] * wp[js // 16, k]

A cache that keeps what was used last is of no use to a walk from front to back over more than it holds: what comes next
is what it has just dropped. Going back it hits as much as it holds. The loop over k inside always goes forwards: the
order of the additions stays what it is. Measured on weights of 64 KiB to 4 MiB: 1.05 to 1.6 times the bandwidth.

Requires: `rotate_copies`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import field, replace

from rnncc.loop.builder import add, floordiv, integer, mod, multiply, subtract
from rnncc.loop.index import multiple_of
from rnncc.loop.ir import INDEPENDENT, PACKED_AXES, Expr, For, Index, Let, Load, Procedure, Span, Stmt, Var
from rnncc.loop.names import Names
from rnncc.loop.visit import free_variables, walk_exprs
from rnncc.passes.loop.machine import Machine
from rnncc.passes.loop.nest import is_over_steps, packed_sizes, written_by
from rnncc.passes.loop.schedule import Schedule
from rnncc.passes.manager import Note, nobody
from rnncc.records import record


def alternate_panels(procedure: Procedure, machine: Machine, schedule: Schedule = (), note: Note = nobody) -> Procedure:
    """Turn the loops over panels that read more than the level 1 cache holds, or as `schedule` says."""
    sizes = packed_sizes(procedure)
    rotating = {name for name, size in sizes.items() if len(procedure.buffer(name).shape) > PACKED_AXES}
    large = {name for name, size in sizes.items() if size > machine.near_bytes and name not in rotating}
    chosen = {name: choice.back_and_forth for name, choice in schedule if choice.back_and_forth is not None}
    walker = _Walker(sizes.keys(), large, chosen, written_by(procedure), Names(procedure))
    body = walker.block(procedure.body, None, {})
    for nest in chosen.keys() - walker.obeyed:
        note(f"{nest}: no loop over steps walks over its panels: front to back")
    for name, size in sizes.items():
        if name in walker.uneven:
            note(f"{name}: front to back: the walk does not end with a whole panel")
        elif name in walker.told:
            note(f"{name}: {'back and forth' if name in walker.turned else 'front to back'} (as told)")
        elif name in walker.turned:
            note(f"{name}: back and forth, {size >> 10:,} KiB are more than level 1 holds")
        elif name in large:
            note(f"{name}: front to back: no loop over steps reads whole panels of it")
    return procedure if body == procedure.body else replace(procedure, body=body)


@record(frozen=True, slots=True)
class _Walker:
    packed: Set[str]
    large: set[str]
    chosen: Mapping[str, bool]
    name_of: Callable[[Stmt], str]
    names: Names
    turned: set[str] = field(default_factory=set)
    """Buffers whose panels are now read back and forth."""
    told: set[str] = field(default_factory=set)
    """Buffers whose order is not our decision."""
    uneven: set[str] = field(default_factory=set)
    """Buffers that were to be read back and forth, and cannot be."""
    obeyed: set[str] = field(default_factory=set)
    """Nests of the schedule that walk over panels."""

    def block(self, statements: Sequence[Stmt], step: Expr | None, around: Mapping[str, For]) -> tuple[Stmt, ...]:
        """`statements` of turn number `step` of a loop (None: outside of such loops), inside of loops `around`."""
        return tuple(
            self.loop(statement, step, around) if isinstance(statement, For) else statement for statement in statements
        )

    def loop(self, loop: For, step: Expr | None, around: Mapping[str, For]) -> For:
        inside = {**around, loop.variable: loop}
        if is_over_steps(loop):
            number = floordiv(Var(loop.variable), integer(loop.step))
            return replace(loop, body=self.block(loop.body, number, inside))
        if step is None or loop.kind not in ("parallel", "claimed") or not (panels := _panels(loop, self.packed)):
            if loop.kind not in INDEPENDENT:
                return loop
            return replace(loop, body=self.block(loop.body, step, inside))
        name = self.name_of(loop)
        if name in self.chosen:
            self.told.update(panels)
            self.obeyed.add(name)
        if not self.chosen.get(name, bool(panels & self.large)):
            return loop
        if multiple_of(subtract(loop.stop, loop.start), around) % loop.step:
            self.uneven.update(panels)
            return loop
        self.turned.update(panels)
        turn = Var(self.names.fresh("turn"))
        ends = subtract(add(loop.start, loop.stop), integer(loop.step))
        back = subtract(subtract(ends, turn), turn)
        place = Let(loop.variable, add(turn, multiply(mod(step, integer(2)), back)))
        kind = "range" if loop.kind == "parallel" else loop.kind
        return replace(loop, variable=turn.name, kind=kind, body=(place, *loop.body))


def _panels(loop: For, packed: Set[str]) -> set[str]:
    """The buffers among `packed` that the loop's variable says which panel to read of."""
    return {
        part.buffer
        for part in walk_exprs(loop.body)
        if isinstance(part, Load) and part.buffer in packed and _is_panel(part.index[-PACKED_AXES], loop.variable)
    }


def _is_panel(index: Index, variable: str) -> bool:
    return not isinstance(index, Span) and variable in free_variables(index)
