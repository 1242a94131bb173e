"""AMX as a Python program, for machines that have none: LLVM IR calls it in place of the instructions.

What the instructions do is Intel's pseudocode (Software Developer's Manual, volume 2: LDTILECFG, TDPBF16PS, TILELOADD,
TILERELEASE, TILESTORED, TILEZERO): of a tile, only its rows are read, written and multiplied, and products are added up
for even and odd factors first. What would end a process is an error, and so is a sum in a tile that was set up anew.
"""

from __future__ import annotations

import ctypes
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_BYTE, _PLACE = ctypes.c_uint8, ctypes.c_uint64
_ARGUMENTS = {
    "ldtilecfg": (_PLACE,),
    "tilerelease": (),
    "tilezero": (_BYTE,),
    "tileloadd64": (_BYTE, _PLACE, _PLACE),
    "tilestored64": (_BYTE, _PLACE, _PLACE),
    "tdpbf16ps": (_BYTE, _BYTE, _BYTE),
}
_CALL = re.compile(rf"call void @llvm\.x86\.({'|'.join(_ARGUMENTS)})\(")
_DECLARATION = re.compile(rf"^declare void @llvm\.x86\.({'|'.join(_ARGUMENTS)})\(.*$", re.MULTILINE)


@dataclass(slots=True)
class _State:
    """Of one thread: bytes of a row and rows of each tile, and what is in it; nothing before it is set up."""

    bytes: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    tiles: dict[int, np.ndarray] = field(default_factory=dict)


class Emulator:
    """The instructions; `problems` are what a processor would have stopped at, `counts` how often each was run."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.counts = dict.fromkeys(_ARGUMENTS, 0)
        self._states: dict[int, _State] = {}  # not threading.local, which forgets threads that Python has not made
        self._kept = {name: self._callback(name) for name in _ARGUMENTS}

    def rewritten(self, text: str) -> str:
        """LLVM IR that calls the emulator instead of the instructions."""

        def place(found: re.Match[str]) -> str:
            address = ctypes.cast(self._kept[found[1]], ctypes.c_void_p).value
            return f"call void inttoptr (i64 {address} to ptr)("

        return _DECLARATION.sub("", _CALL.sub(place, text))

    def _callback(self, name: str) -> Any:
        instruction: Callable[..., None] = getattr(self, name)

        def run(*arguments: int) -> None:
            self.counts[name] += 1
            try:
                instruction(*arguments)
            except Exception as error:  # nothing may leave a callback
                self.problems.append(f"{name}{arguments}: {error!r}")

        return ctypes.CFUNCTYPE(None, *_ARGUMENTS[name])(run)

    @property
    def state(self) -> _State:
        """That of the calling thread."""
        return self._states.setdefault(threading.get_native_id(), _State())

    def ldtilecfg(self, place: int) -> None:
        content = ctypes.string_at(place, 64)
        assert content[0] == 1, "palette 1"
        assert not any(content[1:16]) and not any(content[32:48]) and not any(content[56:]), "reserved bytes are 0"
        sizes, rows = np.frombuffer(content[16:32], np.uint16), content[48:56]
        assert max(sizes) <= 64 and max(rows) <= 16 and min(sizes) > 0 and min(rows) > 0
        self._states[threading.get_native_id()] = _State(list(map(int, sizes)), list(rows))

    def tilerelease(self) -> None:
        self._states.pop(threading.get_native_id(), None)

    def tilezero(self, tile: int) -> None:
        self.state.tiles[tile] = np.zeros((self.state.rows[tile], self.state.bytes[tile] // 4), np.float32)

    def tileloadd64(self, tile: int, place: int, stride: int) -> None:
        size = self.state.bytes[tile]
        rows = [ctypes.string_at(place + row * stride, size) for row in range(self.state.rows[tile])]
        self.state.tiles[tile] = np.frombuffer(b"".join(rows), np.float32).reshape(len(rows), size // 4)

    def tilestored64(self, tile: int, place: int, stride: int) -> None:
        for row, values in enumerate(self.state.tiles[tile]):
            ctypes.memmove(place + row * stride, values.tobytes(), self.state.bytes[tile])

    def tdpbf16ps(self, total: int, rows: int, columns: int) -> None:
        state = self.state
        left, right = (state.tiles[tile].view(np.uint32) for tile in (rows, columns))
        assert left.shape[1] == right.shape[0], "as many pairs"
        assert state.tiles[total].shape == (left.shape[0], right.shape[1])
        with np.errstate(all="ignore"):
            products = (_half(left, odd).T[:, :, None] * _half(right, odd)[:, None, :] for odd in (0, 1))
            even, odd = (np.cumsum(some, axis=0, dtype=np.float32)[-1] for some in products)
            state.tiles[total] = state.tiles[total] + (even + odd)


def _half(words: np.ndarray, odd: int) -> np.ndarray:
    return np.ascontiguousarray(words & np.uint32(0xFFFF0000) if odd else words << np.uint32(16)).view(np.float32)
