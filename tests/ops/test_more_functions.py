"""The public functions of `rnncc.ops` that are a few primitives each, and operators and slices, against numpy; compiled
as well."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers, ops
from rnncc.errors import ArgumentError, MemberError, ShapeError, TokenError
from tests.ops.test_functions import run

RNG = np.random.default_rng(7)
F32 = np.float32
X = RNG.uniform(-3, 3, (3, 5)).astype(F32)
Y = RNG.uniform(0.5, 2, (3, 5)).astype(F32)
N = RNG.integers(-4, 5, (3, 5))
P, Q = N > 0, RNG.random((3, 5)) < 0.5
Z = RNG.normal(size=(2, 3, 4)).astype(F32)
ODD = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.49999997, 8388609.0, -3.0, 0.0], F32)


def check(function: Callable[..., Any], reference: Callable[..., Any], *arrays: Any, rtol: float = 1e-5) -> None:
    """The meaning and the compiled code against numpy."""
    expected = np.asarray(reference(*(np.asarray(array) for array in arrays)))
    results = run(function, *arrays)
    graph = rnncc.trace(function, *((str(np.asarray(a).dtype), np.asarray(a).shape) for a in arrays))
    with np.errstate(all="ignore"):
        for result in (results[0], rnncc.compile(graph, cache=False)(*arrays)):
            assert result.dtype == expected.dtype
            assert result.shape == expected.shape
            np.testing.assert_allclose(result, expected, rtol=rtol, atol=1e-6)


POINTWISE: list[tuple[str, Callable[..., Any], tuple[Any, ...]]] = [
    ("ceil", np.ceil, (ODD,)),
    ("trunc", np.trunc, (ODD,)),
    ("round", np.round, (ODD,)),
    ("floor_divide", np.floor_divide, (X, Y)),
    ("mod", np.mod, (X, Y)),
    ("power", np.power, (Y, X)),
    ("log2", np.log2, (Y,)),
    ("log10", np.log10, (Y,)),
    ("exp2", np.exp2, (X,)),
    ("logaddexp", np.logaddexp, (X, Y * 50)),
    ("logical_xor", np.logical_xor, (P, Q)),
    ("isnan", np.isnan, (np.array([0, np.nan, np.inf], F32),)),
    ("isinf", np.isinf, (np.array([0, np.nan, -np.inf], F32),)),
    ("isfinite", np.isfinite, (np.array([0, np.nan, -np.inf], F32),)),
    ("absolute", np.absolute, (X,)),
    ("true_divide", np.true_divide, (X, Y)),
]


@pytest.mark.parametrize(("name", "reference", "arrays"), POINTWISE, ids=[name for name, _, _ in POINTWISE])
def test_pointwise(name: str, reference: Any, arrays: Any) -> None:
    check(getattr(ops, name), reference, *arrays)


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_circular(name: str, dtype: Any) -> None:
    x = np.concatenate([np.linspace(-10, 10, 401), RNG.uniform(-1e4, 1e4, 400), [0, 1e-6, np.pi, -np.pi / 2 + 0.1]])
    x = x.astype(dtype)
    exact = getattr(np, name)(x.astype(np.longdouble))
    (result,) = run(getattr(ops, name), x)
    assert result.dtype == dtype
    error = np.abs(result - exact) / (1 if name != "tan" else 1 + exact**2)
    assert error.max() < (1e-6 if dtype is np.float32 else 2e-12)
    check(getattr(ops, name), getattr(np, name), np.linspace(-1, 1, 9).astype(np.float32))


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 7, -2, 0.5, 2.0])
def test_powers_of_numbers(exponent: float) -> None:
    base = Y if exponent == 0.5 else X
    check(lambda x: ops.power(x, exponent), lambda x: np.power(x, F32(exponent)), base)
    check(lambda x: x**exponent, lambda x: x ** F32(exponent), base)


OPERATORS: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (lambda x, y: x % y, (X, Y)),
    (lambda x, y: x // y, (X, Y)),
    (lambda y: 2.0**y, (Y,)),
    (lambda x: 2.5 % abs(x), (X,)),
    (lambda x: +x, (X,)),
    (lambda p, q: (p & ~q) | (p ^ q), (P, Q)),
    (lambda n: n == 2, (N,)),
    (lambda n: n != 2, (N,)),
    (lambda x, y: (x == y) | (x != x), (X, X)),
    (lambda x: (x > 0) & (x < 1), (X,)),
]


@pytest.mark.parametrize("number", range(len(OPERATORS)))
def test_operators(number: int) -> None:
    function, arrays = OPERATORS[number]
    check(function, function, *arrays)


def test_an_array_compared_with_a_tensor() -> None:
    check(lambda n: n == N, lambda n: n == N, N)


def test_equality_with_what_is_no_tensor() -> None:
    def function(x: Any) -> Any:
        assert (x == "x") is False
        assert x != "x"
        assert len({x, x}) == 1
        return x

    check(function, lambda x: x, X)


SLICES = [slice(None, None, -1), slice(None, None, 2), slice(4, None, -2), slice(1, None, 3), slice(-1, 0, -3)]
SLICES += [slice(3, 1), slice(None, None, 7), slice(10, None, -1), slice(0, -1), slice(-2, None)]


@pytest.mark.parametrize("key", SLICES, ids=str)
def test_slices_with_steps(key: slice) -> None:
    check(lambda x: x[:, key], lambda x: x[:, key], X)
    check(lambda z: z[..., key], lambda z: z[..., key], Z)
    check(lambda z: z[1, None, key, ::-1], lambda z: z[1, None, key, ::-1], Z)
    check(lambda p: p[key], lambda p: p[key], P)


ROWS = np.s_[:, -1], np.s_[:, 2], np.s_[:, -3, 1:3], np.s_[0], np.s_[-1, 2], np.s_[:, None, -1], np.s_[..., 1, :]
ROWS += np.s_[-2, -2, -2], np.s_[:, -1, ::-2], np.s_[:, 1, None, 3]


@pytest.mark.parametrize("key", ROWS, ids=str)
def test_indices_along_an_axis_that_gets_its_size_at_the_call(key: Any) -> None:
    graph = rnncc.trace(lambda x: x[key], ("float32", ("B", "T", 5)))
    fn = rnncc.compile(graph, cache=False)
    for shape in ((3, 7, 5), (4, 3, 5), (1, 1, 5), (2, 0, 5), (0, 4, 5)):
        x = RNG.normal(size=shape).astype(F32)
        try:
            expected = x[key]
        except IndexError:
            for run_it in (fn, partial(rnncc.evaluate, graph)):
                with pytest.raises(TokenError, match=r"is wanted of an axis of \w rows"):
                    run_it(x)
        else:
            np.testing.assert_array_equal(fn(x), expected)
            np.testing.assert_array_equal(rnncc.evaluate(graph, x), expected)


def test_an_extent_backwards() -> None:
    (result,) = run(lambda x: x[:, ::-1], X, shapes=((3, "T"),))
    np.testing.assert_array_equal(result, X[:, ::-1])


PAIRS = [(1, 0), (0, 0), (2, 3)]
ARRANGE: list[tuple[Callable[..., Any], Callable[..., Any], Any]] = [
    (ops.ravel, np.ravel, Z),
    (lambda z: ops.squeeze(z[:1, :, :1]), lambda z: np.squeeze(z[:1, :, :1]), Z),
    (lambda z: ops.squeeze(z[:1, :, :1], (0, -1)), lambda z: np.squeeze(z[:1, :, :1], (0, -1)), Z),
    (lambda z: ops.swapaxes(z, 0, -1), lambda z: np.swapaxes(z, 0, -1), Z),
    (lambda z: ops.moveaxis(z, 0, 1), lambda z: np.moveaxis(z, 0, 1), Z),
    (lambda z: ops.moveaxis(z, -1, 0), lambda z: np.moveaxis(z, -1, 0), Z),
    (lambda z: ops.repeat(z, 3, 1), lambda z: np.repeat(z, 3, 1), Z),
    (lambda z: ops.tile(z, 2), lambda z: np.tile(z, 2), Z),
    (lambda z: ops.tile(z, (2, 1, 3, 1)), lambda z: np.tile(z, (2, 1, 3, 1)), Z),
    (lambda z: ops.roll(z, 1, -1), lambda z: np.roll(z, 1, -1), Z),
    (lambda z: ops.roll(z, -5, 1), lambda z: np.roll(z, -5, 1), Z),
    (lambda z: ops.pad(z, 1), lambda z: np.pad(z, 1), Z),
    (lambda z: ops.pad(z, (0, 2)), lambda z: np.pad(z, (0, 2)), Z),
    (
        lambda z: ops.pad(z, [(1, 0), (0, 0), (2, 3)], 7),
        lambda z: np.pad(z, [(1, 0), (0, 0), (2, 3)], constant_values=7),
        Z,
    ),
    (lambda z: sum(ops.unstack(z, axis=1)), lambda z: z.sum(1), Z),
    (ops.tril, np.tril, Z),
    (lambda z: ops.triu(z, 1), lambda z: np.triu(z, 1), Z),
    (lambda z: ops.full_like(z, 2), lambda z: np.full_like(z, 2), Z),
    (lambda z: ops.take(z, np.array([[2, 0], [1, 1]]), 1), lambda z: np.take(z, [[2, 0], [1, 1]], 1), Z),
    (lambda z: ops.take(z, np.array([3, 0]), -1), lambda z: np.take(z, [3, 0], -1), Z),
    (lambda x: x + ops.eye(3, 5, 1), lambda x: x + np.eye(3, 5, 1, F32), X),
    (lambda x: x + ops.tri(3, 5, -1), lambda x: x + np.tri(3, 5, -1, F32), X),
    (lambda n: n + ops.arange(2, 12, 2), lambda n: n + np.arange(2, 12, 2), N),
    (lambda x: x + ops.arange(5, dtype="float32"), lambda x: x + np.arange(5, dtype=F32), X),
    (lambda n: ops.one_hot(n, 4), lambda n: (n[..., None] == np.arange(4)).astype(F32), N),
    (lambda n: ops.one_hot(n, 4, axis=1), lambda n: (n[:, None] == np.arange(4)[:, None]).astype(F32), N),
]


@pytest.mark.parametrize("number", range(len(ARRANGE)))
def test_arrange_and_create(number: int) -> None:
    check(*ARRANGE[number])


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (1,), (-1, 0, 1)], ids=str)
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("name", ["sum", "max", "min", "mean", "var", "std", "amax", "amin"])
def test_reductions_over_axes(name: str, axis: Any, keepdims: bool) -> None:
    options = {"axis": axis, "keepdims": keepdims}
    check(lambda z: getattr(ops, name)(z, **options), lambda z: getattr(np, name)(z, **options), Z)


@pytest.mark.parametrize("axis", [None, 0, (0, 1)], ids=str)
def test_reductions_of_bools(axis: Any) -> None:
    for name, array in itertools.product(("any", "all", "count_nonzero"), (P, N, X, np.zeros((2, 2), bool))):
        check(lambda x, f=name: getattr(ops, f)(x, axis), lambda x, f=name: getattr(np, f)(x, axis=axis), array)
    check(lambda z: ops.logsumexp(z, axis), lambda z: np.log(np.exp(z).sum(axis)), X)


def test_nothing_is_any_and_all() -> None:
    empty = np.zeros((2, 0), bool)
    np.testing.assert_array_equal(run(lambda x: ops.any(x, 1), empty)[0], [False, False])
    np.testing.assert_array_equal(run(lambda x: ops.all(x, 1), empty)[0], [True, True])


def test_products_and_positions() -> None:
    check(lambda z: ops.prod(z, 1), lambda z: z.prod(1), Z)
    check(lambda z: ops.prod(z, -1, keepdims=True), lambda z: z.prod(-1, keepdims=True), Z)
    check(lambda x: ops.argmin(x, -1), lambda x: np.argmin(x, -1), X)
    check(ops.log_softmax, lambda x: x - np.log(np.exp(x).sum(-1, keepdims=True)), X)
    check(ops.dot, np.dot, X[0], Y[0])
    check(ops.dot, np.dot, X[0], Y.T)
    check(ops.dot, np.dot, Z, np.ascontiguousarray(Z[0].T))
    check(ops.outer, np.outer, X[0], Y[:, 0])


EINSUMS = [
    "bij,bj->bi",
    "bi,io->bo",
    "bti,io->bto",
    "bi,bj->bij",
    "bi->b",
    "bi->ib",
    "bi,bi->",
    "bij,bjk->bik",
    "bi,jo->bo",
]


@pytest.mark.parametrize("subscripts", EINSUMS)
def test_einsum(subscripts: str) -> None:
    sizes = dict(zip("btijko", (2, 7, 3, 4, 5, 6), strict=True))
    terms = subscripts.split("->", maxsplit=1)[0].split(",")
    arrays = [RNG.normal(size=[sizes[letter] for letter in term]).astype(F32) for term in terms]
    check(lambda *xs: ops.einsum(subscripts, *xs), lambda *xs: np.einsum(subscripts, *xs), *arrays)


def test_einsum_without_a_result_and_with_extents() -> None:
    check(lambda x, y: ops.einsum("ij, jk", x, y), lambda x, y: np.einsum("ij,jk", x, y), X, np.ascontiguousarray(Y.T))
    (result,) = run(lambda x: ops.einsum("tb,tb->t", x, x), X, shapes=(("T", "B"),))
    np.testing.assert_allclose(result, (X * X).sum(1), rtol=1e-5)


def test_wrong_use() -> None:
    for function, match in [
        (lambda x: ops.einsum("ij,jk->ik", x), "does not fit its operands"),
        (lambda x: ops.einsum("ii->i", x), "does not fit its operands"),
        (lambda x: ops.sum(x, (0, 0)), "names an axis twice"),
        (lambda x: ops.pad(x, [(1, 1), (1, 1), (1, 1)]), "a pair for each of 2 axes"),
    ]:
        with pytest.raises(ArgumentError, match=match):
            run(function, X)
    with pytest.raises(ShapeError, match="axis 0 has 3 slices, not 4"):
        run(lambda x: ops.unstack(x, 4)[0], X)


def test_a_name_that_is_not_there() -> None:
    for name, meant in [("concatenat", "concatenate"), ("pow", "power"), ("gather", "take"), ("sgmoid", "sigmoid")]:
        with pytest.raises(MemberError, match=rf"rnncc.ops has no {name}\n  at test_[^?]*did you mean {meant}\?"):
            getattr(ops, name)
    with pytest.raises(MemberError, match=r"rnncc.ops has no fft2\n[^?]*dir\(rnncc.ops\) lists what it has"):
        _ = ops.fft2
    for name, answer in [("cumsum", "rnncc.scan loops over time"), ("sort", "nothing puts numbers in order yet")]:
        with pytest.raises(MemberError, match=answer):
            getattr(ops, name)
    assert not hasattr(ops, "__path_to_nowhere__")


def test_shapes_have_numbers_and_names_of_extents() -> None:
    """As in Keras, ``ops.shape(x)[0]`` is what ops take as the size of the batch."""

    def padded(x: Any) -> Any:
        batch, _, width = ops.shape(x)
        assert width == 3
        return ops.concatenate([x[:, 0], ops.ones((batch, width))], 1) + ops.zeros(ops.shape(x[:, 0, :1]))

    x = np.random.default_rng(0).normal(size=(4, 6, 3)).astype(np.float32)
    model = rnncc.Sequential([layers.Input((None, 3)), layers.Lambda(padded)])
    assert np.array_equal(rnncc.compile(model)(x), np.concatenate([x[:, 0], np.ones((4, 3), np.float32)], 1))


def test_every_function_says_what_it_does() -> None:
    for name in dir(ops):
        item = getattr(ops, name)
        if callable(item) and not name.startswith("_") and getattr(item, "__module__", "").startswith("rnncc.ops"):
            assert item.__doc__, name
