"""Whole numbers of any library are taken where one is wanted; what is no number, nowhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnncc
from rnncc import layers
from rnncc.errors import ArgumentError
from rnncc.numeric import real_number, whole_number


class _Index:
    """What a tensor of another library may be."""

    def __index__(self) -> int:
        return 3


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3), np.array(3), _Index()])
def test_whole_numbers(value: Any) -> None:
    number = whole_number(value)
    assert number == 3
    assert type(number) is int


@pytest.mark.parametrize("value", [None, "3", 3.0, np.float32(3), True, np.True_, np.array([3, 4]), [3], 3j])
def test_what_is_no_whole_number(value: Any) -> None:
    assert whole_number(value) is None


def test_limits_belong_to_the_numbers() -> None:
    assert [whole_number(value, 1, 3) for value in range(5)] == [None, 1, 2, 3, None]
    assert whole_number(-5) == -5


@pytest.mark.parametrize("value", [0.5, np.float16(0.5), np.float64(0.5)])
def test_real_numbers(value: Any) -> None:
    number = real_number(value)
    assert number == 0.5
    assert type(number) is float


@pytest.mark.parametrize("value", [None, "0.5", False, np.False_, [0.5], np.zeros(2), 0.5j, np.complex64(0.5)])
def test_what_is_no_real_number(value: Any) -> None:
    assert real_number(value) is None


def test_sizes_and_options_take_them() -> None:
    eight = np.int64(8)
    model = rnncc.Sequential(
        [
            layers.Input((None, eight)),
            layers.LSTM(np.int32(5), return_sequences=True, unroll=np.int16(2)),
            layers.Dropout(np.float32(0.5), noise_shape=(None, np.int64(1), None)),
            layers.Dense(_Index()),  # type: ignore[arg-type]
        ]
    )
    x = np.random.default_rng(0).standard_normal((4, 7, 8)).astype(np.float32)
    fn = rnncc.compile(
        model, threads=np.int64(2), unroll=np.uint8(3), level=np.int64(1), table_bytes=np.int64(100), cache=False
    )
    plain = rnncc.compile(model, threads=2, unroll=3, level=1, table_bytes=100, cache=False)
    assert np.array_equal(fn(x), plain(x))
    assert fn(x).shape == (4, 7, 3)
    assert type(fn.memory(B=np.int64(4), T=np.int8(7))) is int
    assert fn.stream(np.int64(4)).batch == 4
    assert np.array_equal(model.predict(x, batch_size=np.int64(3)), model.predict(x))
    rnncc.set_random_seed(np.uint32(7))
    with pytest.raises(ArgumentError, match="threads must be a number from 1"):
        rnncc.compile(model, threads=True)
