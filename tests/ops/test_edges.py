"""The public functions of `rnncc.ops` at their edges: infinities, remainders, no elements, other kinds of numbers; and
what they say about arguments that have no meaning."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import ops
from rnncc.errors import ArgumentError, DTypeError, RnnccError, ShapeError, UnsupportedError

RNG = np.random.default_rng(11)
F32 = np.float32
INF, NAN = np.inf, np.nan
BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def both(function: Callable[..., Any], *arrays: np.ndarray) -> np.ndarray:
    """What compiled code makes of `arrays`, which is what the numpy meaning does."""
    graph = rnncc.trace(function, *((str(array.dtype), array.shape) for array in arrays))
    compiled: np.ndarray = rnncc.compile(graph, cache=False)(*arrays)
    meant = rnncc.evaluate(graph, *arrays)
    assert compiled.dtype == meant.dtype
    np.testing.assert_allclose(compiled, meant, rtol=1e-6, atol=1e-12)
    return compiled


# ------------------------------------------------------------------ numbers


@BOTH
def test_remainders_are_exact(dtype: Any) -> None:
    """Right below a multiple the quotient is rounded up, and there the remainder is nearly x2."""
    x2 = (RNG.normal(size=20_000) * 10.0 ** RNG.integers(-3, 4, 20_000)).astype(dtype)
    turns = RNG.integers(1, 2000, x2.size).astype(dtype)
    anywhere = (RNG.normal(size=x2.size) * 10.0 ** RNG.integers(-4, 9, x2.size)).astype(dtype)
    for x1 in (np.nextafter(x2 * turns, dtype(0)), x2 * turns, anywhere):
        np.testing.assert_array_equal(both(ops.mod, x1, x2), np.mod(x1, x2))
        quotient = np.floor_divide(x1.astype(float), x2.astype(float)).astype(dtype)  # float32 rounds before it cuts
        is_exact = np.abs(quotient) < 2**24
        np.testing.assert_array_equal(both(ops.floor_divide, x1, x2)[is_exact], quotient[is_exact])


@BOTH
def test_remainders_of_infinities_and_zeros(dtype: Any) -> None:
    large = 1e300 if dtype is np.float64 else 1e38
    x1, x2 = (
        array.ravel()
        for array in np.meshgrid(
            np.array([5, -1, INF, -INF, NAN, 0, 1, 1e10, -3, large], dtype),
            np.array([INF, -INF, 3, -3, 0.1, 0, NAN, large, -large], dtype),
        )
    )
    with np.errstate(all="ignore"):
        is_beyond = np.isfinite(x1) & (np.abs(x1 / x2) >= 2.0**53)
        assert is_beyond.any()
        np.testing.assert_array_equal(both(ops.mod, x1, x2), np.where(is_beyond, NAN, np.mod(x1, x2)))
        quotient = np.floor_divide(x1.astype(float), x2.astype(float)).astype(dtype)
        is_known = (x2 != 0) & ~is_beyond
        np.testing.assert_array_equal(both(ops.floor_divide, x1, x2)[is_known], quotient[is_known])


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_remainders_of_integers(dtype: Any) -> None:
    limits = np.iinfo(dtype)
    x1 = RNG.integers(limits.min // 2, limits.max, 20_000, dtype=dtype)
    for x2 in (RNG.integers(-9, 10, x1.size, dtype=dtype), RNG.integers(limits.min // 2, limits.max // 2, x1.size)):
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(both(ops.mod, x1, x2.astype(dtype)), np.mod(x1, x2))
            np.testing.assert_array_equal(both(lambda a, b: a // b, x1, x2.astype(dtype)), np.floor_divide(x1, x2))
    np.testing.assert_array_equal(both(lambda x: x % 3, x1), x1 % 3)
    least = np.array([limits.min, limits.min, 7], dtype)
    with np.errstate(all="ignore"):
        for x2 in (np.array([-1, 3, -2], dtype), np.array([1, -3, 0], dtype)):
            np.testing.assert_array_equal(both(ops.mod, least, x2), np.mod(least, x2))


@BOTH
@pytest.mark.parametrize("name", ["sin", "cos"])
def test_large_angles(name: str, dtype: Any) -> None:
    """Compared with numpy's own in more digits."""
    for size in (10.0, 1e4, 1e7, 1.7e9, 1e10):
        x = RNG.uniform(-size, size, 2000).astype(dtype)
        error = np.abs(both(getattr(ops, name), x) - getattr(np, name)(x.astype(np.longdouble)))
        assert error.max() < (3e-7 if dtype is np.float32 else 1e-15)
    assert np.isnan(both(getattr(ops, name), np.array([1.1e10, 1e30, INF, NAN], dtype))).all()


