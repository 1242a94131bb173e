"""Loop IR text: what is printed is read back, and what cannot be read is pointed at."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnncc.errors import ParseError
from rnncc.loop.functions import FUNCTIONS, INFIX
from rnncc.loop.ir import (
    Buffer,
    Call,
    Check,
    Const,
    Expr,
    For,
    Let,
    Load,
    Procedure,
    Ramp,
    Reduce,
    Span,
    Store,
    Var,
)
from rnncc.loop.parser import parse
from rnncc.loop.printer import show, show_expr
from rnncc.loop.visit import result_dtype
from rnncc.types import DType

EVERYTHING = r"""
def model(B, T):
    tokens = input(i64, [B, T])
    u = weight(f32, [128, 512])
    up = packed(f32, [8, 128, 4, 16])
    scale = weight(f64, [])
    mask = input(bool, [B])
    h = temporary(f32, [2, B, 128])
    s = output(f64, [B * 2 + 1])
    acc = register(f32, [4, 16])
    messages('tokens[b, t] is outside', "it's\né")
    with setup():
        for p in parallel(0, 8):
            for k in parallel(0, 128):
                up[p, k, 0, 0] = u[k, p * 16]
    for t in range(0, T):
        for b in parallel(0, B, 4):
            check(logical_and(0 <= tokens[b, t], tokens[b, t] < 128), 1, tokens[b, t], b, t)
            check(True, 0)
            for j in lanes(0, 128):
                z = sum(h[t % 2, b, k] * u[k, j] for k in range(128))
                top = max(h[0, b, k] for k in range(T - 1)) - max(z, -0.5)
                h[(t + 1) % 2, b, j] = where(mask[b], tanh(z), neg(1e+20 * top))
            for r in unroll(-1, 3):
                acc[r + 1, span(0, 16)] += up[b // 8, t, 0, span(0, 16)] * h[0, b, t]
                combine_max(acc[r, span(0, 16, B)], u[b, span(r * 16, 16, 512 - r)])
                combine_min(h[0, 0, 0], reduce_add(acc[1, span(0, 16)]))
                combine_max(acc[r, span(0, 16, B)], f32(ramp(r * 16, 16) + b))
        for empty in range(0, 2):
            pass
    s[0] = scale[()] - (scale[()] - const(0.1, f64)) - const(inf, f64) * const(-inf, f64) + f64(const(3, i32))
    s[1] = f64(const(-inf, f32))
    s[2] = f64(i64(((0 < 1) == (2 < 3)) != (False == True)))
"""


def test_everything_reads_back() -> None:
    procedure = parse(EVERYTHING)
    assert show(procedure) == EVERYTHING.lstrip()
    assert parse(show(procedure)) == procedure
    assert str(procedure) == EVERYTHING.strip()
    assert repr(procedure) == "<Procedure model(B, T): 8 buffers, 5 statements>"


def test_what_is_read() -> None:
    procedure = parse(EVERYTHING)
    assert procedure.dims == ("B", "T")
    assert procedure.messages == ("tokens[b, t] is outside", "it's\né")
    assert procedure.buffer("scale") == Buffer("scale", DType.F64, (), "weight")
    (time, *_) = procedure.body
    assert isinstance(time, For)
    (rows, _) = time.body
    assert isinstance(rows, For)
    assert (rows.kind, rows.step) == ("parallel", 4)
    assert isinstance(rows.body[0], Check)
    assert (rows.body[0].code, len(rows.body[0].values)) == (1, 3)
    (lanes, unrolled) = rows.body[2:]
    assert isinstance(lanes, For)
    z, top, store = lanes.body
    assert isinstance(z, Let)
    assert isinstance(z.value, Reduce)
    assert z.value.dtype is DType.F32
    assert isinstance(top, Let)
    assert isinstance(store, Store)
    assert store.index[0] == Call(
        "mod",
        (Call("add", (Var("t"), Const(1, DType.I64)), DType.I64), Const(2, DType.I64)),
        DType.I64,
    )
    assert isinstance(unrolled, For)
    assert unrolled.start == Const(-1, DType.I64)
    assert [store.combine for store in unrolled.body if isinstance(store, Store)] == ["add", "max", "min", "max"]


def test_vector_names_are_read_as_vectors() -> None:
    procedure = parse(
        """
        def f():
            x = input(f64, [8])
            y = output(f64, [8])
            v = x[span(0, 8)]
            y[span(0, 8)] = v + v
        """
    )
    let, store = procedure.body
    assert isinstance(let, Let)
    assert isinstance(store, Store)
    v = Var("v", DType.F64, 8)
    assert store.value == Call("add", (v, v), DType.F64)


@pytest.mark.parametrize("text", ["def f():\n    pass\n", "def f(B):\n    x = input(f32, [B])\n"])
def test_empty_bodies(text: str) -> None:
    assert show(parse(text)) == text


@pytest.mark.parametrize(
    ("line", "what", "caret"),
    [
        ("y[0] = x[0] ** 2", "no expression of loop IR", "x[0] ** 2"),
        ("y[0] = 0 < x[0] < 2", "no expression of loop IR", "0 < x[0] < 2"),
        ("y[0] = -x[0]", "no expression of loop IR", "-x[0]"),
        ("y[0] = 'a'", "no expression of loop IR", "'a'"),
        ("y[0] -= 1.0", "no statement of loop IR", "y[0] -= 1.0"),
        ("a = b = 1", "no statement of loop IR", "a = b = 1"),
        ("y[0] = const(x, f32)", "a constant is a number", "x"),
        ("y[0] = const(1, f16)", "unknown element type; known: f32, f64, i32, i64, bool", "f16"),
        ("y[span(0, n)] = 0.0", "must be an integer", "n"),
        ("y[0][0] = 0.0", "an access is: buffer[index, ...]", "y[0][0]"),
        ("y[0] = sum(x[k] for k in range(3) if k < 2)", "a reduction is", "sum(x[k] for k in range(3) if k < 2)"[3:]),
        ("for i in range(3): pass", "a loop is", "for i in range(3): pass"),
        ("messages(1)", "a message is a string", "1"),
        ("y[0] = (", "was never closed", "("),
    ],
)
def test_what_cannot_be_read(line: str, what: str, caret: str) -> None:
    text = f"def f():\n    {line}\n"
    with pytest.raises(ParseError) as caught:
        parse(text)
    message = str(caught.value)
    assert what in message.splitlines()[0]
    _, source, carets = message.splitlines()
    assert source.endswith(f"2 |     {line}")
    assert source[carets.index("^") : carets.rindex("^") + 1] == caret


def test_a_text_is_one_procedure() -> None:
    with pytest.raises(ParseError, match="one procedure"):
        parse("x = 1\n")


# ------------------------------------------------------------------ random expressions

SIZES = [Var("n"), Var("i"), Var("v", DType.F32), Var("w", DType.F64), Var("s", DType.F32, 4)]
NUMBERS = st.one_of(
    st.builds(Const, st.integers(-(2**62), 2**62), st.just(DType.I64)),
    st.builds(Const, st.integers(-(2**30), 2**30), st.just(DType.I32)),
    st.builds(Const, st.floats(allow_nan=False), st.sampled_from([DType.F32, DType.F64])),
    st.builds(Const, st.booleans(), st.just(DType.BOOL)),
)


def _larger(smaller: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    def call(name: str, args: list[Expr]) -> Expr:
        operands = tuple(args[: FUNCTIONS[name].arity])
        return Call(name, operands, result_dtype(name, operands))

    names = st.one_of(st.sampled_from(sorted(INFIX.values())), st.sampled_from(sorted(FUNCTIONS)))
    spans = st.one_of(
        smaller, st.builds(Span, smaller, st.integers(1, 16)), st.builds(Span, smaller, st.integers(1, 16), smaller)
    )
    return st.one_of(
        st.builds(call, names, st.lists(smaller, min_size=4, max_size=4)),
        st.builds(Ramp, smaller, st.integers(2, 16)),
        st.builds(lambda index: Load("x", tuple(index), DType.F64), st.lists(spans, max_size=2)),
        st.builds(Reduce, st.sampled_from(["add", "max", "min"]), st.just("k"), smaller, smaller),
    )


EXPRESSIONS = st.recursive(st.one_of(st.sampled_from(SIZES), NUMBERS), _larger, max_leaves=12)


@given(EXPRESSIONS)
def test_any_expression_reads_back(expr: Expr) -> None:
    lets = tuple(
        Let(name, value)
        for name, value in (
            ("v", Const(1.0, DType.F32)),
            ("w", Const(1.0, DType.F64)),
            ("s", Load("q", (Span(Const(0, DType.I64), 4),), DType.F32)),
            ("e", expr),
        )
    )
    buffers = (Buffer("x", DType.F64, (), "input"), Buffer("q", DType.F32, (Const(4, DType.I64),), "input"))
    loop = For("i", "range", Const(0, DType.I64), Var("n"), 1, lets)
    procedure = Procedure("f", ("n",), buffers, (), (loop,))
    assert parse(show(procedure)) == procedure


def test_parentheses_are_few() -> None:
    a, b, c = Var("a"), Var("b"), Var("c")

    def call(name: str, *args: Expr) -> Expr:
        return Call(name, args, result_dtype(name, args))

    assert show_expr(call("add", call("add", a, b), c)) == "a + b + c"
    assert show_expr(call("add", a, call("add", b, c))) == "a + (b + c)"
    assert show_expr(call("add", call("mul", a, b), call("mod", b, c))) == "a * b + b % c"
    assert show_expr(call("mul", call("sub", a, b), call("neg", c))) == "(a - b) * neg(c)"
    assert show_expr(call("less", call("add", a, b), call("less", b, c))) == "a + b < (b < c)"
    assert show_expr(Const(math.nan, DType.F32)) == "const(nan, f32)"
