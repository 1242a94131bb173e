"""Graphs as text: what is printed is parsed, and printed again the same; what cannot be parsed is pointed at."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnncc import ops, scan, trace
from rnncc.errors import ParseError
from rnncc.graph.interp import interpret
from rnncc.graph.ir import Graph
from rnncc.graph.op import all_ops, find_op
from rnncc.graph.parser import parse
from rnncc.graph.printer import listing, show, show_attr
from rnncc.graph.value import Value
from rnncc.graph.verify import verify
from rnncc.types import DType, TensorType
from tests.graph.random_graphs import graphs, random_extents, random_graph, random_inputs

MODEL = """\
def model(kernel: f32[8, 4], /, x: f32[T, B, 8], n: i64[]):
    xw: f32[T, B, 4] = matmul(x, kernel)
    zero: f32[] = constant(value=0.0, dtype=f32)
    h0: f32[B, 4] = broadcast_to(zero, shape=(B, 4))
    def step(h: f32[B, 4], *, x: f32[B, 4]):
        z: f32[B, 4] = add(h, x)
        h_2: f32[B, 4] = tanh(z)
        return h_2, h_2
    last, ys = scan(h0, xw, body=step, reverse=False, length=T, unroll=1)  # f32[B, 4], f32[T, B, 4]
    def step_2(n: i64[]):
        return n
    same: i64[] = scan(n, body=step_2, reverse=True, length=3, unroll=2)
    return last, ys, same"""


def test_a_model_reads_like_python() -> None:
    graph = parse(MODEL)
    verify(graph)
    assert show(graph) == MODEL
    assert str(graph) == MODEL
    assert repr(graph) == "<Graph model: 7 nodes>"
    assert repr(graph.nodes[3].attrs["body"]) == "<Graph step: 2 nodes>"
    assert [value.name for value in graph.consts] == ["kernel"]
    assert [value.name for value in graph.inputs] == ["x", "n"]
    body = graph.nodes[3].attrs["body"]
    assert [len(kind) for kind in (body.consts, body.inputs, body.xs)] == [0, 1, 1]


@given(graphs())
@settings(deadline=None, max_examples=60)
def test_round_trip(graph: Graph) -> None:
    text = show(graph)
    again = parse(text)
    assert show(again) == text
    verify(again)


@pytest.mark.parametrize("seed", range(8))
def test_a_parsed_graph_computes_the_same(seed: int) -> None:
    graph = random_graph(seed, 10)
    again = parse(show(graph))
    extents = random_extents(graph, seed)
    arrays = random_inputs(graph, extents, seed)
    for one, other in zip(interpret(graph, arrays), interpret(again, arrays), strict=True):
        np.testing.assert_array_equal(one, other)


def test_comments_indentation_and_line_ends_do_not_matter() -> None:
    lines = [f"      {line}  # why" if line else "" for line in MODEL.splitlines()]
    assert show(parse("\n\n      # a graph\n" + "\r\n".join(lines) + "\n\n")) == MODEL


def test_types_may_be_left_out() -> None:
    text = """
        def f(x: f32[B, 3], w: f32[3, 5]):
            y = matmul(x, w)
            z = tanh(y)
            return z
    """
    assert [str(value.type) for value in parse(text).values()][-2:] == ["f32[B, 5]", "f32[B, 5]"]


def test_a_claimed_type_is_kept() -> None:
    """The verifier, not the parser, says that it is wrong."""
    text = "def f(x: f32[B]):\n    y: f32[B, 7] = tanh(x)\n    return y"
    assert show(parse(text)) == text


def test_names_of_bodies_are_told_apart() -> None:
    def twice(x: Any) -> Any:
        def step(carry: Any, x: Any) -> Any:
            return carry + x, None

        for _ in range(3):
            x, _ = scan(step, x, x)
        return x

    graph = trace(twice, ("float32", (2, 2)))
    text = show(graph)
    assert [f"def {name}(" in text for name in ("step", "step_2", "step_3")] == [True] * 3
    renamed = replace(graph, nodes=(*graph.nodes[:1], _with_body_name(graph.nodes[1], "step_2"), *graph.nodes[2:]))
    assert show(parse(show(renamed))) == show(renamed)


def _with_body_name(node: Any, name: str) -> Any:
    return replace(node, attrs={**node.attrs, "body": replace(node.attrs["body"], name=name)})


# ------------------------------------------------------------------ attrs and names

ATTRS = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(),
        st.floats(),
        st.floats(width=32),
        st.sampled_from(list(DType)),
        st.sampled_from(
            ["B", "T_2", "größe", "f32", "inf", "nan", "True", "lambda", "", "a b", "it's", 'f32[] "x"\n', "T?1"]
        ),
    ),
    lambda children: st.lists(children, max_size=3).map(tuple),
    max_leaves=6,
)


@given(ATTRS)
@settings(deadline=None, max_examples=300)
def test_attrs_round_trip(attr: Any) -> None:
    value = Value("x", TensorType(DType.F32, ()))
    graph = replace(parse("def f(x: f32[]):\n    y: f32[] = tanh(x)\n    return y"), outputs=())
    node = replace(graph.nodes[0], inputs=(value,), attrs={"a": attr, "b": (attr,)})
    graph = replace(graph, inputs=(value,), nodes=(node,))
    again = parse(show(graph))
    assert show(again) == show(graph)
    assert repr(again.nodes[0].attrs) == repr({"a": attr, "b": (attr,)})  # repr: nan is not equal to itself


def test_floats_print_exactly() -> None:
    shown = [show_attr(value) for value in (math.inf, -math.inf, math.nan, 1e-45, 0.1, -0.0, 1e22)]
    assert shown == ["inf", "-inf", "nan", "1e-45", "0.1", "-0.0", "1e+22"]
    assert show_attr(np.float64(0.5)) == "0.5"


@pytest.mark.parametrize("hint", ["größe", "match", "type", "f32", "inf", "lambda", "_", "1st", "a/b:0", "µ", "ﬁ", ""])
def test_any_hint_makes_a_name(hint: str) -> None:
    from rnncc.graph.symbolic import input_tensor
    from rnncc.graph.trace import build_graph

    x = input_tensor(TensorType(DType.F32, ("T",)), hint)
    graph = build_graph("f", [x], [ops.tanh(x)])
    verify(graph)
    assert show(parse(show(graph))) == show(graph)


def test_spots_point_at_their_text() -> None:
    printed = listing(random_graph(4, 12))
    for part, spot in printed.spots.items():
        text = printed.lines[spot.line - 1][spot.column - 1 :][: spot.width]
        assert text.strip() == text
        assert part.kind != "op" or find_op(text)
        assert part.kind not in ("input", "return") or text.isidentifier()


# ------------------------------------------------------------------ errors

HEAD = "def f(x: f32[B, 8], y: f32[B, 8]):"


def fails(*lines: str) -> str:
    with pytest.raises(ParseError) as caught:
        parse("\n".join(lines))
    return str(caught.value)


def test_an_error_shows_the_line() -> None:
    assert fails(HEAD, "    z: f32[B, 8] = add(x, q)", "    return z") == (
        "line 2, column 27: q is not defined here\n"
        "  2 |     z: f32[B, 8] = add(x, q)\n"
        "    |                           ^"
    )
    assert fails(HEAD, "    größe: f32[B, 8] = ad(x, y)", "    return x").splitlines()[:4] == [
        "line 2, column 24: unknown op 'ad'",
        "  2 |     größe: f32[B, 8] = ad(x, y)",
        "    |                        ^^",
        f"  known: {', '.join(op.name for op in all_ops())}",
    ]


GOLDEN = [
    (["z: f32[B, 8] = add(x, y)"], 1, "the last line of a def is its return"),
    (["return 1"], 8, "the name of a value is expected here"),
    (["return x.y"], 8, "the name of a value is expected here"),
    (["x: f32[] = constant(value=0.0, dtype=f32)", "return x"], 1, "x is defined twice"),
    (["z: f33[B] = tanh(x)", "return z"], 4, "a type is a dtype with dims, such as f32[B, 8]"),
    (["z: f32 = tanh(x)", "return z"], 4, "a type is a dtype with dims"),
    (["z: f32[-1] = tanh(x)", "return z"], 8, "a dim is a whole number or the name of an extent"),
    (["z: f32[1.5] = tanh(x)", "return z"], 8, "a dim is a whole number"),
    (["z: f32[True] = tanh(x)", "return z"], 8, "a dim is a whole number"),
    (["z: f32[inf] = tanh(x)", "return z"], 8, "a dim is a whole number"),
    (["z: f32[B] = x", "return z"], 1, "a line is `name: type = op(...)`"),
    (["z = w = tanh(x)", "return z"], 1, "a line is"),
    (["z.a = tanh(x)", "return z"], 1, "a line is"),
    (["pass", "return x"], 1, "a line is"),
    (["z = tanh(tanh(x))", "return z"], 10, "the name of a value is expected here"),
    (["z = tanh(*x)", "return z"], 10, "the name of a value is expected here"),
    (["z = add((x, y))", "return z"], 9, "the name of a value is expected here"),
    (["z = x.tanh()", "return z"], 5, "the name of an op is expected here"),
    (["z = tanh(x, **y)", "return z"], 13, "attrs are name=value, each once"),
    (["z = add(x)", "return z"], 5, "add takes 2 operands, 1 given"),
    (["z, w = add(x, y)", "return z"], 8, "add has 1 results here, not 2"),
    (["z = matmul(x, y)", "return z"], 5, "matmul: inner dimensions differ\n"),
    (["z = transpose(x)", "return z"], 5, "transpose needs the attr axes\n"),
    (["z = transpose(x, axes=3)", "return z"], 5, "an attr of transpose is of a wrong kind: 'int' object"),
    (["z = tanh(x, axis=1)", "return z"], 5, "tanh has no attr axis\n"),
    (["z = sum(x, axis=a + 1)", "return z"], 17, "an attr is a number, a dtype, an extent"),
    (["z = sum(x, axis=-B)", "return z"], 17, "an attr is a number"),
    (["z = sum(x, axis=None)", "return z"], 17, "an attr is a number"),
    (["z = scan(x, body=step)", "return z"], 18, "body is the name of a def right above"),
    (["z = scan(x, body=1)", "return z"], 18, "body is the name of a def right above"),
    (["def g(a: f32[]):", "    return a", "return x"], 1, "g is not used by any node"),
    (["def g(a: f32[]):", "    return a", "def g(a: f32[]):", "    return a", "return x"], 1, "g is defined twice"),
    (["def g(a: f32[]):", "    return x", "return x"], 12, "x belongs to an enclosing def: a body is closed"),
    (["def g(a):", "    return a", "return x"], 7, "parameter a has no type"),
    (["def g(a: f32[] = 1):", "    return a", "return x"], 18, "parameters have no default values"),
    (["def g(*a):", "    return a", "return x"], 8, "a def has a name and parameters, and nothing else"),
    (["def g() -> int:", "    return a", "return x"], 12, "a def has a name and parameters, and nothing else"),
    (["z: f32[B = tanh(x)", "return z"], 7, "this is not Python syntax: '[' was never closed"),
]


@pytest.mark.parametrize(("lines", "column", "what"), GOLDEN)
def test_errors(lines: list[str], column: int, what: str) -> None:
    message = fails(HEAD, *(f"    {line}" for line in lines))
    assert f"column {column + 4}: {what}" in message
    first, source, caret, *_ = message.splitlines()
    number = int(first.split()[1].rstrip(","))
    assert source == f"  {number} |     {lines[number - 2]}"
    assert caret.index("^") == source.index("|") + 2 + column + 3


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "line 1, column 1: the text is empty"),
        ("# nothing", "line 1, column 1: the text is empty"),
        ("x = 1", "line 1, column 1: a graph is one def"),
        ("def f():\n    return\ndef g():\n    return", "line 3, column 1: one def is all that a graph consists of"),
        ("@f\ndef f():\n    return", "line 1, column 2: a def has a name and parameters"),
        ("def f(x: f32[]", "line 1, column 6: this is not Python syntax"),
        ("def f():\n\treturn (", "this is not Python syntax"),
        ("\0", "cannot be read|not Python syntax"),
    ],
)
def test_what_is_no_graph(text: str, what: str) -> None:
    with pytest.raises(ParseError, match=what):
        parse(text)


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_any_text_is_a_graph_or_an_error(data: st.DataObject) -> None:
    """Damaged text never fails in another way; what is still a graph prints and parses."""
    words = MODEL.replace("\n", " \n ").split(" ")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(words) - 1))
        word = data.draw(
            st.sampled_from([*words, "", "(", ")", '"', "1", "f32[]", "*", "\\", "=", "body=step", "²", "\t"])
        )
        words[at : at + data.draw(st.integers(0, 2))] = [word]
    try:
        graph = parse(" ".join(words))
    except ParseError:
        return
    assert show(parse(show(graph))) == show(graph)
