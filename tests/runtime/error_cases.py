"""Wrong compilations and wrong calls, one function a case. `errors.txt` holds the messages."""

from __future__ import annotations

import pickle
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

import rnncc
from rnncc import layers, ops
from rnncc.types import TensorType, dtype_of

IDS = np.zeros((2, 3), np.int64)


@cache
def words() -> Any:
    """Eleven words, five features, three classes."""
    ids = layers.Input((None,), name="ids")
    last = layers.SimpleRNN(4)(layers.Embedding(11, 5)(ids))
    return rnncc.compile(rnncc.Model(ids, layers.Dense(3)(last), name="words"))


@cache
def pairs() -> Any:
    """Two sequences that must have one batch and one length, and a state."""

    def model(x: Any, y: Any, h0: Any) -> Any:
        def step(h: Any, x_t: Any) -> tuple[Any, Any]:
            h = ops.tanh(h + x_t)
            return h, h

        return rnncc.scan(step, h0, ops.transpose(x + y, (1, 0, 2)))[1]

    sequence = TensorType(dtype_of("f32"), ("B", "T", 4))
    return rnncc.compile(rnncc.trace(model, sequence, sequence, ("float32", ("B", 4))))


@cache
def lookup() -> Any:
    """Two tables, one of which is looked up by what was computed from the other's index."""

    def model(table: Any, first: Any, second: Any) -> Any:
        return ops.take(table, first) + ops.take(table, second + first)

    return rnncc.compile(rnncc.trace(model, ("float32", (7, 2)), ("int64", ("B", "T")), ("int64", ("B", "T"))))


@cache
def padded() -> Any:
    """Right-padded sequences and how many steps of each count."""
    x, lengths = layers.Input((None, 4), name="x"), layers.Input((), dtype="int64", name="lengths")
    return rnncc.compile(rnncc.Model([x, lengths], layers.GRU(3)(x, lengths=lengths), name="padded"))


def sequence(batch: int, time: int, width: int = 4) -> np.ndarray:
    return np.zeros((batch, time, width), np.float32)


# ------------------------------------------------------------------ compiling


def compile_something_else() -> None:
    rnncc.compile(np.tanh)


def unknown_dtype() -> None:
    rnncc.compile(words_model(), dtype="float23")


def dtype_that_does_not_compute() -> None:
    rnncc.compile(words_model(), dtype="int64")


def dtype_too_small() -> None:
    rnncc.compile(words_model(), dtype="float16")


def dtype_of_nothing() -> None:
    rnncc.compile(words_model(), dtype=None)


def unknown_target() -> None:
    rnncc.compile(words_model(), target="x86-65")


def target_of_another_kind() -> None:
    rnncc.compile(words_model(), target=["host"])  # type: ignore[arg-type]


def cache_neither_on_nor_off() -> None:
    rnncc.compile(words_model(), cache="maybe")  # type: ignore[arg-type]


def level_beyond_those_of_llvm() -> None:
    rnncc.compile(words_model(), level=4)


def table_of_less_than_nothing() -> None:
    rnncc.compile(words_model(), table_bytes=-1)


def no_threads() -> None:
    rnncc.compile(words_model(), threads=0)


def unroll_of_zero() -> None:
    rnncc.compile(words_model(), unroll=0)


def unroll_as_bool() -> None:
    rnncc.compile(words_model(), unroll=True)


def unroll_far_too_large() -> None:
    rnncc.compile(words_model(), unroll=1000)


def unknown_stage() -> None:
    words().ir("machine code")


def pickled() -> None:
    pickle.dumps(words())


def predict_of_a_compiled_model() -> None:
    words().predict(IDS)


def weights_of_a_compiled_model() -> None:
    words().get_weights()


def words_model() -> Any:
    x = layers.Input((None, 3), name="x")
    return rnncc.Model(x, layers.SimpleRNN(4)(x), name="plain")


# ------------------------------------------------------------------ calling


def compile_a_compiled_model() -> None:
    rnncc.compile(words())


def evaluate_a_compiled_model() -> None:
    rnncc.evaluate(words(), IDS)


def compile_a_layer() -> None:
    rnncc.compile(layers.LSTM(4))


def compile_a_class() -> None:
    rnncc.compile(rnncc.Sequential)


def compile_the_model_of_another_library() -> None:
    class Sequential:
        def get_weights(self) -> list[Any]:
            return []

    rnncc.compile(Sequential())


