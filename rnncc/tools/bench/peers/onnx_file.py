"""A problem as an ONNX model, for the peers that read those: time-major inside, shapes fixed, but for a length that
differs from call to call.

Recurrent layers are the operators LSTM, GRU and RNN (other gate orders than Keras's, and a weight row per column of a
kernel); a cell that ONNX does not know is a Scan over primitive operators.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

import numpy as np

from rnncc.tools.bench.cells import EPSILON
from rnncc.tools.bench.network import (
    DIRECTIONS,
    GATES,
    STATES,
    Bidirectional,
    Dense,
    Embedding,
    Problem,
    Recurrent,
    own_weights,
    shapes_of,
)
from rnncc.tools.bench.peers.peer import optional

OPSET = 17
IR_VERSION = 8

# Where each of Keras's gates goes: i, f, c, o -> i, o, f, c; z, r, h stays.
_GATE_ORDER = {"lstm": (0, 3, 1, 2), "gru": (0, 1, 2), "gru_reset_before": (0, 1, 2), "rnn": (0,)}
_OPERATORS = {"lstm": "LSTM", "gru": "GRU", "gru_reset_before": "GRU", "rnn": "RNN"}
_ACTIVATIONS = {"tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu", "softmax": "Softmax"}


def onnx_model(problem: Problem) -> Any:
    """The model; its inputs are `input_0`, ..., its outputs `output_0`, ..."""
    return _Writer(problem).model()


class _Writer:
    """Collects nodes and weights. `names` maps a value to its ONNX name; sequences are time-major there."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.shapes = shapes_of(problem)
        self.onnx = optional("onnx")
        self.helper = self.onnx.helper
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.names: dict[str, str] = {}
        self.count = 0

    def model(self) -> Any:
        network, helper, types = self.problem.network, self.helper, self.onnx.TensorProto
        inputs, outputs = [], []
        for number, (name, array) in enumerate(zip(network.inputs, self.problem.inputs, strict=True)):
            kind = types.INT64 if array.dtype == np.int64 else types.FLOAT
            is_sequence = array.ndim > 2 or (kind == types.INT64 and array.ndim == 2)
            shape = self.free_length(array.shape) if is_sequence else array.shape
            inputs.append(helper.make_tensor_value_info(f"input_{number}", kind, shape))
            self.names[name] = self.swapped(f"input_{number}", array.ndim, is_sequence=is_sequence)
        for step in network.steps:
            match step:
                case Embedding():
                    table = self.weight(self.problem.weight(step, "embeddings"))
                    self.names[step.result] = self.node("Gather", table, self.names[step.x])
                case Dense():
                    self.dense(step)
                case Recurrent(kind="layer_norm_lstm"):
                    self.scan(step)
                case Recurrent():
                    self.recurrent(step)
                case Bidirectional():
                    self.bidirectional(step)
                case _:
                    assert_never(step)
        for number, name in enumerate(network.outputs):
            rank = len(self.shapes[name])
            result = self.swapped(self.names[name], rank, is_sequence=rank > 2)
            self.nodes.append(helper.make_node("Identity", [result], [f"output_{number}"]))
            shape = self.free_length(self.shapes[name]) if rank > 2 else self.shapes[name]
            outputs.append(helper.make_tensor_value_info(f"output_{number}", types.FLOAT, shape))
        graph = helper.make_graph(self.nodes, "network", inputs, outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        self.onnx.checker.check_model(model)
        return model

    # -------------------------------------------------------------- parts

    def node(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Add a node; the name of its result, or a list of names when there are several."""
        made = [self.name(operator.lower()) for _ in range(outputs)]
        self.nodes.append(self.helper.make_node(operator, list(inputs), made, **attributes))
        return made[0] if outputs == 1 else made

    def weight(self, array: np.ndarray) -> str:
        name = self.name("weight")
        self.weights.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def name(self, stem: str) -> str:
        self.count += 1
        return f"{stem}_{self.count}"

    def free_length(self, shape: Sequence[int]) -> list[int | str]:
        """The shape of a sequence, with its length left open when there are several."""
        return [*shape[:1], "T", *shape[2:]] if self.problem.any_length else list(shape)

    def swapped(self, name: str, rank: int, *, is_sequence: bool) -> str:
        """Batch and time exchanged, for values that have both."""
        if not is_sequence:
            return name
        result: str = self.node("Transpose", name, perm=[1, 0, *range(2, rank)])
        return result

    def dense(self, step: Dense) -> None:
        own = own_weights(step, self.problem.weights)
        product = self.node("MatMul", self.names[step.x], self.weight(own["kernel"]))
        result = self.node("Add", product, self.weight(own["bias"]))
        if step.activation != "linear":
            attributes = {"axis": -1} if step.activation == "softmax" else {}
            result = self.node(_ACTIVATIONS[step.activation], result, **attributes)
        self.names[step.result] = result

    def recurrent(self, step: Recurrent) -> None:
        axis = self.weight(np.array([0], np.int64))
        initial = [self.node("Unsqueeze", self.names[name], axis) for name in step.initial]
        y, *states = self.operator(step, [own_weights(step, self.problem.weights)], initial)
        states = [self.node("Squeeze", state, axis) for state in states]
        direction = self.weight(np.array([1], np.int64))
        self.names[step.result] = self.node("Squeeze", y, direction) if step.sequence else states[0]
        self.names |= zip(step.states, states, strict=False)

    def bidirectional(self, step: Bidirectional) -> None:
        directions = [own_weights(step, self.problem.weights, name) for name in DIRECTIONS]
        y, h, *_ = self.operator(step, directions, (), direction="bidirectional")
        if step.sequence:  # time, direction, batch, units
            parts, shape = self.node("Transpose", y, perm=[0, 2, 1, 3]), [0, 0, 2 * step.units]
        else:
            parts, shape = self.node("Transpose", h, perm=[1, 0, 2]), [0, 2 * step.units]
        self.names[step.result] = self.node("Reshape", parts, self.weight(np.array(shape, np.int64)))

    def operator(
        self,
        step: Recurrent | Bidirectional,
        directions: Sequence[Mapping[str, np.ndarray]],
        initial: Sequence[str],
        **attributes: Any,
    ) -> list[str]:
        """One of ONNX's recurrent operators: the outputs of all steps, and the last states."""
        if step.kind == "gru":
            attributes["linear_before_reset"] = 1
        weights = [np.concatenate(parts) for parts in zip(*(_packed(step, own) for own in directions), strict=True)]
        inputs = [self.names[step.x], *map(self.weight, weights), *([""] if initial else []), *initial]
        count = 1 + STATES[step.kind]
        names: list[str] = self.node(
            _OPERATORS[step.kind], *inputs, outputs=count, hidden_size=step.units, **attributes
        )
        return names

    def scan(self, step: Recurrent) -> None:
        """A LayerNorm-LSTM: the projection of all steps, then a Scan whose body is the cell."""
        own = own_weights(step, self.problem.weights)
        batch = self.shapes[step.x][0]
        projected = self.node("MatMul", self.names[step.x], self.weight(own["kernel"]))
        scale, bias = self.weight(own["gamma_x"]), self.weight(own["bias"])
        projected = self.node("LayerNormalization", projected, scale, bias, axis=-1, epsilon=EPSILON)
        zeros = self.weight(np.zeros((batch, step.units), np.float32))
        initial = [self.names[name] for name in step.initial] or [zeros, zeros]
        body = self.layer_norm_body(step, own, batch)
        h, c, outputs = self.node("Scan", *initial, projected, outputs=3, body=body, num_scan_inputs=1)
        self.names[step.result] = outputs if step.sequence else h
        self.names |= zip(step.states, (h, c), strict=False)

    def layer_norm_body(self, step: Recurrent, own: Mapping[str, np.ndarray], batch: int) -> Any:
        make, helper, numbers = self.helper.make_node, self.helper, self.onnx.numpy_helper
        columns = 4 * step.units
        norm = {"axis": -1, "epsilon": EPSILON}
        weights = {"u": own["recurrent_kernel"], "gh": own["gamma_h"], "gc": own["gamma_c"], "bc": own["beta_c"]}
        weights["none"] = np.zeros(columns, np.float32)
        nodes = [
            make("MatMul", ["h", "u"], ["hu"]),
            make("LayerNormalization", ["hu", "gh", "none"], ["hn"], **norm),
            make("Add", ["x", "hn"], ["z"]),
            make("Split", ["z"], ["zi", "zf", "zc", "zo"], axis=-1),
            *(make("Sigmoid", [f"z{gate}"], [gate]) for gate in "ifo"),
            make("Tanh", ["zc"], ["candidate"]),
            make("Mul", ["f", "c"], ["kept"]),
            make("Mul", ["i", "candidate"], ["new"]),
            make("Add", ["kept", "new"], ["c_after"]),
            make("LayerNormalization", ["c_after", "gc", "bc"], ["cn"], **norm),
            make("Tanh", ["cn"], ["ct"]),
            make("Mul", ["o", "ct"], ["h_after"]),
            make("Identity", ["h_after"], ["y"]),
        ]
        sizes = {"h": step.units, "c": step.units, "x": columns, "h_after": step.units, "c_after": step.units}
        sizes["y"] = step.units
        types = {
            name: helper.make_tensor_value_info(name, self.onnx.TensorProto.FLOAT, (batch, size))
            for name, size in sizes.items()
        }
        inputs, outputs = [types[name] for name in ("h", "c", "x")], [types[n] for n in ("h_after", "c_after", "y")]
        constants = [numbers.from_array(np.ascontiguousarray(array), name) for name, array in weights.items()]
        return helper.make_graph(nodes, "cell", inputs, outputs, constants)


def _packed(step: Recurrent | Bidirectional, own: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """W, R and B of an ONNX recurrent operator: gates in ONNX's order, transposed, a direction in front."""
    order = _GATE_ORDER[step.kind]

    def reordered(array: np.ndarray) -> np.ndarray:
        parts = np.split(array, GATES[step.kind], axis=-1)
        return np.concatenate([parts[gate] for gate in order], axis=-1)

    bias = own["bias"]
    halves = (bias[0], bias[1]) if bias.ndim == 2 else (bias, np.zeros_like(bias))
    joined = np.concatenate([reordered(half) for half in halves])
    return [reordered(own["kernel"]).T[None], reordered(own["recurrent_kernel"]).T[None], joined[None]]
