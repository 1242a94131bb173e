"""Numbers out of whatever users give for one: Python's, numpy's, those of other libraries.

True and False are no numbers here: where one of them is given, an argument was mixed up.
"""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np


def whole_number(value: Any, least: int | None = None, most: int | None = None) -> int | None:
    """`value` as an int; None for what is no whole number (3.0 is none), or not from `least` to `most`."""
    if isinstance(value, bool | np.bool_):
        return None
    try:
        number = index(value)
    except TypeError:
        return None
    too_small, too_large = least is not None and number < least, most is not None and number > most
    return None if too_small or too_large else number


def real_number(value: Any) -> float | None:
    """`value` as a float; None for what is no number, texts among it."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        return None
    return float(value)
