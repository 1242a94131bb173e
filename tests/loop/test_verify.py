"""The verifier of loop IR, by breakage: one broken procedure for each rule."""

from dataclasses import replace
from textwrap import indent

import pytest

from rnncc.errors import VerifyError
from rnncc.loop.ir import Buffer, Call, Const, For, Let, Load, Procedure, Reduce, Stmt, Store, Var
from rnncc.loop.parser import parse
from rnncc.loop.verify import verify
from rnncc.types import DType

HEADER = """def f(B, T):
    x = input(f32, [B, 8])
    ids = input(i64, [B])
    flag = input(bool, [B])
    w = weight(f32, [8, 8])
    wd = weight(f64, [8])
    wp = packed(f32, [8, 8])
    h = temporary(f32, [B, 8])
    y = output(f32, [B, 8])
    acc = register(f32, [4, 8])
    messages('bad id')
"""


def body(text: str) -> Procedure:
    return parse(HEADER + "".join(f"    {line}\n" for line in text.strip("\n").splitlines()))


GOOD = """
with setup():
    for i in parallel(0, 8):
        wp[i, span(0, 8)] = w[i, span(0, 8)]
for b in parallel(0, B):
    check(ids[b] < 8, 0, ids[b], b)
    for t in range(0, T):
        for m in unroll(0, 4):
            for l in lanes(b, b + 8):
                acc[m, l - b] = x[b, l - b]
                acc[m // 2 + 1, 0] += reduce_add(x[b, span(0, 8, B)] * 2.0)
    for t in range(0, T):
        z = where(flag[b], acc[3, span(0, 8)], 0.0)
        h[b, span(0, 8, T)] = z
        y[b, 1] = sum(acc[0, k] for k in range(8))
        combine_max(y[b, 0], f32(wd[0]) + max(h[b, k] for k in range(8)))
        y[b, span(0, 8)] = 1.0
"""


def test_a_sound_procedure_passes() -> None:
    verify(body(GOOD))


MAYBE = "for b in range(0, B):\n    barrier()\n"
SHARES = "for s in around(0, 2):\n    for j in claimed(s * 4, s * 4 + 4):\n        y[0, j] = 1.0\n"


def indented(text: str) -> str:
    return indent(text, "    ")


def test_threads_that_share_work() -> None:
    step = f"{SHARES}barrier()\n{SHARES}for s in threads(0, 1):\n    h[0, 0] = 1.0\nbarrier()\n"
    verify(body(f"for t in range(0, T):\n{indented(step)}{SHARES}barrier()\n{SHARES}"))


BROKEN = [
    # names
    ("y[0, 0] = z", "z is used before it is defined", "z"),
    ("for i in range(0, B):\n    z = 1.0\ny[0, 0] = z", "z is used before it is defined", "z"),
    ("y[0, 0] = sum(x[k, 0] for k in range(B)) + x[k, 0]", "k is used before it is defined", "k"),
    ("y[0, 0] = q[0]", "q is no buffer", "q"),
    ("q[0] = 1.0", "q is no buffer", "q"),
    ("z = 1\nz = 2", "z is already bound here", "z"),
    ("x = 1", "x is already bound here", "x"),
    ("for B in range(0, 2):\n    pass", "B is already bound here", "B"),
    ("for i in range(0, 2):\n    for i in range(0, 2):\n        pass", "i is already bound here", "i"),
    ("y[0, 0] = sum(x[B, 0] for B in range(3))", "B is already bound here", "B"),
    # accesses
    ("y[0] = 1.0", "y has 2 axes, 1 are indexed", "y[0]"),
    ("y[0, 0] = x[0, 0, 0]", "x has 2 axes, 3 are indexed", "x[0, 0, 0]"),
    ("y[span(0, 8), 0] = 1.0", "a span is the last index only", "y[span(0, 8), 0]"),
    ("y[0, span(0, 0)] = 1.0", "a span of 0 lanes", "y[0, span(0, 0)]"),
    ("y[0, 1.0] = 1.0", "an index is i64, this is f32", "1.0"),
    ("y[0, span(const(1, i32), 8)] = 1.0", "an index is i64, this is i32", "const(1, i32)"),
    ("y[0, span(0, 8, 1.5)] = 1.0", "the limit of a span is i64, this is f32", "1.5"),
    ("y[0, span(0, 8)] = f32(ramp(1.5, 8))", "the start of a ramp is i64, this is f32", "1.5"),
    ("y[0, span(0, 8)] = f32(ramp(0, 1))", "a ramp of 1 lanes", "ramp(0, 1)"),
    ("y[0, span(0, 8)] = f32(ramp(0, 4))", "4 lanes are stored in 8", "f32(ramp(0, 4))"),
    ("y[0, span(0, 8)] = f32(threefry(0, 1, 2, 3))", "threefry does not take i64", "threefry(0, 1, 2, 3)"),
    ("y[ids[span(0, 8)], 0] = 1.0", "an index is a scalar, this has 8 lanes", "ids[span(0, 8)]"),
    # dtypes
    ("y[0, 0] = 1", "i64 is stored in y of f32", "1"),
    ("y[0, 0] = x[0, 0] * wd[0]", "mul of f32 and f64", "x[0, 0] * wd[0]"),
    ("y[0, 0] = tanh(1)", "tanh does not take i64", "tanh(1)"),
    ("y[0, 0] = 1.0 // 2.0", "floordiv does not take f32", "1.0 // 2.0"),
    ("y[0, 0] = f32(logical_not(1))", "logical_not does not take i64", "logical_not(1)"),
    ("z = flag[0] + flag[1]", "add does not take bool", "flag[0] + flag[1]"),
    ("z = where(1, 2, 3)", "a condition is bool, this is i64", "1"),
    ("z = where(True, 2, 3.0)", "where of i64 and f32", "where(True, 2, 3.0)"),
    ("for i in range(0.0, 3):\n    pass", "the start of a loop is i64, this is f32", "0.0"),
    ("for i in range(0, 3.0):\n    pass", "the stop of a loop is i64, this is f32", "3.0"),
    ("z = sum(1.0 for k in range(2.0))", "the size of a reduction is i64, this is f32", "2.0"),
    ("z = max(flag[k] for k in range(2))", "max does not reduce bool", "flag[k]"),
    # lanes
    ("y[0, 0] = x[0, span(0, 8)]", "8 lanes are stored in 1", "x[0, span(0, 8)]"),
    ("y[0, span(0, 4)] = x[0, span(0, 8)]", "8 lanes are stored in 4", "x[0, span(0, 8)]"),
    (
        "z = x[0, span(0, 8)] + x[0, span(0, 4)]",
        "operands have 4 and 8 lanes",
        "x[0, span(0, 8)] + x[0, span(0, 4)]",
    ),
    ("z = reduce_add(x[0, 0])", "reduce_add folds a vector, this is a scalar", "reduce_add(x[0, 0])"),
    (
        "z = sum(x[k, span(0, 8)] for k in range(2))",
        "a reduction is of scalars, this has 8 lanes",
        "x[k, span(0, 8)]",
    ),
    # spaces
    ("x[0, 0] = 1.0", "x is input: nothing writes to it", "x"),
    ("w[0, 0] += 1.0", "w is weight: nothing writes to it", "w"),
    ("wp[0, 0] = 1.0", "wp is packed: only setup writes to it", "wp"),
    ("with setup():\n    wp[0, 0] = x[0, 0]", "x is input: setup runs before there is a call", "x"),
    ("with setup():\n    y[0, 0] = 1.0", "y is output: setup runs before there is a call", "y"),
    ("with setup():\n    wp[0, 0] = h[0, 0]", "h is temporary: setup runs before there is a call", "h"),
    ("with setup():\n    wp[0, B] = 1.0", "B is an extent: setup runs before extents are known", "B"),
    ("for m in range(0, 4):\n    acc[m, 0] = 1.0", "a register has constant indices", "acc[m, 0]"),
    ("for m in unroll(0, 4):\n    acc[m * B, 0] = 1.0", "a register has constant indices", "acc[m * B, 0]"),
    ("for m in unroll(B, 4):\n    acc[m, 0] = 1.0", "a register has constant indices", "acc[m, 0]"),
    ("y[0, 0] = sum(acc[0, k] for k in range(B))", "a register has constant indices", "acc[0, k]"),
    ("y[0, 0] = acc[0, ids[0]]", "a register has constant indices", "acc[0, ids[0]]"),
    # threads
    ("with setup():\n    barrier()", "not every thread comes by here", "barrier()"),
    ("for b in parallel(0, B):\n    barrier()", "not every thread comes by here", "barrier()"),
    ("for b in parallel(0, B):\n    for s in threads(0, 2):\n        z = 1", "that not every thread runs", "threads"),
    (f"for b in parallel(0, B):\n{indented(SHARES)}", "that not every thread runs", "around"),
    ("for j in claimed(0, 8):\n    z = 1", "turns are claimed of a share", "claimed"),
    ("for s in around(0, 2):\n    z = s", "a loop around shares goes from 0 to their number, and holds", "around"),
    ("for s in around(0, B):\n    for j in claimed(0, 4):\n        z = 1", "a loop around shares goes from", "around"),
    ("for s in around(1, 2):\n    for j in claimed(0, 4):\n        z = 1", "a loop around shares goes from", "around"),
    (f"with setup():\n{indented(SHARES)}", "not every thread comes by here", "around"),
    (SHARES + SHARES, "threads must meet between two loops around shares", "around"),
    (f"barrier()\nfor t in range(0, T):\n{indented(SHARES)}    z = 1", "before all threads have met", "z = 1"),
    (f"{SHARES}for t in range(0, T):\n    barrier()\n{SHARES}", "threads must meet between two loops", "around"),
    (f"for t in range(0, T):\n{indented(MAYBE + SHARES)}    z = 1", "before all threads have met", "z = 1"),
    # the rest
    ("for i in sideways(0, 4):\n    pass", "there is no kind of loop sideways", "sideways"),
    ("for i in range(0, 4, 0):\n    pass", "the step of a loop is positive", "0"),
    ("z = gamma(1.0)", "there is no function gamma", "gamma"),
    ("z = tanh(1.0, 2.0)", "tanh takes 1 operands, not 2", "tanh(1.0, 2.0)"),
    ("combine_mul(y[0, 0], 1.0)", "mul does not combine; known: add, max, min", "combine_mul(y[0, 0], 1.0)"),
    ("check(1, 0)", "a condition is bool, this is i64", "1"),
    ("check(flag[span(0, 8)], 0)", "a condition is a scalar, this has 8 lanes", "flag[span(0, 8)]"),
    ("check(True, 1)", "there is no message 1 among 1", "1"),
    ("check(True, -1)", "there is no message -1 among 1", "-1"),
    ("check(True, 0, 1.5)", "a reported value is i64, this is f32", "1.5"),
]


