"""`rnncc bench`: its options, and what happens in which order."""

from __future__ import annotations

import argparse
import json
import math
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rnncc.compiler import compile as compile_model
from rnncc.errors import ArgumentError, nearest
from rnncc.keys import remember_schedule, schedule_folder
from rnncc.options import PRECISIONS, Options
from rnncc.passes.loop.schedule import as_schedule
from rnncc.tools.bench.cases import Case
from rnncc.tools.bench.machine import cores, cpu_name
from rnncc.tools.bench.measure import tolerance
from rnncc.tools.bench.peers import PEERS, Peer
from rnncc.tools.bench.plot import check_plot, write_plot
from rnncc.tools.bench.progress import ProgressLine
from rnncc.tools.bench.report import microseconds, write_report
from rnncc.tools.bench.results import Report, as_json
from rnncc.tools.bench.tune import graph_of, tune
from rnncc.tools.bench.worker import Order, case_of, enough_memory, jobs, measure_in_process
from rnncc.tools.bench.workloads import WORKLOADS, find_workload

DEFAULT_WORKLOADS = ("classify-1", "classify-32")
_ALL = "all"
_LIBRARIES = ("rnncc", "numpy", "llvmlite")


def add_parser(subparsers: Any) -> None:
    """Add the command to a command line."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "bench",
        help="time a model beside its peers, and beside what the machine can do",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    parser.set_defaults(run=lambda arguments, page: run(arguments))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments and options of the benchmark."""
    parser.add_argument(
        "workloads",
        nargs="*",
        metavar="WORKLOAD",
        help=f"names from --list, {_ALL}, or FILE.py[:NAME] for a model of yours (default: "
        f"{' '.join(DEFAULT_WORKLOADS)})",
    )
    parser.add_argument("--list", action="store_true", help="list workloads and peers, and measure nothing")
    parser.add_argument(
        "--profile", action="store_true", help="show where the time of a call goes, kernel by kernel, and nothing else"
    )
    parser.add_argument(
        "--tune", action="store_true", help="try other register tiles than those of the cost model, and nothing else"
    )
    parser.add_argument(
        "--remember", action="store_true", help="with --tune: let rnncc.compile use what was found for the same model"
    )
    parser.add_argument("--peers", metavar="A,B", help="peers to compare with, all, or none (default: see --list)")
    parser.add_argument("--threads", metavar="N,M", default="1", help="numbers of threads to measure with (default: 1)")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="of products with weights (default: float32); beside float32-bf16x6, peers compute in float32",
    )
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="about how long to time each row, all contenders together"
    )
    parser.add_argument("--batch", type=_size, metavar="B", help="rows, instead of those of the workload")
    parser.add_argument("--length", type=_size, metavar="T", help="steps, instead of those of the workload")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw the comparison (.png, .svg, .pdf)")


def run(args: argparse.Namespace) -> int:
    """Measure and report. Returns 1 when some contender computed something else than the reference.

    Raises ArgumentError for names and numbers that have no meaning.
    """
    _check_together(args)
    if args.list:
        sys.stdout.write(listing())
        return 0
    names = _workload_names(args.workloads)
    peers = choose_peers(args.peers)
    threads = _thread_counts(args.threads)
    if not 0 < args.seconds < math.inf:
        raise ArgumentError(f"--seconds must be a number above 0, not {args.seconds:g}")
    if args.profile or args.tune:
        order = Order(names, (), 1, 0.0, args.batch, args.length)
        for name, batch, length in jobs(order):
            with enough_memory(name, batch, length):
                case = case_of(order, name, batch, length)
                _show_tuning(case, args, threads) if args.tune else _show_profile(case, args)
        return 0
    if args.plot:
        check_plot(args.plot)
    installed = [peer for peer in peers if peer.available()]
    keys = tuple(peer.key for peer in installed)
    shape = args.batch, args.length, args.precision
    parts = [measure_in_process(Order(names, keys, count, args.seconds, *shape)) for count in threads]
    report = Report(
        cpu=f"{cpu_name()}, {platform.system()}",
        date=date.today().isoformat(),
        command=command_text(args),
        versions=_versions(installed),
        missing=tuple(peer.title for peer in peers if peer not in installed),
        seconds=args.seconds,
        tolerance="{:g} relative + {:g} absolute".format(*tolerance(args.precision)),
        roofs=tuple(roof for roof, _ in parts),
        rows=tuple(row for group in zip(*(rows for _, rows in parts), strict=True) for row in group),
    )
    if args.json:
        sys.stdout.write(json.dumps(as_json(report), indent=2) + "\n")
    else:
        write_report(report, sys.stdout)
    if args.plot:
        sys.stdout.flush()  # what was measured is there before the picture, whatever becomes of that
        write_plot(report, args.plot)
    return 0 if all(row.is_correct for row in report.rows) else 1


