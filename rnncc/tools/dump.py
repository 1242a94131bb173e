"""`rnncc dump`: shows what a model becomes, stage by stage and pass by pass."""

from __future__ import annotations

import difflib
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rnncc.errors import ArgumentError, nearest
from rnncc.graph.deps import to_dot
from rnncc.graph.ir import Graph
from rnncc.pipeline import STAGES
from rnncc.tools.folder import write_folder
from rnncc.tools.load import load_subject
from rnncc.tools.options import add_compile_options, add_subject, compile_options
from rnncc.tools.page import Page, aligned
from rnncc.tools.trail import Step, Trail, pass_names, steps_of, trail_of

_TITLES = ("", "name", "changed", "nodes", "ms", "reason")
_SUFFIX = {"python": "txt", "llvm": "ll", "asm": "s"}
_EXAMPLES = """\
examples:
  rnncc dump model.py                        the graph after all graph passes
  rnncc dump model.py:encoder --list         all stages and passes, what they changed and how long they took
  rnncc dump model.py --diff hoist_scan      what one pass did
  rnncc dump model.py --stage asm            machine code; look for ==== to find the inner loop of a scan step
  rnncc dump cell.py:step --spec 'f32[B, 8]' --stage loop
  rnncc dump model.py --stage graph > a.txt; rnncc dump a.txt --changes
"""


def add_parser(subparsers: Any) -> None:
    """Add the command to those of the main parser."""
    parser: ArgumentParser = subparsers.add_parser(
        "dump",
        help="show the graph, the loops and the machine code of a model, after any pass",
        description="Shows what a model becomes, stage by stage and pass by pass.",
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    add_subject(parser)
    view = parser.add_argument_group("what is shown").add_mutually_exclusive_group()
    view.add_argument(
        "--stage",
        metavar="STAGE",
        help=f"{', '.join(STAGES)}. Default: fused, the graph that is compiled (scheduled, for loop IR): there one "
        "sees what a step still has to do",
    )
    view.add_argument("--after", metavar="PASS", help="the whole text after one pass")
    view.add_argument("--changes", action="store_true", help="what each pass changed, as a diff; no other passes")
    view.add_argument("--diff", metavar="PASS", help="what one pass changed, as a unified diff")
    view.add_argument("--list", action="store_true", help="all stages and passes, and what passes decided and why")
    parser.add_argument("--full", action="store_true", help="with --changes: whole texts instead of diffs")
    parser.add_argument("--dot", action="store_true", help="draw the graph in Graphviz's language (graph stages only)")
    parser.add_argument(
        "-o",
        metavar="DIR",
        dest="folder",
        type=Path,
        help="write every snapshot to a file of its own in DIR (with --changes: only those that differ)",
    )
    add_compile_options(parser)
    parser.set_defaults(run=run)


def run(arguments: Namespace, page: Page) -> int:
    """Show what the arguments ask for. Raises RnnccError."""
    _check_combination(arguments)
    subject = load_subject(arguments.file, arguments.spec)
    trail = trail_of(subject.ir, compile_options(arguments))
    steps = steps_of(trail)
    if arguments.list:
        _list(page, steps, trail)
    elif arguments.folder is not None:
        _write(arguments.folder, steps, f"{subject.where} for {arguments.target}", changes=arguments.changes)
    elif arguments.changes:
        _changes(page, steps, full=arguments.full)
    elif arguments.diff is not None:
        _diff(page, find_step(steps, arguments.diff, trail))
    else:
        default = "fused" if isinstance(subject.ir, Graph) else "scheduled"
        _show(page, find_step(steps, arguments.stage or arguments.after or default, trail), is_dot=arguments.dot)
    if trail.error is not None:  # shown is what there is; but that is not all
        raise trail.error
    return 0


def _check_combination(arguments: Namespace) -> None:
    if arguments.stage is not None and arguments.stage not in STAGES:
        raise _unknown("stage", arguments.stage, STAGES)
    if arguments.folder is not None and (arguments.stage or arguments.after or arguments.diff or arguments.list):
        raise ArgumentError("-o writes all snapshots: it does not go with --stage, --after, --diff or --list")
    if arguments.full and not arguments.changes:
        raise ArgumentError("--full goes with --changes")
    if arguments.dot and (arguments.changes or arguments.diff or arguments.list or arguments.folder is not None):
        raise ArgumentError("--dot draws one graph: it goes with --stage graph, --stage fused or --after PASS")


def find_step(steps: Sequence[Step], name: str, trail: Trail) -> Step:
    """The stage or pass called `name`. Raises what stopped the compilation when it never got there."""
    for step in steps:
        if step.name == name:
            return step
    passes = pass_names(trail)
    if trail.error is not None and name in (*STAGES, *passes):
        raise trail.error
    if name in STAGES:
        raise ArgumentError(f"loop IR has no stage {name!r}", f"stages: {', '.join(_names(steps, 'stage'))}")
    raise _unknown("pass", name, passes)


def _names(steps: Iterable[Step], kind: str) -> list[str]:
    return [step.name for step in steps if step.kind == kind]


def _unknown(kind: str, name: str, known: Sequence[str]) -> ArgumentError:
    meant = nearest(name, known)
    plural = "passes" if kind == "pass" else f"{kind}s"
    remedy = f"did you mean {meant!r}?" if meant else None
    return ArgumentError(f"unknown {kind} {name!r}", f"{plural}: {', '.join(known)}", remedy=remedy)


# ------------------------------------------------------------------ views


def _show(page: Page, step: Step, *, is_dot: bool) -> None:
    if not is_dot:
        page.code(step.text(), step.language)
    elif isinstance(step.ir, Graph):
        page.code(to_dot(step.ir), "dot")
    else:
        raise ArgumentError(f"{step.name} is not a graph", remedy="--dot draws graph stages and graph passes")


def diff_of(step: Step) -> str:
    """A unified diff of what `step` changed; empty when it changed nothing."""
    if step.before is None:
        return ""
    before, after = step.before().splitlines(), step.text().splitlines()
    names = (f"before {step.name}", f"after {step.name}")
    return "\n".join(difflib.unified_diff(before, after, *names, lineterm=""))


def _diff(page: Page, step: Step) -> None:
    if step.before is None:
        raise ArgumentError(f"{step.name} is not a pass", remedy=f"see all of it with --stage {step.name}")
    difference = diff_of(step)
    page.code(difference, "diff") if difference else page.line(f"{step.name} changed nothing")


def _changes(page: Page, steps: Iterable[Step], *, full: bool) -> None:
    for step in steps:
        is_start = step.before is None
        if step.language != "python" or not (step.changed or is_start):
            continue
        page.line(f"# {'=' * 8} {step.name}: {step.reason}", "bold")
        page.code(step.text() if full or is_start else diff_of(step), "python" if full or is_start else "diff")
        page.line()


def _list(page: Page, steps: Sequence[Step], trail: Trail) -> None:
    page.table(_TITLES, list_rows(steps), right=(0, 4))
    for step in steps:
        for number, note in enumerate(step.notes):
            if not number:
                page.line()
                page.line(f"{step.name} decided:", "bold")
            page.line(f"  {note}")
    if trail.milliseconds:
        parts = [f"{name} {time:.1f}" for name, time in trail.milliseconds.items()]
        page.line()
        page.line(f"{sum(trail.milliseconds.values()):.1f} ms with verification: {', '.join(parts)}")
    if trail.error is not None:
        page.line()
        page.line(f"{trail.failed} failed: nothing after it was made", "bold red")


def list_rows(steps: Iterable[Step]) -> list[list[str]]:
    """The cells of --list, a row for each step."""
    rows = []
    for number, step in enumerate(steps):
        before, after = step.sizes or ("", "")
        sizes = f"{before} -> {after}" if before != after else str(after)
        changed = ("yes" if step.changed else "no") if step.kind == "pass" else step.kind
        time = "" if step.milliseconds is None else f"{step.milliseconds:.2f}"
        rows.append([f"{number:02}", step.name, changed, sizes, time, step.reason])
    return rows


def _write(folder: Path, steps: Sequence[Step], what: str, *, changes: bool) -> None:
    files = {
        f"{number:02}-{step.name}.{_SUFFIX[step.language]}": step.text().rstrip("\n") + "\n"
        for number, step in enumerate(steps)
        if step.changed or not changes
    }
    table = aligned([_TITLES, *list_rows(steps)], (0, 4))
    write_folder(folder, files, "\n".join([what, "", *table]))
