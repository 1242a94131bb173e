"""Which extent counts rows, and rows that depend on their numbers: parts give what the whole call gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rnncc.errors import ParseError
from rnncc.loop.builder import integer
from rnncc.loop.interp import interpret
from rnncc.loop.ir import Procedure
from rnncc.loop.parser import parse
from rnncc.loop.printer import show
from rnncc.loop.verify import verify
from rnncc.loop.visit import substitute
from rnncc.lower.rows import number_rows, row_extent

NUMBERED = """
def numbered(B, T{given}):
    x = input(f32, [B, T, 3])
    key = input(i32, [2])
    table = weight(f32, [50, 3])
    mask = temporary(i32, [B, 1])
    y = output(f32, [B, 3])
    for b in parallel(0, B):
        for j in parallel(0, 1):
            mask[b, j] = threefry(key[0], key[1], i32({b}), i32(j))
    for b in parallel(0, B):
        for j in parallel(0, 3):
            y[b, j] = sum(x[b, t, j] * table[{b}, j] for t in range(T)) + f32(mask[b, 0])
"""
PLAIN, MOVED = NUMBERED.format(b="b", given=""), NUMBERED.format(b="b + first_row", given=", *, first_row")


def test_rows_that_depend_on_their_numbers_get_those_of_the_whole_call() -> None:
    procedure = parse(PLAIN)
    assert row_extent(procedure) is None
    numbered = number_rows(procedure)
    verify(numbered)
    assert show(numbered) == MOVED.lstrip()
    assert show(parse(show(numbered))) == show(numbered)
    assert row_extent(numbered) == "B"
    assert number_rows(numbered) is numbered


def part_of(procedure: Procedure, first: int) -> Procedure:
    """What is computed of the rows from `first` on."""
    assert procedure.first_row is not None
    body = substitute(procedure.body, {procedure.first_row: integer(first)})
    return replace(procedure, body=body, first_row=None)


def test_parts_give_what_the_whole_gives() -> None:
    rng = np.random.default_rng(3)
    procedure = number_rows(parse(PLAIN))
    x = rng.standard_normal((11, 5, 3)).astype(np.float32)
    others = {"key": np.array([7, 9], np.int32), "table": rng.standard_normal((50, 3)).astype(np.float32)}
    whole = interpret(procedure, {"x": x, **others}, {"B": 11, "T": 5})["y"]
    np.testing.assert_array_equal(
        interpret(parse(PLAIN), {"x": x, **others}, {"B": 11, "T": 5})["y"], whole, err_msg="row 0 of a call is row 0"
    )
    for first, count in [(0, 4), (4, 1), (5, 6)]:
        rows = {"x": x[first : first + count], **others}
        part = interpret(part_of(procedure, first), rows, {"B": count, "T": 5})["y"]
        np.testing.assert_array_equal(part, whole[first : first + count])
    wrong = interpret(procedure, {"x": x[4:], **others}, {"B": 7, "T": 5})["y"]
    assert not np.array_equal(wrong, whole[4:]), "the numbers of rows matter here"


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("y[b] = x[b] + f32(B)", "every row depends on how many there are"),
        ("y[b] = x[b] + sum(x[i] for i in range(B))", "every row depends on all"),
        ("y[b] = x[B - 1 - b]", "every row depends on another one"),
        ("y[b] = x[b] + f32(b)", ""),
        ("y[b] = table[b + 1] * x[b]", ""),
    ],
)
def test_what_else_keeps_rows_together(statement: str, why: str) -> None:
    buffers = "    x = input(f32, [B])\n    table = weight(f32, [9])\n    y = output(f32, [B])"
    procedure = parse(f"def f(B):\n{buffers}\n    for b in parallel(0, B):\n        {statement}")
    verify(procedure)
    numbered = number_rows(procedure)
    assert (numbered is procedure) == bool(why)
    assert row_extent(numbered) == (None if why else "B")


def test_a_name_that_is_taken_gets_a_number() -> None:
    buffers = "    x = input(f32, [B])\n    first_row = output(f32, [B])"
    numbered = number_rows(parse(f"def f(B):\n{buffers}\n    for b in parallel(0, B):\n        first_row[b] = f32(b)"))
    verify(numbered)
    assert "def f(B, *, first_row_2):" in show(numbered)


def test_two_names_behind_the_star_are_refused() -> None:
    with pytest.raises(ParseError, match="behind \\* stands one name"):
        parse("def f(B, *, a, b):\n    pass")
