"""The numpy meaning of loop IR: loops that run at once give what they would give in order, and mistakes show up."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnncc.loop.interp import CheckFailed, interpret
from rnncc.loop.ir import For, Procedure, Stmt
from rnncc.loop.parser import parse
from rnncc.loop.verify import verify

RTOL = 2e-6
"""Sums of up to a hundred float32 numbers near 1, in different orders."""


def in_order(procedure: Procedure) -> Procedure:
    """The procedure with every loop run one iteration after the other."""

    def ordered(statement: Stmt) -> Stmt:
        if not isinstance(statement, For):
            return statement
        return replace(statement, kind="range", body=tuple(map(ordered, statement.body)))

    return replace(procedure, setup=tuple(map(ordered, procedure.setup)), body=tuple(map(ordered, procedure.body)))


def run(text: str, arrays: Mapping[str, np.ndarray] | None = None, **dims: int) -> dict[str, np.ndarray]:
    """The outputs of a sound procedure, which must not depend on whether its loops run at once."""
    procedure = parse(text)
    verify(procedure)
    outputs = interpret(procedure, arrays or {}, dims)
    for name, expected in interpret(in_order(procedure), arrays or {}, dims).items():
        np.testing.assert_allclose(outputs[name], expected, rtol=RTOL, atol=RTOL)
    return outputs


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


# ------------------------------------------------------------------ loops and reductions

MATMUL = """
def matmul(B):
    x = input(f32, [B, 30])
    w = weight(f32, [30, 20])
    y = output(f32, [B, 20])
    for b in parallel(0, B):
        for j in parallel(0, 20):
            y[b, j] = sum(x[b, k] * w[k, j] for k in range(30))
"""


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_matmul(rows: int) -> None:
    x, w = normal(rows, 30), normal(30, 20)
    y = run(MATMUL, {"x": x, "w": w}, B=rows)["y"]
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, x @ w, rtol=RTOL, atol=1e-5)


def test_a_large_loop_runs_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w = normal(7, 30), normal(30, 20)
    monkeypatch.setattr("rnncc.loop.interp._POINTS", 50)
    np.testing.assert_allclose(run(MATMUL, {"x": x, "w": w}, B=7)["y"], x @ w, rtol=RTOL, atol=1e-5)


def test_reductions() -> None:
    text = """
    def reductions(N):
        x = input(f32, [5, N])
        n = input(i64, [5])
        big = output(f32, [5])
        small = output(i64, [])
        count = output(i64, [5])
        ragged = output(f32, [5])
        pairs = output(f32, [])
        for i in parallel(0, 5):
            big[i] = max(x[i, k] for k in range(N))
            count[i] = sum(1 for k in range(n[i]))
            ragged[i] = sum(x[i, k] for k in range(n[i]))
        small[()] = min(n[k] for k in range(5))
        pairs[()] = sum(sum(x[a, b] * x[b, a] for b in range(5)) for a in range(5))
    """
    x, n = normal(5, 8), np.array([3, 0, 8, 1, 5])
    outputs = run(text, {"x": x, "n": n}, N=8)
    np.testing.assert_array_equal(outputs["big"], x.max(axis=1))
    np.testing.assert_array_equal(outputs["count"], n)
    np.testing.assert_allclose(outputs["ragged"], [row[:size].sum() for row, size in zip(x, n, strict=True)], RTOL)
    assert outputs["small"] == 0
    np.testing.assert_allclose(outputs["pairs"], (x[:, :5] * x[:, :5].T).sum(), rtol=1e-5)


def test_reductions_of_nothing() -> None:
    text = """
    def nothing(N):
        x = input(f32, [N])
        y = output(f32, [3])
        y[0] = sum(x[k] for k in range(N))
        y[1] = max(x[k] for k in range(N))
        y[2] = min(x[k] for k in range(N - 3))
    """
    np.testing.assert_array_equal(run(text, {"x": normal(0)}, N=0)["y"], [0, -np.inf, np.inf])


@given(size=st.integers(0, 9), tile=st.integers(1, 4), start=st.integers(0, 3))
def test_tiles_with_a_tail(size: int, tile: int, start: int) -> None:
    text = f"""
    def tiles(N):
        x = input(f32, [N])
        y = output(f32, [N])
        for i in parallel(0, N):
            y[i] = 0.0
        for i in parallel({start}, N, {tile}):
            for j in parallel(i, min(i + {tile}, N)):
                y[j] += x[j]
            for j in range(i, min(i + {tile}, N)):
                y[j] += 1.0
            for j in parallel(i + 1, i):
                y[j] += 1000.0
    """
    x = normal(size)
    expected = np.where(np.arange(size) < start, 0, x + np.float32(1))
    np.testing.assert_array_equal(run(text, {"x": x}, N=size)["y"], expected)


# ------------------------------------------------------------------ recurrence

LSTM = """
def lstm(B, T):
    x = input(f32, [T, B, 12])
    w = weight(f32, [12, 32])
    u = weight(f32, [8, 32])
    last = output(f32, [B, 8])
    h = temporary(f32, [2, B, 8])
    c = temporary(f32, [B, 8])
    xw = temporary(f32, [T, B, 32])
    z = temporary(f32, [B, 32])
    for b in parallel(0, B):
        for j in parallel(0, 8):
            h[0, b, j] = 0.0
            c[b, j] = 0.0
    for t in parallel(0, T):
        for b in parallel(0, B):
            for j in parallel(0, 32):
                xw[t, b, j] = sum(x[t, b, k] * w[k, j] for k in range(12))
    for t in range(0, T):
        for b in parallel(0, B):
            for j in parallel(0, 32):
                z[b, j] = xw[t, b, j] + sum(h[t % 2, b, k] * u[k, j] for k in range(8))
        for b in parallel(0, B):
            for j in parallel(0, 8):
                new = sigmoid(z[b, 8 + j]) * c[b, j] + sigmoid(z[b, j]) * tanh(z[b, 16 + j])
                c[b, j] = new
                h[(t + 1) % 2, b, j] = sigmoid(z[b, 24 + j]) * tanh(new)
    for b in parallel(0, B):
        for j in parallel(0, 8):
            last[b, j] = h[T % 2, b, j]