def test_logarithms_of_sums_with_infinities() -> None:
    x1, x2 = np.array([-INF, INF, -INF, INF, 1, NAN], F32), np.array([-INF, INF, INF, 1, -INF, 1], F32)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(both(ops.logaddexp, x1, x2), np.logaddexp(x1, x2))
    rows = np.array([[-INF, -INF], [INF, 1], [2, -INF], [NAN, 1], [-INF, NAN]], F32)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(both(lambda x: ops.logsumexp(x, 1), rows), np.logaddexp.reduce(rows, 1))
    assert both(lambda x: ops.logsumexp(x, 1), np.zeros((3, 0), F32)).tolist() == [-INF] * 3


def test_a_recursion_in_log_space() -> None:
    """The forward variables of connectionist temporal classification (Graves et al. 2006), without blanks."""
    x = np.log(RNG.uniform(size=(6, 2, 4))).astype(F32)

    def forward(scores: Any) -> Any:
        def step(alpha: Any, score: Any) -> Any:
            moved = ops.concatenate([ops.full((2, 1), -INF), alpha[:, :-1]], -1)
            return ops.logaddexp(alpha, moved) + score, None

        start = ops.where(ops.arange(4) < 1, 0.0, -INF) + ops.zeros((2, 4))
        return rnncc.scan(step, start, scores)[0]

    alpha = np.where(np.arange(4) < 1, 0.0, -INF) + np.zeros((2, 4))
    for score in x:
        alpha = np.logaddexp(alpha, np.concatenate([np.full((2, 1), -INF), alpha[:, :-1]], -1)) + score
    np.testing.assert_allclose(both(forward, x), alpha, rtol=1e-5)


def test_powers_of_negative_numbers() -> None:
    x1 = np.array([-2, -2, -2, 0, 0, 0, 1, INF, -INF, -INF, 2, NAN, NAN, 1, -3, 4, -INF, -INF], F32)
    x2 = np.array([2, 3, 0.5, 0, 2, -1, NAN, 2, 3, 2, INF, 0, 1, INF, -3, 0.5, 1.5, -0.5], F32)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(both(ops.power, x1, x2), np.power(x1, x2), rtol=1e-6)
    for number in (INF, -INF, NAN):
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(both(lambda x, n=number: x**n, x1), x1 ** F32(number))


def test_numbers_that_do_not_fit_an_integer_go_to_its_end() -> None:
    """numpy leaves open what comes of them; compiled code and the meaning agree."""
    x = np.array([NAN, INF, -INF, 3e9, -3e9, 2.9, -2.9, 1e19, -1e19], F32)
    ends = np.iinfo(np.int32)
    expected = [0, ends.max, ends.min, ends.max, ends.min, 2, -2, ends.max, ends.min]
    assert both(lambda v: ops.cast(v, "int32"), x).tolist() == expected
    long = np.iinfo(np.int64)
    expected = [0, long.max, long.min, 3_000_000_000, -3_000_000_000, 2, -2, long.max, long.min]
    assert both(lambda v: ops.cast(v, "int64"), x).tolist() == expected
    assert both(lambda v: ops.cast(v, "int64"), x.astype(np.float64)).tolist() == expected


def test_positions_of_extremes() -> None:
    for row in ([0, -(2**63), 5], [2**63 - 1, 3, -(2**63)]):
        n = np.array([row])
        assert both(lambda x: ops.argmin(x, 1), n).tolist() == [np.argmin(n)]
        assert both(lambda x: ops.argmax(x, 1), n).tolist() == [np.argmax(n)]
    x = RNG.normal(size=(3, 4, 5)).astype(F32)
    for ours, theirs in ((ops.argmax, np.argmax), (ops.argmin, np.argmin)):
        assert both(lambda v, f=ours: f(v), x) == theirs(x)
        np.testing.assert_array_equal(both(lambda v, f=ours: f(v, keepdims=True), x), theirs(x, keepdims=True))
        np.testing.assert_array_equal(both(lambda v, f=ours: f(v, 1, True), x), theirs(x, 1, keepdims=True))


# ------------------------------------------------------------------ shapes

