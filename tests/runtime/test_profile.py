"""`fn.profile`: the kernels of a call, counts that agree with counting by hand, and times that add up."""

from __future__ import annotations

import numpy as np
import pytest

import rnncc
from rnncc import layers
from rnncc.errors import ArgumentError, ShapeError, TokenError
from rnncc.loop.ir import Procedure
from rnncc.loop.parser import parse
from rnncc.loop.printer import show
from rnncc.passes.loop.instrument import kernels_of
from rnncc.passes.loop.shorten_chunks import shorten_chunks
from rnncc.runtime.work import Work, work_of, work_of_runs

_RNG = np.random.default_rng(3)
UNITS, WIDTH = 7, 5


def _model(**options: object) -> rnncc.Sequential:
    rnncc.set_random_seed(8)
    first = layers.LSTM(UNITS, name="first", **options)
    return rnncc.Sequential(
        [layers.Input(shape=(None, WIDTH), batch_size=options.get("batch")), first, layers.Dense(3, name="dense")]
    )


def _x(batch: int, length: int) -> np.ndarray:
    return _RNG.normal(size=(batch, length, WIDTH)).astype("float32")


# ------------------------------------------------------------------ counts

TWO_PRODUCTS = """
def f(B, T):
    w = weight(f32, [6, 8])
    table = weight(f32, [100, 4])
    ids = input(i64, [B])
    x = input(f32, [B, 6])
    y = output(f32, [B, 4])
    total = output(f64, [B, 4])
    for t in range(0, T):
        for b in parallel(0, B):
            for j in parallel(0, 4):
                one = sum(x[b, k] * w[k, j] for k in range(6))
                other = sum(x[b, k] * w[k, j + 4] for k in range(6))
                y[b, j] = tanh(one) + other * 2.0
        for b in parallel(0, B):
            place = max(0, ids[b])
            for j in parallel(0, 4):
                total[b, j] += f64(table[place, j] + table[place, 3 - j])
"""


def test_work_is_what_one_counts_by_hand() -> None:
    procedure = parse(TWO_PRODUCTS)
    product, lookup = kernels_of(procedure.body)
    batch = 3
    points = batch * 4
    # two sums of 6 products each, then tanh, a product and a sum; x once, all of w, y
    expected = Work(points * (2 * 6 * 2 + 3), 4 * (batch * 6 + 6 * 8 + points))
    assert work_of(product.nest, procedure, {"B": batch, "T": 9}) == expected
    # a sum, a conversion, and the addition to what is there; four rows of the table twice, ids, total read and written
    expected = Work(points * 3, 4 * 2 * points + 8 * batch + 8 * 2 * points)
    assert work_of(lookup.nest, procedure, {"B": batch, "T": 9}) == expected
    assert work_of(product.nest, procedure, {"B": 0, "T": 9}).operations == 0


def test_no_more_bytes_than_a_buffer_has() -> None:
    procedure = parse(TWO_PRODUCTS.replace("[100, 4]", "[2, 4]"))
    _, lookup = kernels_of(procedure.body)
    assert work_of(lookup.nest, procedure, {"B": 30, "T": 1}).bytes == 4 * 8 + 8 * 30 + 8 * 2 * 120


CHUNKS = """
def f(B, T):
    w = weight(f32, [6, 4])
    x = input(f32, [B, T, 6])
    z = temporary(f32, [8, B, 4])
    y = output(f32, [B, 4])
    for start in range(0, T, 8):
        for i in parallel(0, min(T - start, 8)):
            for b in parallel(0, B):
                for j in parallel(0, 4):
                    z[i, b, j] = sum(x[b, i + start, k] * w[k, j] for k in range(6))
        for t in range(0, min(T - start, 8)):
            for b in parallel(0, B):
                for j in parallel(0, 4):
                    y[b, j] = z[t, b, j] + y[b, j]
"""


def _shortened() -> Procedure:
    """The same with chunks of 6 steps where a step has three rows."""
    procedure = parse(CHUNKS.replace("(0, T, 8)", "(0, T, 16)").replace("start, 8", "start, 16").replace("[8,", "[16,"))
    return shorten_chunks(procedure, rows=18)


@pytest.mark.parametrize(("procedure", "chunks"), [(parse(CHUNKS), 3), (_shortened(), 4)])
def test_work_in_chunks_of_steps(procedure: Procedure, chunks: int) -> None:
    project, step = kernels_of(procedure.body)
    extents = {"B": 3, "T": 21}
    runs, work = work_of_runs(project.nest, project.around, procedure, extents)
    assert (runs, work.operations) == (chunks, 21 * 3 * 4 * 12)
    assert work.bytes == 4 * (21 * 3 * 6 + chunks * 24 + 21 * 3 * 4)
    runs, work = work_of_runs(step.nest, step.around, procedure, extents)
    assert (runs, work.operations, work.bytes) == (21, 21 * 12, 21 * 4 * 3 * 12)
    assert work_of_runs(step.nest, step.around, procedure, {"B": 3, "T": 0}) == (0, Work(0, 0))


# ------------------------------------------------------------------ profiles


