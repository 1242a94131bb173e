"""Keras itself, on its NumPy backend, as the reference for numbers."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np

os.environ["KERAS_BACKEND"] = "numpy"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import keras

assert keras.backend.backend() == "numpy", "keras was imported with another backend before"

RTOL, ATOL = 1e-5, 1e-6
"""What float32 results may differ by: sums of a few hundred products in another order."""


def run(model: Any, *arrays: np.ndarray) -> list[np.ndarray]:
    """The outputs of a Keras model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outputs = model(list(arrays) if len(arrays) > 1 else arrays[0])
        return [np.asarray(output) for output in (outputs if isinstance(outputs, list | tuple) else [outputs])]


def quietly(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call into Keras without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def assert_close(ours: Any, theirs: list[np.ndarray]) -> None:
    """Compare outputs of both."""
    own = ours if isinstance(ours, list) else [ours]
    assert len(own) == len(theirs)
    for a, b in zip(own, theirs, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=RTOL, atol=ATOL)
