"""Command line options that several tools have: what to look at, and how it is compiled."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace

from rnncc.codegen.target import KNOWN_TARGETS
from rnncc.errors import ArgumentError
from rnncc.options import PRECISIONS, Options
from rnncc.passes.loop.schedule import Schedule, as_schedule
from rnncc.runtime.threads import check_threads
from rnncc.types import dtype_of


def add_subject(parser: ArgumentParser) -> None:
    """FILE[:NAME] and --spec."""
    parser.add_argument(
        "file",
        metavar="FILE[:NAME]",
        help="a Python file and the name of a model, graph or function in it (NAME can be left out when there is only "
        "one model), a text file with graph IR or loop IR, or - for such text on standard input",
    )
    parser.add_argument(
        "--spec",
        action="append",
        default=[],
        metavar="TYPE",
        help="type of an argument of a function, such as 'float32[B, T, 3]'; once for each, in order",
    )


def add_compile_options(parser: ArgumentParser) -> None:
    """--dtype, --target, --unroll, --precision, --threads and --schedule."""
    group = parser.add_argument_group("how it is compiled (see rnncc.compile)")
    group.add_argument("--dtype", default="float32", help="float32 (default) or float64")
    group.add_argument("--target", default="host", help=f"{', '.join(KNOWN_TARGETS)}; default: host")
    group.add_argument("--unroll", type=int, metavar="N", help="steps in one turn of every loop over time")
    group.add_argument("--precision", choices=PRECISIONS, default="float32", help="of products with weights")
    group.add_argument("--threads", type=int, default=1, metavar="N", help="threads that share a call; default: 1")
    group.add_argument(
        "--schedule",
        metavar="JSON",
        help='what the cost model does not decide, by the names in dump --list: \'{"h": {"copies": 2}}\'',
    )


def compile_options(arguments: Namespace) -> Options:
    """The options of `rnncc.compile` that the command line asks for. Raises DTypeError or ArgumentError."""
    dtype = dtype_of(arguments.dtype)
    if not dtype.is_float:
        raise ArgumentError(f"--dtype {arguments.dtype}: a model cannot compute in {dtype}", "known: float32, float64")
    if arguments.unroll is not None and not 1 <= arguments.unroll <= 64:
        raise ArgumentError(f"--unroll {arguments.unroll}: a turn holds 1 to 64 steps")
    threads = check_threads(arguments.threads)
    return Options(
        dtype,
        arguments.target,
        arguments.unroll,
        threads=threads,
        precision=arguments.precision,
        schedule=_schedule(arguments.schedule),
    )


def _schedule(text: str | None) -> Schedule:
    """The schedule that --schedule gives as JSON."""
    try:
        return as_schedule(None if text is None else json.loads(text))
    except json.JSONDecodeError as error:
        raise ArgumentError(f"--schedule is not JSON: {error}", remedy='such as \'{"h": {"copies": 2}}\'') from None
