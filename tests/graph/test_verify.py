"""The verifier by breakage: one broken graph per rule, the message matched."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from rnncc.errors import VerifyError
from rnncc.graph.ir import Graph, Node
from rnncc.graph.parser import parse
from rnncc.graph.value import Value
from rnncc.graph.verify import verify
from rnncc.types import DType, TensorType
from tests.graph.random_graphs import graphs

GRAPH = parse("""
    def model(w: f32[4, 4], /, x: f32[T, B, 4], h: f32[B, 4]):
        a: f32[B, 4] = matmul(h, w)
        b: f32[B, 4] = tanh(a)
        def step(w: f32[4, 4], /, h: f32[B, 4], *, x: f32[B, 4]):
            p: f32[B, 4] = matmul(h, w)
            q: f32[B, 4] = add(p, x)
            return q, p
        c, ys = scan(w, b, x, body=step, reverse=False, length=T, unroll=1)
        s: f32[B] = sum(c, axis=1)
        return s, ys
""")
W, X, H = GRAPH.parameters
A, B, SCAN, S = GRAPH.nodes
BODY: Graph = SCAN.attrs["body"]


def message(graph: Graph, **options: Any) -> str:
    with pytest.raises(VerifyError) as caught:
        verify(graph, **options)
    return str(caught.value)


def value(name: str, *shape: int | str, dtype: DType = DType.F32) -> Value:
    return Value(name, TensorType(dtype, shape))


def with_nodes(*nodes: Node) -> Graph:
    return replace(GRAPH, nodes=nodes)


def with_attrs(**attrs: Any) -> Graph:
    return with_nodes(A, B, replace(SCAN, attrs={**SCAN.attrs, **attrs}), S)


def without_attr(name: str) -> Graph:
    attrs = {key: attr for key, attr in SCAN.attrs.items() if key != name}
    return with_nodes(A, B, replace(SCAN, attrs=attrs), S)


def with_body(**parts: Any) -> Graph:
    return with_attrs(body=replace(BODY, **parts))


def renamed(node: Node, new: Value) -> Node:
    return replace(node, outputs=(new,))


P, Q = BODY.nodes
STEP_W, STEP_H, STEP_X = BODY.parameters

BROKEN: list[tuple[str, Graph, str, str]] = [
    # what, graph, message, what is above the caret
    ("used early", with_nodes(B, A, SCAN, S), "a is used before it is defined", "a"),
    ("cycle", with_nodes(replace(A, inputs=(B.output, W)), B, SCAN, S), "b is used before it is defined", "b"),
    ("itself", with_nodes(A, replace(B, inputs=B.outputs), SCAN, S), "b is used before it is defined", "b"),
    ("not defined", with_nodes(B, SCAN, S), "a is not defined in model", "a"),
    (
        "another value",
        with_nodes(A, replace(B, inputs=(value("h", "B", 4),)), SCAN, S),
        "another value than the h of",
        "h",
    ),
    ("output", replace(GRAPH, outputs=(value("r"),)), "r is not defined in model", "r"),
    ("same name", with_nodes(renamed(A, value("h", "B", 4))), "two values are called h", "h"),
    ("same parameter", replace(GRAPH, inputs=(X, H, value("w", 4))), "two values are called w", "w: f32[4]"),
    ("parameter twice", replace(GRAPH, inputs=(X, H, H)), "h is defined twice", "h: f32[B, 4]"),
    ("defined twice", with_nodes(A, A, B, SCAN, S), "a is defined twice", "a"),
    ("no identifier", with_nodes(renamed(A, value("a b", "B", 4))), "'a b' is not a name that a value can", "a b"),
    ("keyword", with_nodes(renamed(A, value("if", "B", 4))), "'if' is not a name that a value can have", "if"),
    ("not normal", with_nodes(renamed(A, value("µ", "B", 4))), "'µ' is not a name that a value can have", "µ"),
    ("graph name", replace(GRAPH, name="a-b"), "'a-b' is not a name that a graph can have", "a-b"),
    ("arity", with_nodes(replace(A, inputs=(H,))), "matmul takes 2 operands, 1 given", "matmul"),
    ("infer fails", with_nodes(replace(A, inputs=(W, H))), "matmul: inner dimensions differ\n", "matmul"),
    ("no attr", with_nodes(A, B, SCAN, replace(S, attrs={})), "sum needs the attr axis", "sum"),
    ("another attr", with_nodes(A, B, SCAN, replace(S, attrs={"axis": 1, "axes": 1})), "sum has no attr axes", "sum"),
    (
        "wrong kind",
        with_nodes(A, B, SCAN, replace(S, attrs={"axis": (1,)})),
        "an attr of sum is of a wrong kind",
        "sum",
    ),
    ("strange attr", with_nodes(A, B, SCAN, replace(S, attrs={"axis": [1]})), "list is no kind of attr", "axis=[1]"),
    ("shape", with_nodes(renamed(A, value("a", "B", 5))), "the type of a is not what matmul infers", "a"),
    ("dtype", with_nodes(renamed(A, value("a", "B", 4, dtype=DType.F64))), "the type of a is not what", "a"),
    ("results", with_nodes(replace(A, outputs=())), "matmul has 1 results, not 0", "matmul"),
    ("unknown extent", with_nodes(renamed(A, value("a", "N", 4))), "no parameter of the outermost graph mentions", "a"),
    (
        "no extent",
        replace(GRAPH, inputs=(X, H, value("k", "inf"))),
        "'inf' is not a name that an extent",
        "k: f32['inf']",
    ),
    ("fresh extent", replace(GRAPH, inputs=(X, H, value("k", "T?1"))), "'T?1' is not a name that", "k: f32['T?1']"),
    ("negative dim", replace(GRAPH, inputs=(X, H, value("k", -1))), "-1 is not a dim", "k: f32[-1]"),
    ("bool dim", replace(GRAPH, inputs=(X, H, value("k", True))), "True is not a dim", "k: f32[True]"),
    ("float dim", replace(GRAPH, inputs=(X, H, value("k", 1.5))), "1.5 is not a dim", "k: f32[1.5]"),  # type: ignore[arg-type]
    ("extent in attr", with_attrs(length="N"), "no parameter of the outermost graph mentions the extent N", "length=N"),
    ("no body", with_attrs(body=3), "body cannot be 3", "body=3"),
    ("no length", without_attr("length"), "scan needs the attr length", "scan"),
    ("no reverse", without_attr("reverse"), "scan needs the attr reverse", "scan"),
    ("no unroll", without_attr("unroll"), "scan needs the attr unroll", "scan"),
    ("reverse", with_attrs(reverse=1), "reverse cannot be 1", "reverse=1"),
    ("length", with_attrs(length=True), "length cannot be True", "length=True"),
    ("negative length", with_attrs(length=-1), "-1 is not a dim", "length=-1"),
    ("unroll", with_attrs(unroll=0), "unroll cannot be 0", "unroll=0"),
    ("length and xs", with_attrs(length="B"), "x does not fit the slices x of step\n", "x"),
    (
        "few operands",
        with_nodes(A, B, replace(SCAN, inputs=(W, H)), S),
        "step takes 3 operands (1 consts, 1 states, 1",
        "scan",
    ),
    ("const", with_nodes(A, B, replace(SCAN, inputs=(H, B.output, X)), S), "h does not fit the const w of step\n", "h"),
    ("state", with_nodes(A, B, replace(SCAN, inputs=(W, W, X)), S), "w does not fit the state h of step\n", "w"),
    ("few outputs", with_body(outputs=()), "step has 1 states, but returns only 0 values", "scan"),
    ("state changes", with_body(outputs=(STEP_W, P.output)), "scan: the state h changes type over a step\n", "scan"),
    (
        "open body",
        with_body(nodes=(replace(P, inputs=(H, STEP_W)), Q)),
        "h belongs to an enclosing graph: the body",
        "h",
    ),
    ("open output", with_body(outputs=(Q.output, H)), "h belongs to an enclosing graph: the body step is closed", "h"),
    ("early in body", with_body(nodes=(Q, P)), "p is used before it is defined", "p"),
    ("body of other types", with_body(nodes=(P, renamed(Q, value("q", 4)))), "the type of q is not what add", "q"),
]


def test_the_whole_graph_is_fine() -> None:
    verify(GRAPH)


@given(graphs())
@settings(deadline=None, max_examples=40)
def test_random_graphs_are_fine(graph: Graph) -> None:
    verify(graph)


@pytest.mark.parametrize(("graph", "what", "pointed_at"), [pytest.param(*rest, id=name) for name, *rest in BROKEN])
def test_broken(graph: Graph, what: str, pointed_at: str) -> None:
    text = message(graph)
    assert what in text.splitlines(keepends=True)[0]
    source, caret = next((a, b) for a, b in zip(text.splitlines(), text.splitlines()[1:], strict=False) if "^" in b)
    start = caret.index("^")
    assert source[start : start + caret.count("^")] == pointed_at


def test_the_form_of_a_message() -> None:
    graph = with_nodes(B, A, SCAN, S)
    assert message(graph, after="hoist_scan", context=["passes that changed the graph so far: fold, cse"]) == (
        "after hoist_scan: a is used before it is defined\n"
        "  2 |     b: f32[B, 4] = tanh(a)\n"
        "    |                         ^\n"
        "  passes that changed the graph so far: fold, cse\n"
        "  this is a bug in rnncc; `rnncc bisect FILE` names the first wrong pass"
    )
    assert message(with_nodes(renamed(A, value("a", "B", 5)), B, SCAN, S)) == (
        "the type of a is not what matmul infers\n"
        "  2 |     a: f32[B, 5] = matmul(h, w)\n"
        "    |     ^\n"
        "  f32[B, 5] claimed\n"
        "  f32[B, 4] inferred"
    )


def test_lines_count_through_bodies() -> None:
    text = message(with_nodes(A, B, SCAN, renamed(S, value("s"))))
    assert "\n  9 |     s: f32[] = sum(c, axis=1)\n" in text


def test_a_text_by_hand() -> None:
    graph = parse("def f(x: f32[B, 3]):\n    y: f32[B, 4] = tanh(x)\n    return y")
    assert message(graph).startswith("the type of y is not what tanh infers")
