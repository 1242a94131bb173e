"""One step of every kind of cell, written with the functions that NumPy and JAX share, and networks of them.

What does not depend on the state (the product with the input) is projected for all steps at once, or in each step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from rnncc.tools.bench.cells import EPSILON
from rnncc.tools.bench.network import (
    DIRECTIONS,
    STATES,
    Bidirectional,
    Dense,
    Embedding,
    Network,
    Recurrent,
    own_weights,
)

Own = Mapping[str, Any]
"""The weights of one step of a network, by name."""


@dataclass(frozen=True, slots=True)
class Arrays:
    """A library of arrays: its namespace, its sigmoid and softmax, and its loop.

    `scan(step, states, xs, weights)` runs ``step(states, x, weights) -> states`` over the leading axis of xs, and
    returns the states after the last step and the first state after every step. `projects_first`: for all steps at
    once.
    """

    np: Any
    sigmoid: Callable[[Any], Any]
    softmax: Callable[[Any], Any]
    scan: Callable[..., tuple[tuple[Any, ...], Any]]
    projects_first: bool = True


def run_network(lib: Arrays, network: Network, weights: Mapping[str, Any], inputs: tuple[Any, ...]) -> list[Any]:
    """The outputs of a network; `weights` and `inputs` are arrays of the library."""
    values = dict(zip(network.inputs, inputs, strict=True))
    for step in network.steps:
        own = own_weights(step, weights)
        x = values[step.x]
        match step:
            case Embedding():
                values[step.result] = own["embeddings"][x]
            case Dense():
                values[step.result] = _activations(lib)[step.activation](x @ own["kernel"] + own["bias"])
            case Recurrent():
                values |= _recurrent(lib, step, own, x, tuple(values[name] for name in step.initial))
            case Bidirectional():
                values[step.result] = _bidirectional(lib, step, weights, x)
            case _:
                assert_never(step)
    return [values[name] for name in network.outputs]


def _recurrent(lib: Arrays, step: Recurrent, own: Own, x: Any, initial: tuple[Any, ...]) -> dict[str, Any]:
    zeros = lib.np.zeros((x.shape[0], step.units), "float32")
    states = initial or (zeros,) * STATES[step.kind]
    project, advance = _KINDS[step.kind]
    xs = lib.np.swapaxes(x, 0, 1)

    def whole_step(before: tuple[Any, ...], now: Any, w: Own) -> tuple[Any, ...]:
        return advance(lib, w, before, now if lib.projects_first else project(lib, w, now))

    final, outputs = lib.scan(whole_step, states, project(lib, own, xs) if lib.projects_first else xs, own)
    result = lib.np.swapaxes(outputs, 0, 1) if step.sequence else final[0]
    return {step.result: result, **dict(zip(step.states, final, strict=False))}


def _bidirectional(lib: Arrays, step: Bidirectional, weights: Mapping[str, Any], x: Any) -> Any:
    parts = []
    for direction in DIRECTIONS:
        turn = slice(None, None, -1 if direction == "backward" else 1)
        one = Recurrent(step.name, step.kind, step.units, step.x, (), step.sequence, step.result, ())
        result = _recurrent(lib, one, own_weights(step, weights, direction), x[:, turn], ())[step.result]
        parts.append(result[:, turn] if step.sequence else result)
    return lib.np.concatenate(parts, -1)


def _activations(lib: Arrays) -> dict[str, Callable[[Any], Any]]:
    return {
        "linear": lambda x: x,
        "tanh": lib.np.tanh,
        "sigmoid": lib.sigmoid,
        "relu": lambda x: lib.np.maximum(x, 0),
        "softmax": lib.softmax,
    }


# ------------------------------------------------------------------ kinds of cells


def _affine(lib: Arrays, own: Own, x: Any) -> Any:
    return x @ own["kernel"] + own["bias"]


def _lstm(lib: Arrays, own: Own, states: tuple[Any, ...], x: Any) -> tuple[Any, ...]:
    h, c = states
    i, f, candidate, o = lib.np.split(x + h @ own["recurrent_kernel"], 4, axis=-1)
    c = lib.sigmoid(f) * c + lib.sigmoid(i) * lib.np.tanh(candidate)
    return lib.sigmoid(o) * lib.np.tanh(c), c


def _affine_gru(lib: Arrays, own: Own, x: Any) -> Any:
    return x @ own["kernel"] + own["bias"][0]


def _gru(lib: Arrays, own: Own, states: tuple[Any, ...], x: Any) -> tuple[Any, ...]:
    (h,) = states
    xz, xr, xc = lib.np.split(x, 3, axis=-1)
    hz, hr, hc = lib.np.split(h @ own["recurrent_kernel"] + own["bias"][1], 3, axis=-1)
    z = lib.sigmoid(xz + hz)
    return (z * h + (1 - z) * lib.np.tanh(xc + lib.sigmoid(xr + hr) * hc),)


def _gru_reset_before(lib: Arrays, own: Own, states: tuple[Any, ...], x: Any) -> tuple[Any, ...]:
    (h,) = states
    xz, xr, xc = lib.np.split(x, 3, axis=-1)
    uz, ur, uc = lib.np.split(own["recurrent_kernel"], 3, axis=-1)
    z = lib.sigmoid(xz + h @ uz)
    return (z * h + (1 - z) * lib.np.tanh(xc + (lib.sigmoid(xr + h @ ur) * h) @ uc),)


def _rnn(lib: Arrays, own: Own, states: tuple[Any, ...], x: Any) -> tuple[Any, ...]:
    return (lib.np.tanh(x + states[0] @ own["recurrent_kernel"]),)


def _normalized(lib: Arrays, x: Any) -> Any:
    centered = x - x.mean(axis=-1, keepdims=True)
    return centered / lib.np.sqrt((centered * centered).mean(axis=-1, keepdims=True) + EPSILON)


def _affine_norm(lib: Arrays, own: Own, x: Any) -> Any:
    return _normalized(lib, x @ own["kernel"]) * own["gamma_x"] + own["bias"]


def _layer_norm_lstm(lib: Arrays, own: Own, states: tuple[Any, ...], x: Any) -> tuple[Any, ...]:
    h, c = states
    z = x + _normalized(lib, h @ own["recurrent_kernel"]) * own["gamma_h"]
    i, f, candidate, o = lib.np.split(z, 4, axis=-1)
    c = lib.sigmoid(f) * c + lib.sigmoid(i) * lib.np.tanh(candidate)
    return lib.sigmoid(o) * lib.np.tanh(_normalized(lib, c) * own["gamma_c"] + own["beta_c"]), c


_KINDS: dict[str, tuple[Callable[..., Any], Callable[..., tuple[Any, ...]]]] = {
    "lstm": (_affine, _lstm),
    "gru": (_affine_gru, _gru),
    "gru_reset_before": (_affine, _gru_reset_before),
    "rnn": (_affine, _rnn),
    "layer_norm_lstm": (_affine_norm, _layer_norm_lstm),
}
