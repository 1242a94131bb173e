"""Fresh names for what is added to a procedure."""

from __future__ import annotations

from functools import cached_property

from rnncc.loop.ir import For, Let, Procedure, Reduce
from rnncc.loop.visit import walk_exprs, walk_statements
from rnncc.names import unused


class Names:
    """Hands out names that nothing in a procedure has: no buffer, dim, loop variable or value."""

    def __init__(self, procedure: Procedure) -> None:
        self._procedure = procedure

    @cached_property
    def _taken(self) -> set[str]:
        """Looked for when the first name is wanted: many passes want none."""
        procedure = self._procedure
        taken = {buffer.name for buffer in procedure.buffers} | set(procedure.given)
        for statement in walk_statements((*procedure.setup, *procedure.body)):
            if isinstance(statement, For):
                taken.add(statement.variable)
            elif isinstance(statement, Let):
                taken.add(statement.name)
        return taken | {part.variable for part in walk_exprs(procedure.body) if isinstance(part, Reduce)}

    def fresh(self, hint: str) -> str:
        """`hint` itself, or with a number behind it."""
        name = unused(hint, self._taken)
        self._taken.add(name)
        return name

    def release(self, name: str) -> None:
        """Nothing is called `name` any more."""
        self._taken.discard(name)
