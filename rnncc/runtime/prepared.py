"""A native call with everything in place, and the error for a check in machine code that failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from rnncc.errors import RnnccError
from rnncc.ops.refusals import refused
from rnncc.runtime.frame import Frame


class PreparedCall:
    """A native call with everything in place: `run` does it. `outputs` are overwritten by every run."""

    __slots__ = ("_alive", "_checks", "_extents", "_frame", "_hidden", "native", "outputs")

    def __init__(
        self,
        frame: Frame,
        outputs: list[np.ndarray],
        alive: object,
        checks: Sequence[tuple[str, str]],
        extents: Mapping[str, int],
        hidden: Mapping[str, int],
    ) -> None:
        self._frame, self._alive, self._checks, self._extents = frame, alive, checks, extents
        self._hidden = hidden
        self.native = frame.native
        """`run`, except that a check that failed is a number, for `failure`, and 0 says that none did."""
        self.outputs = outputs

    def run(self) -> None:
        """Run the machine code once. Raises TokenError or ArgumentError when a check in it fails."""
        code = self.native()
        if code:
            raise self.failure(code)

    def failure(self, code: int) -> RnnccError:
        """The error for what `native` returned."""
        return check_failed(self._checks[code - 1], self._frame.status, self._extents, self._hidden)


def check_failed(
    check: tuple[str, str], status: Any, extents: Mapping[str, int], hidden: Mapping[str, int] = MappingProxyType({})
) -> RnnccError:
    """The error for the `check` that `status` tells of; `hidden` are axes that the user does not see, by input."""
    message, name = check
    number, *position = status[1 : 1 + status[0]]
    if name in hidden:
        del position[hidden[name]]
    return refused(message, number, position, extents, name)
