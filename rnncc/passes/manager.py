"""Runs passes in order, over any kind of IR: verifies what changed, and keeps a snapshot after every pass.

A pass is a function from an IR to an IR that returns the same object when it changed nothing. One that decides
something also says what and why, a line for each decision. The dump tool, the timing table and the bisect tool only
read snapshots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Generic, TypeVar

from rnncc.errors import VerifyError

IR = TypeVar("IR")


Note = Callable[[str], None]
"""Takes a decision of a pass, as one line."""


def nobody(text: str) -> None:
    """A note that nobody reads."""


@dataclass(frozen=True, slots=True)
class Pass(Generic[IR]):
    """A named rewrite; `reason` is one line that says why it stands where it stands.

    `notes` is where the newest run left its decisions, None for a pass that decides nothing.
    """

    name: str
    reason: str
    run: Callable[[IR], IR]
    notes: list[str] | None = None


def deciding(name: str, reason: str, run: Callable[..., IR], **options: object) -> Pass[IR]:
    """A pass whose function takes a `note`, and options."""
    notes: list[str] = []
    return Pass(name, reason, partial(run, note=notes.append, **options), notes)


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
    notes: tuple[str, ...] = ()
    """What the pass decided, and why."""

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
        notes = [] if step.notes is None else step.notes
        notes.clear()
        start = perf_counter()
        result = step.run(ir)
        milliseconds = (perf_counter() - start) * 1e3
        changed = result is not ir
        after = count(result) if changed else nodes
        snapshots.append(
            Snapshot(step.name, step.reason, result, changed, nodes, after, milliseconds, show, tuple(notes))
        )
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
