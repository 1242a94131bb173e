"""Wrong arrays for models, and what models cannot do."""

from __future__ import annotations

import copy
import pickle

import numpy as np

from rnncc.layers import (
    GRU,
    Dense,
    Input,
)
from rnncc.layers.execution import evaluate
from rnncc.layers.initializers import set_random_seed
from rnncc.layers.model import Model
from rnncc.layers.sequential import Sequential
from tests.layers.errors.networks import tokens, two_inputs


def too_few_arrays() -> None:
    evaluate(two_inputs(), np.zeros((1, 2, 3)))


def too_many_arrays() -> None:
    evaluate(tokens(), [[1]], [[2]])


def array_of_an_unknown_name() -> None:
    evaluate(two_inputs(), first=np.zeros((1, 2, 3)), secnd=np.zeros((1, 2, 3)))


def array_given_twice() -> None:
    evaluate(tokens(), [[1]], ids=[[1]])


def array_of_a_wrong_rank() -> None:
    evaluate(tokens(), [1, 2, 3])


def array_of_a_wrong_width() -> None:
    evaluate(Sequential([Input((None, 3)), GRU(4)]), np.zeros((1, 2, 5)))


def batches_that_disagree() -> None:
    evaluate(two_inputs(), np.zeros((2, 4, 3)), np.zeros((5, 4, 3)))


def lengths_that_disagree() -> None:
    first, second = Input(("T", 3), name="first"), Input(("T", 3), name="second")
    evaluate(Model([first, second], GRU(2)(first + second)), np.zeros((2, 4, 3)), np.zeros((2, 5, 3)))


def token_above_the_table() -> None:
    evaluate(tokens(), [[1, 2], [3, 10]])


def token_below_zero() -> None:
    evaluate(tokens(), [[-1, 2]])


def token_between_numbers() -> None:
    evaluate(tokens(), [[1.0, 2.5]])


def token_not_a_number() -> None:
    evaluate(tokens(), [[1.0, np.nan]])


def words_instead_of_tokens() -> None:
    evaluate(tokens(), [["hello", "world"]])


def rows_of_different_lengths() -> None:
    evaluate(tokens(), [[1, 2, 3], [4]])


def objects_instead_of_numbers() -> None:
    evaluate(tokens(), np.array([[None]], dtype=object))


def complex_numbers() -> None:
    evaluate(Sequential([Input((1,)), Dense(1)]), np.array([[1j]]))


def evaluate_a_function() -> None:
    evaluate(evaluate, 1)  # type: ignore[arg-type]


def predict_in_batches_of_zero() -> None:
    tokens().predict([[1]], batch_size=0)


def predict_of_ragged_rows() -> None:
    tokens().predict([[1, 2], [3]], batch_size=1)


def fit() -> None:
    two_inputs().fit(np.zeros((1, 2, 3)), epochs=3)


def compile_of_a_model() -> None:
    two_inputs().compile(optimizer="adam")


def evaluate_of_a_model() -> None:
    two_inputs().evaluate(np.zeros((1, 2, 3)))


def save() -> None:
    two_inputs().save("model.keras")


def load_weights() -> None:
    two_inputs().load_weights("model.h5")


def pickled() -> None:
    pickle.dumps(two_inputs())


def copied() -> None:
    copy.deepcopy(two_inputs())


def negative_seed() -> None:
    set_random_seed(-1)
