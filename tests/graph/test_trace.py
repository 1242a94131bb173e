"""From Python functions and symbolic tensors to graphs: what becomes a const, what stays outside of a scan, errors."""

from __future__ import annotations

import operator as op
from typing import Any, NamedTuple

import numpy as np
import pytest

from rnncc import evaluate, layers, ops, scan, trace
from rnncc.errors import ArgumentError, DTypeError, ShapeError, StructureError
from rnncc.graph.interp import interpret
from rnncc.graph.ir import ArraySource, Graph, Scan, is_scan, scan_view
from rnncc.graph.printer import show
from rnncc.graph.symbolic import Tensor, input_tensor, scope, weight_tensor
from rnncc.graph.trace import build_graph, fresh_extent, sources_of
from rnncc.graph.verify import verify
from rnncc.types import DType, TensorType


def only_scan(graph: Graph) -> Scan:
    (node,) = [node for node in graph.nodes if is_scan(node)]
    return scan_view(node)


def names(values: Any) -> list[str]:
    return [value.name for value in values]


def op_names(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes]


def ones(*shape: int) -> Tensor:
    return weight_tensor(TensorType(DType.F32, shape), "w", ArraySource(np.ones(shape, np.float32)))


# ------------------------------------------------------------------ trace


def test_trace() -> None:
    def model(x: Tensor, w: Tensor) -> Tensor:
        return ops.tanh(x @ w)

    graph = trace(model, ("float32", ("B", 3)), TensorType(DType.F32, (3, 5)))
    assert show(graph) == (
        "def model(x: f32[B, 3], w: f32[3, 5]):\n"
        "    matmul: f32[B, 5] = matmul(x, w)\n"
        "    tanh: f32[B, 5] = tanh(matmul)\n"
        "    return tanh"
    )
    assert graph.nodes[0].place is not None
    assert graph.nodes[0].place.endswith("return ops.tanh(x @ w)")


def test_names_of_arguments() -> None:
    specs = [("float32", ())] * 2
    assert names(trace(lambda *xs: xs[0] + xs[1], *specs).inputs) == ["x0", "x1"]
    assert names(trace(lambda a, b=None: a + b, *specs).inputs) == ["a", "b"]
    assert trace(lambda a, b: a + b, *specs).name == "graph"

    class Adder:
        def __call__(self, a: Tensor, b: Tensor) -> Tensor:
            return a + b

    graph = trace(Adder(), *specs)
    assert (graph.name, names(graph.inputs)) == ("graph", ["x0", "x1"])


def test_several_outputs_and_unused_inputs() -> None:
    graph = trace(lambda x, y: [x, x + x], ("float32", ("B",)), ("float32", ("T",)))
    assert names(graph.outputs) == ["x", "add"]
    assert names(graph.inputs) == ["x", "y"]
    verify(graph)


def test_only_what_is_needed_is_kept_in_order_of_creation() -> None:
    def model(x: Tensor) -> Tensor:
        first, _unused, second = ops.exp(x), ops.log(x), ops.tanh(x)
        return second - first

    assert op_names(trace(model, ("float32", ()))) == ["exp", "tanh", "sub"]


def test_a_value_that_is_used_twice_is_one_node() -> None:
    def model(x: Tensor) -> Tensor:
        y = ops.tanh(x)
        return y * y

    assert op_names(trace(model, ("float32", ()))) == ["tanh", "mul"]


def test_arrays_become_consts_with_sources() -> None:
    array = np.arange(3, dtype=np.float32)
    graph = trace(lambda x: x + array, ("float32", ("B", 3)))
    assert [str(value.type) for value in graph.consts] == ["f32[3]"]
    np.testing.assert_array_equal(sources_of(graph)[graph.consts[0].name].value, array)


def test_a_weight_that_is_used_twice_is_one_const() -> None:
    weight = ones(3, 3)
    graph = trace(lambda x: (x @ weight) @ weight, ("float32", ("B", 3)))
    assert names(graph.consts) == ["w"]


