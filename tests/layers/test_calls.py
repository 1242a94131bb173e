"""How layers and models may be called: by several threads, on one tensor or several, on arrays, by names."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers, ops
from rnncc.errors import ArgumentError, MemberError, StructureError, UnsupportedError
from rnncc.graph.symbolic import Tensor

X = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)


class Tagger(rnncc.Model):
    """A class with a `call`."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decide = layers.LSTM(4), layers.Dense(2)

    def call(self, x: Any, other: Any = None) -> Any:
        return self.decide(self.encode(x if other is None else other))


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Threads take turns all the time."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.parametrize(
    "make", [lambda: rnncc.Sequential([layers.LSTM(4), layers.Dense(2)]), lambda: layers.Dense(4), Tagger]
)
@pytest.mark.usefixtures("eager_threads")
def test_the_first_calls_of_several_threads(make: Callable[[], Any]) -> None:
    """One of them makes the weights, and all find the same ones."""
    for _ in range(3):
        model, found, start = make(), [], threading.Barrier(6)

        def first(model: Any = model, found: list[Any] = found, start: threading.Barrier = start) -> None:
            start.wait()
            found.append(model(X))

        threads = [threading.Thread(target=first) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 6
        for result in found:
            np.testing.assert_array_equal(result, found[0])


# ------------------------------------------------------------------ one tensor or several

ONE_TENSOR: list[Callable[[], Any]] = [
    lambda: layers.Dense(2),
    lambda: layers.LayerNormalization(),
    lambda: layers.RMSNormalization(),
    lambda: layers.GRUCell(2),
    lambda: layers.Embedding(5, 2),
    lambda: layers.Activation("tanh"),
    lambda: layers.Masking(),
    lambda: layers.Dropout(0.5),
    lambda: layers.GlobalAveragePooling1D(),
    lambda: layers.TimeDistributed(layers.Dense(2)),
    lambda: layers.Reshape((-1,)),
    lambda: layers.Flatten(),
    lambda: layers.RepeatVector(2),
]


@pytest.mark.parametrize("make", ONE_TENSOR, ids=range(len(ONE_TENSOR)))
def test_layers_of_one_tensor_say_so(make: Callable[[], Any]) -> None:
    a = layers.Input((6, 4), name="a")
    for given, kind in [([a], "list"), ((a, a), "tuple"), ({"x": a}, "dict"), ([X, X], "list")]:
        layer = make()
        states = {"states": [a]} if isinstance(layer, layers.GRUCell) else {}
        with pytest.raises(ArgumentError, match=rf"takes one tensor, not a {kind}\n(.|\n)*layers.Concatenate"):
            layer(given, **states)
        assert not layer.built or not layer.weights


@pytest.mark.parametrize("make", [layers.LSTM, layers.GRU, layers.SimpleRNN])
def test_recurrent_layers_with_a_dict_say_so(make: Any) -> None:
    with pytest.raises(ArgumentError, match=r"takes one tensor, not a dict\n(.|\n)*layers.Concatenate"):
        make(3)({"x": layers.Input((6, 4))})


def test_a_layer_of_a_user_takes_what_it_declares() -> None:
    class Single(layers.Layer):
        def call(self, inputs: Tensor) -> Any:
            return inputs

    class Any_(layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs[0] + inputs[1]

    with pytest.raises(ArgumentError, match="takes one tensor, not a list"):
        Single()([X, X])
    np.testing.assert_array_equal(Any_()([X, X]), 2 * X)


# ------------------------------------------------------------------ models


def test_call_takes_arrays_as_well() -> None:
    model = rnncc.Sequential([layers.Input((None, 4)), layers.LSTM(3)])
    np.testing.assert_array_equal(model.call(X), model(X))


def test_a_class_need_not_use_all_that_it_is_given() -> None:
    model = Tagger()
    np.testing.assert_array_equal(model(X, 2 * X), model(2 * X))
    np.testing.assert_array_equal(rnncc.compile(model)(2 * X), model(2 * X))


def test_nested_inputs_are_refused_at_once() -> None:
    a, b = layers.Input((4,), name="a"), layers.Input((4,), name="b")
    for inputs in ([a, {"q": b}], {"q": [a, b]}, [[a], b]):
        with pytest.raises(UnsupportedError, match=r"inputs of Model are nested\n(.|\n)*as one list, or as one dict"):
            rnncc.Model(inputs, layers.Dense(2)(a + b))


def test_keys_of_inputs_are_names_also_where_inputs_have_those_of_each_other() -> None:
    a, b = layers.Input((4,), name="a"), layers.Input((4,), name="b")
    left, right = layers.Dense(3), layers.Dense(2)
    model = rnncc.Model({"b": a, "a": b}, [left(a), right(b)])
    one, two = X[:, 0], X[:, 1]
    for found in (model({"b": one, "a": two}), rnncc.compile(model)(a=two, b=one), model.predict({"a": two, "b": one})):
        np.testing.assert_allclose(found[0], left(one), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found[1], right(two), rtol=1e-5, atol=1e-6)


class Named(rnncc.Model):
    """A class whose `call` takes a dict, or arguments by name."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = layers.GRU(3)

    def call(self, x: Any, other: Any = None) -> Any:
        y = self.encode(x["words"] if isinstance(x, dict) else x)
        return {"y": y if other is None else y + self.encode(other)}


def test_what_a_call_takes_has_its_names_also_when_it_is_compiled() -> None:
    model = Named()
    wanted = model({"words": X})["y"]
    fn = rnncc.compile(model)
    found = [fn({"words": X}), fn(words=X), rnncc.evaluate(model, {"words": X}), fn.stream(2).push({"words": X})]
    for result in found:
        np.testing.assert_allclose(result["y"], wanted, rtol=1e-5, atol=1e-6)
    wanted = model(X, other=2 * X)["y"]
    assert [port.name for port in rnncc.compile(model).inputs] == ["x", "other"]
    np.testing.assert_allclose(rnncc.compile(model)(other=2 * X, x=X)["y"], wanted, rtol=1e-5, atol=1e-6)


def test_inputs_may_have_the_names_of_parameters() -> None:
    a, b = layers.Input((4,), name="self"), layers.Input((4,), name="graph_or_model")
    model = rnncc.Model([a, b], a - b)
    given = {"self": X[:, 0], "graph_or_model": X[:, 1]}
    for found in (model(given), model(**given), rnncc.compile(model)(**given), rnncc.evaluate(model, **given)):
        np.testing.assert_array_equal(found, X[:, 0] - X[:, 1])


def test_outputs_without_a_batch_axis_are_not_predicted_in_batches() -> None:
    x = layers.Input((5, 4))
    for output in (ops.sum(x), ops.mean(x, 0)):
        model = rnncc.Model(x, {"y": x * 2, "total": output})
        assert model.predict(X)["y"].shape == X.shape
        with pytest.raises(ArgumentError, match="has no batch axis: it cannot be computed batch by batch"):
            model.predict(X, batch_size=1)


def test_a_dict_is_no_layer_of_a_sequential() -> None:
    x = layers.Input((None, 4))
    inner = rnncc.Model({"x": x}, {"y": layers.GRU(3)(x)}, name="inner")
    with pytest.raises(StructureError, match="inner has its output in a dict"):
        rnncc.Sequential([layers.Input((None, 4)), inner])


@pytest.mark.parametrize("key", ["my input", "class", "1x", ""])
def test_keys_that_are_no_names(key: str) -> None:
    x = layers.Input((4,))
    with pytest.raises(ArgumentError, match=f"the key {key!r} of inputs of Model cannot name an input"):
        rnncc.Model({key: x}, x * 2)


def test_keys_are_names() -> None:
    a = layers.Input((4,))
    with pytest.raises(ArgumentError, match="the keys of inputs of Model are names, not 1"):
        rnncc.Model({"a": a, 1: a}, a * 2)
    with pytest.raises(ArgumentError, match="the keys of outputs of Model are names, not 0"):
        rnncc.Model(a, {0: a * 2})


@pytest.mark.parametrize("name", ["get_config", "compute_output_shape", "losses", "fit", "save"])
def test_what_keras_has_beside(name: str) -> None:
    model = rnncc.Sequential([layers.Input((None, 4)), layers.LSTM(3)])
    for owner, kind in ((model, "model"), (model.layers[0], "layer")):
        with pytest.raises(MemberError, match=f"a {kind} of rnncc has no {name}"):
            getattr(owner, name)
    assert [weight.path for weight in model.variables] == [weight.path for weight in model.weights]
    assert len(model.trainable_variables) == 3
    assert model.non_trainable_variables == []


def test_memory_of_any_size() -> None:
    fn = rnncc.compile(rnncc.Sequential([layers.Input((None, 4)), layers.LSTM(3)]))
    assert fn.memory(B=2**62, T=1) >= 2**62 * 3 * 4
    with pytest.raises(ArgumentError, match=r"the size of B must be a whole number from 0 to 2\*\*62"):
        fn.memory(B=10**30, T=5)
