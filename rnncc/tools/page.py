"""Where the tools write: coloured on a terminal when `rich` is installed, plain text everywhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

_LEXERS = {"python": "python", "llvm": "llvm", "asm": "gas", "diff": "diff", "dot": "dot"}


def open_page(stream: TextIO, color: str, environment: Mapping[str, str]) -> Page:
    """A page on `stream`; `color` is always, never or auto (on a terminal, unless NO_COLOR is set)."""
    is_wanted = color == "always" or (
        color == "auto"
        and stream.isatty()
        and not environment.get("NO_COLOR")
        and environment.get("TERM", "") != "dumb"
    )
    return Page(stream, _rich_console(stream) if is_wanted else None)


def _rich_console(stream: TextIO) -> Any:
    try:
        from rich.console import Console  # noqa: PLC0415
    except ImportError:
        return None
    return Console(file=stream, force_terminal=True, no_color=False, highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Page:
    """An output stream, and rich's console for it when colours are wanted."""

    stream: TextIO
    console: Any = None

    def line(self, text: str = "", style: str = "") -> None:
        """One line; the style is one of rich's."""
        if self.console is None:
            self.stream.write(f"{text}\n")
        else:
            self.console.print(text, style=style or None, markup=False)

    def code(self, text: str, language: str) -> None:
        """A text in a language: python (both IRs), llvm, asm, diff or dot. Long lines stay whole."""
        text = text.rstrip("\n")
        if self.console is None:
            self.stream.write(f"{text}\n")
            return
        from rich.syntax import Syntax  # noqa: PLC0415

        syntax = Syntax("", _LEXERS[language], theme="ansi_dark", background_color="default")
        highlighted = syntax.highlight(text)
        highlighted.rstrip()
        self.console.print(highlighted)

    def table(self, titles: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> None:
        """Aligned columns; those numbered in `right` are numbers. Plain cells are never cut."""
        if self.console is None:
            for line in aligned([titles, *rows], right):
                self.stream.write(f"{line}\n")
            return
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        table = Table(box=None, pad_edge=False, header_style="bold")
        for number, title in enumerate(titles):
            is_last = number == len(titles) - 1
            table.add_column(title, justify="right" if number in right else "left", no_wrap=not is_last)
        for row in rows:
            table.add_row(*map(Text, row))
        self.console.print(table, soft_wrap=False)


def aligned(rows: Sequence[Sequence[str]], right: Sequence[int]) -> list[str]:
    """Rows as lines with two spaces between columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    pad: dict[bool, Callable[[str, int], str]] = {True: str.rjust, False: str.ljust}
    return [
        "  ".join(pad[number in right](cell, widths[number]) for number, cell in enumerate(row)).rstrip()
        for row in rows
    ]
