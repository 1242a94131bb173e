"""Writes a folder of files that replaces the one from the last time, and nothing that somebody else put there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from rnncc.errors import ArgumentError

INDEX = "index.txt"
_FIRST_LINE = "# written by rnncc dump; the files listed here are replaced by the next dump into this folder"


def write_folder(folder: Path, files: Mapping[str, str], summary: str) -> None:
    """Write `files` and an index that begins with `summary`; files of an earlier index that are not among them go.

    Each file appears whole or not at all. Raises ArgumentError when the folder holds files that the index does not
    list, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        old = _our_files(folder)
        # The index comes first and lists old and new files: after an interruption everything is still known as ours.
        write_file(folder / INDEX, _index(summary, sorted({*old, *files})))
        for name, text in files.items():
            write_file(folder / name, text)
        for name in old:
            if name not in files:
                (folder / name).unlink(missing_ok=True)
        write_file(folder / INDEX, _index(summary, list(files)))
    except OSError as error:
        raise ArgumentError(f"{folder} cannot be written: {error.strerror or error}") from None


def write_file(path: Path, text: str) -> None:
    """Replace the file at `path` in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _index(summary: str, names: list[str]) -> str:
    return "\n".join([_FIRST_LINE, "", summary, "", "files:", *(f"  {name}" for name in names), ""])


def _our_files(folder: Path) -> list[str]:
    """What an earlier dump left in the folder; ArgumentError when there is anything else."""
    there = sorted(item.name for item in folder.iterdir())
    listed: list[str] = []
    if INDEX in there:
        lines = (folder / INDEX).read_text(encoding="utf-8", errors="replace").splitlines()
        if lines[:1] == [_FIRST_LINE] and "files:" in lines:
            listed = [line.strip() for line in lines[len(lines) - lines[::-1].index("files:") :]]
            listed = [name for name in listed if name and "/" not in name]
    leftovers = [name for name in there if name.startswith(".") and name.endswith(".tmp")]
    foreign = [name for name in there if name not in (*listed, *leftovers) and not (name == INDEX and listed)]
    if foreign:
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise ArgumentError(
            f"{folder} holds files that are not from a dump: {', '.join(foreign[:3])}{more}",
            remedy="give a new or an empty folder",
        )
    return [*(name for name in listed if name in there), *leftovers]
