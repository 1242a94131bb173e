"""Runs passes in order, over any kind of IR: keeps a snapshot after every pass, and verifies what comes out.

A pass is a function from an IR to an IR that returns the same object when it changed nothing. One that decides
something also says what and why, a line for each decision. The dump tool, the timing table and the bisect tool only
read snapshots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import Generic, TypeVar

from rnncc.errors import VerifyError
from rnncc.records import record

IR = TypeVar("IR")


Note = Callable[[str], None]
"""Takes a decision of a pass, as one line."""


def nobody(text: str) -> None:
    """A note that nobody reads."""


@record(frozen=True, slots=True)
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


@record(frozen=True, slots=True)
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

    What comes out is verified. If it is wrong, or a pass fails, all that came before is, too: the first pass that broke
    something is the one to name. To verify after each pass what all the others take for granted would take a tenth of
    the time of a compilation.

    Args:
        ir: where to start; taken to be valid.
        passes: in the order in which to run.
        verify: raises VerifyError for an invalid IR.
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
        try:
            result = step.run(ir)
        except Exception:
            verify_each(snapshots, verify)
            raise
        milliseconds = (perf_counter() - start) * 1e3
        changed = result is not ir
        after = count(result) if changed else nodes
        snapshots.append(
            Snapshot(step.name, step.reason, result, changed, nodes, after, milliseconds, show, tuple(notes))
        )
        ir, nodes = result, after
    if any(snapshot.changed for snapshot in snapshots):
        try:
            verify(ir)
        except VerifyError:
            verify_each(snapshots, verify)
    return ir, snapshots


def verify_each(snapshots: Sequence[Snapshot[IR]], verify: Callable[[IR], None]) -> None:
    """Verify what every pass made; a VerifyError gets the name of the pass and of those that changed something before.

    Raises VerifyError.
    """
    changed: list[str] = []
    for snapshot in snapshots:
        if not snapshot.changed:
            continue
        changed.append(snapshot.name)
        try:
            verify(snapshot.ir)
        except VerifyError as error:
            raise VerifyError(
                f"after {snapshot.name}: {error.what}",
                *error.facts,
                f"passes that changed the {type(snapshot.ir).__name__.lower()} so far: {', '.join(changed)}",
                place=error.place,
                remedy="this is a bug in rnncc; `rnncc bisect FILE` names the first wrong pass",
            ) from None
