"""Locks that outlive fork(): a child that was forked while another thread held one would wait for it for ever."""

from __future__ import annotations

import os
from threading import RLock


def lock_over_fork() -> RLock:
    """A new lock, which fork() waits for. Of several, the newest is taken first by it: hold them in this order."""
    lock = RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock
