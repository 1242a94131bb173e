"""Lowering: every op sample as loops means what the op means; names, ranks, scans and the split into setup and call."""

from __future__ import annotations

import numpy as np
import pytest

import rnncc
from rnncc import ops
from rnncc.errors import ArgumentError, UnsupportedError
from rnncc.graph.interp import interpret as interpret_graph
from rnncc.graph.ir import ArraySource, Graph, Node, is_scan, scan_view
from rnncc.graph.op import Op
from rnncc.graph.parser import parse
from rnncc.graph.printer import show
from rnncc.graph.symbolic import Tensor, input_tensor, weight_tensor
from rnncc.graph.trace import build_graph
from rnncc.graph.value import Value
from rnncc.graph.verify import verify as verify_graph
from rnncc.loop.interp import CheckFailed
from rnncc.loop.interp import interpret as interpret_loops
from rnncc.loop.verify import verify as verify_loops
from rnncc.lower.lower import lower
from rnncc.lower.setup import convert_floats, split_setup
from rnncc.ops.scan import scan
from rnncc.types import DType, TensorType
from tests.ops.samples import EXTENTS, Sample
from tests.ops.test_ops import CASES, evaluate, graph_of
from tests.tolerances import SAME_SUMS, assert_close


def run_loops(graph: Graph, arrays: list[np.ndarray], extents: dict[str, int]) -> list[np.ndarray]:
    """The outputs of the lowered graph, interpreted."""
    procedure = lower(graph)
    verify_loops(procedure)
    names = [value.name for value in (*graph.consts, *graph.inputs)]
    return list(interpret_loops(procedure, dict(zip(names, arrays, strict=True)), extents).values())


@pytest.mark.parametrize(("name", "sample"), CASES)
def test_samples_of_every_op(name: str, sample: Sample) -> None:
    graph = graph_of(name, sample)
    arrays = sample.arrays()
    dims = np.zeros(tuple(EXTENTS.values()), graph.inputs[-1].type.dtype.numpy)
    expected = evaluate(name, sample, arrays)
    for actual, wanted in zip(run_loops(graph, [*arrays, dims], EXTENTS), expected, strict=True):
        assert_close(actual, np.asarray(wanted), SAME_SUMS)


def test_an_op_without_a_rule_names_where_it_was_written() -> None:
    x = Value("x", TensorType(DType.F32, (3,)))
    y = Value("y", x.type)
    strange = Op("strange", infer=lambda types, attrs: (types[0],), eval=lambda arrays, attrs, extents: (arrays[0],))
    with pytest.raises(UnsupportedError, match=r"op strange cannot be compiled\n  at train.py:3: y = strange\(x\)"):
        lower(Graph("f", (), (x,), (), (Node(strange, (x,), (y,), {}, place="train.py:3: y = strange(x)"),), (y,)))


# ------------------------------------------------------------------ names


def small_model(names: list[str], extents: tuple[str, str]) -> Graph:
    """A lookup, products, a scan, a softmax and a turned result; inputs, weights and extents have the given names."""
    x_name, ids_name, *weight_names = names
    batch, time = extents
    rng = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> Tensor:
        array = rng.uniform(-0.5, 0.5, shape).astype(np.float32)
        return weight_tensor(TensorType(DType.F32, shape), name, ArraySource(array))

    x = input_tensor(TensorType(DType.F32, (batch, time, 3)), x_name)
    ids = input_tensor(TensorType(DType.I64, (batch, time)), ids_name)
    kernel, table, inner = (
        weight(name, *shape) for name, shape in zip(weight_names, [(3, 5), (4, 5), (5, 5)], strict=True)
    )
    xs = ops.transpose(x @ kernel + ops.take(table, ids) * x[:, :, :1], (1, 0, 2))

    def step(h: Tensor, x_t: Tensor) -> tuple[Tensor, Tensor]:
        h = ops.tanh(h @ inner + x_t)
        return h, h

    h, ys = scan(step, ops.zeros((batch, 5)), xs)
    return build_graph("f", [x, ids], [ops.softmax(ops.transpose(ys, (1, 0, 2))), h, ops.sum(h, 0)])


NAMES = ["b", "j", "i", "l", "m", "n", "o", "p", "q", "k", "js", "bs", "t", "r", "v", "column", "lane", "ks", "acc"]
NAMES += ["sum", "jt", "b_of", "status", "entry", "tanh", "scan", "f32", "range", "state", "b_2", "body", "v1", "größe"]


