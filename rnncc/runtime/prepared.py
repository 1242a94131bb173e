"""A native call with everything in place."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rnncc.errors import RnnccError
from rnncc.runtime.ready import Ready


class PreparedCall:
    """A native call with everything in place: `run` does it. `outputs` are overwritten by every run."""

    __slots__ = ("_alive", "_hidden", "_ready", "native", "outputs")

    def __init__(self, ready: Ready, outputs: list[np.ndarray], alive: object, hidden: Mapping[str, int]) -> None:
        self._ready, self._alive, self._hidden = ready, alive, hidden
        self.native = ready.native
        """`run`, except that a check that failed is a number, for `failure`, and 0 says that none did."""
        self.outputs = outputs

    def run(self) -> None:
        """Run the machine code once. Raises TokenError or ArgumentError when a check in it fails."""
        code = self.native()
        if code:
            raise self.failure(code)

    def failure(self, code: int) -> RnnccError:
        """The error for what `native` returned."""
        return self._ready.failure(code, self._hidden)
