"""Arrays out of whatever users give for one: lists, pandas columns, tensors of other libraries."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnncc.errors import DTypeError, RnnccError, ShapeError, caller

PAD_ROWS = "pad the rows to one length, or call once for each row"
"""What to do about an input with rows of different lengths."""


def as_numpy(name: str, value: Any, ragged: str | None = None) -> np.ndarray:
    """`value` as an array; `name` says in errors what it is for, `ragged` what to do about rows of different lengths.

    Raises ShapeError for rows of different lengths, DTypeError for what says itself that it is no array: a tensor of
    another library, for one, that wants gradients, lies on a device or has a type that numpy has not.
    """
    try:
        return np.asarray(value)
    except (RnnccError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, ValueError) and isinstance(value, list | tuple):
            raise ShapeError(f"{name} has rows of different lengths", place=caller(), remedy=ragged) from None
        said = str(error).strip().splitlines()
        raise DTypeError(
            f"{name} does not become an array",
            f"given: {type(value).__module__}.{type(value).__qualname__}",
            f"it says: {said[0] if said else type(error).__name__}",
            place=caller(),
            remedy="convert it to a numpy array of numbers first",
        ) from None