"""

LSTM_TILED = """
def lstm(B, T):
    x = input(f32, [T, B, 12])
    w = weight(f32, [12, 32])
    u = weight(f32, [8, 32])
    wp = packed(f32, [2, 20, 4, 4])
    last = output(f32, [B, 8])
    h = temporary(f32, [2, B, 8])
    c = temporary(f32, [B, 8])
    acc = register(f32, [2, 4, 4])
    with setup():
        for p in parallel(0, 2):
            for g in parallel(0, 4):
                for l in lanes(0, 4):
                    for k in parallel(0, 12):
                        wp[p, k, g, l] = w[k, g * 8 + p * 4 + l]
                    for k in parallel(0, 8):
                        wp[p, 12 + k, g, l] = u[k, g * 8 + p * 4 + l]
    for b in parallel(0, B):
        h[0, b, span(0, 8)] = 0.0
        c[b, span(0, 8)] = 0.0
    for t in range(0, T):
        for p in parallel(0, 2):
            for r in parallel(0, B, 2):
                for m in unroll(0, 2):
                    for g in unroll(0, 4):
                        acc[m, g, span(0, 4)] = 0.0
                for k in range(0, 12):
                    for m in unroll(0, 2):
                        for g in unroll(0, 4):
                            acc[m, g, span(0, 4)] += wp[p, k, g, span(0, 4)] * x[t, r + m, k]
                for k in range(0, 8):
                    for m in unroll(0, 2):
                        for g in unroll(0, 4):
                            acc[m, g, span(0, 4)] += wp[p, 12 + k, g, span(0, 4)] * h[t % 2, r + m, k]
                for m in unroll(0, 2):
                    keep = sigmoid(acc[m, 1, span(0, 4)]) * c[r + m, span(p * 4, 4)]
                    new = keep + sigmoid(acc[m, 0, span(0, 4)]) * tanh(acc[m, 2, span(0, 4)])
                    c[r + m, span(p * 4, 4)] = new
                    h[(t + 1) % 2, r + m, span(p * 4, 4)] = sigmoid(acc[m, 3, span(0, 4)]) * tanh(new)
    for b in parallel(0, B):
        last[b, span(0, 8)] = h[T % 2, b, span(0, 8)]
