"""What all passes together make of cells written with plain ops: one matmul a step, however they are written."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from rnncc import ops
from rnncc.graph.ir import ArraySource, Graph, scan_view
from rnncc.graph.printer import show
from rnncc.graph.symbolic import Tensor, input_tensor, weight_tensor
from rnncc.graph.trace import build_graph, trace
from rnncc.ops.scan import scan
from rnncc.types import DType, TensorType
from tests.passes.golden import assert_same_meaning
from tests.passes.graph.order import op_names, optimized, per_call, renamed, scans

UNITS, FEATURES, WORDS, CLASSES = 7, 5, 29, 11

State = tuple[Tensor, ...]
Step = Callable[[State, Tensor], State]


class Weights:
    """Makes random weights, named by shape and number."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.count = 0

    def __call__(self, *shape: int) -> Tensor:
        self.count += 1
        array = self.rng.uniform(-1, 1, shape).astype(np.float32)
        return weight_tensor(TensorType(DType.F32, shape), f"w{self.count}", ArraySource(array))


def gates(weights: Weights, count: int, style: str, *, two_biases: bool = False) -> Callable[..., list[Tensor]]:
    """The sums in front of the activations, written with one wide kernel, one kernel a gate, or one joined operand."""
    wide = count * UNITS
    biases = (wide, wide) if two_biases else (wide,)
    if style == "fused":
        w, u, *b = weights(FEATURES, wide), weights(UNITS, wide), *map(weights, biases)
        return lambda x, h: ops.split(_sum([x @ w, h @ u, *b]), count, -1)
    if style == "joined":
        k, *b = weights(FEATURES + UNITS, wide), *map(weights, biases)
        return lambda x, h: ops.split(_sum([ops.concatenate([x, h], -1) @ k, *b]), count, -1)
    parts = [(weights(FEATURES, UNITS), weights(UNITS, UNITS), [weights(UNITS) for _ in biases]) for _ in range(count)]
    if style == "separate":
        return lambda x, h: [_sum([x @ w, h @ u, *b]) for w, u, b in parts]
    assert style == "separate, bias first"
    return lambda x, h: [_sum([*b, h @ u, x @ w]) for w, u, b in parts]


def _sum(terms: list[Tensor]) -> Tensor:
    total, *rest = terms
    for term in rest:
        total = total + term
    return total


def lstm(weights: Weights, style: str) -> tuple[int, Step]:
    sums = gates(weights, 4, style)

    def step(state: State, x: Tensor) -> State:
        h, c = state
        i, f, g, o = sums(x, h)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        return ops.sigmoid(o) * ops.tanh(c), c

    return 2, step


def simple(weights: Weights, style: str) -> tuple[int, Step]:
    sums = gates(weights, 1, style)

    def step(state: State, x: Tensor) -> State:
        (total,) = sums(x, state[0])
        return (ops.tanh(total),)

    return 1, step


def minimal_gated(weights: Weights, style: str) -> tuple[int, Step]:
    """Somebody's own cell: a forget gate, two biases and a clipped state."""
    sums = gates(weights, 2, style, two_biases=True)

    def step(state: State, x: Tensor) -> State:
        (h,) = state
        f, g = sums(x, h)
        f = ops.sigmoid(f)
        return (ops.minimum((1 - f) * h + f * ops.tanh(g), 0.9),)

    return 1, step


def gru(weights: Weights, style: str) -> tuple[int, Step]:
    """reset_after=True: the candidate needs the two products apart, so each side has its own kernels and bias."""
    wide = 3 * UNITS
    if style == "fused":
        w, u, b, c = weights(FEATURES, wide), weights(UNITS, wide), weights(wide), weights(wide)

        def sums(x: Tensor, h: Tensor) -> tuple[list[Tensor], list[Tensor]]:
            return ops.split(x @ w + b, 3, -1), ops.split(h @ u + c, 3, -1)

    else:
        parts = [(weights(FEATURES, UNITS), weights(UNITS, UNITS), weights(UNITS), weights(UNITS)) for _ in range(3)]

        def sums(x: Tensor, h: Tensor) -> tuple[list[Tensor], list[Tensor]]:
            return [x @ w + b for w, _, b, _ in parts], [h @ u + c for _, u, _, c in parts]

    def step(state: State, x: Tensor) -> State:
        (h,) = state
        (x_z, x_r, x_h), (h_z, h_r, h_h) = sums(x, h)
        z = ops.sigmoid(x_z + h_z)
        candidate = ops.tanh(x_h + ops.sigmoid(x_r + h_r) * h_h)
        return (z * h + (1 - z) * candidate,)

    return 1, step


CELLS = {"lstm": lstm, "gru": gru, "simple": simple, "minimal_gated": minimal_gated}
STYLES = [
    (cell, style)
    for cell in CELLS
    for style in ("fused", "separate", "separate, bias first", "joined")
    if cell != "gru" or style in ("fused", "separate")
]


