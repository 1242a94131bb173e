"""The table that `model.summary()` prints: Keras 2's columns and widths, as in the guide to its recurrent layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rnncc.layers.weights import Weight
from rnncc.memory import memory_size
from rnncc.records import record

if TYPE_CHECKING:
    from rnncc.layers.base import Layer

_CHAIN_COLUMNS = (29, 55, 65)
_NETWORK_COLUMNS = (29, 58, 68, 98)
_BREAKS = ("),", "],", "},", "',")


@record(frozen=True, slots=True)
class Row:
    """One layer of the table; `parents` are the layer outputs that it is called on."""

    layer: Layer
    shape: str
    parents: tuple[str, ...]


def print_summary(model: Layer, rows: Sequence[Row], *, is_chain: bool, print_fn: Callable[[str], object]) -> None:
    """Print the table of `rows` and the totals of `model`; a chain needs no "Connected to" column."""
    ends = _CHAIN_COLUMNS if is_chain else _NETWORK_COLUMNS
    width = ends[-1]
    print_fn(f'Model: "{model.name}"')
    print_fn("_" * width)
    for line in _lines(("Layer (type)", "Output Shape", "Param #", "Connected to"), ends):
        print_fn(line)
    for row in rows:
        title = f"{row.layer.name} ({_kind(row.layer)})"
        cells = (title, row.shape, str(row.layer.count_params()), str(list(row.parents)))
        for line in _lines(cells, ends):
            print_fn(line)
        print_fn(" " * width)
    for title, weights in (
        ("Total", model.weights),
        ("Trainable", _trainable(model, rows)),
        ("Non-trainable", [w for w in model.weights if w not in _trainable(model, rows)]),
    ):
        size = sum(weight.size * weight.dtype.size for weight in weights)
        print_fn(f"{title} params: {sum(weight.size for weight in weights)} ({memory_size(size)})")
    print_fn("_" * width)


def _kind(layer: Layer) -> str:
    """The class name; Keras 2 calls a model of inputs and outputs Functional."""
    kind = type(layer).__name__
    return "Functional" if kind == "Model" else kind


def _trainable(model: Layer, rows: Sequence[Row]) -> list[Weight]:
    found = [weight for row in rows for weight in row.layer.trainable_weights] if model.trainable else []
    return list({id(weight): weight for weight in found}.values())


def _lines(cells: Sequence[str], ends: Sequence[int]) -> list[str]:
    """The lines of one row: what does not fit into a column goes on below, and every list item starts a line.

    The first column starts with a space; columns are two spaces apart, a full first column moves the others by one.
    """
    rest = list(cells[: len(ends)])
    lines = []
    while any(rest):
        line = " "
        for column, end in enumerate(ends):
            start = ends[column - 1] if column else 0
            is_last = column == len(ends) - 1
            part = _fitting(rest[column], end - start - (0 if is_last else 2))
            rest[column] = rest[column][len(part) :]
            line = (line + part + ("" if is_last else "  ")).ljust(end)
        lines.append(line)
    return lines


def _fitting(text: str, width: int) -> str:
    """The start of `text` that goes into one line of a column."""
    part = text[:width]
    ends = [part.find(mark) + len(mark) for mark in _BREAKS if mark in part]
    return part[: min(ends)] if ends else part