def _check_together(args: argparse.Namespace) -> None:
    """Raise ArgumentError for options that have no meaning beside each other, or not here."""
    if args.remember and not args.tune:
        raise ArgumentError("--remember goes with --tune")
    if args.remember:
        schedule_folder()
    if args.tune and args.profile:
        raise ArgumentError("--tune and --profile are two things to do", remedy="run rnncc bench once for each")
    if args.list and (args.json or args.plot or args.tune or args.profile):
        raise ArgumentError("--list goes alone: it measures nothing")
    mode = "--tune" if args.tune else "--profile" if args.profile else ""
    without = ["json", "plot", "peers", *(["threads"] if args.profile and not args.tune else [])]
    given = [f"--{option}" for option in without if getattr(args, option) not in (None, False, "1")]
    if mode and given:
        raise ArgumentError(f"{mode} has no use for {', '.join(given)}", remedy=f"leave out {mode} or {given[0]}")


def _show_profile(case: Case, args: argparse.Namespace) -> None:
    profile = compile_model(case.model, precision=args.precision).profile(*case.inputs)
    sys.stdout.write(f"{case.workload.name} {case.batch} x {case.length}, one thread\n{profile}\n\n")


def _show_tuning(case: Case, args: argparse.Namespace, threads: Sequence[int]) -> None:
    line = ProgressLine(sys.stderr)
    for count in threads:
        options = Options(threads=count, precision=args.precision)
        found = tune(case, options, args.seconds, line.show)
        line.clear()
        sys.stdout.write(
            f"{case.workload.name} {case.batch} x {case.length}, threads {count}: {found.tried} tiles tried, "
            f"{microseconds(found.before_us)} us before, {microseconds(found.after_us)} after\n"
            f"  schedule={found.schedule}\n"
        )
        if args.remember:
            chosen = replace(options, schedule=as_schedule(found.schedule))
            sys.stdout.write(f"  remembered in {remember_schedule(graph_of(case), chosen)}\n")


def listing() -> str:
    """The workloads with their sizes, and the peers with their versions."""
    lines = ["workloads:"]
    for workload in WORKLOADS:
        sizes = ", ".join(f"{batch} x {length}" for batch, length in workload.sizes)
        lines.append(f"  {workload.name:<17} {sizes:<18} {workload.about}")
    lines.append("peers:")
    for peer in PEERS:
        state = peer.version() if peer.available() else f"not installed: pip install {' '.join(peer.requires)}"
        lines.append(f"  {peer.key:<14} {peer.title}, {state}{'' if peer.is_default else ' (only on request)'}")
    return "\n".join(lines) + "\n"


def choose_peers(text: str | None) -> list[Peer]:
    """The peers that `--peers` names. Raises ArgumentError for an unknown one."""
    if text is None:
        return [peer for peer in PEERS if peer.is_default]
    if text in (_ALL, "none"):
        return list(PEERS) if text == _ALL else []
    known = {peer.key: peer for peer in PEERS}
    chosen = [item.strip() for item in text.split(",") if item.strip()]
    if not chosen:
        raise ArgumentError(f"--peers {text!r} names no peer", remedy="--peers none measures rnncc alone")
    for item in chosen:
        if item not in known:
            meant = nearest(item.lower(), known)
            raise ArgumentError(
                f"there is no peer {item!r}",
                f"peers: {', '.join(known)}",
                remedy=f"did you mean {meant!r}?" if meant else None,
            )
    return [peer for key, peer in known.items() if key in chosen]


def command_text(args: argparse.Namespace) -> str:
    """The command that gives these figures again."""
    words = ["rnncc", "bench", *(args.workloads or DEFAULT_WORKLOADS)]
    for option in ("peers", "threads", "precision", "seconds", "batch", "length"):
        value = getattr(args, option)
        if value is not None and (option, value) != ("precision", "float32"):
            words += [f"--{option}", f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join(words)


def _workload_names(given: Sequence[str]) -> tuple[str, ...]:
    names = [workload.name for workload in WORKLOADS] if _ALL in given else given or DEFAULT_WORKLOADS
    for name in names:
        find_workload(name)
    return tuple(dict.fromkeys(names))


def _thread_counts(text: str) -> tuple[int, ...]:
    counts = tuple(dict.fromkeys(int(item) if item.strip().isdecimal() else 0 for item in text.split(",")))
    if not all(counts):
        raise ArgumentError(f"--threads takes whole numbers above 0, not {text!r}", remedy="for example --threads 1,2")
    usable = len(cores(max(counts)))
    if usable < max(counts):
        raise ArgumentError(f"--threads {max(counts)}: this process may use {usable} CPUs")
    return counts


def _size(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _versions(peers: Sequence[Peer]) -> dict[str, str]:
    found = {"Python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "from source"
    return found | {peer.title: peer.version() for peer in peers if peer.key not in _LIBRARIES}