def model(cell: str, style: str, *, embedded: bool, layers: int = 1, sequences: bool = True) -> Graph:
    """(Embedding ->) recurrent layers -> Dense, batch first as in Keras."""
    weights = Weights()
    if embedded:
        given = input_tensor(TensorType(DType.I64, ("B", "T")), "ids")
        x = ops.take(weights(WORDS, FEATURES), given)
    else:
        x = given = input_tensor(TensorType(DType.F32, ("B", "T", FEATURES)), "x")
    for _ in range(layers):
        states, step = CELLS[cell](weights, style)

        def both(state: State, x_t: Tensor, step: Step = step) -> tuple[State, Tensor]:
            after = step(state, x_t)
            return after, after[0]

        zeros = tuple(ops.zeros(("B", UNITS)) for _ in range(states))
        final, ys = scan(both, zeros, ops.transpose(x, (1, 0, 2)), name=cell)
        x = ops.transpose(ys, (1, 0, 2))
        if layers > 1:  # the next layer takes as many features as there are
            x = x @ weights(UNITS, FEATURES)
    y = (x if sequences else final[0]) @ weights(FEATURES if layers > 1 else UNITS, CLASSES) + weights(CLASSES)
    return build_graph("model", [given], [ops.softmax(y)])


@pytest.mark.parametrize(("cell", "style"), STYLES)
@pytest.mark.parametrize("embedded", [True, False])
def test_one_matmul_a_step(cell: str, style: str, embedded: bool) -> None:
    before = model(cell, style, embedded=embedded)
    after = optimized(before)
    assert_same_meaning(before, after)
    (node,) = scans(after)
    body = scan_view(node).body
    assert list(op_names(body)).count("matmul") == 1
    assert [value.type.rank for value in body.consts if value.type.rank == 2] == [2]  # the recurrent kernel, no other
    main = per_call(after)
    behind = main.nodes.index(node)
    assert list(op_names(main))[:behind].count("matmul") == (0 if embedded else 1)
    assert list(op_names(main))[:behind].count("take") == (1 if embedded else 0)


@pytest.mark.parametrize(("cell", "style"), [(cell, style) for cell, style in STYLES if style != "fused"])
def test_every_way_to_write_a_cell_ends_the_same(cell: str, style: str) -> None:
    fused, other = (optimized(model(cell, way, embedded=True)) for way in ("fused", style))
    assert show(renamed(per_call(other))) == show(renamed(per_call(fused)))


@pytest.mark.parametrize("cell", CELLS)
def test_stacked_layers_do_not_transpose_between_them(cell: str) -> None:
    before = model(cell, "fused", embedded=True, layers=3)
    after = optimized(before)
    assert_same_meaning(before, after)
    turned = [node for node in after.nodes if node.op.name == "transpose"]
    assert [node.inputs[0].name for node in turned][:1] == ["ids"]
    assert len(turned) == 2  # the ids, and the result
    assert len(scans(after)) == 3


@pytest.mark.parametrize("cell", CELLS)
def test_only_the_last_state_is_kept_when_only_it_is_read(cell: str) -> None:
    before = model(cell, "fused", embedded=False, sequences=False)
    after = optimized(before)
    assert_same_meaning(before, after)
    (node,) = scans(after)
    assert not scan_view(node).ys


def test_each_direction_has_its_own_projection() -> None:
    """In the order in which it goes, some steps at a time: see `turn_sequences`."""
    weights = Weights()
    x = input_tensor(TensorType(DType.F32, ("B", "T", FEATURES)), "x")
    sides = []
    for reverse in (False, True):
        _, step = lstm(weights, "fused")

        def both(state: State, x_t: Tensor, step: Step = step) -> tuple[State, Tensor]:
            after = step(state, x_t)
            return after, after[0]

        zeros = (ops.zeros(("B", UNITS)), ops.zeros(("B", UNITS)))
        _, ys = scan(both, zeros, ops.transpose(x, (1, 0, 2)), reverse=reverse)
        sides.append(ops.transpose(ys, (1, 0, 2)))
    before = build_graph("model", [x], [ops.concatenate(sides, -1)])
    after = optimized(before)
    assert_same_meaning(before, after)
    assert len(scans(after)) == 2
    assert list(op_names(per_call(after))).count("matmul") == 2
    for node in scans(after):
        assert list(op_names(scan_view(node).body)).count("matmul") == 1


def test_values_that_are_read_twice_again_and_again() -> None:
    """What reads the products is looked for once, however many ways lead there."""
    weights = np.eye(4, dtype=np.float32)

    def model(x: Tensor) -> Tensor:
        z, other = x @ weights, x @ weights[::-1]
        for _ in range(60):
            z = z * (0.5 - z)
        return z + other

    graph = trace(model, ("float32", ("B", 4)))
    assert list(op_names(optimized(graph))).count("matmul") == 1
