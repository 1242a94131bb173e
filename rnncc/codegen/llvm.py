"""llvmlite's binding, imported when the first name is taken from here: it takes 30 ms, and only compiling needs it.

from rnncc.codegen import llvm

llvm.parse_assembly(text)
"""

from __future__ import annotations

import importlib
import os
import threading
from contextlib import AbstractContextManager
from typing import Any

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
                _keep_over_fork(binding.ffi.lib._lock)
                known["binding"] = binding
    return known["binding"]


def _keep_over_fork(held: AbstractContextManager[object]) -> None:
    """Let fork() wait for the lock: a child that was forked while another thread held it would wait for ever."""

    def release() -> None:
        held.__exit__(None, None, None)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=held.__enter__, after_in_parent=release, after_in_child=release)
