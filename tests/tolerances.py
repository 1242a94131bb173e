"""How far two ways to compute the same numbers may be apart, once for each element type, with the reason.

All values in tests lie near 1. `tolerance` is meant for both `rtol` and `atol`.
"""

from __future__ import annotations

import numpy as np

from rnncc.types import DType

SAME_SUMS = {DType.F32: 1e-5, DType.F64: 1e-12}
"""Interpreter against compiled code, and one form of a program against another: sums of at most a few hundred numbers,
each once with and once without fused multiply-add, in another order (K * 2^-24 at worst, its square root as a rule),
and functions that are right to 5 units in the last place (float32) or 1e-14 (float64), fed into a few dozen steps of
squashed states, which do not amplify differences."""

DEEP = {DType.F32: 2e-4, DType.F64: 1e-10}
"""The same for random graphs: up to a hundred terms and ten ops deep, softmax, variance and division among them; these
may lose a digit in cancellation."""

KERAS_RTOL, KERAS_ATOL = 1e-5, 1e-6
"""Against Keras, in float32: what is promised to users."""


def assert_close(actual: np.ndarray, expected: np.ndarray, tolerances: dict[DType, float], message: str = "") -> None:
    """Same shape, same element type, and values within the tolerance of that type; integers and bools are equal."""
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape), message
    tolerance = {dtype.numpy: value for dtype, value in tolerances.items()}.get(expected.dtype, 0.0)
    np.testing.assert_allclose(actual, expected, tolerance, tolerance, err_msg=message)
