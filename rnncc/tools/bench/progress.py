"""One line on a terminal that says what is going on; nothing elsewhere."""

from __future__ import annotations

import shutil
from typing import TextIO


class ProgressLine:
    """Writes over itself."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_shown = stream.isatty()

    def show(self, text: str) -> None:
        """Replace the line."""
        if self._is_shown:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r\x1b[K{text[:width]}")
            self._stream.flush()

    def clear(self) -> None:
        """Take the line away."""
        self.show("")
