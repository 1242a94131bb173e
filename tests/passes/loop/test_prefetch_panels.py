"""Models whose weights are taken for too large for the level 2 cache have the bits of all others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import rnncc
from rnncc import layers, pipeline
from rnncc.codegen.target import Target

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
    near = replace(pipeline.machine_of(Target.parse("host"), precision), has_matrix_unit=False, middle_bytes=1 << 20)
    far = replace(near, near_bytes=1 << 10, middle_bytes=2 << 10)
    fns = []
    for machine in (near, far):
        monkeypatch.setattr(pipeline, "machine_of", lambda *_, machine=machine: machine)
        fns.append(rnncc.compile(model, precision=precision, threads=threads, cache=False))
    assert ["ahead = " in fn.ir("scheduled") for fn in fns] == [False, True]
    rng = np.random.default_rng(threads)
    for rows in ROWS:
        x = rng.standard_normal((rows, 5, 37)).astype(np.float32)
        np.testing.assert_array_equal(fns[1](x), fns[0](x))
