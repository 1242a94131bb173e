"""A report for people: a header that says where the figures are from, one table, and what was left out and why.

Times are microseconds a call, medians; after ± half the distance between the quartiles as a share of the median.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TextIO

from rnncc.tools.bench.results import SELF, Report, Row, Timing

_BLANK = "-"
_LEFT_COLUMNS = 1


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as text; the best time of each row is in `best`, the number of a column for each row."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    best: tuple[int | None, ...]


def write_report(report: Report, stream: TextIO) -> None:
    """Write the report: with rich on a terminal, as aligned text elsewhere."""
    if not (stream.isatty() and find_spec("rich")):
        stream.write(plain_text(report))
        return
    names = ("rich.console", "rich.text", "rich.table", "rich.box")
    console_module, text_module, table_module, box_module = map(import_module, names)
    console = console_module.Console(file=stream)
    table = table_of(report.rows)
    shown = table_module.Table(header_style="bold", pad_edge=False, box=box_module.SIMPLE_HEAD)
    for number, column in enumerate(table.columns):
        shown.add_column(column, justify="left" if number < _LEFT_COLUMNS else "right", no_wrap=number == 0)
    for cells, best in zip(table.rows, table.best, strict=True):
        styles = ["bold green" if number == best else "" for number in range(len(cells))]
        shown.add_row(*(text_module.Text(cell, style=style) for cell, style in zip(cells, styles, strict=True)))
    console.print("\n".join(header(report)), markup=False, highlight=False)
    console.print(shown)
    console.print("\n".join(notes(report)), markup=False, highlight=False)


def plain_text(report: Report) -> str:
    """The report as aligned text."""
    table = table_of(report.rows)
    lines = [table.columns, *table.rows]
    widths = [max(len(line[number]) for line in lines) for number in range(len(table.columns))]
    aligned = [_aligned(line, widths) for line in lines]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([*header(report), "", aligned[0], rule, *aligned[1:], "", *notes(report)]).rstrip() + "\n"


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.ljust(width) if number < _LEFT_COLUMNS else cell.rjust(width)
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()


# ------------------------------------------------------------------ parts


def header(report: Report) -> list[str]:
    """Machine, versions, command, date, the measured roof, and what the figures mean."""
    lines = [
        f"date      {report.date}",
        f"cpu       {report.cpu}",
        f"versions  {', '.join(f'{name} {version}' for name, version in report.versions.items())}",
        f"command   {report.command}",
    ]
    for roof in report.roofs:
        lines.append(
            f"roof      {roof.threads} thread{'s' if roof.threads > 1 else ''}: {roof.text}"
            + (f"; to meet once {roof.meeting:.0f} ns" if roof.threads > 1 else "")
        )
    lines.append("times     microseconds a call: median, ± half the distance between the quartiles")
    lines.append("compile   includes the first call")
    lines.append(f"outputs   of all contenders agree within {report.tolerance}")
    return lines


def notes(report: Report) -> list[str]:
    """What did not run and why, and what was found besides times; each line once."""
    lines = [f"not installed: {', '.join(report.missing)}"] if report.missing else []
    for row in report.rows:
        lines += [f"{row.workload} {row.batch} x {row.length}, threads {row.threads}: {note}" for note in row.notes]
    return lines


def table_of(rows: Sequence[Row]) -> Table:
    """One line a row; a column for every contender that ran somewhere, rnncc first."""
    own = dict.fromkeys(t.name for row in rows for t in row.timings if not t.is_peer and t.name != SELF)
    peers = dict.fromkeys(t.name for row in rows for t in row.timings if t.is_peer)
    contenders = (SELF, *own, *peers)
    columns = ("workload", "B x T", "threads", *contenders, "vs best", "floor", "of floor", "compile", "target", "met")
    cells, best = [], []
    for row in rows:
        times = [row.timing(name) for name in contenders]
        fastest = min((t for t in times if t), key=lambda t: t.median_us, default=None)
        best.append(3 + times.index(fastest) if fastest else None)
        size = f"{row.batch} x {row.length}"
        cells.append((row.workload, size, str(row.threads), *map(_time, times), *_conclusions(row)))
    return Table(columns, tuple(cells), tuple(best))


_MET = {True: "yes", False: "no", None: _BLANK}


def _conclusions(row: Row) -> tuple[str, ...]:
    own = row.timing(SELF)
    return (
        _BLANK if row.ratio is None else f"{row.ratio:.2f}x",
        _BLANK if row.floor is None else f"{microseconds(row.floor.microseconds)} {row.floor.bound}",
        _BLANK if row.share is None else f"{row.share:.0%}",
        _BLANK if own is None else f"{own.build_ms:,.0f} ms",
        ", ".join(target.text for target in row.targets) or _BLANK,
        ", ".join(_MET[target.is_met(row)] for target in row.targets) or _BLANK,
    )


def _time(timing: Timing | None) -> str:
    return _BLANK if timing is None else f"{microseconds(timing.median_us)} ±{timing.spread:.0%}"


def microseconds(value: float) -> str:
    """Three or more digits."""
    return f"{value:,.{2 if value < 10 else 1 if value < 1000 else 0}f}"
