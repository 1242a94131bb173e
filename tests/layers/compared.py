"""What is compared with Keras 3: layers x arguments x shapes. `python -m tests.layers.compared` prints the list.

A case builds the same model twice, from `rnncc.layers` and from `keras.layers`. The weights are drawn once and set in
both; results of the interpreter and of compiled code must agree with Keras's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

Shape = tuple[int, ...]
Build = Callable[[Any, list[Any]], Any]
"""Takes the layers of one side and symbolic inputs, and returns the output."""


@dataclass(frozen=True)
class Case:
    """One comparison: a layer with arguments on inputs of `shapes` (batch first). Sizes in `fixed` are declared."""

    layer: str
    arguments: str
    shapes: tuple[Shape, ...]
    build: Build
    is_fixed: bool = False
    integers: bool = False

    def __str__(self) -> str:
        sizes = " and ".join("x".join(map(str, shape)) for shape in self.shapes)
        return f"{self.layer}({self.arguments}) on {sizes}"

    def declared(self, shape: Shape) -> tuple[int | str | None, ...]:
        """The shape of an input without the batch: inner sizes are open, unless the layer needs them."""
        return shape[1:] if self.is_fixed else (*(None,) * (len(shape) - 2), *shape[-1:])

    def arrays(self) -> list[np.ndarray]:
        """An array for each input."""
        random = np.random.default_rng(len(str(self)))
        if self.integers:
            return [random.integers(0, 7, shape) for shape in self.shapes]
        return [random.normal(0, 1, shape).astype(np.float32) for shape in self.shapes]


def _layer(kind: str, *shapes: Shape, fixed: bool = False, **arguments: Any) -> Case:
    def build(source: Any, inputs: list[Any]) -> Any:
        return getattr(source, kind)(**arguments)(inputs if len(inputs) > 1 else inputs[0])

    text = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return Case(kind, text, shapes, build, fixed or len(shapes) > 1)


SEQUENCES: tuple[Shape, ...] = ((1, 1, 1), (3, 1, 5), (2, 7, 3), (5, 13, 17))
MATRICES: tuple[Shape, ...] = ((1, 1), (3, 7), (5, 33))
RATES = {"dropout": 0.3, "recurrent_dropout": 0.4}


def _recurrent() -> Iterator[Case]:
    options: list[dict[str, Any]] = [
        {},
        {"use_bias": False},
        {"return_sequences": True},
        {"return_state": True},
        {"return_sequences": True, "return_state": True},
        {"go_backwards": True},
        {"activation": "relu"},
        {"activation": "softsign", **RATES},
        {"activation": None},
    ]
    gates: list[dict[str, Any]] = [
        {"recurrent_activation": "hard_sigmoid"},
        {"recurrent_activation": "hard_sigmoid", "activation": "elu"},
        {"recurrent_activation": "hard_sigmoid", "activation": "hard_silu", "return_sequences": True},
    ]
    for kind in ("SimpleRNN", "LSTM", "GRU"):
        for unroll in (True, False):
            yield _layer(kind, (2, 5, 3), units=4, unroll=unroll, return_sequences=True, fixed=True)
    for shape, (kind, extra) in product(
        SEQUENCES,
        [
            ("SimpleRNN", [{"activation": "gelu"}, {"activation": "selu"}]),
            ("LSTM", [*gates, {"unit_forget_bias": False}]),
            ("GRU", [*gates, {"reset_after": False}, {"reset_after": False, "use_bias": False}]),
        ],
    ):
        for arguments in [*options, *extra]:
            yield _layer(kind, shape, units=1 if shape[-1] == 1 else 9, **arguments)


def _network(name: str, arguments: str, *shapes: Shape, build: Build, integers: bool = False) -> Case:
    return Case(name, arguments, shapes, build, is_fixed=True, integers=integers)


def _wrapped() -> Iterator[Case]:
    """Layers inside of Bidirectional, TimeDistributed and RNN."""

    def bidirectional(kind: str, mode: str | None, options: dict[str, Any]) -> Build:
        return lambda source, inputs: source.Bidirectional(getattr(source, kind)(4, **options), merge_mode=mode)(
            inputs[0]
        )

    for kind, mode in product(("SimpleRNN", "LSTM", "GRU"), ("concat", "sum", "mul", "ave", None)):
        for options in ({}, {"return_sequences": True}, {"return_state": True}):
            text = f"{kind}(4{''.join(f', {key}={value}' for key, value in options.items())}), merge_mode={mode!r}"
            build = bidirectional(kind, mode, options)
            for shape in ((3, 1, 5), (2, 7, 3)):
                yield _network("Bidirectional", text, shape, build=build)

    def distributed(kind: str, options: dict[str, Any]) -> Build:
        return lambda source, inputs: source.TimeDistributed(getattr(source, kind)(**options))(inputs[0])

    for kind, options, shapes in (
        ("Dense", {"units": 4, "activation": "softmax"}, [(2, 5, 3), (3, 1, 2, 5)]),
        ("LSTM", {"units": 4}, [(2, 3, 5, 7)]),
        ("GRU", {"units": 4, "return_sequences": True}, [(2, 3, 1, 7)]),
        ("LayerNormalization", {}, [(2, 5, 3)]),
        ("Flatten", {}, [(2, 5, 3, 7)]),
    ):
        for shape in shapes:
            text = ", ".join(f"{key}={value!r}" for key, value in options.items())
            yield _network("TimeDistributed", f"{kind}({text})", shape, build=distributed(kind, options))

    def stack(kinds: tuple[str, ...], options: dict[str, Any]) -> Build:
        return lambda source, inputs: source.RNN([getattr(source, f"{kind}Cell")(4) for kind in kinds], **options)(
            inputs[0]
        )

    for kinds in (("LSTM", "LSTM"), ("GRU", "SimpleRNN"), ("SimpleRNN", "GRU", "LSTM")):
        for options in ({}, {"return_sequences": True}, {"go_backwards": True}):
            text = ", ".join(
                [*(f"{kind}Cell(4)" for kind in kinds), *(f"{key}={value}" for key, value in options.items())]
            )
            for shape in ((3, 1, 5), (2, 7, 3)):
                yield _network("RNN", text, shape, build=stack(kinds, options))


def _masked() -> Iterator[Case]:
    """Ids with zeros, which an Embedding masks, into layers that follow masks."""

    def last(kind: str, options: dict[str, Any]) -> Build:
        def build(source: Any, inputs: list[Any]) -> Any:
            return getattr(source, kind)(4, **options)(source.Embedding(7, 3, mask_zero=True)(inputs[0]))

        return build

    def both_ways(kind: str, options: dict[str, Any]) -> Build:
        def build(source: Any, inputs: list[Any]) -> Any:
            x = source.Embedding(7, 3, mask_zero=True)(inputs[0])
            return source.Bidirectional(getattr(source, kind)(4, **options))(x)

        return build

    def merged(kind: str) -> Build:
        def build(source: Any, inputs: list[Any]) -> Any:
            x, y = (source.Embedding(7, 3, mask_zero=True)(ids) for ids in inputs)
            return source.GRU(4, return_sequences=True)(getattr(source, kind)()([x, y]))

        return build

    def decoded(kind: str) -> Build:
        def build(source: Any, inputs: list[Any]) -> Any:
            x, y = (source.Embedding(7, 3, mask_zero=True)(ids) for ids in inputs)
            _, *states = getattr(source, kind)(4, return_state=True)(x)
            return getattr(source, kind)(4, return_sequences=True)(y, initial_state=states)

        return build

    every: list[dict[str, Any]] = [
        {},
        {"return_sequences": True},
        {"go_backwards": True},
        {"return_sequences": True, "zero_output_for_mask": True},
        {"return_sequences": True, "go_backwards": True, "zero_output_for_mask": True},
    ]
    for kind, options, shape in product(("SimpleRNN", "LSTM", "GRU"), every, ((1, 1), (4, 9), (3, 2))):
        text = "".join(f", {key}={value}" for key, value in options.items())
        yield _network(kind, f"units=4{text}, masked ids", shape, build=last(kind, options), integers=True)
        if "zero_output_for_mask" not in options and "go_backwards" not in options:
            name = f"{kind}(units=4{text}), masked ids"
            yield _network("Bidirectional", name, shape, build=both_ways(kind, options), integers=True)
    for kind in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"):
        yield _network(kind, "masked ids, then GRU(4)", (4, 9), (4, 9), build=merged(kind), integers=True)
    for kind in ("SimpleRNN", "LSTM", "GRU"):
        yield _network(
            f"encoder and decoder: {kind}", "units=4, masked ids", (4, 9), (4, 6), build=decoded(kind), integers=True
        )


def _dense() -> Iterator[Case]:
    for shape in (*MATRICES, *SEQUENCES):
        for activation in (None, "softmax", "log_softmax", "gelu", "mish", "softplus", "hard_sigmoid"):
            yield _layer("Dense", shape, units=6, activation=activation)
        yield _layer("Dense", shape, units=1, use_bias=False)


def _embeddings() -> Iterator[Case]:
    for shape in ((3, 1), (2, 11), (2, 3, 5)):
        case = _layer("Embedding", shape, input_dim=7, output_dim=5)
        yield Case(case.layer, case.arguments, case.shapes, case.build, is_fixed=True, integers=True)


def _merges() -> Iterator[Case]:
    for kind in ("Add", "Multiply", "Average", "Maximum", "Minimum", "Subtract", "Concatenate"):
        for shape in (*MATRICES, *SEQUENCES):
            yield _layer(kind, shape, shape)
            if kind != "Subtract":
                yield _layer(kind, shape, shape, shape)
    for kind in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"):
        yield _layer(kind, (3, 5, 7), (3, 1, 7))
        yield _layer(kind, (3, 5, 7), (3, 7))
        yield _layer(kind, (3, 1), (3, 7))
    yield _layer("Concatenate", (3, 5, 7), (3, 5, 2), axis=-1)
    yield _layer("Concatenate", (3, 5, 7), (3, 1, 7), (3, 2, 7), axis=1)
    yield _layer("Concatenate", (3, 5, 7), (3, 5, 2), axis=2)


def _moves() -> Iterator[Case]:
    for shape in ((3, 6), (2, 1, 6), (2, 5, 6)):
        yield _layer("Reshape", shape, target_shape=(-1, 2, 3))
        yield _layer("Reshape", shape, target_shape=(-1,), fixed=True)
        yield _layer("Reshape", shape, target_shape=(1, -1, 3), fixed=True)
        yield _layer("Flatten", shape, fixed=True)
        yield _layer("Flatten", shape, data_format="channels_first", fixed=True)
        yield _layer("Dropout", shape, rate=0.4)
    for shape, kind in product(((3, 1, 6), (2, 5, 7), (1, 17, 3)), ("GlobalAveragePooling1D", "GlobalMaxPooling1D")):
        for arguments in ({}, {"keepdims": True}, {"data_format": "channels_first"}):
            yield _layer(kind, shape, **arguments)
    yield _layer("RepeatVector", (3, 1), n=1)
    yield _layer("RepeatVector", (3, 7), n=4)
    yield _layer("Flatten", (2, 3, 5, 7), fixed=True)
    yield _layer("Flatten", (2, 3, 5, 7), data_format="channels_first", fixed=True)
    yield _layer("Permute", (2, 3, 5), dims=(2, 1))
    yield _layer("Permute", (2, 3, 5), dims=(1, 2))
    yield _layer("Permute", (2, 3, 5, 7), dims=(3, 1, 2), fixed=True)
    yield _layer("SpatialDropout1D", (2, 3, 5), rate=0.4)


def _normalizations() -> Iterator[Case]:
    for shape in (*MATRICES, *SEQUENCES):
        for arguments in (
            {},
            {"epsilon": 0.1},
            {"center": False},
            {"scale": False},
            {"center": False, "scale": False},
        ):
            yield _layer("LayerNormalization", shape, **arguments)
        yield _layer("LayerNormalization", shape, rms_scaling=True)
        yield _layer("RMSNormalization", shape)
        yield _layer("RMSNormalization", shape, epsilon=0.1)
    for axis in (1, -2, [1, 2], [-2, -1]):
        yield _layer("LayerNormalization", (2, 5, 7), axis=axis, fixed=True)
    yield _layer("RMSNormalization", (2, 5, 7), axis=[1, 2], fixed=True)


def _activations() -> Iterator[Case]:
    for name in ("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "swish", "mish", "softplus"):
        for shape in ((3, 7), (2, 1, 5)):
            yield _layer("Activation", shape, activation=name)
    for name in ("softsign", "softmax", "log_softmax", "exponential", "sigmoid", "tanh", "log_sigmoid", "linear"):
        for shape in ((3, 7), (2, 1, 5)):
            yield _layer("Activation", shape, activation=name)
    for name in ("hard_sigmoid", "hard_tanh", "hard_silu", "hard_swish", "hard_shrink", "soft_shrink", "tanh_shrink"):
        for shape in ((3, 7), (2, 1, 5)):
            yield _layer("Activation", shape, activation=name)
    for name in ("squareplus", "sparse_plus", "sparse_sigmoid"):
        for shape in ((3, 7), (2, 1, 5)):
            yield _layer("Activation", shape, activation=name)


CASES = [
    *_recurrent(),
    *_wrapped(),
    *_masked(),
    *_dense(),
    *_embeddings(),
    *_merges(),
    *_moves(),
    *_normalizations(),
    *_activations(),
]


if __name__ == "__main__":
    for case in CASES:
        print(case)
    print(f"{len(CASES)} combinations of layers, arguments and shapes are compared with Keras.")
