"""PyTorch, eager: `torch.nn` modules where there are some, a loop of ops for other cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, assert_never

import numpy as np

from rnncc.errors import UnsupportedError
from rnncc.tools.bench.cells import EPSILON
from rnncc.tools.bench.network import STATES, Dense, Embedding, Problem, Recurrent, Step
from rnncc.tools.bench.peers.array_steps import own_weights
from rnncc.tools.bench.peers.peer import Peer, Run, optional

Forward = Callable[..., tuple[Any, ...]]
"""Takes the values that a step reads and returns those that it makes: the result, then states."""


def build(problem: Problem, threads: int) -> Run:
    """All calls run under `inference_mode`."""
    return runner(problem, threads, lambda forward: forward)


def runner(problem: Problem, threads: int, transform: Callable[[Any], Any]) -> Run:
    """Run `transform(forward)`, where forward computes the network on tensors."""
    torch = optional("torch")
    torch.set_num_threads(threads)
    network = problem.network
    modules = [(step, _module(torch, step, own_weights(step, problem.weights))) for step in network.steps]

    def forward(*tensors: Any) -> list[Any]:
        values = dict(zip(network.inputs, tensors, strict=True))
        for step, module in modules:
            initial = step.initial if isinstance(step, Recurrent) else ()
            states = step.states if isinstance(step, Recurrent) else ()
            made = module(values[step.x], *(values[name] for name in initial))
            values |= zip((step.result, *states), made, strict=False)
        return [values[name] for name in network.outputs]

    transformed = transform(forward)
    inputs = [torch.from_numpy(np.ascontiguousarray(array)) for array in problem.inputs]

    def run() -> list[np.ndarray]:
        with torch.inference_mode():
            return [tensor.numpy() for tensor in transformed(*inputs)]

    return run


def _module(torch: Any, step: Step, own: Mapping[str, np.ndarray]) -> Forward:
    tensors = {name: torch.from_numpy(array.copy()) for name, array in own.items()}
    match step:
        case Embedding():
            embedding = torch.nn.Embedding.from_pretrained(tensors["embeddings"])
            return lambda x: (embedding(x),)
        case Dense():
            linear = torch.nn.Linear(*own["kernel"].shape)
            _assign(torch, linear, weight=tensors["kernel"].T, bias=tensors["bias"])
            activation = _activation(torch, step.activation)
            return lambda x: (activation(linear(x)),)
        case Recurrent(kind="layer_norm_lstm"):
            return _layer_norm_lstm(torch, step, tensors)
        case Recurrent():
            return _recurrent(torch, step, tensors)
        case _:
            assert_never(step)


def _recurrent(torch: Any, step: Recurrent, own: Mapping[str, Any]) -> Forward:
    kinds = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
    if step.kind not in kinds:
        raise UnsupportedError("PyTorch's GRU applies the reset gate after the product only")
    kernel, recurrent, bias = own["kernel"], own["recurrent_kernel"], own["bias"]
    biases = [bias[0], bias[1]] if step.kind == "gru" else [bias, torch.zeros_like(bias)]
    if step.kind == "gru":
        kernel, recurrent, *biases = (_gru_order(torch, array) for array in (kernel, recurrent, *biases))
    module = kinds[step.kind](kernel.shape[0], step.units, batch_first=True)
    _assign(torch, module, weight_ih_l0=kernel.T, weight_hh_l0=recurrent.T, bias_ih_l0=biases[0], bias_hh_l0=biases[1])

    def forward(x: Any, *initial: Any) -> tuple[Any, ...]:
        before = tuple(state.unsqueeze(0) for state in initial)
        outputs, final = module(x, (before if step.kind == "lstm" else before[0]) if before else None)
        states = [state[0] for state in (final if step.kind == "lstm" else (final,))]
        return (outputs if step.sequence else states[0], *states)

    return forward


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
        zeros = torch.zeros(x.shape[0], step.units)
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


PEER = Peer("torch", "PyTorch", ("torch",), build)