@pytest.mark.parametrize("shift", range(0, len(NAMES), 3))
def test_any_name_will_do(shift: int) -> None:
    """What passes call their loops and registers does not meet the names of inputs, weights and extents."""
    rotated = NAMES[shift:] + NAMES[:shift]
    plain = [f"plain{number}" for number in range(5)]
    for names, extents in [(rotated[:5], ("B", "T")), (plain, (rotated[5], rotated[6]))]:
        graph = small_model(names, (extents[0].replace("f32", "x"), extents[1].replace("f32", "x")))
        fn = rnncc.compile(graph, level=0)
        rng = np.random.default_rng(1)
        arrays = [rng.normal(size=(2, 7, 3)).astype(np.float32), rng.integers(0, 4, (2, 7))]
        for actual, wanted in zip(fn(*arrays), rnncc.evaluate(graph, *arrays), strict=True):
            assert_close(actual, wanted, SAME_SUMS)


def test_an_input_with_the_name_of_an_extent() -> None:
    graph = rnncc.trace(lambda T: ops.tanh(T), ("float32", ("B", "T")))
    with pytest.raises(ArgumentError, match=r"T is the name of an input and of an extent\n  T: f32\[B, T\]"):
        rnncc.compile(graph)


@pytest.mark.parametrize("name", ["body", "main", "setup", "rnncc", "größe"])
def test_any_name_of_a_graph(name: str) -> None:
    x = input_tensor(TensorType(DType.F32, ("B", 3)), "x")
    graph = build_graph(name, [x], [ops.tanh(x)])
    np.testing.assert_allclose(rnncc.compile(graph, level=0)(np.ones((2, 3))), np.tanh(np.ones((2, 3))), rtol=1e-6)


def test_more_axes_than_there_are_letters() -> None:
    shape = (1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 3)
    graph = rnncc.trace(lambda x: ops.sum(ops.tanh(x), 3), ("float32", shape))
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    (actual,) = run_loops(graph, [x], {})
    assert_close(actual, rnncc.evaluate(graph, x), SAME_SUMS)
    assert_close(rnncc.compile(graph, level=0)(x), rnncc.evaluate(graph, x), SAME_SUMS)


# ------------------------------------------------------------------ scans and checks


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("unroll", [1, 2, 3, 7])
@pytest.mark.parametrize("length", [0, 1, 2, 3, 6, 7, 8, 15])
def test_scans_of_any_length_and_unroll(reverse: bool, unroll: int, length: int) -> None:
    x = input_tensor(TensorType(DType.F32, ("T", "B", 3)), "x")
    h0, n0 = input_tensor(TensorType(DType.F32, ("B", 3)), "h0"), input_tensor(TensorType(DType.I64, ()), "n0")

    def step(carry: tuple[Tensor, Tensor], x_t: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        h, n = carry
        return (x_t - h, n + 1), (h, n)

    (h, n), (ys, ns) = scan(step, (h0, n0), x, reverse=reverse, unroll=unroll)
    graph = build_graph("f", [h0, n0, x], [h, n, ys, ns])
    rng = np.random.default_rng(length)
    arrays = [
        rng.normal(size=(2, 3)).astype(np.float32),
        np.int64(5) * np.ones((), np.int64),
        rng.normal(size=(length, 2, 3)).astype(np.float32),
    ]
    expected = interpret_graph(graph, arrays, {"B": 2, "T": length})
    for actual, wanted in zip(run_loops(graph, arrays, {"B": 2, "T": length}), expected, strict=True):
        assert_close(actual, np.asarray(wanted), SAME_SUMS)


def test_indices_are_checked_before_they_are_used() -> None:
    graph = rnncc.trace(lambda e, ids: ops.take(e, ids), ("float32", (5, 3)), ("int64", ("B",)))
    table = np.ones((5, 3), np.float32)
    for ids, value in [([0, 5, 7], 5), ([4, 0, -1], -1)]:
        with pytest.raises(CheckFailed) as failed:
            run_loops(graph, [table, np.array(ids)], {"B": 3})
        assert failed.value.values == (value,)


# ------------------------------------------------------------------ setup, element types

TABLE = """
def f(e: f32[7, 3], w: f32[3, 5], unused: f32[2], /, ids: i64[B], x: f32[B, 5]):
    table: f32[7, 5] = matmul(e, w)
    y: f32[B, 5] = take(table, ids)
    z: f32[B, 5] = add(y, x)
    wide: f32[B, 5, 3] = broadcast_to(w_turned, shape=(B, 5, 3))
    return z, wide
"""


def test_split_setup() -> None:
    text = TABLE.replace("    y:", "    w_turned: f32[5, 3] = transpose(w, axes=(1, 0))\n    y:")
    graph = convert_floats(parse(text), DType.F64)
    verify_graph(graph)
    setup, main = split_setup(graph)
    verify_graph(setup)
    verify_graph(main)
    assert [node.op.name for node in setup.nodes] == ["matmul", "transpose"]
    assert [value.name for value in setup.outputs] == [value.name for value in main.consts] == ["table", "w_turned"]
    assert [node.op.name for node in main.nodes] == ["take", "add", "broadcast_to"]  # its size depends on the call
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape) for shape in [(7, 3), (3, 5), (2,)]]
    inputs = [np.array([6, 0]), rng.normal(size=(2, 5))]
    made = interpret_graph(setup, weights, {})
    whole = interpret_graph(graph, [*weights, *inputs], {"B": 2})
    for actual, wanted in zip(interpret_graph(main, [*made, *inputs], {"B": 2}), whole, strict=True):
        np.testing.assert_array_equal(actual, wanted)


