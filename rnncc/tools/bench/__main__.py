"""`python -m rnncc.tools.bench`: the benchmark as a command of its own."""

from __future__ import annotations

import argparse
import sys

from rnncc.errors import RnnccError
from rnncc.tools.bench.command import add_arguments, run


def main() -> int:
    """Run the command line of this process and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m rnncc.tools.bench", description=__doc__)
    add_arguments(parser)
    try:
        return run(parser.parse_args())
    except RnnccError as error:
        sys.stderr.write(f"rnncc bench: {type(error).__name__}: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
