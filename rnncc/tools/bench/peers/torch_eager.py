"""PyTorch, eager: `torch.nn` modules where there are some, a loop of ops for other cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, assert_never

import numpy as np

from rnncc.errors import UnsupportedError
from rnncc.tools.bench.cells import EPSILON
from rnncc.tools.bench.network import (
    DIRECTIONS,
    STATES,
    Bidirectional,
    Dense,
    Embedding,
    Problem,
    Recurrent,
    Step,
    own_weights,
)
from rnncc.tools.bench.peers.peer import Function, Peer, optional

Forward = Callable[..., tuple[Any, ...]]
"""Takes the values that a step reads and returns those that it makes: the result, then states."""


def make(problem: Problem, threads: int) -> Function:
    """All calls run under `inference_mode`."""
    return function_of(problem, threads, lambda forward: forward)


def function_of(problem: Problem, threads: int, transform: Callable[[Any], Any]) -> Function:
    """`transform(forward)`, where forward computes the network on tensors."""
    torch = optional("torch")
    torch.set_num_threads(threads)
    network = problem.network
    modules = [(step, _module(torch, step, problem)) for step in network.steps]

    def forward(*tensors: Any) -> list[Any]:
        values = dict(zip(network.inputs, tensors, strict=True))
        for step, module in modules:
            initial = step.initial if isinstance(step, Recurrent) else ()
            states = step.states if isinstance(step, Recurrent) else ()
            made = module(values[step.x], *(values[name] for name in initial))
            values |= zip((step.result, *states), made, strict=False)
        return [values[name] for name in network.outputs]

    transformed = transform(forward)
    dtype = _dtype(torch, problem)

    def call(*tensors: Any) -> Any:
        with torch.inference_mode():
            return transformed(*tensors)

    def given(array: np.ndarray) -> Any:
        tensor = torch.from_numpy(array)
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    return Function(call, given, lambda tensor: tensor.float().numpy())


def _dtype(torch: Any, problem: Problem) -> Any:
    return torch.bfloat16 if problem.precision == "bfloat16" else torch.float32


def _module(torch: Any, step: Step, problem: Problem) -> Forward:
    own = own_weights(step, problem.weights)
    dtype = _dtype(torch, problem)
    tensors = {name: torch.from_numpy(array.copy()).to(dtype) for name, array in own.items()}
    match step:
        case Embedding():
            embedding = torch.nn.Embedding.from_pretrained(tensors["embeddings"])
            return lambda x: (embedding(x),)
        case Dense():
            linear = torch.nn.Linear(*own["kernel"].shape)
            _assign(torch, linear, weight=tensors["kernel"].T, bias=tensors["bias"])
            linear.to(dtype)
            activation = _activation(torch, step.activation)
            return lambda x: (activation(linear(x)),)
        case Recurrent(kind="layer_norm_lstm"):
            return _layer_norm_lstm(torch, step, tensors)
        case Recurrent():
            return _recurrent(torch, step, [own_weights(step, problem.weights)], dtype)
        case Bidirectional():
            directions = [own_weights(step, problem.weights, name) for name in DIRECTIONS]
            return _recurrent(torch, step, directions, dtype)
        case _:
            assert_never(step)


def _recurrent(
    torch: Any, step: Recurrent | Bidirectional, directions: Sequence[Mapping[str, np.ndarray]], dtype: Any
) -> Forward:
    """A module with one direction or two, each with its weights."""
    kinds = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
    if step.kind not in kinds:
        raise UnsupportedError("PyTorch's GRU applies the reset gate after the product only")
    width = directions[0]["kernel"].shape[0]
    module = kinds[step.kind](width, step.units, batch_first=True, bidirectional=len(directions) > 1)
    for own, ending in zip(directions, ("", "_reverse"), strict=False):
        _assign(
            torch, module, **{f"{name}_l0{ending}": value for name, value in _cell_weights(torch, step, own).items()}
        )

    module.to(dtype)

    def both(x: Any) -> tuple[Any, ...]:
        outputs, final = module(x)
        states = final[0] if step.kind == "lstm" else final
        return (outputs if step.sequence else torch.cat((states[0], states[1]), -1),)

    def forward(x: Any, *initial: Any) -> tuple[Any, ...]:
        before = tuple(state.unsqueeze(0) for state in initial)
        outputs, final = module(x, (before if step.kind == "lstm" else before[0]) if before else None)
        states = [state[0] for state in (final if step.kind == "lstm" else (final,))]
        return (outputs if step.sequence else states[0], *states)

    return both if isinstance(step, Bidirectional) else forward


def _cell_weights(torch: Any, step: Recurrent | Bidirectional, own: Mapping[str, np.ndarray]) -> dict[str, Any]:
    kernel, recurrent, bias = (torch.from_numpy(own[name]) for name in ("kernel", "recurrent_kernel", "bias"))
    biases = [bias[0], bias[1]] if step.kind == "gru" else [bias, torch.zeros_like(bias)]
    if step.kind == "gru":
        kernel, recurrent, *biases = (_gru_order(torch, array) for array in (kernel, recurrent, *biases))
    return {"weight_ih": kernel.T, "weight_hh": recurrent.T, "bias_ih": biases[0], "bias_hh": biases[1]}


def _gru_order(torch: Any, array: Any) -> Any:
    """Keras's gates z, r, h as PyTorch's r, z, n."""
    z, r, candidate = array.chunk(3, -1)
    return torch.cat([r, z, candidate], -1)


def _layer_norm_lstm(torch: Any, step: Recurrent, own: Mapping[str, Any]) -> Forward:
    layer_norm = torch.nn.functional.layer_norm
    columns, units = (4 * step.units,), (step.units,)
    kernel, recurrent = own["kernel"], own["recurrent_kernel"]
    gamma_x, gamma_h, gamma_c = own["gamma_x"], own["gamma_h"], own["gamma_c"]
    bias, beta_c = own["bias"], own["beta_c"]

    def forward(x: Any, *initial: Any) -> tuple[Any, ...]:
        zeros = torch.zeros(x.shape[0], step.units, dtype=x.dtype)
        h, c = initial or (zeros,) * STATES[step.kind]
        projected = layer_norm(x @ kernel, columns, gamma_x, bias, EPSILON)
        outputs = []
        for now in projected.unbind(1):
            z = now + layer_norm(h @ recurrent, columns, gamma_h, None, EPSILON)
            i, f, candidate, o = z.chunk(4, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(candidate)
            h = torch.sigmoid(o) * torch.tanh(layer_norm(c, units, gamma_c, beta_c, EPSILON))
            outputs.append(h)
        return (torch.stack(outputs, 1) if step.sequence else h, h, c)

    return forward


def _activation(torch: Any, name: str) -> Callable[[Any], Any]:
    known: dict[str, Callable[[Any], Any]] = {
        "linear": lambda x: x,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "relu": torch.relu,
        "softmax": lambda x: torch.softmax(x, -1),
    }
    return known[name]


def _assign(torch: Any, module: Any, **tensors: Any) -> None:
    with torch.no_grad():
        for name, tensor in tensors.items():
            getattr(module, name).copy_(tensor)


PEER = Peer("torch", "PyTorch", ("torch",), make, precisions=("float32", "bfloat16"))
