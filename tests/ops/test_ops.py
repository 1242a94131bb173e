"""Every primitive op against its samples: infer, eval, lift and text agree with each other."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from rnncc.graph.interp import interpret
from rnncc.graph.ir import Graph, Node
from rnncc.graph.op import all_ops, find_op
from rnncc.graph.parser import parse
from rnncc.graph.printer import show
from rnncc.graph.rewrite import Rewriter
from rnncc.graph.value import Value
from rnncc.graph.verify import verify
from rnncc.types import TensorType, bind_shape
from tests.ops.samples import EXTENTS, SAMPLES, WRONG, WRONG_VALUES, Sample, Wrong

CASES = [
    pytest.param(name, sample, id=f"{name}-{number}")
    for name, samples in SAMPLES.items()
    for number, sample in enumerate(samples)
]
NO_LIFT = {"constant", "iota", "scan"}
"""Ops without a `lift` rule: nothing to lift, or (scan) not done."""


def graph_of(name: str, sample: Sample) -> Graph:
    """One node; every extent of the samples is mentioned by a parameter."""
    inputs = tuple(Value(f"x{number}", type) for number, type in enumerate(sample.operand_types))
    op = find_op(name)
    types = op.infer([value.type for value in inputs], sample.attrs)
    outputs = tuple(Value(f"y{number}", type) for number, type in enumerate(types))
    dims = Value("dims", TensorType(inputs[0].type.dtype if inputs else types[0].dtype, tuple(EXTENTS)))
    return Graph("sample", (), (*inputs, dims), (), (Node(op, inputs, outputs, sample.attrs),), outputs)


def evaluate(name: str, sample: Sample, arrays: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    with np.errstate(invalid="ignore"):
        return find_op(name).eval(arrays, sample.attrs, EXTENTS)


def test_every_op_has_samples() -> None:
    assert sorted(SAMPLES) == sorted(WRONG) == [op.name for op in all_ops()]
    assert all(SAMPLES.values())


@pytest.mark.parametrize(("name", "sample"), CASES)
def test_infer_agrees_with_eval(name: str, sample: Sample) -> None:
    types = find_op(name).infer(sample.operand_types, sample.attrs)
    results = evaluate(name, sample, sample.arrays())
    assert len(types) == len(results)
    for type, result in zip(types, results, strict=True):
        assert result.dtype == type.dtype.numpy
        assert result.shape == bind_shape(type.shape, EXTENTS)


@pytest.mark.parametrize(("name", "sample"), CASES)
def test_records_say_what_the_op_is(name: str, sample: Sample) -> None:
    op = find_op(name)
    assert op.arity is None or op.arity == len(sample.types)
    if op.elementwise:  # point i of the output needs point i of the operands only
        arrays = sample.arrays()
        flat = np.broadcast_arrays(*arrays)
        (whole,) = evaluate(name, sample, arrays)
        for point in list(np.ndindex(whole.shape))[:5]:
            (one,) = evaluate(name, sample, [array[point] for array in flat])
            np.testing.assert_allclose(one, whole[point], rtol=1e-6)  # one element and many may round differently
    if op.commutes:
        first, second = sample.arrays()
        np.testing.assert_array_equal(
            evaluate(name, sample, [first, second])[0], evaluate(name, sample, [second, first])[0]
        )


@pytest.mark.parametrize(("name", "sample"), CASES)
def test_text_round_trip(name: str, sample: Sample) -> None:
    graph = graph_of(name, sample)
    verify(graph)
    text = show(graph)
    again = parse(text)
    verify(again)
    assert show(again) == text
    assert repr(again.nodes[0].attrs) == repr(dict(sample.attrs)) or name == "scan"  # repr: nan is not equal to itself


@pytest.mark.parametrize(
    ("name", "sample", "lifted"),
    [
        pytest.param(name, sample, lifted, id=f"{name}-{number}-{''.join('-T'[up] for up in lifted)}")
        for name, samples in SAMPLES.items()
        if name not in NO_LIFT
        for number, sample in enumerate(samples)
        for lifted in itertools.product((False, True), repeat=len(sample.types))
        if any(lifted)
    ],
)
def test_lift_agrees_with_a_loop(name: str, sample: Sample, lifted: tuple[bool, ...]) -> None:
    op = find_op(name)
    assert op.lift is not None
    (plain,) = op.infer(sample.operand_types, sample.attrs)
    inputs = tuple(
        Value(f"x{number}", TensorType(type.dtype, ("T", *type.shape)) if up else type)
        for number, (type, up) in enumerate(zip(sample.operand_types, lifted, strict=True))
    )
    rewriter = Rewriter(value.name for value in inputs)
    result = op.lift(rewriter.emit, inputs, lifted, sample.attrs, plain)
    if result is None:
        assert not may_lift(name, sample, lifted)
        return
    assert result.type == TensorType(plain.dtype, ("T", *plain.shape))
    graph = Graph("lifted", (), inputs, (), tuple(rewriter.nodes), (result,))
    arrays = sample.arrays(lifted=lifted)
    steps = [
        evaluate(name, sample, [array[step] if up else array for array, up in zip(arrays, lifted, strict=True)])[0]
        for step in range(EXTENTS["T"])
    ]
    with np.errstate(invalid="ignore"):
        (whole,) = interpret(graph, arrays, EXTENTS)
    if plain.dtype.is_float:  # a matmul may add in another order, a vector loop may round functions differently
        np.testing.assert_allclose(whole, np.stack(steps), rtol=1e-6, atol=1e-6)
    else:
        np.testing.assert_array_equal(whole, np.stack(steps))


def may_lift(name: str, sample: Sample, lifted: tuple[bool, ...]) -> bool:
    """Ranks that `matmul` cannot say with one more axis, and tables that differ from step to step."""
    if name == "take":
        return not lifted[0]
    if name == "matmul":
        left, right = (type.rank for type in sample.operand_types)
        return left == right if lifted[1] else right == 2
    return True


@pytest.mark.parametrize("name", sorted(NO_LIFT))
def test_ops_without_lift(name: str) -> None:
    assert find_op(name).lift is None


@pytest.mark.parametrize(
    ("name", "wrong"),
    [pytest.param(name, w, id=f"{name}-{number}") for name, all in WRONG.items() for number, w in enumerate(all)],
)
def test_infer_refuses(name: str, wrong: Wrong) -> None:
    types = Sample(wrong.types).operand_types
    with pytest.raises(wrong.error, match=wrong.match):
        find_op(name).infer(types, wrong.attrs)


@pytest.mark.parametrize(("name", "arrays", "error", "match"), WRONG_VALUES)
def test_eval_refuses(name: str, arrays: list[np.ndarray], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        find_op(name).eval(arrays, {}, {})


def test_regions_tile_the_output() -> None:
    """The boxes of a concatenation cover every point once."""
    for sample in SAMPLES["concatenate"]:
        op = find_op("concatenate")
        (type,) = op.infer(sample.operand_types, sample.attrs)
        count = np.zeros(bind_shape(type.shape, EXTENTS), int)
        assert op.regions is not None
        for region in op.regions(sample.operand_types, sample.attrs):
            sizes = bind_shape(region.shape, EXTENTS)
            count[tuple(slice(a, a + n) for a, n in zip(region.start, sizes, strict=True))] += 1
        assert (count == 1).all()