@pytest.mark.parametrize(("text", "what", "culprit"), BROKEN)
def test_each_rule(text: str, what: str, culprit: str) -> None:
    check_message(body(text), what, culprit)


def check_message(procedure: Procedure, what: str, culprit: str) -> None:
    with pytest.raises(VerifyError) as caught:
        verify(procedure)
    first, line, carets = str(caught.value).splitlines()
    assert what in first
    assert line[carets.index("^") : carets.rindex("^") + 1] == culprit


ZERO, ONE = Const(0, DType.I64), Const(1.0, DType.F32)
PLACE = (ZERO, ZERO)


def test_what_no_text_can_say() -> None:
    good = body("pass")
    load = Load("x", PLACE, DType.F64)
    cases: list[tuple[Stmt, str, str]] = [
        (Let("z", load), "x is f32, its load says f64", "x[0, 0]"),
        (Let("z", Var("B", DType.F32)), "B is i64, its use says f32", "B"),
        (Let("z", Var("B", DType.I64, 4)), "B is i64, its use says i64 x 4", "B"),
        (Let("z", Call("add", (ONE, ONE), DType.F64)), "f32 results, the call says f64", "1.0 + 1.0"),
        (Let("z", Reduce("mul", "k", ZERO, ONE)), "mul does not reduce", "mul(1.0 for k in range(0))"),
        (Let("in", ONE), "'in' is not an identifier", "in"),
        (For("a b", "range", ZERO, ZERO, 1, ()), "'a b' is not an identifier", "a b"),
        (Store("flag", (ZERO,), Const(True, DType.BOOL), "add"), "flag is input", "flag"),
    ]
    for statement, what, culprit in cases:
        check_message(replace(good, body=(statement,)), what, culprit)


def test_declarations() -> None:
    good = body("pass")
    size = Var("B")
    for buffer, what, culprit in [
        (Buffer("q", DType.F32, (), "attic"), "there is no space attic", "attic"),
        (Buffer("x", DType.F32, (), "temporary"), "x is already bound here", "x"),
        (Buffer("B", DType.F32, (), "temporary"), "B is already bound here", "B"),
        (Buffer("q", DType.F32, (ONE,), "temporary"), "a size is i64, this is f32", "1.0"),
        (Buffer("q", DType.F32, (Var("N"),), "temporary"), "N is used before it is defined", "N"),
        (Buffer("q", DType.F32, (size,), "register"), "sizes of a register buffer are constant", "B"),
        (Buffer("q", DType.F32, (size,), "stack"), "sizes of a stack buffer are constant", "B"),
        (Buffer("q", DType.F32, (size,), "packed"), "sizes of a packed buffer are constant", "B"),
        (Buffer("q", DType.F32, (size,), "weight"), "sizes of a weight buffer are constant", "B"),
    ]:
        check_message(replace(good, buffers=(*good.buffers, buffer)), what, culprit)
    flags = Buffer("flags", DType.BOOL, (), "temporary")
    combine = Store("flags", (), Const(True, DType.BOOL), "add")
    broken = replace(good, buffers=(*good.buffers, flags), body=(combine,))
    check_message(broken, "add does not combine bool", "flags")


def test_the_form_of_the_message() -> None:
    with pytest.raises(VerifyError) as caught:
        verify(body("y[0, 0] = zz"), after="fuse", context=["passes that changed it so far: fold, fuse"])
    assert str(caught.value) == "\n".join(
        [
            "after fuse: zz is used before it is defined",
            "    12 |     y[0, 0] = zz",
            "       |               ^^",
            "  passes that changed it so far: fold, fuse",
        ]
    )
