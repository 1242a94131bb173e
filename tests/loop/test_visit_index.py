"""Walks, substitution and the affine view of indices."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnncc.loop.builder import add, call, floordiv, integer, mod, multiply, subtract
from rnncc.loop.functions import FUNCTIONS
from rnncc.loop.index import affine, difference, interval, is_independent, stride_in
from rnncc.loop.ir import Call, Const, Expr, For, Let, Load, Reduce, Span, Store, Var
from rnncc.loop.parser import parse
from rnncc.loop.printer import show, show_expr
from rnncc.loop.visit import (
    free_variables,
    loads_of,
    map_expr,
    map_statements,
    stores_of,
    substitute,
    walk_exprs,
    walk_statements,
)
from rnncc.types import DType

PROCEDURE = parse(
    """
    def f(B, T):
        x = input(f32, [T, B, 16])
        y = output(f32, [B, 16])
        messages('no')
        for b in parallel(0, B):
            check(b < T, 0, b + T)
            z = x[T - 1, b, 0]
            for j in range(0, 16, 4):
                y[b, span(j, 4, b + 8)] = x[0, b, span(j, 4)] * z + sum(x[k, b, j] for k in range(T))
    """
)
(ROWS,) = PROCEDURE.body


# ------------------------------------------------------------------ walks


def test_walks() -> None:
    assert [type(statement).__name__ for statement in walk_statements([ROWS])] == [
        "For",
        "Check",
        "Let",
        "For",
        "Store",
    ]
    assert [show_expr(load) for load in loads_of(ROWS)] == ["x[T - 1, b, 0]", "x[0, b, span(j, 4)]", "x[k, b, j]"]
    assert [store.buffer for store in stores_of(ROWS)] == ["y"]
    names = [expr.name for expr in walk_exprs(ROWS) if isinstance(expr, Var)]
    assert names == ["B", "b", "T", "b", "T", "T", "b", "b", "j", "b", "b", "j", "z", "T", "k", "b", "j"]
    (store,) = stores_of(ROWS)
    assert free_variables(store.value) == {"b", "j", "z", "T"}
    assert [show_expr(expr) for expr in walk_exprs(add(Var("i"), integer(1)))] == ["i + 1", "i", "1"]


def test_nothing_is_rebuilt_without_need() -> None:
    assert map_statements(PROCEDURE.body, lambda expr: map_expr(expr, lambda inner: inner)) is PROCEDURE.body
    assert substitute(PROCEDURE.body, {"q": integer(1)}) is PROCEDURE.body
    (store,) = stores_of(ROWS)
    assert substitute(store.value, {"q": integer(1), "k": integer(2)}) is store.value


def test_map_expr_goes_from_the_leaves_up() -> None:
    def fold(expr: Expr) -> Expr:
        match expr:
            case Call(name, (Const(), Const()) as args, DType.I64):
                return call(name, *args)
        return expr

    three = Call("add", (integer(1), integer(2)), DType.I64)
    load = Load("x", (Call("mul", (three, integer(4)), DType.I64), Span(three, 4, three)), DType.F32)
    assert show_expr(map_expr(load, fold)) == "x[12, span(3, 4, 3)]"
    assert show_expr(map_expr(Reduce("add", "k", three, three), fold)) == "sum(3 for k in range(3))"


def test_substitution_reaches_everything() -> None:
    changed = substitute(PROCEDURE.body, {"T": integer(5), "B": add(Var("N"), integer(1))})
    assert "T" not in {name for expr in walk_exprs(changed) for name in free_variables(expr)}
    text = show(parse(show(PROCEDURE)).__class__("f", ("N",), (), (), changed))
    assert "for b in parallel(0, N + 1):" in text
    assert "check(b < 5, 0, b + 5)" in text
    assert "for k in range(5)" in text
    (loop,) = substitute(PROCEDURE.body, {"T": Var("S")})
    assert isinstance(loop, For)
    assert isinstance(loop.body[1], Let)
    assert show_expr(loop.body[1].value) == "x[S - 1, b, 0]"


def test_bound_names_are_not_replaced() -> None:
    assert substitute(PROCEDURE.body, {"b": integer(3)}) is PROCEDURE.body
    total = Reduce("add", "k", Var("k"), Var("k"))
    assert show_expr(substitute(total, {"k": integer(3)})) == "sum(k for k in range(3))"


def test_capture_is_refused() -> None:
    with pytest.raises(AssertionError, match="b'] would be captured"):
        substitute(PROCEDURE.body, {"T": Var("b")})
    with pytest.raises(AssertionError, match="k would be captured"):
        substitute(Reduce("add", "k", integer(2), Var("i")), {"i": Var("k")})


# ------------------------------------------------------------------ indices

ROW, COLUMN, TIME = Var("i"), Var("j"), Var("t")


def test_affine() -> None:
    parity = mod(TIME, integer(2))
    value = affine(add(multiply(add(ROW, integer(3)), integer(4)), subtract(parity, COLUMN)))
    assert value is not None
    assert value.terms == {ROW: 4, COLUMN: -1, parity: 1}
    assert (value.constant, value.coefficient("i"), value.coefficient("q")) == (12, 4, 0)
    assert affine(Const(1.0, DType.F32)) is None
    assert affine(Var("v", DType.I64, 4)) is None
    opaque = affine(multiply(ROW, COLUMN))
    assert opaque is not None
    assert opaque.terms == {multiply(ROW, COLUMN): 1}


def test_exact_division() -> None:
    tile = add(multiply(ROW, integer(16)), integer(32))
    assert difference(floordiv(tile, integer(16)), add(ROW, integer(2))) == 0
    assert difference(mod(add(tile, integer(3)), integer(16)), integer(3)) == 0
    assert difference(floordiv(add(tile, COLUMN), integer(16)), ROW) is None


def test_stride() -> None:
    assert stride_in(add(multiply(ROW, integer(8)), mod(TIME, integer(2))), "i") == 8
    assert stride_in(add(multiply(ROW, integer(8)), mod(TIME, integer(2))), "j") == 0
    assert stride_in(add(multiply(ROW, integer(8)), mod(TIME, integer(2))), "t") is None
    assert stride_in(multiply(ROW, COLUMN), "i") is None
    assert stride_in(Load("x", (ROW,), DType.I64), "i") is None
    assert stride_in(Const(0.5, DType.F32), "i") is None


def test_difference() -> None:
    assert difference(add(ROW, add(COLUMN, integer(5))), add(COLUMN, ROW)) == 5
    assert difference(ROW, COLUMN) is None
    assert difference(mod(TIME, integer(2)), mod(TIME, integer(2))) == 0
    assert difference(ROW, Const(0.5, DType.F32)) is None


def test_interval() -> None:
    ranges = {"i": (0, 7), "j": (0, 3)}
    assert interval(add(multiply(ROW, integer(4)), COLUMN), ranges) == (0, 31)
    assert interval(subtract(add(ROW, COLUMN), ROW), ranges) == (0, 3)
    assert interval(mod(TIME, integer(2)), ranges) == (0, 1)
    assert interval(mod(COLUMN, integer(8)), ranges) == (0, 3)
    assert interval(call("min", ROW, integer(5)), ranges) == (0, 5)
    assert interval(TIME, ranges) is None
    assert interval(multiply(ROW, TIME), ranges) is None
    assert interval(Const(0.5, DType.F32), ranges) is None


def _sums(smaller: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    return st.one_of(
        st.builds(add, smaller, smaller),
        st.builds(subtract, smaller, smaller),
        st.builds(multiply, smaller, smaller),
        st.builds(lambda a: Call("neg", (a,), DType.I64), smaller),
        st.builds(lambda a, n: floordiv(a, integer(n)), smaller, st.integers(1, 5)),
        st.builds(lambda a, n: mod(a, integer(n)), smaller, st.integers(1, 5)),
        st.builds(lambda a, b: call("max", a, b), smaller, smaller),
        st.builds(lambda a, b: call("min", a, b), smaller, smaller),
    )


INDICES = st.recursive(st.one_of(st.sampled_from([ROW, COLUMN, TIME]), st.builds(integer, st.integers(-9, 9))), _sums)


def evaluate(expr: Expr, values: Mapping[str, int]) -> int:
    match expr:
        case Const(value):
            return int(value)
        case Var(name):
            return values[name]
        case Call(name, args):
            return int(FUNCTIONS[name].numpy(*(np.int64(evaluate(arg, values)) for arg in args)))
    raise AssertionError(expr)


@given(INDICES, INDICES, *[st.integers(-20, 20)] * 3)
def test_indices_agree_with_their_values(a: Expr, b: Expr, i: int, j: int, t: int) -> None:
    values = {"i": i, "j": j, "t": t}
    with np.errstate(over="ignore"):
        value = evaluate(a, values)
        if abs(value) > 2**40 or abs(evaluate(b, values)) > 2**40:
            return
        view = affine(a)
        assert view is not None
        total = view.constant + sum(factor * evaluate(term, values) for term, factor in view.terms.items())
        assert total == value
        if (step := stride_in(a, "i")) is not None:
            assert evaluate(a, {**values, "i": i + 1}) - value == step
        if (apart := difference(a, b)) is not None:
            assert value - evaluate(b, values) == apart
        bounds = interval(a, {"i": (i - 2, i + 1), "j": (j, j + 3), "t": (t, t)})
        assert bounds is not None
        assert bounds[0] <= value <= bounds[1]


# ------------------------------------------------------------------ independent loops


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("y[i] = x[i + 1]", True),
        ("y[i] = y[i] + y[i]", True),
        ("y[i] += 1.0", True),
        ("y[2 * i + n] = 0.0", True),
        ("y[i] = y[i + 1]", False),
        ("y[0] = x[i]", False),
        ("y[i // 2] = 0.0", False),
        ("y[i % 2] = 0.0", False),
        ("z[i, 0] = z[i, 1]", True),
        ("z[i, 0] = z[0, i]", False),
        ("y[span(i * 4, 4)] = 0.0", True),
        ("y[span(i * 4, 8)] = 0.0", False),
        ("for j in range(0, 4):\n            y[i] += x[j]", True),
        ("for j in range(0, 4):\n            y[2 * i + j] = 0.0", False),
        ("k = i * 2\n        y[k] = 0.0", False),
        ("a = x[i]", True),
    ],
)
def test_independence(text: str, expected: bool) -> None:
    procedure = parse(
        f"""def f(n):
    x = input(f32, [64])
    y = output(f32, [64])
    z = output(f32, [64, 64])
    for i in unroll(0, 4):
        {text}
"""
    )
    (loop,) = procedure.body
    assert isinstance(loop, For)
    assert is_independent(loop) == expected


def test_statements_can_be_mapped() -> None:
    store = Store("y", (ROW,), Var("v", DType.F32))
    (changed,) = map_statements((store,), lambda expr: Const(0.5, DType.F32) if expr.dtype is DType.F32 else expr)
    assert changed == Store("y", (ROW,), Const(0.5, DType.F32))