"""


@pytest.mark.parametrize("text", [LSTM, LSTM_TILED], ids=["naive", "tiled"])
@pytest.mark.parametrize(("rows", "steps"), [(4, 5), (2, 1), (6, 0), (0, 3)])
def test_lstm(text: str, rows: int, steps: int) -> None:
    x, w, u = normal(steps, rows, 12), normal(12, 32) / 4, normal(8, 32) / 4
    last = run(text, {"x": x, "w": w, "u": u}, B=rows, T=steps)["last"]
    h = c = np.zeros((rows, 8), np.float32)
    for step in range(steps):
        i, f, g, o = np.split(x[step] @ w + h @ u, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    np.testing.assert_allclose(last, h, rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------ registers, unrolled loops


TILE = """
def tile(B):
    x = input(f32, [B, 6])
    w = weight(f32, [6, 8])
    y = output(f32, [B, 8])
    acc = register(f32, [2, 4])
    for b in parallel(0, B, 2):
        for j in parallel(0, 8, 4):
            {}
"""
ROLLED = """
            for m in unroll(0, 2):
                for n in lanes(0, 4):
                    acc[m, n] = 0.0
                    for k in range(0, 6):
                        acc[m, n] += x[b + m, k] * w[k, j + n]
            for m in unroll(b, b + 2):
                for n in lanes(0, 4):
                    y[m, j + n] = acc[m - b, n]
"""
UNROLLED = """
            acc[0, span(0, 4)] = 0.0
            acc[1, span(0, 4)] = 0.0
            for k in range(0, 6):
                row = w[k, span(j, 4)]
                acc[0, span(0, 4)] += x[b, k] * row
                acc[1, span(0, 4)] += x[b + 1, k] * row
            y[b, span(j, 4)] = acc[0, span(0, 4)]
            y[b + 1, span(j, 4)] = acc[1, span(0, 4)]
