"""The command `rnncc`: finds the tool, and turns errors into messages and exit codes.

Exit codes: 0 done, 1 a check found something wrong, 2 the input is wrong or a file cannot be read or written,
141 the reader of a pipe went away.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from rnncc.errors import RnnccError
from rnncc.tools import bisect, cache, dump
from rnncc.tools.bench import command as bench
from rnncc.tools.page import open_page

WRONG_INPUT = 2
BROKEN_PIPE = 128 + 13
INTERRUPTED = 128 + 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (by default that of the process) and return the exit code."""
    arguments = _parser().parse_args(argv)
    if sys.stdout is None:
        if sys.stderr is not None:
            sys.stderr.write("rnncc: the output cannot be written: it is closed\n")
        return WRONG_INPUT
    page = open_page(sys.stdout, arguments.color, os.environ)
    try:
        code: int = arguments.run(arguments, page)
        sys.stdout.flush()
        return code
    except RnnccError as error:
        sys.stdout.flush()
        sys.stderr.write(f"rnncc: {type(error).__name__}: {error}\n")
        return WRONG_INPUT
    except BrokenPipeError:
        _give_up_stdout()
        return BROKEN_PIPE
    except OSError as error:
        sys.stderr.write(f"rnncc: {error.filename or 'the output cannot be written'}: {error.strerror or error}\n")
        if error.filename is None:
            _give_up_stdout()
        return WRONG_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED


def _give_up_stdout() -> None:
    """Python flushes stdout once more at exit, and would complain then."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="rnncc",
        description="Looks into what rnncc makes of a model.",
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"rnncc {_version()}")
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for tool in (dump, bisect, bench, cache):
        tool.add_parser(subparsers)
    for subparser in subparsers.choices.values():
        subparser.add_argument(
            "--color",
            choices=("auto", "always", "never"),
            default="auto",
            help="auto (default): on a terminal, unless NO_COLOR is set",
        )
    return parser


def _version() -> str:
    try:
        return version("rnncc")
    except PackageNotFoundError:
        return "from source"
