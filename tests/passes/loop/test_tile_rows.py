"""Tiles of every height, for every small number of rows: together they do each row once."""

from __future__ import annotations

from pathlib import Path

import pytest

from rnncc.loop.interp import interpret
from rnncc.loop.ir import Procedure
from rnncc.loop.parser import parse
from rnncc.passes.loop.machine import FEW_TAILS, TAIL_ROWS, Machine, TileShape, registers_of, tile_shape
from rnncc.passes.loop.schedule import as_schedule
from rnncc.passes.loop.tile import tile, tiles_of
from tests.passes.golden import read_golden
from tests.passes.loop.golden import assert_same, random_arrays

GATES = Path(__file__).parent / "tile" / "gates.txt"
SEVERAL_AXES = Path(__file__).parent / "tile" / "several_row_axes.txt"
WIDE = Machine(vector_bytes=16, registers=64)


def before(path: Path) -> Procedure:
    return parse(read_golden(path).before)


def tiled(path: Path, name: str, rows: int) -> Procedure:
    schedule = as_schedule({name: {"rows": rows, "width": 1, "panel": 1}})
    return tile(before(path), WIDE, schedule)


@pytest.mark.parametrize("rows", range(1, 9))
def test_every_number_of_rows(rows: int) -> None:
    plain = before(GATES)
    (name, *_) = [buffer.name for buffer in plain.buffers if buffer.space == "output"]
    procedure = tiled(GATES, name, rows)
    for count in range(20):
        arrays = random_arrays(plain, {"B": count})
        expected = interpret(plain, arrays, {"B": count})
        assert_same(interpret(procedure, arrays, {"B": count}), expected, f"of {count} rows")


@pytest.mark.parametrize("rows", (2, 3, 6))
@pytest.mark.parametrize("sizes", [(1, 1), (1, 7), (7, 1), (2, 5), (5, 2), (4, 3), (3, 4), (13, 1), (0, 3), (3, 0)])
def test_rows_on_two_axes(rows: int, sizes: tuple[int, int]) -> None:
    """The tiles go over from one line of rows to the next at every place."""
    plain = before(SEVERAL_AXES)
    dims = dict(zip(plain.dims, sizes, strict=True))
    arrays = random_arrays(plain, dims)
    procedure = tiled(SEVERAL_AXES, "tanh_out", rows)
    assert_same(interpret(procedure, arrays, dims), interpret(plain, arrays, dims), f"at {dims}")


THREE_AXES = """
def f(P, T, B):
    u = weight(f32, [2, 5])
    x = input(f32, [P, T, B, 2])
    y = output(f32, [P, T, B, 5])
    for p in parallel(0, P):
        for i in parallel(0, T):
            for b in parallel(0, B):
                for j in parallel(0, 5):
                    y[p, i, b, j] = sum(x[p, i, b, k] * u[k, j] for k in range(2))
"""


@pytest.mark.parametrize("sizes", [(2, 3, 4), (4, 1, 3), (3, 3, 1), (1, 1, 7), (2, 5, 2)])
def test_rows_on_three_axes(sizes: tuple[int, ...]) -> None:
    plain = parse(THREE_AXES)
    dims = dict(zip(plain.dims, sizes, strict=True))
    arrays = random_arrays(plain, dims)
    procedure = tile(plain, WIDE, as_schedule({"y": {"rows": 6, "width": 1, "panel": 1}}))
    assert_same(interpret(procedure, arrays, dims), interpret(plain, arrays, dims), f"at {dims}")


@pytest.mark.parametrize("registers", (8, 16, 32))
@pytest.mark.parametrize("sums", range(1, 9))
def test_tiles_fit_the_registers(registers: int, sums: int) -> None:
    machine = Machine(vector_bytes=32, registers=registers)
    for streams in (False, True):
        shape = tile_shape(machine, sums, None, streams=streams)
        (rows, width), *_ = shape.blocks
        assert rows == 1 or registers_of(rows, sums * width) <= registers
        assert shape.panel % width == 0


@pytest.mark.parametrize(
    ("sums", "registers", "rows"),
    [(4, 16, 3), (3, 16, 4), (4, 32, 6), (3, 32, 4), (1, 16, 6), (1, 32, 6)],
)
def test_rows_of_known_cells(sums: int, registers: int, rows: int) -> None:
    """LSTM, GRU and SimpleRNN with 16 and 32 vector registers."""
    shape = tile_shape(Machine(registers * 2, registers), sums, None, streams=False)
    assert shape.blocks[0][0] == rows
    assert shape == TileShape.of(rows, shape.blocks[0][1], shape.panel)


@pytest.mark.parametrize(("sums", "registers", "rows"), [(4, 16, 1), (3, 16, 2), (1, 16, 3), (4, 32, 4), (3, 32, 3)])
def test_pairs_that_are_taken_apart_have_smaller_tiles(sums: int, registers: int, rows: int) -> None:
    shape = tile_shape(Machine(registers * 2, registers), sums, None, streams=False, halves=True)
    assert shape.blocks[0][0] == rows


HEAD = """
def f(B, T):
    u = weight(f32, [64, 64])
    w = weight(f32, [64, COLUMNS])
    h = temporary(f32, [2, B, 64])
    y = output(f32, [B, COLUMNS])
    for b in parallel(0, B):
        for j in parallel(0, 64):
            h[0, b, j] = 1.0
    for t in range(0, T):
        for b in parallel(0, B):
            for j in parallel(0, 64):
                h[(t + 1) % 2, b, j] = sum(h[t % 2, b, k] * u[k, j] for k in range(64))
    for b in parallel(0, B):
        for j in parallel(0, COLUMNS):
            y[b, j] = sum(h[T % 2, b, k] * w[k, j] for k in range(64))
"""


@pytest.mark.parametrize(("columns", "tails"), [(3, FEW_TAILS), (4, FEW_TAILS), (5, TAIL_ROWS), (80, TAIL_ROWS)])
def test_what_is_small_beside_every_step_has_tiles_of_few_shapes(columns: int, tails: tuple[int, ...]) -> None:
    plain = parse(HEAD.replace("COLUMNS", str(columns)))
    tiles = tiles_of(plain, WIDE)
    assert (tiles["h"].tails, tiles["y"].tails) == (TAIL_ROWS, tails)
    for rows in range(1, 9):
        dims = {"B": rows, "T": 2}
        arrays = random_arrays(plain, dims)
        assert_same(interpret(tile(plain, WIDE), arrays, dims), interpret(plain, arrays, dims), f"of {rows} rows")


def test_a_product_on_its_own_has_tiles_of_all_shapes() -> None:
    lines = HEAD.replace("COLUMNS", "3").splitlines(keepends=True)
    alone = parse("".join(lines[:9] + lines[13:]))
    assert {name: tiling.tails for name, tiling in tiles_of(alone, WIDE).items()} == {"y": TAIL_ROWS}