def memory_of_less_than_nothing() -> None:
    words().memory(B=-1, T=3)


def memory_of_a_fraction() -> None:
    words().memory(B=1.5, T=3)


def memory_for_an_unknown_extent() -> None:
    words().memory(B=1, T=3, Q=2)


def states_of_a_stream_as_a_list() -> None:
    words().stream(batch=1).state = [IDS]


def called_for_training() -> None:
    words()(IDS, training=True)


def called_with_a_mask() -> None:
    words()(IDS, mask=IDS > 0)


def nothing_given() -> None:
    words()()


def too_many_inputs() -> None:
    words()(IDS, IDS)


def too_few_inputs() -> None:
    pairs()(sequence(2, 3), h0=np.zeros((2, 4)))


def unknown_name() -> None:
    pairs()(sequence(2, 3), z=sequence(2, 3))


def name_close_to_one() -> None:
    words()(idz=IDS)


def given_twice() -> None:
    words()(IDS, ids=IDS)


def rank_too_low() -> None:
    words()([1, 2, 3])


def rank_too_high() -> None:
    words()(IDS[None, None])


def wrong_width() -> None:
    pairs()(sequence(2, 3), sequence(2, 3, width=5), np.zeros((2, 4)))


def state_of_wrong_width() -> None:
    pairs()(sequence(2, 3), sequence(2, 3), np.zeros((2, 7)))


def batches_disagree() -> None:
    pairs()(sequence(2, 3), sequence(2, 3), np.zeros((5, 4)))


def length_beyond_the_steps() -> None:
    padded()(sequence(3, 7), [7, 2, 8])


def negative_length() -> None:
    padded()(sequence(3, 7), [0, -1, 7])


def lengths_disagree() -> None:
    pairs()(sequence(2, 3), sequence(2, 9), np.zeros((2, 4)))


def ragged_lists() -> None:
    words()([[1, 2, 3], [4, 5]])


def words_instead_of_ids() -> None:
    words()(np.array([["a", "b"]]))


def complex_numbers() -> None:
    pairs()(sequence(2, 3), sequence(2, 3).astype(np.complex64), np.zeros((2, 4)))


def objects() -> None:
    words()([[None, 3]])


def dates() -> None:
    words()(np.zeros((2, 3), "datetime64[s]"))


def ids_that_are_not_whole() -> None:
    words()([[1.0, 2.5]])


def ids_that_are_not_numbers() -> None:
    words()([[1.0, np.nan]])


def ids_beyond_integers() -> None:
    words()([[1.0, 1e30]])


def ids_beyond_signed_integers() -> None:
    words()(np.array([[2**64 - 1]], np.uint64))


def ids_beyond_all_integers() -> None:
    words()([[1, 10**30]])


def missing_ids() -> None:
    words()(pd.DataFrame({"first": [1, 2], "second": pd.array([3, None], dtype="Int64")}))


def missing_floats() -> None:
    pairs()(sequence(1, 2), sequence(1, 2), pd.DataFrame([[0, 1, None, 3]], dtype="Float64"))


def a_column_of_lists() -> None:
    words()(pd.Series([[1, 2], [3, 4]]))


def a_column_of_words() -> None:
    words()(pd.DataFrame({"first": ["a", "b"]}))