def test_scope_is_the_path_of_layers() -> None:
    def model(x: Tensor) -> Tensor:
        with scope("outer"), scope("inner"):
            y = ops.tanh(x)
        return y + 1

    graph = trace(model, ("float32", ()))
    assert [node.scope for node in graph.nodes] == ["outer/inner", "", ""]
    error = pytest.raises(ShapeError, match=r"^matmul in layer/recurrent: inner dimensions differ")
    with error, scope("layer"), scope("recurrent"):
        ones(2, 3) @ ones(2, 3)


# ------------------------------------------------------------------ scan


def test_what_does_not_depend_on_the_loop_stays_outside() -> None:
    weight = ones(4, 4)

    def model(x: Tensor, y: Tensor) -> Tensor:
        def step(h: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
            outside = ops.tanh(y @ weight)
            new = h @ weight + x * outside + 1.0
            return new, ops.exp(outside)

        _, ys = scan(step, ops.zeros(("B", 4)), x)
        return ys

    graph = trace(model, ("float32", ("T", "B", 4)), ("float32", ("B", 4)))
    verify(graph)
    view = only_scan(graph)
    assert op_names(view.body) == ["matmul", "mul", "add", "add"]
    assert {"tanh", "exp"} <= set(op_names(graph))
    assert sorted(str(value.type) for value in view.body.consts) == ["f32[4, 4]", "f32[B, 4]", "f32[B, 4]", "f32[]"]
    assert len({*view.consts}) == len(view.consts)
    assert names(view.body.outputs)[1] in names(view.body.consts)


def test_a_body_that_needs_nothing_of_the_loop() -> None:
    graph = trace(lambda x: scan(lambda h, _: (h, h), x, None, length="T"), ("float32", ("T",)))
    assert only_scan(graph).body.nodes == ()
    last, ys = interpret(graph, [np.arange(2, dtype=np.float32)])
    np.testing.assert_array_equal(last, [0, 1])
    np.testing.assert_array_equal(ys, [[0, 1], [0, 1]])


def test_scan_counts() -> None:
    def model(x: Tensor) -> Any:
        return scan(lambda total, x: (total + x, total * 1.0), ops.zeros(("B",)), x, reverse=True, unroll=2)

    graph = trace(model, ("float32", ("T", "B")))
    verify(graph)
    view = only_scan(graph)
    assert (view.reverse, view.length, view.unroll) == (True, "T", 2)
    assert (len(view.consts), len(view.init), len(view.xs), len(view.final), len(view.ys)) == (1, 1, 1, 1, 1)
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    total, ys = interpret(graph, [x])
    np.testing.assert_array_equal(total, x.sum(0))
    np.testing.assert_array_equal(ys, [x[1] + x[2], x[2], [0, 0]])


def test_no_steps_leave_init() -> None:
    graph = trace(lambda x, h: scan(lambda h, x: (h + x, h), h, x), ("float32", ("T", 2)), ("float32", (2,)))
    last, ys = interpret(graph, [np.zeros((0, 2), np.float32), np.array([1, 2], np.float32)])
    np.testing.assert_array_equal(last, [1, 2])
    assert (ys.shape, ys.dtype) == ((0, 2), np.float32)


class Pair(NamedTuple):
    """A structure of two states."""

    h: Any
    c: Any


def test_structures_of_carry_and_xs() -> None:
    def model(x: Tensor, y: Tensor) -> Any:
        def step(carry: dict[str, Any], xs: list[Tensor]) -> tuple[dict[str, Any], dict[str, Any]]:
            x, y = xs
            pair = Pair(carry["pair"].h + x, carry["pair"].c * y)
            return {"pair": pair, "none": None, "n": carry["n"] + 1}, {"sum": pair.h + pair.c, "nothing": None}

        init = {"n": ops.zeros((), "i64"), "pair": Pair(ops.zeros((2,)), ops.ones((2,))), "none": None}
        final, ys = scan(step, init, [x, y])
        assert isinstance(final["pair"], Pair)
        assert final["none"] is None
        assert ys["nothing"] is None
        return [final["n"], final["pair"].h, final["pair"].c, ys["sum"]]

    graph = trace(model, ("float32", ("T", 2)), ("float32", ("T", 2)))
    x, y = np.full((3, 2), 2, np.float32), np.full((3, 2), 3, np.float32)
    n, h, c, ys = interpret(graph, [x, y])
    assert n == 3
    np.testing.assert_array_equal(h, [6, 6])
    np.testing.assert_array_equal(c, [27, 27])
    np.testing.assert_array_equal(ys, [[5, 5], [13, 13], [33, 33]])


def test_a_scan_in_a_scan_closes_over_both() -> None:
    weight = ones(2, 2)

    def model(x: Tensor, y: Tensor) -> Tensor:
        def outer(h: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
            def inner(g: Tensor, y: Tensor) -> tuple[Tensor, None]:
                return g + y * x @ weight + ops.tanh(x), None

            last, _ = scan(inner, h, y)
            return last, ops.exp(y)

        _, ys = scan(outer, ops.zeros((2,)), x)
        return ys

    graph = trace(model, ("float32", ("T", 2)), ("float32", ("U", 2)))
    verify(graph)
    outer = only_scan(graph)
    inner = only_scan(outer.body)
    assert "exp" in op_names(graph)  # needs neither loop
    assert op_names(outer.body) == ["tanh", "scan"]  # tanh(x) needs the outer loop only
    assert op_names(inner.body) == ["mul", "matmul", "add", "add"]


def test_dtype_of_numbers_in_a_carry() -> None:
    graph = trace(lambda x: scan(lambda n, x: (n + 1, 0.5), ops.zeros((), "i32"), x), ("float32", ("T",)))
    assert [str(value.type) for value in graph.outputs] == ["i32[]", "f32[T]"]


@pytest.mark.parametrize(
    ("step", "init", "error", "what"),
    [
        (lambda h, x: h, 0.0, ArgumentError, r"the step of a scan must return \(carry, y\), not Tensor"),
        (lambda h, x: ((h, h), x), 0.0, ArgumentError, r"returns 2 states, but init has 1\n(.|\n)*same structure"),
        (lambda h, x: (h + x, x), 0.0, ShapeError, r"state 0 .*\n  before: f32\[\]\n  after:  f32\[2\]"),
        (lambda h, x: (ops.cast(h, "i64"), x), 0.0, DTypeError, r"before: f32\[\]\n  after:  i64\[\]"),
    ],
)  # fmt: skip
def test_wrong_steps(step: Any, init: Any, error: type[Exception], what: str) -> None:
    with pytest.raises(error, match=what):
        trace(lambda x: scan(step, init, x)[0], ("float32", ("T", 2)))


def test_a_type_error_from_inside_of_a_function_stays() -> None:
    def fails(*tensors: Tensor) -> Any:
        return len(3)  # type: ignore[arg-type]

    for call in (
        lambda: trace(fails, ("float32", ())),
        lambda: scan(fails, 0.0, ops.zeros((3,))),
        lambda: layers.Dense(2, activation=fails)(layers.Input((3,))),
    ):
        with pytest.raises(TypeError, match="object of type 'int' has no len"):
            call()


def test_arrays_with_tensors() -> None:
    """Numpy comes first when the left operand is an array; it leaves all operators to us."""
    array = np.array([[1, -2], [3, 0.5]], np.float32)
    x = np.array([[0.5, 2], [3, 0.25]], np.float32)
    for operator in (op.add, op.sub, op.mul, op.truediv, op.matmul, op.lt, op.le, op.gt, op.ge):
        graph = trace(lambda x, operator=operator: operator(array, x), ("float32", (2, 2)))
        np.testing.assert_array_equal(evaluate(graph, x), operator(array, x))
        if operator is not op.matmul:
            number = trace(lambda x, operator=operator: operator(array[0, 1], x), ("float32", (2,)))
            np.testing.assert_array_equal(evaluate(number, x[0]), operator(array[0, 1], x[0]))


def test_lengths_of_fixed_dims() -> None:
    x = ops.zeros((3, 2))
    assert len(x) == 3
    first, _, last = x
    assert (first.shape, last.shape) == ((2,), (2,))


def test_wrong_lengths() -> None:
    def step(h: Tensor, x: Any) -> tuple[Tensor, None]:
        return h, None

    with pytest.raises(ArgumentError, match="a scan without xs needs length="):
        scan(step, 0.0)
    with pytest.raises(ShapeError, match=r"the leading axes of xs differ\n  y: f32\[U\]\n  T steps before"):
        trace(lambda x, y: scan(step, 0.0, (x, y))[0], ("float32", ("T",)), ("float32", ("U",)))
    with pytest.raises(ShapeError, match="xs must have a leading time axis"):
        trace(lambda x: scan(step, 0.0, x)[0], ("float32", ()))


# ------------------------------------------------------------------ extents


def test_fresh_extents_get_plain_names() -> None:
    first, second, third = (fresh_extent(letter) for letter in "TTB")
    inputs = [
        input_tensor(TensorType(DType.F32, shape), "x") for shape in [(first, 3), (second, third), ("T_2",), (first,)]
    ]
    zeros = ops.zeros((third, first))
    last, _ = scan(lambda h, x: (ops.broadcast_to(h[None][0], (3,)) + x, None), ops.zeros((3,)), inputs[0])
    graph = build_graph("f", inputs, [zeros, last])
    verify(graph)
    assert graph.extents == ("T", "T_3", "B", "T_2")
    assert [str(value.type) for value in graph.inputs] == ["f32[T, 3]", "f32[T_3, B]", "f32[T_2]", "f32[T]"]
    assert str(graph.outputs[0].type) == "f32[B, T]"
    assert only_scan(graph).length == "T"
    assert "?" not in show(graph)


def test_extents_must_be_names_that_an_input_has() -> None:
    for name in ("B 1", "lambda", "f32", "inf", ""):
        with pytest.raises(ArgumentError, match=f"'{name}' cannot name an extent"):
            trace(lambda x: x, ("float32", (name,)))
    with pytest.raises(StructureError, match=r"no input of graph has the extent N, .*\n  \w+: f32\[N, 1\]"):
        trace(lambda x: x + ops.zeros(("N", 1)), ("float32", (3,)))
    with pytest.raises(ArgumentError, match=r"-1 in the shape .* is not a dim"):
        trace(lambda x: x, ("float32", (-1, 3)))


# ------------------------------------------------------------------ errors


def test_an_input_that_is_not_given() -> None:
    x, y = (input_tensor(TensorType(DType.F32, ("B",)), name) for name in "xy")
    with pytest.raises(StructureError) as caught:
        build_graph("f", [x], [x + y])
    assert str(caught.value).splitlines()[:3] == [
        "f needs an input that it is not given",
        "  needed: y: f32[B]",
        "  given:  x",
    ]


def test_results_must_be_tensors() -> None:
    with pytest.raises(ArgumentError, match="step must return symbolic tensors, not 3"):

        def step(x: Tensor) -> int:
            return 3

        trace(step, ("float32", ()))


def test_a_graph_without_payloads() -> None:
    graph = trace(lambda x: x + np.ones(3), ("float32", (3,)))
    with pytest.raises(StructureError, match="graph graph has weights without values: array"):
        sources_of(Graph(graph.name, graph.consts, graph.inputs, graph.xs, graph.nodes, graph.outputs))