def test_kernels_with_their_counts() -> None:
    profile = rnncc.compile(_model()).profile(_x(4, 9))
    start, project, step, dense = profile.kernels
    assert [kernel.runs for kernel in profile.kernels] == [1, 1, 9, 1]
    assert project.reads == ("first_kernel", "first_bias")
    assert step.reads == ("first_recurrent_kernel",)
    assert dense.reads == ("dense_kernel", "dense_bias")
    assert (start.name, step.name, dense.name) == ("h, c", "h, c", "dense_out")
    columns = 4 * UNITS
    assert project.operations == 4 * 9 * columns * (2 * WIDTH + 1)
    assert project.bytes == 4 * (4 * 9 * WIDTH + WIDTH * columns + columns + 4 * 9 * columns)
    # one addition for each gate; five activations, two products and a sum for the states, and h = o * tanh(c)
    assert step.operations == 9 * 4 * UNITS * (4 * (2 * UNITS + 1) + 5 + 3 + 1)
    # the kernel; x of a step; h and c read, h and c written
    assert step.bytes == 9 * 4 * (UNITS * columns + 4 * columns + 4 * 4 * UNITS)
    assert dense.operations == 4 * 3 * (2 * UNITS + 1)
    assert (start.operations, start.bytes) == (0, 4 * 2 * 4 * UNITS)


def test_its_numbers_are_numbers_of_python() -> None:
    profile = rnncc.compile(_model()).profile(_x(2, 5))
    assert "np." not in repr(profile)


def test_kernels_add_up_to_nearly_the_call() -> None:
    rnncc.set_random_seed(8)
    fn = rnncc.compile(rnncc.Sequential([layers.Input(shape=(None, WIDTH)), layers.LSTM(64)]))
    profile = fn.profile(_x(6, 50))
    total = sum(kernel.microseconds for kernel in profile.kernels)
    assert 0.8 * profile.microseconds < total < profile.microseconds
    assert sum(kernel.share for kernel in profile.kernels) == pytest.approx(total / profile.microseconds)
    assert all(kernel.microseconds > 0 and 0 <= kernel.roof_share < 2 for kernel in profile.kernels)
    step = max(profile.kernels, key=lambda kernel: kernel.microseconds)
    assert step.runs == 50
    assert step.gflops == pytest.approx(step.operations / step.microseconds / 1e3)
    assert step.gbytes == pytest.approx(step.bytes / step.microseconds / 1e3)


def test_the_table() -> None:
    profile = rnncc.compile(_model()).profile(_x(2, 4))
    head, *rows, rest, whole, roof = str(profile).splitlines()
    assert head.split() == ["kernel", "runs", "us", "share", "GFLOP/s", "GB/s", "of", "roof", "weights"]
    assert len(rows) == len(profile.kernels)
    assert rows[2].startswith("h, c ")
    assert rows[2].endswith("first_recurrent_kernel")
    assert rest.startswith("between them")
    assert whole.startswith("the call")
    assert roof.startswith("roof: ")


def test_tokens_are_checked_and_the_check_is_a_kernel() -> None:
    fn = rnncc.compile(rnncc.Sequential([layers.Embedding(9, 4, name="embedding"), layers.GRU(6)]))
    tokens = _RNG.integers(0, 9, (2, 5))
    assert fn.profile(tokens).kernels[0].name == "check of embedding_input"
    with pytest.raises(TokenError):
        fn.profile(tokens + 9)


def test_pairs_of_bfloat16_are_two_products_in_four_bytes() -> None:
    x = _x(4, 9)
    full, narrow = (rnncc.compile(_model(), precision=name).profile(x) for name in ("float32", "bfloat16"))
    usual, step = (
        next(kernel for kernel in found.kernels if kernel.runs == 9 and kernel.reads) for found in (full, narrow)
    )
    assert step.operations == pytest.approx(usual.operations, rel=0.15)
    assert step.bytes < 0.8 * usual.bytes


def test_random_numbers_are_drawn() -> None:
    rnncc.set_random_seed(8)
    model = rnncc.Sequential([layers.Input(shape=(None, WIDTH)), layers.LSTM(4, recurrent_dropout=0.5)])
    for options in ({}, {"training": True}):
        assert rnncc.compile(model, **options).profile(_x(2, 3)).kernels


def test_stateful_layers_keep_their_states() -> None:
    fn = rnncc.compile(_model(stateful=True))
    x = _x(4, 3)
    fn(x)
    before = fn.states
    fn.profile(x)
    assert all(np.array_equal(before[name], now) for name, now in fn.states.items())


def test_arguments_are_those_of_a_call() -> None:
    fn = rnncc.compile(_model(), threads=2, dtype="float64")
    assert fn.profile(np.asfortranarray(_x(3, 6)))
    with pytest.raises(ShapeError):
        fn.profile(_x(3, 6)[:, :, :2])
    with pytest.raises(ArgumentError):
        fn.profile()


def test_no_counters_without_a_profile() -> None:
    assert "cycles" not in rnncc.compile(_model(), cache=False).ir("scheduled")
    procedure = parse(TWO_PRODUCTS)
    assert "cycles" not in show(procedure)