def test_numbers_do_not_keep_weights_in_the_call() -> None:
    """What weights and numbers give is done once; a number that the call reads as well, it still knows."""
    graph = parse(
        "def f(w: f32[3, 5], /, x: f32[B, 3]):\n"
        "    half: f32[] = constant(value=0.5, dtype=f32)\n"
        "    halves: f32[3, 5] = broadcast_to(half, shape=(3, 5))\n"
        "    small: f32[3, 5] = mul(w, halves)\n"
        "    twice: f32[B, 3] = div(x, half)\n"
        "    y: f32[B, 5] = matmul(twice, small)\n    return y"
    )
    setup, main = split_setup(graph)
    verify_graph(setup)
    verify_graph(main)
    assert [node.op.name for node in setup.nodes] == ["constant", "broadcast_to", "mul"]
    assert [value.name for value in setup.outputs] == [value.name for value in main.consts] == ["small"]
    assert [node.op.name for node in main.nodes if node.op.name != "broadcast_to"] == ["constant", "div", "matmul"]
    w, x = np.arange(15, dtype=np.float32).reshape(3, 5), np.ones((2, 3), np.float32)
    (made,) = interpret_graph(setup, [w], {})
    np.testing.assert_array_equal(interpret_graph(main, [made, x], {"B": 2})[0], x * 2 @ (w / 2))


def test_products_of_weights_are_rounded_once() -> None:
    graph = parse(
        "def f(e: f32[7, 3], w: f32[3, 5], /, ids: i64[B]):\n"
        "    table: f32[7, 5] = matmul(e, w)\n    y: f32[B, 5] = take(table, ids)\n    return y"
    )
    setup, main = split_setup(graph)
    verify_graph(setup)
    assert [node.op.name for node in setup.nodes] == ["cast", "cast", "matmul", "cast"]
    assert [value.name for value in setup.outputs] == [value.name for value in main.consts]
    rng = np.random.default_rng(0)
    e, w = (rng.normal(size=shape).astype(np.float32) for shape in [(7, 3), (3, 5)])
    (table,) = interpret_graph(setup, [e, w], {})
    assert table.dtype == np.float32
    np.testing.assert_array_equal(table, (e.astype(np.float64) @ w.astype(np.float64)).astype(np.float32))
    of_doubles, _ = split_setup(convert_floats(graph, DType.F64))
    assert [node.op.name for node in of_doubles.nodes] == ["matmul"]


def test_split_setup_when_a_weight_is_a_result() -> None:
    graph = parse("def f(w: f32[3], /, x: f32[B]):\n    return w, x")
    setup, main = split_setup(graph)
    assert setup.nodes == main.nodes == ()
    assert [value.name for value in main.consts] == ["w"]


@pytest.mark.parametrize("inside", [False, True], ids=["length", "body"])
def test_setup_needs_no_extents(inside: bool) -> None:
    """A scan over weights alone belongs to the call when its length, or something in its body, has a named size."""
    w = weight_tensor(TensorType(DType.F32, (3,)), "w", ArraySource(np.full(3, 0.5, np.float32)))
    x = input_tensor(TensorType(DType.F32, ("B", 3)), "x")

    def step(h: Tensor, _: object) -> tuple[Tensor, tuple[()]]:
        wide = ops.broadcast_to(h, ("B", 3)) if inside else ops.expand_dims(h, 0)
        return ops.tanh(ops.sum(wide, 0) + w), ()

    h, _ = scan(step, w, length=4 if inside else "B")
    graph = build_graph("f", [x], [x + h])
    arrays = [np.full(3, 0.5, np.float32), np.ones((5, 3), np.float32)]
    setup, main = split_setup(graph)
    assert not setup.nodes
    (expected,) = interpret_graph(graph, arrays)
    assert_close(run_loops(main, arrays, {"B": 5})[0], expected, SAME_SUMS)


def test_convert_floats_reaches_bodies_and_attributes() -> None:
    graph = small_model(["x", "ids", "w", "e", "u"], ("B", "T"))
    wide = convert_floats(graph, DType.F64)
    verify_graph(wide)
    assert "f32" not in show(wide)
    assert [value.type.dtype for value in wide.inputs] == [DType.F64, DType.I64]
    (node,) = (node for node in wide.nodes if is_scan(node))
    assert scan_view(node).body.inputs[0].type.dtype is DType.F64
    assert convert_floats(graph, DType.F32) == graph or show(convert_floats(graph, DType.F32)) == show(graph)
