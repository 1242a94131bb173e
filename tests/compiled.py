"""What tests of compiled models share: weights, the targets that run here, and the comparison with NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import rnncc
from rnncc.codegen.target import KNOWN_TARGETS, Target
from rnncc.graph.interp import interpret
from rnncc.lower.setup import convert_floats
from rnncc.types import dtype_of
from tests.tolerances import SAME_SUMS, assert_close

TARGETS = [name for name in KNOWN_TARGETS if Target.parse(name).runs_on_host]


def made(make: Callable[[], Any]) -> Any:
    """The model with weights that are not zero anywhere."""
    rnncc.set_random_seed(3)
    model = make()
    if not model.inputs:
        model.build((None, None))
    rng = np.random.default_rng(4)
    model.set_weights([rng.uniform(-0.5, 0.5, weight.shape).astype(np.float32) for weight in model.get_weights()])
    return model


def as_list(outputs: Any) -> list[np.ndarray]:
    return outputs if isinstance(outputs, list) else [outputs]


def meaning(model: Any, arrays: Sequence[np.ndarray], dtype: str = "float32") -> list[np.ndarray]:
    """What `model` means, computed in NumPy in `dtype` throughout."""
    if dtype == "float32":
        return as_list(rnncc.evaluate(model, *arrays))
    graph = model.graph()
    wide = convert_floats(graph, dtype_of(dtype))
    weights = [np.asarray(graph.sources[value.name].value, value.type.dtype.numpy) for value in wide.consts]
    with np.errstate(all="ignore"):
        return interpret(wide, [*weights, *arrays])


def check(fn: Any, model: Any, arrays: Sequence[np.ndarray], dtype: str = "float32") -> None:
    """`fn` agrees with NumPy, to what the element type can say."""
    for actual, wanted in zip(as_list(fn(*arrays)), meaning(model, arrays, dtype), strict=True):
        assert_close(actual, wanted, SAME_SUMS, f"at {[array.shape for array in arrays]}")