class WantsGradients:
    """A tensor of another library that refuses to become an array."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")


def a_tensor_that_is_no_array() -> None:
    words()(WantsGradients())


def weights_that_are_no_arrays() -> None:
    dense = layers.Dense(1, name="dense")
    dense(layers.Input((2,)))
    dense.set_weights([WantsGradients(), np.zeros(1)])


def a_layer_on_what_is_no_array() -> None:
    layers.Dense(1, name="dense")(WantsGradients())


def a_generator() -> None:
    words()(row for row in IDS)


def a_symbolic_tensor() -> None:
    words()(layers.Input((None,), name="others"))


def a_list_of_too_few() -> None:
    pairs()([sequence(2, 3), sequence(2, 3)])


def a_dict_with_another_name() -> None:
    words()({"idz": IDS})


# ------------------------------------------------------------------ token ids


def id_just_outside() -> None:
    words()([[1, 2, 3], [4, 11, 12]])


def negative_id() -> None:
    words()([[1, -1]])


def id_far_outside() -> None:
    words()([[2**62, 0]])


def id_of_the_second_input() -> None:
    lookup()(np.zeros((7, 2)), [[1, 2]], [[0, 5]])


def id_of_the_first_input() -> None:
    lookup()(np.zeros((7, 2)), [[1, 7]], [[0, 0]])


# ------------------------------------------------------------------ memory


HUGE = 1 << 44


@cache
def spreading() -> Any:
    """Every number as a row of 2^44."""
    return rnncc.compile(rnncc.trace(lambda x: ops.broadcast_to(x, ("B", HUGE)), ("float32", ("B", 1))))


@cache
def normalizing() -> Any:
    """A softmax that needs a row of 2^44 in between."""

    def model(x: Any) -> Any:
        return ops.sum(ops.square(ops.softmax(ops.broadcast_to(x, ("B", HUGE)))), 1)

    return rnncc.compile(rnncc.trace(model, ("float32", ("B", 1))))


def results_larger_than_memory() -> None:
    spreading()(np.ones((2, 1)))


def call_larger_than_memory() -> None:
    normalizing()(np.ones((2, 1)))


@cache
def totals() -> Any:
    """The sum of all rows: large inputs, small results, nothing in between."""
    return rnncc.compile(rnncc.trace(lambda x: ops.sum(x, 0), ("float32", ("B", 4))))


ROWS = np.broadcast_to(np.float32(1), (1 << 26, 4))
"""A gigabyte of ones that takes four bytes: until somebody copies it."""


@contextmanager
def little_memory() -> Iterator[None]:
    """This process may take 256 MB more than it has."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as sizes:
        used = int(sizes.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 28), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def input_larger_than_memory() -> None:
    totals()(np.ones((2, 4), np.float32))
    with little_memory():
        totals()(ROWS)


def converted_input_larger_than_memory() -> None:
    with little_memory():
        totals()(np.broadcast_to(np.float64(1), ROWS.shape))


def meaning_larger_than_memory() -> None:
    graph = rnncc.trace(lambda x: ops.sum(ops.exp(x), 0), ("float32", ("B", 4)))
    with little_memory():
        rnncc.evaluate(graph, ROWS)


COMPILING: list[Callable[[], None]] = [
    compile_something_else,
    unknown_dtype,
    dtype_that_does_not_compute,
    dtype_too_small,
    dtype_of_nothing,
    unknown_target,
    target_of_another_kind,
    cache_neither_on_nor_off,
    level_beyond_those_of_llvm,
    table_of_less_than_nothing,
    no_threads,
    unroll_of_zero,
    unroll_as_bool,
    unroll_far_too_large,
    unknown_stage,
    pickled,
    compile_a_compiled_model,
    evaluate_a_compiled_model,
    compile_a_layer,
    compile_a_class,
    compile_the_model_of_another_library,
    predict_of_a_compiled_model,
    memory_of_less_than_nothing,
    memory_of_a_fraction,
    memory_for_an_unknown_extent,
    states_of_a_stream_as_a_list,
    weights_of_a_compiled_model,
]
ARGUMENTS: list[Callable[[], None]] = [
    nothing_given,
    too_many_inputs,
    too_few_inputs,
    unknown_name,
    name_close_to_one,
    called_for_training,
    called_with_a_mask,
    given_twice,
    rank_too_low,
    rank_too_high,
    wrong_width,
    state_of_wrong_width,
    batches_disagree,
    lengths_disagree,
    ragged_lists,
    words_instead_of_ids,
    complex_numbers,
    objects,
    dates,
    ids_that_are_not_whole,
    ids_that_are_not_numbers,
    ids_beyond_integers,
    ids_beyond_signed_integers,
    ids_beyond_all_integers,
    missing_ids,
    missing_floats,
    a_column_of_lists,
    a_column_of_words,
    a_tensor_that_is_no_array,
    weights_that_are_no_arrays,
    a_layer_on_what_is_no_array,
    a_generator,
    a_symbolic_tensor,
    a_list_of_too_few,
    a_dict_with_another_name,
]
LENGTHS: list[Callable[[], None]] = [
    length_beyond_the_steps,
    negative_length,
]
TOKENS: list[Callable[[], None]] = [
    id_just_outside,
    negative_id,
    id_far_outside,
    id_of_the_second_input,
    id_of_the_first_input,
]
MEMORY: list[Callable[[], None]] = [
    results_larger_than_memory,
    call_larger_than_memory,
    input_larger_than_memory,
    converted_input_larger_than_memory,
    meaning_larger_than_memory,
]
