"""`rnncc cache`: what the on-disk cache of compiled models holds, and how to empty it."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from typing import Any

from rnncc.runtime.cache import DiskCache, cache_folder
from rnncc.tools.page import Page


def add_parser(subparsers: Any) -> None:
    """Add the command to a command line."""
    parser: ArgumentParser = subparsers.add_parser(
        "cache",
        help="show or clear the cache of compiled models",
        description="The cache of compiled models. Its folder is RNNCC_CACHE_DIR, or in the user's cache folder; "
        "RNNCC_CACHE_DIR=off compiles every time.",
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--info", action="store_true", help="folder, entries and size (default)")
    action.add_argument("--clear", action="store_true", help="remove all entries")
    parser.set_defaults(run=run)


def run(arguments: Namespace, page: Page) -> int:
    """Run `rnncc cache`."""
    folder = cache_folder(os.environ)
    if folder is None:
        page.line("the cache is off (RNNCC_CACHE_DIR=off)")
        return 0
    disk = DiskCache(folder)
    if arguments.clear:
        count = disk.clear()
        page.line(f"removed {count} {'entry' if count == 1 else 'entries'} from {folder}")
        return 0
    info = disk.info()
    page.line(f"folder:  {info.folder}")
    page.line(f"entries: {info.entries}")
    page.line(f"size:    {info.bytes / 2**20:.1f} MiB of at most {info.limit / 2**20:.0f} MiB")
    return 0
