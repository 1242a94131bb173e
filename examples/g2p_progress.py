"""A progress bar on standard error: rich's where it is installed, a plain one elsewhere, none in a pipe."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from time import monotonic
from types import TracebackType
from typing import Protocol

LONG = 100
"""Lists of fewer words are done before a bar could be read."""


class Bar(Protocol):
    """Counts what is done."""

    def advance(self, count: int) -> None:
        """`count` more are done."""

    def write(self, text: str) -> None:
        """Write to standard output without mixing text and bar, should both be on one terminal."""


def progress_bar(label: str, total: int) -> AbstractContextManager[Bar]:
    """A bar for `total` words, shown while the context lasts."""
    if total < LONG or not sys.stderr.isatty():
        return _NoBar()
    try:
        return _RichBar(label, total)
    except ImportError:
        return _PlainBar(label, total)


class _NoBar:
    def __enter__(self) -> Bar:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def advance(self, count: int) -> None:
        return None

    def write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


class _PlainBar(_NoBar):
    """``label  [####----]  512/1200  2,310 words/s``, redrawn ten times a second and wiped at the end."""

    def __init__(self, label: str, total: int) -> None:
        self._label, self._total = label, total
        self._done = 0
        self._start = monotonic()
        self._drawn = 0.0

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._wipe()

    def write(self, text: str) -> None:
        self._wipe()
        super().write(text)

    def _wipe(self) -> None:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()

    def advance(self, count: int) -> None:
        self._done += count
        now = monotonic()
        if now - self._drawn < 0.1:
            return
        self._drawn = now
        filled = 30 * self._done // self._total
        speed = self._done / max(now - self._start, 1e-9)
        bar = "#" * filled + "-" * (30 - filled)
        sys.stderr.write(f"\r\x1b[K{self._label}  [{bar}]  {self._done}/{self._total}  {speed:,.0f} words/s")
        sys.stderr.flush()


class _RichBar(_NoBar):
    def __init__(self, label: str, total: int) -> None:
        from rich.console import Console  # noqa: PLC0415 (rich is optional)
        from rich.progress import (  # noqa: PLC0415
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]:,.0f} words/s"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task(label, total=total, speed=0.0)
        self._start = monotonic()
        self._done = 0

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def write(self, text: str) -> None:
        self._progress.stop()
        super().write(text)
        self._progress.start()

    def advance(self, count: int) -> None:
        self._done += count
        speed = self._done / max(monotonic() - self._start, 1e-9)
        self._progress.update(self._task, advance=count, speed=speed)
