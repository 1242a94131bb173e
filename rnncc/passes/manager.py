"""Runs passes in order, over any kind of IR: verifies what changed, and keeps a snapshot after every pass.

A pass is a function from an IR to an IR that returns the same object when it changed nothing. The dump tool, the timing
table and the bisect tool only read snapshots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Generic, TypeVar

from rnncc.errors import VerifyError

IR = TypeVar("IR")


@dataclass(frozen=True, slots=True)
class Pass(Generic[IR]):
    """A named rewrite; `reason` is one line that says why it stands where it stands."""

    name: str
    reason: str
    run: Callable[[IR], IR]


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[IR]):
    """The IR after one pass. Its text is made only when somebody asks."""

    name: str
    reason: str
    ir: IR
    changed: bool
    nodes_before: int
    nodes_after: int
    milliseconds: float
    """Time of the pass itself, without the verifier."""
    show: Callable[[IR], str]

    @property
    def text(self) -> str:
        """The IR as text."""
        return self.show(self.ir)


def run_passes(
    ir: IR,
    passes: Sequence[Pass[IR]],
    *,
    verify: Callable[[IR], None],
    show: Callable[[IR], str],
    count: Callable[[IR], int],
) -> tuple[IR, list[Snapshot[IR]]]:
    """`ir` after all `passes`, and a snapshot after each.

    Args:
        ir: where to start; taken to be valid.
        passes: in the order in which to run.
        verify: raises VerifyError for an invalid IR; called after every pass that changed something.
        show: the IR as text, for `Snapshot.text`.
        count: the size of an IR, for the timing table.

    Raises:
        VerifyError: a pass made an invalid IR. The message names it, and the passes that changed something before.
    """
    snapshots: list[Snapshot[IR]] = []
    nodes = count(ir)
    for step in passes:
        start = perf_counter()
        result = step.run(ir)
        milliseconds = (perf_counter() - start) * 1e3
        changed = result is not ir
        after = count(result) if changed else nodes
        snapshots.append(Snapshot(step.name, step.reason, result, changed, nodes, after, milliseconds, show))
        if changed:
            _verify_after(result, snapshots, verify)
        ir, nodes = result, after
    return ir, snapshots


def _verify_after(ir: IR, snapshots: Sequence[Snapshot[IR]], verify: Callable[[IR], None]) -> None:
    """Verify `ir`; a VerifyError gets the name of the newest pass and of those that changed something."""
    try:
        verify(ir)
    except VerifyError as error:
        changed = ", ".join(snapshot.name for snapshot in snapshots if snapshot.changed)
        raise VerifyError(
            f"after {snapshots[-1].name}: {error.what}",
            *error.facts,
            f"passes that changed the {type(ir).__name__.lower()} so far: {changed}",
            place=error.place,
            remedy="this is a bug in rnncc; `rnncc bisect FILE` names the first wrong pass",
        ) from None
