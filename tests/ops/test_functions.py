"""The public functions of `rnncc.ops` against numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rnncc import ops, trace
from rnncc.errors import ArgumentError, DTypeError, ShapeError, TokenError
from rnncc.graph.interp import interpret
from rnncc.graph.parser import parse
from rnncc.graph.printer import show
from rnncc.graph.verify import verify
from rnncc.types import TensorType, dtype_of


def run(function: Callable[..., Any], *arrays: Any, shapes: tuple[tuple[int | str, ...], ...] = ()) -> list[np.ndarray]:
    """What `function` of symbolic tensors computes from arrays; `shapes` names extents."""
    parameters = [np.asarray(array) for array in arrays]
    specs = [
        TensorType(dtype_of(a.dtype), shapes[number] if number < len(shapes) else a.shape)
        for number, a in enumerate(parameters)
    ]
    graph = trace(function, *specs)
    verify(graph)
    assert show(parse(show(graph))) == show(graph)
    weights = [graph.sources[value.name].value for value in graph.consts]
    return interpret(graph, [*weights, *parameters])


def check(function: Callable[..., Any], reference: Callable[..., Any], *arrays: Any, **shapes: Any) -> None:
    (result,) = run(function, *arrays, **shapes)
    expected = np.asarray(reference(*(np.asarray(array) for array in arrays)))
    assert result.dtype == expected.dtype
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


RNG = np.random.default_rng(5)
X = RNG.uniform(-2, 2, (3, 5)).astype(np.float32)
Y = RNG.uniform(-2, 2, (3, 5)).astype(np.float32)
N = RNG.integers(-4, 5, (3, 5))
P = N > 0
Q = RNG.random((3, 5)) < 0.5
F32 = np.float32

BINARY = [
    ("add", np.add),
    ("subtract", np.subtract),
    ("multiply", np.multiply),
    ("divide", np.divide),
    ("maximum", np.maximum),
    ("minimum", np.minimum),
    ("equal", np.equal),
    ("not_equal", np.not_equal),
    ("less", np.less),
    ("less_equal", np.less_equal),
    ("greater", np.greater),
    ("greater_equal", np.greater_equal),
]
UNARY: list[tuple[str, Callable[..., Any]]] = [
    ("negative", np.negative),
    ("abs", np.abs),
    ("floor", np.floor),
    ("exp", np.exp),
    ("square", np.square),
    ("reciprocal", np.reciprocal),
    ("tanh", np.tanh),
    ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
    ("relu", lambda x: np.maximum(x, 0)),
    ("zeros_like", np.zeros_like),
    ("ones_like", np.ones_like),
    ("transpose", np.transpose),
    ("softmax", lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
    ("argmax", np.argmax),
]


@pytest.mark.parametrize(("name", "reference"), BINARY)
def test_binary(name: str, reference: Callable[..., Any]) -> None:
    function = getattr(ops, name)
    check(function, reference, X, Y)
    check(function, reference, X, X[0])
    check(function, reference, X[:, :1], Y)
    check(lambda x: function(x, 2), lambda x: reference(x, F32(2)), X)
    check(lambda x: function(0.5, x), lambda x: reference(F32(0.5), x), X)
    check(lambda x: function(x, Y), lambda x: reference(x, Y), X)
    if name != "divide":
        check(function, reference, N, N[0])


@pytest.mark.parametrize(("name", "reference"), UNARY)
def test_unary(name: str, reference: Callable[..., Any]) -> None:
    check(getattr(ops, name), reference, X)


def test_roots_and_logarithms() -> None:
    check(ops.sqrt, np.sqrt, np.abs(X))
    check(ops.log, np.log, np.abs(X) + 0.1)
    np.testing.assert_array_equal(run(ops.log, np.array([0, -1], F32))[0], [-np.inf, np.nan])
    check(ops.log1p, np.log1p, np.abs(X) - 0.5)
    check(ops.rsqrt, lambda x: 1 / np.sqrt(x), np.abs(X))
    np.testing.assert_array_equal(run(ops.log1p, np.array([-1, -2], F32))[0], [-np.inf, np.nan])


def test_expm1_keeps_the_bits_of_small_numbers() -> None:
    x = np.concatenate([[0, -0.0, 1e-30, 1, 80, 1000, -80, -np.inf, np.inf], np.linspace(-3, 3, 101)]).astype(F32)
    with np.errstate(over="ignore"):
        expected = np.expm1(x)
    np.testing.assert_allclose(run(ops.expm1, x)[0], expected, rtol=1e-6)
    assert np.isnan(run(ops.expm1, np.array([np.nan], F32))[0][0])


def test_sign_and_clip() -> None:
    specials = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 3, -0.5], F32)
    check(ops.sign, np.sign, specials)
    check(ops.sign, np.sign, N)
    check(lambda x: ops.clip(x, -1, 0.5), lambda x: np.clip(x, F32(-1), F32(0.5)), X)
    check(lambda n: ops.clip(n, -1, 2), lambda n: np.clip(n, -1, 2), N)


def test_erf() -> None:
    known = {
        0.0: 0.0,
        0.5: 0.5204998778130465,
        1.0: 0.8427007929497149,
        3.5: 0.9999992569016276,
        -2.0: -0.9953222650189527,
    }
    (result,) = run(ops.erf, np.array([*known], np.float64))
    np.testing.assert_allclose(result, [*known.values()], rtol=1e-13)


def test_operators() -> None:
    check(lambda x, y: x + y - x * y / 2, lambda x, y: x + y - x * y / 2, X, Y)
    check(lambda x: 1 + x, lambda x: 1 + x, X)
    check(lambda x: 1 - x, lambda x: 1 - x, X)
    check(lambda x: 2 * -x, lambda x: 2 * -x, X)
    check(lambda x: 1 / x, lambda x: 1 / x, X)
    check(lambda x, y: x @ ops.transpose(y), lambda x, y: x @ y.T, X, Y)
    check(lambda x: Y.T @ x, lambda x: Y.T @ x, X)
    for compare in ("__lt__", "__le__", "__gt__", "__ge__"):
        check(lambda x, y, c=compare: getattr(x, c)(y), lambda x, y, c=compare: getattr(x, c)(y), N, N.T.reshape(3, 5))


def test_logic() -> None:
    check(ops.logical_and, np.logical_and, P, Q)
    check(ops.logical_or, np.logical_or, P, Q)
    check(ops.logical_not, np.logical_not, P)


def test_where() -> None:
    check(ops.where, np.where, P, X, Y)
    check(lambda p, x: ops.where(p, x, 0), lambda p, x: np.where(p, x, F32(0)), P, X)
    check(lambda p, x: ops.where(p, 1, x), lambda p, x: np.where(p, F32(1), x), P, X)
    check(lambda p: ops.where(p, 1, 2), lambda p: np.where(p, 1, 2), P)
    check(lambda x: ops.where(x > 0, x, -x), np.abs, X)


def test_cast() -> None:
    check(lambda x: ops.cast(x, "int64"), lambda x: x.astype(np.int64), X * 3)
    check(lambda n: ops.cast(n, np.float32), lambda n: n.astype(F32), N)
    check(lambda p: ops.cast(p, "f32"), lambda p: p.astype(F32), P)
    check(lambda x: ops.cast(x, "bool"), lambda x: x.astype(bool), np.array([0, -0.0, 0.5, np.nan, -3], F32))
    check(lambda p: ops.cast(p, bool), lambda p: p, P)
    with pytest.raises(DTypeError, match=r"a mean is of kind float, not i64\n  at .*test_functions.py"):
        trace(lambda x: ops.var(x, 0), ("int64", (2, 3)))
    with pytest.raises(DTypeError, match=r"unknown element type 'float8'\n  known: .*float32"):
        run(lambda x: ops.cast(x, "float8"), X)


# ------------------------------------------------------------------ shape


def test_reshape() -> None:
    check(lambda x: ops.reshape(x, (5, 3)), lambda x: x.reshape(5, 3), X)
    check(lambda x: ops.reshape(x, (-1,)), lambda x: x.reshape(-1), X)
    check(lambda x: ops.reshape(x, (1, -1, 1)), lambda x: x.reshape(1, -1, 1), X)
    check(
        lambda x: ops.reshape(x, ("B", -1)), lambda x: x.reshape(2, -1), np.ones((2, 3, 5), F32), shapes=(("B", 3, 5),)
    )
    check(
        lambda x: ops.reshape(x, (-1, 15)), lambda x: x.reshape(2, 15), np.ones((2, 3, 5), F32), shapes=(("B", 3, 5),)
    )
    with pytest.raises(ShapeError, match=r"-1 in the shape \(-1, 4\) stands for no single extent"):
        run(lambda x: ops.reshape(x, (-1, 4)), X)
    with pytest.raises(ShapeError, match="stands for no single extent"):
        run(lambda x: ops.reshape(x, (-1, 2)), np.ones((2, 3), F32), shapes=(("B", 3),))
    with pytest.raises(ArgumentError, match=r"-1 in the shape .* is not a dim"):
        run(lambda x: ops.reshape(x, (-1, -1)), X)
    for dim in (-3, 2.5, None):
        with pytest.raises(ArgumentError, match=r"is not a dim\n(.|\n)*x.type.shape"):
            run(lambda x, d=dim: ops.reshape(x, (d, 5)), X)
    with pytest.raises(ShapeError, match="number of elements differs"):
        run(lambda x: ops.reshape(x, (4, 4)), X)


def test_moves() -> None:
    z = np.arange(24, dtype=np.int64).reshape(2, 3, 4)
    check(lambda x: ops.transpose(x, (2, 0, -2)), lambda x: x.transpose(2, 0, 1), z)
    check(lambda x: ops.flip(x, -2), lambda x: np.flip(x, 1), z)
    check(lambda x: ops.flip(ops.flip(x, 1), 1) + 1, lambda x: x + 1, z)
    for axis in (0, 1, 3, -1, -4):
        check(lambda x, a=axis: ops.expand_dims(x, a), lambda x, a=axis: np.expand_dims(x, a), z)
    check(lambda x: ops.squeeze(x, -2), lambda x: x.squeeze(-2), z.reshape(2, 3, 1, 4))
    check(lambda x: ops.broadcast_to(x, (5, 3)), lambda x: np.broadcast_to(x, (5, 3)), np.ones((1, 3), F32))
    with pytest.raises(ShapeError, match="axis 4 does not exist in rank 4"):
        run(lambda x: ops.expand_dims(x, 4), z)
    with pytest.raises(ShapeError, match="axis 3 does not exist in rank 3"):
        run(lambda x: ops.transpose(x, (0, 1, 3)), z)
    with pytest.raises(ShapeError, match="axis 1 has the size 3, and only one of size 1 can be left out"):
        run(lambda x: ops.squeeze(x, 1), z)


def test_join_and_split() -> None:
    check(lambda x, y: ops.concatenate([x, y], -1), lambda x, y: np.concatenate([x, y], -1), X, Y[:, :2])
    check(lambda x: ops.concatenate([x], 0), lambda x: x, X)
    for axis in (0, 1, 2, -1):
        check(lambda x, y, a=axis: ops.stack([x, y], a), lambda x, y, a=axis: np.stack([x, y], a), X, Y)
    for sections in (1, 5, [2], [1, 3], [0, 5], [3, 2]):
        parts = run(lambda x, s=sections: ops.split(x, s, 1), X)
        for part, expected in zip(parts, np.split(X, sections, 1), strict=True):
            np.testing.assert_array_equal(part, expected)
    with pytest.raises(ShapeError, match="axis 1 of size 5 does not split into 2 equal sections"):
        run(lambda x: ops.split(x, 2, 1), X)
    with pytest.raises(ShapeError, match="the extent B, known only at the call"):
        run(lambda x: ops.split(x, 3, 0), X, shapes=(("B", 5),))
    with pytest.raises(ArgumentError, match="nothing to concatenate"):
        ops.concatenate([])


@pytest.mark.parametrize(
    "key",
    [0, -1, slice(1, 3), (slice(None), 2), (..., 1), (None, 1), (1, ..., None), slice(2, 1), (slice(-2, None), -3)],
)
def test_subscripts(key: Any) -> None:
    check(lambda x: x[key], lambda x: x[key], X)


def test_wrong_subscripts() -> None:
    for key, match in [(3, "index 3 is outside axis 0"), ((0, 0, 0), "3 indices for 2 dims")]:
        with pytest.raises(ShapeError, match=match):
            run(lambda x, k=key: x[k], X)
    with pytest.raises(ArgumentError, match="cannot index x with 'a'"):
        run(lambda x: x["a"], X)
    with pytest.raises(ShapeError, match="the extent B, known only at the call"):
        run(lambda x: x[1:], X, shapes=(("B", 5),))


def test_a_symbolic_tensor_is_no_number() -> None:
    with pytest.raises(ArgumentError, match=r"truth value of the symbolic tensor x(.|\n)*ops.where"):
        run(lambda x: x if x else -x, X)
    check(lambda x: sum(x, start=ops.zeros((5,))), lambda x: x.sum(0), X)
    with pytest.raises(ArgumentError, match=r"cannot iterate(.|\n)*rnncc.scan"):
        run(lambda x: list(x), X, shapes=(("B", 5),))


# ------------------------------------------------------------------ creation


def test_creation() -> None:
    check(lambda x: ops.full(("B", 2), 7, "i64"), lambda x: np.full((3, 2), 7), X, shapes=(("B", 5),))
    check(lambda x: ops.zeros((2,)), lambda x: np.zeros(2, F32), X)
    check(lambda x: ops.ones((), "f64"), lambda x: np.ones(()), X)
    check(lambda x: ops.arange("B"), lambda x: np.arange(3), X, shapes=(("B", 5),))
    check(lambda x: ops.arange(4), lambda x: np.arange(4), X)


def test_arrays_become_weights() -> None:
    graph = trace(lambda x: x @ np.ones((5, 2)), ("float32", ("B", 5)))
    assert [str(value.type) for value in graph.consts] == ["f32[5, 2]"]
    assert graph.sources[graph.consts[0].name].value.dtype == np.float32


# ------------------------------------------------------------------ contraction, reduction, lookup


def test_matmul() -> None:
    check(ops.matmul, np.matmul, X, Y.T)
    check(ops.matmul, np.matmul, X[0], Y.T)
    check(ops.matmul, np.matmul, np.stack([X, Y]), np.stack([Y.T, X.T]), shapes=(("B", 3, 5), ("B", 5, 3)))


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions(axis: int, keepdims: bool) -> None:
    for name in ("sum", "max", "min", "mean", "var"):
        function, reference = getattr(ops, name), getattr(np, name)
        check(
            lambda x, f=function: f(x, axis, keepdims=keepdims),
            lambda x, f=reference: f(x, axis=axis, keepdims=keepdims),
            X,
        )
    check(lambda x: ops.softmax(x, axis), lambda x: np.exp(x) / np.exp(x).sum(axis, keepdims=True), X)


def test_reductions_over_an_extent() -> None:
    check(lambda x: ops.sum(x, 0), lambda x: x.sum(0), X, shapes=(("T", 5),))
    for name in ("mean", "var", "std"):
        check(
            lambda x, name=name: getattr(ops, name)(x, 0),
            lambda x, name=name: getattr(np, name)(x, axis=0),
            X,
            shapes=(("T", 5),),
        )
    with pytest.raises(ShapeError, match="axis 0 has the extent T, known only at the call"):
        run(lambda x: ops.argmax(x, 0), X, shapes=(("T", 5),))
    with pytest.raises(ShapeError, match="axis 2 does not exist in rank 2"):
        run(lambda x: ops.sum(x, 2), X)


def test_reductions_of_nothing() -> None:
    empty = np.zeros((0, 2), F32)
    np.testing.assert_array_equal(run(lambda x: ops.sum(x, 0), empty)[0], [0, 0])
    np.testing.assert_array_equal(run(lambda x: ops.max(x, 0), empty)[0], [-np.inf, -np.inf])
    np.testing.assert_array_equal(run(lambda x: ops.min(x, 0), empty)[0], [np.inf, np.inf])


def test_softmax_of_large_numbers() -> None:
    (result,) = run(ops.softmax, np.array([1000, 1000, -1000], F32))
    np.testing.assert_array_equal(result, [0.5, 0.5, 0])


@pytest.mark.parametrize(
    "row",
    [
        [1, 3, 3, 2],
        [0, 0, 0, 0],
        [1, np.nan, 5, np.nan],
        [np.nan] * 4,
        [-np.inf] * 4,
        [np.inf, 1, np.inf, 2],
        [-0.0, 0.0, -0.0, 0.0],
    ],
)
def test_argmax_takes_the_first(row: list[float]) -> None:
    check(ops.argmax, lambda x: np.argmax(x, -1), np.array(row, F32))
    check(lambda x: ops.argmax(x, 0), lambda x: np.argmax(x, 0), np.array([row, row[::-1]], F32))


def test_argmax_of_integers() -> None:
    check(lambda n: ops.argmax(n, 0), lambda n: np.argmax(n, 0), N)


def test_take() -> None:
    ids = np.array([[0, 2], [1, 1]])
    check(ops.take, lambda table, ids: table[ids], X, ids)
    check(ops.take, lambda table, ids: table[ids], X, ids.astype(np.int32))
    with pytest.raises(TokenError, match=r"holds 3 at position \(1,\), outside the table of 3 rows"):
        run(ops.take, X, np.array([0, 3]))


# ------------------------------------------------------------------ errors say where


def test_errors_name_the_operands_and_the_line() -> None:
    with pytest.raises(ShapeError) as caught:
        trace(lambda h, wh: h @ wh, ("float32", ("B", 128)), ("float32", (64, 512)))
    lines = str(caught.value).splitlines()
    assert lines[:4] == ["matmul: inner dimensions differ", "  h : f32[B, 128]", "  wh: f32[64, 512]", "  128 != 64"]
    assert lines[4].startswith("  at test_functions.py:")
    assert "h @ wh" in lines[4]


def test_numbers_take_the_dtype_of_their_partner() -> None:
    def dtype(function: Callable[..., Any], spec: str) -> str:
        return str(trace(function, (spec, ())).outputs[0].type.dtype)

    assert dtype(lambda n: n + 1, "int32") == "i32"
    assert dtype(lambda n: n + True, "int64") == "i64"
    assert dtype(lambda x: 2 * x, "float64") == "f64"
    assert dtype(lambda p: ops.logical_and(p, 1), "bool") == "bool"
    for number, spec in [(1.5, "int32"), (2.0, "int64"), (2, "bool")]:
        with pytest.raises(DTypeError, match=rf"the number {number} does not become \w+\n(.|\n)*rnncc.ops.cast"):
            trace(lambda n, number=number: ops.equal(n, number), (spec, ()))
    with pytest.raises(ArgumentError, match="the number 2147483648 is too large for i32"):
        trace(lambda n: n + 2**31, ("int32", ()))
    with pytest.raises(DTypeError, match="different dtypes: f32 and i64"):
        trace(lambda x, n: x + n, ("float32", ()), ("int64", ()))


def test_whole_numbers_of_numpy_are_dims() -> None:
    graph = trace(lambda x: ops.reshape(x, (np.int64(3), np.prod([5]))) + ops.zeros(np.array([3, 5])), ("f32", (5, 3)))
    assert all(type(dim) is int for value in graph.values() for dim in value.type.shape)
    verify(graph)