X = RNG.normal(size=(3, 5)).astype(F32)
SHAPES: list[tuple[Callable[..., Any], Callable[..., Any], tuple[np.ndarray, ...]]] = [
    (lambda x: ops.reshape(x, (0, 3)) * 1, lambda x: x.reshape(0, 3), (np.zeros((0, 5), F32),)),
    (lambda x: ops.reshape(x, (-1, 7)) * 1, lambda x: x.reshape(0, 7), (np.zeros((0, 5), F32),)),
    (lambda x: ops.reshape(x, (2, 0, 3)) * 1, lambda x: x.reshape(2, 0, 3), (np.zeros((2, 5, 0), F32),)),
    (lambda x: ops.reshape(x, 15), np.ravel, (X,)),
    (lambda x: ops.reshape(x, newshape=(5, 3)), lambda x: x.reshape(5, 3), (X,)),
    (lambda x: ops.split(x, np.int64(5), 1)[4], lambda x: x[:, 4:], (X,)),
    (lambda x: ops.split(x, np.array([1, 3]), 1)[1], lambda x: x[:, 1:3], (X,)),
    (lambda x: ops.split(x, 2, 1)[1], lambda x: x, (np.zeros((3, 0), F32),)),
    (lambda x: ops.flip(x), np.flip, (X,)),
    (lambda x: ops.flip(x, (0, -1)), np.flip, (X,)),
    (lambda x: ops.tile(x, np.int64(2)), lambda x: np.tile(x, 2), (X,)),
    (lambda x: ops.tile(x, 0), lambda x: np.tile(x, 0), (X,)),
    (lambda x: ops.pad(x, ((1,), (2,))), lambda x: np.pad(x, ((1,), (2,))), (X,)),
    (lambda x: ops.pad(x, (1, 2)), lambda x: np.pad(x, (1, 2)), (X,)),
    (lambda x: ops.pad(x, np.int64(2)), lambda x: np.pad(x, 2), (X,)),
    (ops.prod, np.prod, (X,)),
    (lambda x: ops.prod(x, keepdims=True), lambda x: np.prod(x, keepdims=True), (X,)),
    (lambda x: ops.take(x, [14, 2], axis=None), lambda x: np.take(x, [14, 2]), (X,)),
    (lambda x: x[np.int64(1), np.int32(-1)], lambda x: x[1, -1], (X,)),
    (lambda x: ops.mean(x, 1), lambda x: np.full(3, NAN, F32), (np.zeros((3, 0), F32),)),
    (lambda x: ops.clip(x, x_min=-1, x_max=0.5), lambda x: np.clip(x, -1, 0.5), (X,)),
    (lambda x: ops.full((3, 5), fill_value=2) + x, lambda x: x + 2, (X,)),
    (lambda x: ops.add(x1=x, x2=x), lambda x: x + x, (X,)),
    (lambda x: ops.where(x > 0, x1=x, x2=0), lambda x: np.where(x > 0, x, F32(0)), (X,)),
    (lambda x: X[:, :1] % x, lambda x: X[:, :1] % x, (X,)),
    (lambda x: X[:, :1] // x, lambda x: X[:, :1] // x, (X,)),
    (lambda x: np.abs(X) ** x, lambda x: np.abs(X) ** x, (X,)),
    (lambda x: (X > 0) & (x > 1), lambda x: (X > 0) & (x > 1), (X,)),
    (lambda x: (X > 0) ^ (x > 1), lambda x: (X > 0) ^ (x > 1), (X,)),
]


@pytest.mark.parametrize("number", range(len(SHAPES)))
def test_shapes(number: int) -> None:
    function, reference, arrays = SHAPES[number]
    expected = reference(*arrays)
    result = both(function, *arrays)
    assert (result.shape, result.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((5,), (5,)),
        ((3, 5), (5,)),
        ((2, 3, 5), (5,)),
        ((5,), (5, 4)),
        ((5,), (2, 5, 4)),
        ((2, 3, 5), (5, 4)),
        ((3, 5), (2, 5, 4)),
        ((2, 1, 3, 5), (4, 5, 6)),
        ((1, 3, 5), (2, 5, 4)),
    ],
)
def test_matrix_products_broadcast(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    a, b = RNG.normal(size=left).astype(F32), RNG.normal(size=right).astype(F32)
    for function in (ops.matmul, lambda x, y: x @ y, lambda x, y: a @ y, lambda x, y: x @ b):
        np.testing.assert_allclose(both(function, a, b), a @ b, rtol=1e-5, atol=1e-5)
    if len(right) < 3:
        np.testing.assert_allclose(both(ops.dot, a, b), np.dot(a, b), rtol=1e-5, atol=1e-5)


def test_dot_with_a_number_is_the_product() -> None:
    np.testing.assert_array_equal(both(lambda x: ops.dot(2.0, x), X[0]), np.dot(F32(2), X[0]))
    np.testing.assert_array_equal(both(lambda x: ops.dot(x, 2.0), X), np.dot(X, F32(2)))


# ------------------------------------------------------------------ errors

WRONG: list[tuple[Callable[[Any], Any], type[RnnccError], str]] = [
    (lambda x: ops.dot(x[:, :1], x[0]), ShapeError, "the last axis of slice must be as long as slice"),
    (lambda x: x[:, :1] @ x[0], ShapeError, "the last axis of slice must be as long as slice"),
    (lambda x: ops.zeros((2, 3, 5)) @ ops.zeros((4, 5, 6)), ShapeError, "leading dims .* broadcast: axis -1: 2 != 4"),
    (lambda x: ops.dot(x, ops.zeros((2, 5, 3))), UnsupportedError, "every matrix on the left .*\n.*\n.*\n.*ops.matmul"),
    (lambda x: ops.split(x, 2.5, 1), ArgumentError, "split takes a number of sections, or a list of positions"),
    (lambda x: ops.split(x, [1.5], 1), ArgumentError, "the positions of split are whole numbers, not 1.5"),
    (lambda x: ops.arange(0, 1, 0.2), ArgumentError, "arange counts in whole numbers"),  # type: ignore[arg-type]
    (lambda x: ops.arange(0, 5, 0), ArgumentError, "its step is not 0"),
    (lambda x: x[..., 0, ...], ArgumentError, "cannot index x .*\n.*\n.*\n.*one ... are known"),
    (lambda x: x[True], ArgumentError, "cannot index x with True"),
    (lambda x: ops.tril(x[0]), ShapeError, "a triangle is one of a matrix"),
    (lambda x: ops.flip(x, 1.5), ArgumentError, "an axis is a whole number, not 1.5"),  # type: ignore[arg-type]
    (lambda x: ops.arange(3) ** ops.arange(3), DTypeError, "one of floats, not of i64"),
    (lambda x: ops.einsum("...j->...", x), ArgumentError, "does not fit its operands(.|\n)*... is not known"),
    (lambda x: ops.sum(x, "T"), ArgumentError, "an axis is a whole number, not 'T'"),  # type: ignore[arg-type]
    (lambda x: ops.sum(x, 1.0), ArgumentError, "an axis is a whole number, not 1.0"),  # type: ignore[arg-type]
    (lambda x: ops.argmax(x[:, :0], 1), ShapeError, "axis 1 has no element to find"),
    (lambda x: ops.take(x, [True, False, True]), DTypeError, "the indices of take are whole numbers, not bool"),
    (lambda x: ops.take(x, x), DTypeError, "the indices of take are whole numbers, not f32"),
    (lambda x: ops.pad(x, ((1, 2), (3, 4), (5, 6))), ArgumentError, "pad_width is a number from 0 on, a pair"),
    (lambda x: ops.pad(x, -1), ArgumentError, "pad_width is a number from 0 on"),
    (lambda x: ops.pad(x, 1, "reflect"), UnsupportedError, "pad in mode 'reflect' is not there yet"),  # type: ignore[arg-type]
    (lambda x: ops.tile(x, 1.5), ArgumentError, "tile repeats x a number of times"),  # type: ignore[arg-type]
    (lambda x: ops.sin(ops.arange(3)), DTypeError, "an angle is of kind float, not i64"),
    (lambda x: x % ops.arange(5), DTypeError, "f32 and i64"),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_what_has_no_meaning(number: int) -> None:
    function, kind, message = WRONG[number]
    with pytest.raises(kind, match=message):
        rnncc.trace(lambda x: function(x), ("float32", (3, 5)))


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_angles_of_a_graph_that_is_compiled_as_float64(name: str) -> None:
    """What is declared as float32 has all digits then."""
    x = RNG.uniform(-9, 9, 500)
    fn = rnncc.compile(rnncc.trace(getattr(ops, name), ("float32", ("N",))), dtype="float64", cache=False)
    np.testing.assert_allclose(fn(x), getattr(np, name)(x), rtol=1e-12, atol=1e-14)


def test_angles_beyond_pi_are_not_off_by_what_pi_lacks() -> None:
    assert both(ops.sin, np.array([math.pi])).tolist() == pytest.approx([1.2246467991473532e-16], rel=1e-6)