"""


@pytest.mark.parametrize("inner", [ROLLED, UNROLLED], ids=["rolled", "unrolled"])
def test_register_tiles(inner: str) -> None:
    x, w = normal(6, 6), normal(6, 8)
    y = run(TILE.format(inner.strip()), {"x": x, "w": w}, B=6)["y"]
    np.testing.assert_allclose(y, x @ w, rtol=1e-5, atol=1e-6)


def test_registers_are_seen_by_inner_loops_and_kept_from_outer_ones() -> None:
    text = """
    def f():
        r = register(f32, [1])
        y = output(f32, [3, 4])
        after = output(f32, [1])
        r[0] = 5.0
        for i in parallel(0, 3):
            for j in parallel(0, 4):
                r[0] += f32(10 * i + j)
                y[i, j] = r[0]
        after[0] = r[0]
    """
    outputs = interpret(parse(text), {}, {})
    np.testing.assert_array_equal(outputs["y"], 5 + 10 * np.arange(3)[:, None] + np.arange(4))
    assert outputs["after"] == 5


def test_unrolled_loops_that_must_run_in_order() -> None:
    text = """
    def f():
        x = input(f32, [4])
        y = output(f32, [5])
        total = output(f32, [])
        acc = register(f32, [1])
        y[0] = 1.0
        acc[0] = 0.0
        for i in unroll(0, 4):
            y[i + 1] = y[i] * x[i]
            acc[0] += x[i]
        total[()] = acc[0]
    """
    x = normal(4)
    outputs = run(text, {"x": x})
    np.testing.assert_allclose(outputs["y"][1:], np.cumprod(x), rtol=RTOL)
    np.testing.assert_allclose(outputs["total"], x.sum(), rtol=RTOL)


# ------------------------------------------------------------------ vectors


@pytest.mark.parametrize("size", [0, 1, 8, 13, 16])
def test_masked_spans(size: int) -> None:
    text = """
    def f(N):
        x = input(f32, [N])
        y = output(f32, [N])
        total = output(f32, [])
        total[()] = 0.0
        for i in range(0, N, 8):
            v = x[span(i, 8, N)]
            y[span(i, 8, N)] = where(v < 0.0, v * 2.0, 1.0)
            total[()] += reduce_add(v) + reduce_max(v) - reduce_min(x[span(i, 8, N)])
    """
    x = normal(size)
    outputs = run(text, {"x": x}, N=size)
    np.testing.assert_allclose(outputs["y"], np.where(x < 0, x * 2, 1), rtol=RTOL)
    blocks = np.pad(x, (0, -size % 8)).reshape(-1, 8)
    expected = x.sum() + (blocks.max(axis=1) - blocks.min(axis=1)).sum() if size else 0
    np.testing.assert_allclose(outputs["total"], expected, rtol=1e-5)


def test_masked_spans_in_parallel_and_of_one_lane() -> None:
    text = """
    def f(B, N):
        x = input(f32, [B, N])
        n = input(i64, [B])
        y = output(f32, [B, N])
        one = output(f32, [N])
        for b in parallel(0, B):
            for i in parallel(0, N, 4):
                y[b, span(i, 4, N)] = 0.0
                combine_max(y[b, span(i, 4, min(n[b], N))], x[b, span(i, 4, n[b])] + f32(b))
        for i in parallel(0, N + 3):
            one[span(i, 1, N)] = x[0, span(i, 1, N)] * 2.0
    """
    x, n = normal(3, 10), np.array([0, 5, 10])
    outputs = run(text, {"x": x, "n": n}, B=3, N=10)
    rows = np.arange(3, dtype=np.float32)[:, None]
    expected = np.where(np.arange(10) < n[:, None], np.maximum(x + rows, 0), 0)
    np.testing.assert_array_equal(outputs["y"], expected)
    np.testing.assert_array_equal(outputs["one"], x[0] * 2)


def test_vectors_are_bound_outside_and_used_inside_of_loops() -> None:
    text = """
    def f(B):
        x = input(f32, [B, 4])
        w = input(f32, [4])
        y = output(f32, [B, 3, 4])
        v = w[span(0, 4)]
        for b in parallel(0, B):
            s = x[b, span(0, 4)] + v
            for j in parallel(0, 3):
                scale = f32(j)
                y[b, j, span(0, 4)] = s * scale + v
    """
    x, w = normal(5, 4), normal(4)
    y = run(text, {"x": x, "w": w}, B=5)["y"]
    expected = (x + w)[:, None, :] * np.arange(3, dtype=np.float32)[None, :, None] + w
    np.testing.assert_allclose(y, expected, rtol=RTOL)


def test_floats_keep_their_width() -> None:
    text = """
    def f():
        a = output(f32, [])
        b = output(f64, [])
        a[()] = f32(1.0) + 1e-10
        b[()] = const(1.0, f64) + f64(1e-10) * const(1.0, f64)
    """
    outputs = run(text)
    assert outputs["a"] == 1
    assert outputs["b"] > 1


# ------------------------------------------------------------------ what must not go unnoticed


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("y[0] = x[n]", "x: index 4 is outside of axis 0, which has 4 elements: x[n]"),
        ("y[0] = x[n - 5]", "x: index -1 is outside of axis 0, which has 4 elements: x[n - 5]"),
        ("y[n] = 0.0", "y: index 4 is outside of axis 0, which has 4 elements: y[n] = 0.0"),
        ("for i in parallel(0, n):\n        y[i + 1] = 0.0", "y: index 4 is outside"),
        ("y[span(1, 4)] = x[span(0, 4)]", "y: index 4 is outside"),
        ("y[span(1, 4, n + 1)] = x[span(0, 4)]", "y: index 4 is outside"),
        ("y[0] = reduce_add(x[span(n - 5, 4, 2)])", "x: index -1 is outside"),
        ("y[0] = sum(x[k] for k in range(n + 1))", "x: index 4 is outside"),
        ("r[n - 4] = 0.0\n    y[0] = r[n - 2]", "r: index 2 is outside of axis 0, which has 2 elements: r[n - 2]"),
        ("y[0] = x[place[0]]", "x: index -1000000000000000000 is outside"),
        ("for i in parallel(0, n):\n        y[i // 2] = x[i]", "different values to one place: y[i // 2] = x[i]"),
        ("for i in parallel(0, n):\n        y[0] += x[i]", "combine into one place: y[0] += x[i]"),
        ("for i in parallel(0, n):\n        y[0] += 1.0", "combine into one place"),
        ("for i in lanes(0, n):\n        y[i % 2] = x[i]", "different values to one place"),
    ],
)
def test_mistakes(statement: str, message: str) -> None:
    text = f"""def f(n):
    x = input(f32, [n])
    y = output(f32, [n])
    place = temporary(i64, [1])
    r = register(f32, [2])
    {statement}
