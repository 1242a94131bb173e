"""Locks that outlive fork(): a child that was forked while another thread held one would wait for it for ever."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from threading import RLock


def lock_over_fork() -> RLock:
    """A new lock, which fork() waits for. Of several, the newest is taken first by it: hold them in this order."""
    lock = RLock()
    keep_over_fork(lock)
    return lock


def keep_over_fork(lock: AbstractContextManager[object]) -> None:
    """Let fork() wait for `lock`."""

    def release() -> None:
        lock.__exit__(None, None, None)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.__enter__, after_in_parent=release, after_in_child=release)
