"""The stages of a tile's end: which statements stand in which, what is kept, and what must stay together."""

from __future__ import annotations

import pytest

from rnncc.loop.ir import For, Stmt
from rnncc.loop.parser import parse
from rnncc.loop.printer import show_head
from rnncc.passes.loop.end_stages import MOST_STAGES, stages_of

HEAD = """
def f(B, T):
    z = input(f32, [B, 8])
    ids = input(i64, [B])
    numbers = temporary(i64, [B])
    table = input(f32, [9, 8])
    c = temporary(f32, [2, B, 8])
    h = output(f32, [B, 8])
    y = output(f32, [B, 8])
    for t in range(0, T):
        for b in parallel(0, B):
            for j in parallel(0, 8):
"""


def body_of(*lines: str) -> tuple[Stmt, ...]:
    statements = parse(HEAD + "".join(f"                {line}\n" for line in lines)).body
    while len(statements) == 1 and isinstance(statements[0], For):
        statements = statements[0].body
    return statements


def stages(*lines: str) -> list[list[str]]:
    return [[show_head(statement) for statement in stage.statements] for stage in stages_of(body_of(*lines))]


def kept(*lines: str) -> list[list[str]]:
    return [[let.name for let in stage.kept] for stage in stages_of(body_of(*lines))]


LSTM = (
    "f = sigmoid(z[b, j])",
    "o = sigmoid(z[b, j] + 1.0)",
    "new = f * c[t % 2, b, j] + tanh(z[b, j])",
    "c[(t + 1) % 2, b, j] = new",
    "h[b, j] = o * tanh(new)",
)


def test_what_only_the_second_stage_needs_is_computed_there() -> None:
    assert stages(*LSTM) == [[LSTM[0], LSTM[2], LSTM[3]], [LSTM[1], LSTM[4]]]
    assert kept(*LSTM) == [["new"], []]


def test_no_stage_makes_what_its_own_functions_wait_for() -> None:
    """Of a GRU, the reset gate has a stage before the candidate, which waits for it; the update gate need not."""
    gru = (
        "r = sigmoid(z[b, j])",
        "update = sigmoid(z[b, j] + 1.0)",
        "new = tanh(r * z[b, j] + 2.0)",
        "h[b, j] = update * new",
    )
    assert stages(*gru) == [[gru[0]], [gru[1], gru[2], gru[3]]]
    assert kept(*gru) == [["r"], []]


def test_nothing_waits() -> None:
    lines = ("f = sigmoid(z[b, j])", "g = tanh(z[b, j])", "h[b, j] = f * g")
    assert stages(*lines) == [list(lines)]
    assert kept(*lines) == [[]]


def test_each_stage_computes_its_own_indices() -> None:
    lines = ("i = ids[b]", "a = tanh(table[i, j])", "y[b, j] = a", "h[b, j] = tanh(a + table[i, j])")
    assert stages(*lines) == [[lines[0], lines[1], lines[2]], [lines[0], lines[3]]]
    assert kept(*lines) == [["a"], []]


def test_an_index_is_no_vector_that_is_kept() -> None:
    lines = ("a = tanh(z[b, j])", "i = i64(a)", "y[b, j] = f32(i)", "h[b, j] = tanh(a) * f32(i)")
    assert kept(*lines) == [["a", "i"], []]
    looked_up = (
        "n = tanh(z[b, 0])",
        "i = i64(n)",
        "a = table[i, j] * n",
        "y[b, j] = a",
        "h[b, j] = tanh(a) + table[i, j]",
    )
    assert stages(*looked_up) == [list(looked_up)]


def test_an_index_of_floats_is_computed_again() -> None:
    lines = (
        "n = z[b, 0]",
        "i = i64(n)",
        "a = tanh(n * table[i, j])",
        "y[b, j] = a",
        "h[b, j] = tanh(a) * n + table[i, j]",
    )
    assert stages(*lines) == [list(lines[:4]), [lines[0], lines[1], lines[4]]]
    assert kept(*lines) == [["a"], []]


def test_an_index_that_changes_is_not_computed_again() -> None:
    lines = (
        "i = numbers[b]",
        "numbers[b] = i + 1",
        "a = tanh(z[b, j])",
        "y[b, j] = a",
        "h[b, j] = tanh(a) * table[i, j]",
    )
    assert stages(*lines) == [list(lines)]


@pytest.mark.parametrize(
    "lines",
    [
        # The second store has to follow the first one, and the load of h comes before it is written.
        ("a = tanh(z[b, j])", "h[b, j] = tanh(a)", "h[b, j] = 0.0"),
        ("a = tanh(z[b, j])", "h[b, j] = tanh(a)", "y[b, j] = h[b, j]"),
    ],
)
def test_what_memory_keeps_together(lines: tuple[str, ...]) -> None:
    assert stages(*lines) == [list(lines)]


def test_a_value_is_read_before_its_place_is_written() -> None:
    lines = ("old = h[b, j]", "a = tanh(z[b, j])", "h[b, j] = a", "y[b, j] = old * tanh(a)")
    assert stages(*lines) == [list(lines[:3]), [lines[3]]]
    assert kept(*lines) == [["old", "a"], []]


def test_a_long_chain_ends_in_one_stage() -> None:
    lines = ("a0 = tanh(z[b, j])", *(f"a{n} = tanh(a{n - 1})" for n in range(1, 9)), "h[b, j] = a8")
    assert [len(stage) for stage in stages(*lines)] == [1] * (MOST_STAGES - 1) + [10 - MOST_STAGES + 1]
