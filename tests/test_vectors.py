"""What fills no vector, has one column, or lies across what is walked: in vectors all the same, and right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers, ops
from tests.compiled import TARGETS, check, made

NARROW_TARGETS = [name for name in ("x86-64-v2",) if name in TARGETS]
WIDE_TARGETS = [name for name in ("x86-64-v3", "x86-64-v4") if name in TARGETS]


@pytest.mark.parametrize("target", ["host", *WIDE_TARGETS[:1]])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 9, 13, 16, 17, 31, 33, 39, 63, 129, 150, "N"])
def test_sums_of_every_length(size: Any, target: str) -> None:
    """In vectors, with a last one that is not whole."""

    def sums(x: Any) -> Any:
        whole = ops.cast(x * 100, "int32")
        kinds = [ops.sum(x, -1), ops.sum(ops.exp(x), -1), ops.max(x, -1), ops.min(-x, -1), ops.softmax(x)]
        return [*kinds, ops.sum(whole, -1), ops.max(whole, -1), ops.sum(1 / x, -1)]

    graph = rnncc.trace(sums, ("float32", ("B", size)))
    fn = rnncc.compile(graph, target=target)
    for extent in range(1, 70) if size == "N" else [size]:
        x = np.random.default_rng(extent).normal(-3, 0.5, (3, extent)).astype(np.float32)
        check(fn, graph, [x])
        x[1, extent // 2], x[2, -1] = -np.inf, np.nan
        checked = fn(x)[2], fn(x)[7]
        np.testing.assert_array_equal(np.isnan(checked), [[False, False, True]] * 2)


@pytest.mark.parametrize("target", ["host", *NARROW_TARGETS])
@pytest.mark.parametrize("size", [1, 2, 5, 16, 17, 39, "N"])
def test_functions_of_what_lies_across(size: Any, target: str) -> None:
    """Its results are walked along another axis than what they are made of."""
    gain = np.random.default_rng(0).normal(size=39).astype(np.float32)

    def model(x: Any) -> Any:
        scaled = x if size == "N" else x * gain[:size]
        kinds = ops.tanh(ops.transpose(scaled, (0, 2, 1))), ops.transpose(ops.exp(x), (2, 1, 0))
        return [*kinds, ops.softmax(ops.transpose(x, (0, 2, 1)))]

    graph = rnncc.trace(model, ("float32", ("B", "T", size)))
    fn = rnncc.compile(graph, target=target)
    for batch, time, extent in [(1, 1, 1), (3, 5, 21), (2, 18, 3), (0, 4, 2), (2, 0, 5)]:
        shape = batch, time, extent if size == "N" else size
        check(fn, graph, [np.random.default_rng(time).normal(size=shape).astype(np.float32)])


SCORES = [{}, {"dtype": "float64"}, {"threads": 2}, {"precision": "bfloat16"}]
SCORES += [{"target": name} for name in NARROW_TARGETS]


@pytest.mark.parametrize("options", SCORES, ids=str)
@pytest.mark.parametrize("size", [5, 16, 39])
def test_products_with_one_column(size: int, options: dict[str, Any]) -> None:
    """What is multiplied is computed in vectors: the scores of an attention, of two weights in one nest."""
    rng = np.random.default_rng(size)
    gain, column, other = (rng.normal(size=(size, 1)).astype(np.float32) for _ in range(3))

    def scores(x: Any) -> Any:
        y = ops.tanh(x)
        return (y @ (gain * column)) * (y @ column) + y @ other

    graph = rnncc.trace(scores, ("float32", ("B", "S", size)))
    fn = rnncc.compile(graph, **options)
    x = rng.normal(size=(5, 7, size)).astype(np.float32)
    tolerance = 2e-2 if "precision" in options else 1e-5
    wanted = rnncc.evaluate(graph, x)
    np.testing.assert_allclose(fn(x), wanted, rtol=tolerance, atol=tolerance * np.abs(wanted).max())
    for batch in range(1, 5):
        np.testing.assert_array_equal(fn(x[:batch]), fn(x)[:batch])


def sharing(kind: str, units: int) -> Any:
    make = getattr(layers, kind)
    return made(lambda: rnncc.Sequential([layers.Input((None, 3)), make(units, return_sequences=True)]))


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("target", WIDE_TARGETS)
@pytest.mark.parametrize("units", [17, 19, 20, 22, 24, 25, 36])
def test_last_columns_that_share_vectors(kind: str, target: str, units: int) -> None:
    """Of several sums and of every number that is no whole vector, for one row and for several."""
    model = sharing(kind, units)
    fn = rnncc.compile(model, target=target)
    lanes = 8 if target == "x86-64-v3" else 16
    assert ("_tails" in fn.ir("scheduled")) == (0 < units % lanes <= lanes // 2)
    for batch in (1, 2, 3, 4, 6, 11):
        x = np.random.default_rng(units).normal(size=(batch, 4, 3)).astype(np.float32)
        check(fn, model, [x])


@pytest.mark.parametrize("options", [{"dtype": "float64"}, {"threads": 2}, {"schedule": {"h": {"copies": 2}}}], ids=str)
def test_last_columns_that_share_vectors_with(options: dict[str, Any]) -> None:
    """A hundred units have panels that threads share."""
    model = sharing("LSTM", 100)
    fn = rnncc.compile(model, **options)
    for batch in (1, 2, 5):
        x = np.random.default_rng(batch).normal(size=(batch, 3, 3)).astype(np.float32)
        check(fn, model, [x], options.get("dtype", "float32"))


@pytest.mark.skipif("x86-64-v4" not in TARGETS, reason="of 32 registers, 30 hold three sums of ten vectors")
def test_tiles_with_no_register_left_share_no_vectors() -> None:
    model = sharing("GRU", 164)
    assert "_tails" in rnncc.compile(model, target="x86-64-v4").ir("scheduled")
    fn = rnncc.compile(model, target="x86-64-v4", schedule={"h": {"rows": 1, "width": 1, "panel": 10}})
    assert "_tails" not in fn.ir("scheduled")
    check(fn, model, [np.random.default_rng(0).normal(size=(2, 3, 3)).astype(np.float32)])


@pytest.mark.parametrize("options", [{}, {"threads": 2}, *({"target": name} for name in NARROW_TARGETS)], ids=str)
@pytest.mark.parametrize("size", [3, 17, 64, 100])
def test_products_of_two_results(size: int, options: dict[str, Any]) -> None:
    """Each sequence has a matrix of its own: what queries score places with, and what the scores weigh."""

    def attention(queries: Any, places: Any, blocks: Any) -> Any:
        turned = ops.transpose(places, (0, 2, 1))
        scores = queries @ turned
        weighed = ops.softmax(scores, axis=-1) @ places
        return [
            scores,
            weighed,
            blocks @ ops.expand_dims(ops.tanh(turned), 1),
            blocks @ ops.expand_dims(turned, 1) - 1.0,
        ]

    kinds = ("float32", ("B", "T", size)), ("float32", ("B", "S", size)), ("float32", ("B", 2, 5, size))
    graph = rnncc.trace(attention, *kinds)
    fn = rnncc.compile(graph, **options)
    rng = np.random.default_rng(size)
    for batch, queries, places in [(1, 1, 1), (2, 3, 7), (3, 8, 21), (0, 2, 3), (2, 0, 5), (2, 3, 0), (7, 13, 70)]:
        shapes = (batch, queries, size), (batch, places, size), (batch, 2, 5, size)
        arrays = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
        check(fn, graph, arrays)
