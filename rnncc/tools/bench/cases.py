"""The numbers that go into a workload: the same weights for all who compute it, and inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnncc.errors import UnsupportedError
from rnncc.graph.ir import Graph, is_scan, scan_view
from rnncc.graph.value import Value
from rnncc.layers.initializers import set_random_seed
from rnncc.layers.model import Model
from rnncc.tools.bench.network import Embedding, Network, Problem, describe, stepwise, weights_of
from rnncc.tools.bench.workloads import Beside, Workload

SEED = 20
STEPS = 20
"""Steps whose outputs are compared, where single steps are timed."""
LENGTHS = 64
"""How many lengths the sequences have, where each has another one."""
_TOKENS_OF_UNKNOWN_TABLES = 2
"""Token ids for a model that cannot be described are below this: any table has two rows."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A workload at one size, ready to be computed.

    `pieces` are the inputs of each call, one after the other: of the only one, of every step, or of every length. They
    fit the model and those beside it. `problem` is what other libraries get; None, and `reason`, when the model cannot
    be told to them.
    """

    workload: Workload
    batch: int
    length: int
    model: Any
    beside: tuple[tuple[Beside, Model], ...]
    pieces: tuple[tuple[np.ndarray, ...], ...]
    problem: Problem | None
    reason: str = ""
    precision: str = "float32"

    @property
    def inputs(self) -> tuple[np.ndarray, ...]:
        """The inputs of the first call."""
        return self.pieces[0]


def prepare(workload: Workload, batch: int, length: int, precision: str = "float32") -> Case:
    """Build the models of a workload with the same random weights, and random inputs of this size."""
    set_random_seed(SEED)
    numbers = np.random.default_rng(SEED)
    model = workload.make()
    if not workload.has_own_weights:
        _shake(model, numbers)
    beside = []
    for one in workload.beside:
        other = one.make()
        if one.is_same:
            other.set_weights(model.get_weights())
        else:
            _shake(other, numbers)
        beside.append((one, other))
    network: Network | None = None
    problem: Problem | None = None
    reason = ""
    try:
        network = describe(model)
    except UnsupportedError as error:
        reason = error.what
    inputs = _inputs(model, network, batch, STEPS if workload.way == "step" else length, numbers)
    for array in inputs if workload.left_out else ():
        array[numbers.random(array.shape[:2]) < workload.left_out] = 0
    pieces = _pieces(workload, inputs, length, numbers)
    if network is not None:
        usual = "float32" if precision == "float32-bf16x6" else precision  # what is as accurate as that
        problem = Problem(network, weights_of(model), inputs, any_length=workload.way == "cold", precision=usual)
        problem = stepwise(problem) if workload.way == "step" else problem
    batch, length = _true_size(model, batch, length)
    return Case(workload, batch, length, model, tuple(beside), pieces, problem, reason, precision)


def _pieces(
    workload: Workload, inputs: tuple[np.ndarray, ...], length: int, numbers: np.random.Generator
) -> tuple[tuple[np.ndarray, ...], ...]:
    """The inputs of every call: all of them, step after step, or so many of the first steps, the longest first."""
    if workload.way == "step":
        return tuple(tuple(np.ascontiguousarray(array[:, t : t + 1]) for array in inputs) for t in range(STEPS))
    if workload.way == "cold":
        shorter = numbers.permutation(np.arange(1, length))[: LENGTHS - 1]
        return tuple(tuple(np.ascontiguousarray(array[:, :count]) for array in inputs) for count in (length, *shorter))
    return (inputs,)


def _shake(model: Model, numbers: np.random.Generator) -> None:
    """Give vectors numbers of their own: biases that are all zero, and scales that are all one, would hide mistakes."""
    model.set_weights([_shaken(weight.name, weight.numpy(), numbers) for weight in model.weights])


def _shaken(name: str, array: np.ndarray, numbers: np.random.Generator) -> np.ndarray:
    if array.ndim > 1 and name != "bias":
        return array
    if name.startswith("gamma"):  # scales around 1 make the cell chaotic: contenders would differ by what they round
        return numbers.uniform(0.05, 0.2, array.shape).astype(array.dtype)
    return (array + numbers.uniform(-0.2, 0.2, array.shape)).astype(array.dtype)


def _inputs(
    model: Any, network: Network | None, batch: int, length: int, numbers: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Token ids that every table has, and normal floats. The extent B and free first axes are the batch."""
    extents = {"B": batch, "T": length}
    arrays = []
    for position, value in enumerate(_arguments(model)):
        shape = [
            dim if isinstance(dim, int) else extents.get(dim, length if axis else batch)
            for axis, dim in enumerate(value.type.shape)
        ]
        if value.type.dtype.is_integer:
            tokens = _table_size(model, network, position)
            arrays.append(numbers.integers(0, tokens, shape))
        else:
            arrays.append(numbers.standard_normal(shape).astype(np.float32))
    return tuple(arrays)


def _graph_of(model: Any) -> Graph:
    graph: Graph = model if isinstance(model, Graph) else model.graph()
    return graph


def _arguments(model: Any) -> tuple[Value, ...]:
    """What a call is given: no states that the model keeps itself."""
    arguments = _graph_of(model).arguments
    return arguments[: len(arguments) - len(getattr(model, "state_slots", ()))]


def _true_size(model: Any, batch: int, length: int) -> tuple[int, int]:
    """Rows and steps of a call that is to have so many: a model may have been declared for others, or have no steps."""
    arguments = [value.type.shape for value in _arguments(model) if value.type.shape]
    rows = {shape[0] for shape in arguments if isinstance(shape[0], int)}
    has_rows = not arguments or any(isinstance(shape[0], str) for shape in arguments)
    has_steps = any(isinstance(dim, str) for shape in arguments for dim in shape[1:])
    steps = [scan_view(node).length for node in _graph_of(model).nodes if is_scan(node)]
    fixed = max((count for count in steps if isinstance(count, int)), default=1)
    return batch if has_rows else max(rows), length if has_steps else fixed


def _table_size(model: Any, network: Network | None, position: int) -> int:
    """Rows of the smallest table that input number `position` goes into."""
    if network is None:
        return _TOKENS_OF_UNKNOWN_TABLES
    weights = weights_of(model)
    name = network.inputs[position]
    tables = [step.name for step in network.steps if isinstance(step, Embedding) and step.x == name]
    return min((len(weights[f"{table}/embeddings"]) for table in tables), default=_TOKENS_OF_UNKNOWN_TABLES)
