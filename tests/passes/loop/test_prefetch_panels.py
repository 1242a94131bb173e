"""Models whose weights are taken for too large for the level 2 cache have the bits of all others."""

from __future__ import annotations

import numpy as np
import pytest

import rnncc
from rnncc import layers, pipeline
from rnncc.codegen.target import Target
from rnncc.runtime.caches import Caches

ROWS = (1, 2, 5, 6, 7, 13, 24, 31, 50)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_bits_stay(precision: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = rnncc.Sequential(
        [
            layers.Input(shape=(None, 37)),
            layers.GRU(70, return_sequences=True),
            layers.Bidirectional(layers.LSTM(48)),
            layers.Dense(33, activation="tanh"),
        ]
    )
    near = rnncc.compile(model, precision=precision, threads=threads, cache=False)
    monkeypatch.setattr(pipeline, "caches", lambda: Caches(l1=1 << 10, l2=2 << 10))
    far = rnncc.compile(model, precision=precision, threads=threads, cache=False)
    assert "ahead = " in far.ir("scheduled") or pipeline.machine_of(Target.parse("host"), precision).has_matrix_unit
    rng = np.random.default_rng(threads)
    for rows in ROWS:
        x = rng.standard_normal((rows, 5, 37)).astype(np.float32)
        np.testing.assert_array_equal(far(x), near(x))