"""
    with pytest.raises(AssertionError) as caught:
        interpret(parse(text), {"x": normal(4)}, {"n": 4})
    assert message in str(caught.value)


def test_unwritten_memory_is_poison() -> None:
    text = """
    def f():
        h = temporary(f32, [4])
        r = register(f64, [4])
        flags = temporary(i32, [1])
        y = output(f32, [4])
        z = output(f64, [4])
        n = output(i32, [2])
        h[1] = 1.0
        r[2] = const(2.0, f64)
        for i in unroll(0, 4):
            y[i] = h[i]
            z[i] = r[i]
        n[0] = flags[0]
    """
    outputs = run(text)
    np.testing.assert_array_equal(outputs["y"], [np.nan, 1, np.nan, np.nan])
    np.testing.assert_array_equal(outputs["z"], [np.nan, np.nan, 2, np.nan])
    assert all(outputs["n"] < -(10**9))


def test_registers_begin_anew_in_every_iteration() -> None:
    text = """
    def f():
        r = register(f32, [1])
        y = output(f32, [2, 3])
        for t in range(0, 2):
            for i in parallel(0, 3):
                y[t, i] = r[0]
                r[0] = 1.0
    """
    assert np.isnan(interpret(parse(text), {}, {})["y"]).all()


CHECKED = """
def f(B, T):
    ids = input(i64, [B, T])
    y = output(i64, [B, T])
    messages('unused', 'too large')
    for b in parallel(0, B):
        for t in parallel(0, T):
            check(ids[b, t] < 10, 1, ids[b, t], b, t)
            y[b, t] = ids[b, t]
"""


def test_checks() -> None:
    ids = np.array([[1, 2, 3], [4, 50, 6], [70, 8, 80]])
    procedure = parse(CHECKED)
    for variant in (procedure, in_order(procedure)):
        with pytest.raises(CheckFailed) as caught:
            interpret(variant, {"ids": ids}, {"B": 3, "T": 3})
        assert (caught.value.code, caught.value.values) == (1, (50, 1, 1))
    np.testing.assert_array_equal(run(CHECKED, {"ids": ids % 10}, B=3, T=3)["y"], ids % 10)
    assert run(CHECKED, {"ids": ids[:0]}, B=0, T=3)["y"].shape == (0, 3)


def test_arguments_must_fit() -> None:
    with pytest.raises(AssertionError, match=r"x has shape \(2, 30\), \(3, 30\) is needed"):
        interpret(parse(MATMUL), {"x": normal(2, 30), "w": normal(30, 20)}, {"B": 3})
    with pytest.raises(AssertionError, match="w holds float64, f32 is needed"):
        interpret(parse(MATMUL), {"x": normal(2, 30), "w": normal(30, 20).astype(np.float64)}, {"B": 2})
