"""llvmlite's binding, imported when the first name is taken from here: it takes 30 ms, and only compiling needs it.

from rnncc.codegen import llvm

llvm.parse_assembly(text)
"""

from __future__ import annotations

import importlib
import threading
from contextlib import AbstractContextManager
from typing import Any

from rnncc.locks import keep_over_fork

_importing = threading.Lock()


def __getattr__(name: str) -> Any:
    """`llvmlite.binding.NAME`."""
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(_binding(), name)


def lock() -> AbstractContextManager[object]:
    """llvmlite's own lock, which it also takes to free objects, in whatever thread that happens."""
    found: AbstractContextManager[object] = _binding().ffi.lib._lock
    return found


def _binding() -> Any:
    """The module, imported once and then a variable of this one."""
    known = globals()
    if "binding" not in known:
        with _importing:
            if "binding" not in known:
                binding = importlib.import_module("llvmlite.binding")
                keep_over_fork(binding.ffi.lib._lock)
                known["binding"] = binding
    return known["binding"]
