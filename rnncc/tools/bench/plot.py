"""The comparison as a picture: how many times as long as rnncc each peer takes, and where the floor is."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rnncc.errors import ArgumentError
from rnncc.tools.bench.results import SELF, Report

_BAR = 0.8
"""Of the space of a row that is filled."""


def check_plot(path: Path) -> None:
    """Raise ArgumentError when a plot could not be written there, before anything is measured."""
    if find_spec("matplotlib") is None:
        raise ArgumentError("--plot needs matplotlib", remedy="pip install 'rnncc[bench]'")
    if not path.parent.is_dir():
        raise ArgumentError(f"there is no folder {str(path.parent)!r} for the plot")
    known = import_module("matplotlib.backends.backend_agg").FigureCanvasAgg.get_supported_filetypes()
    if path.suffix.lstrip(".") not in known:
        raise ArgumentError(f"a plot cannot be written as {path.name!r}", f"endings: {', '.join(sorted(known))}")


def write_plot(report: Report, path: Path) -> None:
    """Draw a group of bars for each row, on a logarithmic axis."""
    rows = [row for row in report.rows if row.timing(SELF)]
    names = list(dict.fromkeys(timing.name for row in rows for timing in row.timings))
    figure = import_module("matplotlib.figure").Figure(figsize=(9, 1.5 + 0.22 * len(rows) * len(names)))
    axes: Any = figure.subplots()
    height = _BAR / max(len(names), 1)
    for number, name in enumerate(names):
        times = [(at, row.timing(name), row.timing(SELF)) for at, row in enumerate(rows)]
        bars = [(at + number * height, t.median_us / own.median_us) for at, t, own in times if t and own]
        axes.barh([at for at, _ in bars], [ratio for _, ratio in bars], height=0.9 * height, label=name)
    for at, row in enumerate(rows):
        if row.share is not None:
            axes.plot([row.share] * 2, [at - height / 2, at + _BAR - height / 2], color="black", label="_floor")
    axes.axvline(1, color="gray", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("time per call, relative to rnncc (black line: the floor of this machine)")
    labels = [f"{row.workload}\n{row.batch} x {row.length}, threads {row.threads}" for row in rows]
    axes.set_yticks([at + (_BAR - height) / 2 for at in range(len(rows))], labels)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small")
    axes.set_title(f"{report.cpu}, {report.date}", fontsize="small")
    figure.tight_layout()
    figure.savefig(path)
