"""What a cell, or a step of a scan, of a user may get wrong, and what it may draw and declare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers, ops
from rnncc.errors import ArgumentError, MemberError, RnnccError, ShapeError


class Cell(layers.Layer):
    """A cell of given parts."""

    def __init__(self, output: Callable[[Any], Any], state_size: Any = 4, start: Callable[[Any], Any] | None = None):
        super().__init__()
        self.output_of, self.state_size, self.start = output, state_size, start

    def get_initial_state(self, batch_size: Any = None) -> Any:
        return [ops.zeros((batch_size, 4))] if self.start is None else self.start(batch_size)

    def call(self, inputs: Any, states: Any) -> Any:
        return self.output_of(inputs), states


class Sized(layers.Layer):
    """A cell whose states follow from its `state_size`."""

    def __init__(self, state_size: Any) -> None:
        super().__init__()
        self.state_size = state_size

    def call(self, inputs: Any, states: Any) -> Any:
        return inputs, states


def unbatched(batch: Any) -> list[Any]:
    return [ops.zeros((batch, 4)), ops.zeros(())]


WRONG: list[tuple[Callable[[], Any], bool, type[RnnccError], str]] = [
    (lambda: Cell(ops.sum), False, ShapeError, "the output of the cell of r has no batch axis\n  output: f32\\[\\]"),
    (lambda: Cell(lambda x: x[0]), False, ShapeError, "the output of the cell of r has no batch axis"),
    (
        lambda: Cell(lambda x: None),
        False,
        ArgumentError,
        "the cell of r must be one tensor, not NoneType",
    ),
    (lambda: Cell(lambda x: {"a": x}), False, ArgumentError, "must be one tensor, not dict"),
    (lambda: Cell(ops.tanh, 4, lambda b: None), False, ArgumentError, "get_initial_state of Cell returned None"),
    (lambda: Sized("4"), False, ArgumentError, "state_size is the width of a state, .* not '4'"),
    (lambda: Cell(ops.tanh, [4, 1], unbatched), True, ShapeError, "the state c of the cell of r has no batch axis, wh"),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_cells_that_do_not_fit(number: int) -> None:
    make, is_masked, kind, message = WRONG[number]
    x = layers.Input((3, 4), batch_size=2)
    with pytest.raises(kind, match=message):
        layers.RNN(make(), return_sequences=True, name="r")(layers.Masking()(x) if is_masked else x)


def test_states_without_a_batch_axis_are_fine_without_a_mask() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    model = rnncc.Sequential([layers.Input((None, 4)), layers.RNN(Cell(ops.tanh, [4, 1], unbatched))])
    np.testing.assert_allclose(rnncc.compile(model)(x), np.tanh(x[:, -1]), rtol=1e-5)


# ------------------------------------------------------------------ weights

ADDED: list[Callable[[Any], Any]] = [
    lambda layer: layer.add_weight("w", (2, 3), "ones"),
    lambda layer: layer.add_weight((2, 3), "ones", name="w"),
    lambda layer: layer.add_weight((2, 3), name="w", initializer="ones"),
    lambda layer: layer.add_weight((2, 3), "ones", "float32", True, name="w"),
    lambda layer: layer.add_weight("w", shape=(2, 3), initializer="ones"),
    lambda layer: layer.add_weight(name="w", shape=(2, 3), initializer="ones", dtype="float32"),
]


@pytest.mark.parametrize("number", range(len(ADDED)))
def test_ways_to_add_a_weight(number: int) -> None:
    weight = ADDED[number](layers.Dense(2, name="d"))
    assert (weight.path, weight.trainable, weight.value.dtype) == ("d/w", True, np.float32)
    np.testing.assert_array_equal(weight.value, np.ones((2, 3)))


def test_weights_that_are_said_twice_or_have_no_shape() -> None:
    layer = layers.Dense(2, name="d")
    assert not layer.add_weight((2,), trainable=False).trainable
    with pytest.raises(ArgumentError, match="add_weight of d was given the shape twice"):
        layer.add_weight((2,), shape=(2,))
    with pytest.raises(ArgumentError, match="add_weight of d was given 6 arguments without a name"):
        layer.add_weight("w", (2,), "ones", None, True, 1)
    with pytest.raises(ArgumentError, match="the shape of a weight is a tuple of sizes, not 5\n  weight: d/w"):
        layer.add_weight("w", 5)


# ------------------------------------------------------------------ scans


def scanned(step: Callable[[Any, Any], Any], start: Callable[[], Any], **options: Any) -> Any:
    def function(x: Any) -> Any:
        carry, _ = rnncc.scan(step, start(), None if "length" in options else x, **options)
        return ops.sum(carry["a"] if isinstance(carry, dict) else carry) + ops.sum(x)

    return rnncc.trace(function, ("float32", ("T",)))


SCANS: list[tuple[dict[str, Any], str]] = [
    ({"length": 2.5}, "length of a scan must be a number of steps from 0 on, not 2.5"),
    ({"length": -1}, "length of a scan must be a number of steps from 0 on, not -1"),
    ({"length": True}, "length of a scan must be a number of steps from 0 on, not True"),
    ({"reverse": "yes"}, "reverse of a scan is True or False, not 'yes'"),
]


@pytest.mark.parametrize(("options", "message"), SCANS, ids=str)
def test_options_of_a_scan(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        scanned(lambda c, x: (c + 1, None), lambda: ops.zeros(()), **options)


def test_a_scan_takes_numbers_of_numpy() -> None:
    graph = scanned(lambda c, x: (c + 1, None), lambda: ops.zeros(()), length=np.int64(3), reverse=np.True_)
    assert rnncc.compile(graph)(np.zeros(2, np.float32)) == 3


def test_a_carry_keeps_its_names() -> None:
    def start() -> Any:
        return {"a": ops.zeros(()), "b": ops.ones(())}

    turned = scanned(lambda c, x: ({"b": c["a"] + 1, "a": c["b"]}, None), start)
    assert rnncc.compile(turned)(np.zeros(2, np.float32)) == 1  # a: 0, 1, 1
    with pytest.raises(ArgumentError, match=r"the step returns its carry in another structure: \['a'\] is missing"):
        scanned(lambda c, x: ({"b": c["a"], "c": c["b"]}, None), start)
    with pytest.raises(ArgumentError, match="the step returns its carry in another structure: the whole has no names"):
        scanned(lambda c, x: ([c["b"], c["a"]], None), start)


# ------------------------------------------------------------------ attributes of arrays


@pytest.mark.parametrize(("name", "ours"), [("sum", "sum"), ("T", "transpose"), ("astype", "cast"), ("std", "std")])
def test_what_arrays_have_and_tensors_have_not(name: str, ours: str) -> None:
    x = layers.Input((3,), name="x")
    with pytest.raises(
        MemberError, match=rf"a symbolic tensor has no {name}\n  x: f32\[B, 3\](.|\n)*use rnncc.ops.{ours}$"
    ):
        getattr(x, name)
    assert not hasattr(x, name)
    with pytest.raises(AttributeError, match="'Tensor' object has no attribute 'foo'"):
        x.foo  # noqa: B018
