"""Names of Keras that rnncc does not have say what there is instead."""

from __future__ import annotations

import numpy as np
import pytest

import rnncc
from rnncc import layers
from rnncc.errors import MemberError
from tests.layers.keras_reference import keras

MISSING = [name for name in dir(keras.layers) if not name.startswith("_") and not hasattr(layers, name)]


@pytest.mark.parametrize("name", MISSING)
def test_every_layer_of_keras_has_an_answer(name: str) -> None:
    with pytest.raises(
        MemberError, match=rf"rnncc\.layers has no {name}\n  at test_absent\.py:\d+: .*\n  \w"
    ) as caught:
        getattr(layers, name)
    assert isinstance(caught.value, AttributeError)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("LTSM", "did you mean rnncc.layers.LSTM?"),
        ("Bidirectonal", "did you mean rnncc.layers.Bidirectional?"),
        ("Lstm", "did you mean rnncc.layers.LSTM?"),
        ("Gru", "did you mean rnncc.layers.GRU?"),
        ("CuDNNGRU", "layers.GRU(reset_after=True)"),
        ("BatchNormalization", "x * scale + offset"),
        ("Softmax", 'layers.Activation("softmax")'),
        ("MaxPooling1D", "ops.max"),
        ("Zzz", "derive a class from layers.Layer"),
    ],
)
def test_answers(name: str, answer: str) -> None:
    with pytest.raises(MemberError) as caught:
        getattr(layers, name)
    assert answer in str(caught.value)


def test_modules() -> None:
    for name in ("losses", "optimizers", "regularizers", "constraints", "callbacks", "metrics", "models", "utils"):
        with pytest.raises(MemberError, match=f"rnncc has no {name}"):
            getattr(rnncc, name)
    with pytest.raises(MemberError, match=r"did you mean rnncc\.compile\?"):
        rnncc.complie  # type: ignore[attr-defined] # noqa: B018
    with pytest.raises(MemberError, match=r"did you mean rnncc\.layers\?"):
        rnncc.layer  # type: ignore[attr-defined] # noqa: B018
    with pytest.raises(MemberError, match=r"dir\(rnncc\) lists what it has$"):
        rnncc.distributed_things  # type: ignore[attr-defined] # noqa: B018
    for module in (rnncc, layers):
        with pytest.raises(AttributeError, match="has no attribute '_private'"):
            module._private  # type: ignore[attr-defined] # noqa: B018


def test_activations_and_initializers_as_in_keras() -> None:
    """What follows ``import rnncc as keras`` in a model of Keras."""
    tanh, orthogonal = rnncc.activations.get("tanh"), rnncc.initializers.Orthogonal()
    x, results = np.ones((2, 3, 5), np.float32), []
    for activation, initializer in ((tanh, orthogonal), (rnncc.activations.tanh, "orthogonal"), ("tanh", orthogonal)):
        rnncc.set_random_seed(3)
        results.append(layers.GRU(4, activation=activation, kernel_initializer=initializer)(x))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
