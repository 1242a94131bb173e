"""Leave to use the matrix unit: Linux gives it to a process that asks, since its registers are 8 KiB for every thread.

It then holds for all threads of the process and for those it forks. The kernel refuses where a thread has a stack for
signals that is too small for them, and where it does not know the unit; other systems are not asked.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from functools import cache

_ARCH_PRCTL = 158
_ARCH_REQ_XCOMP_PERM = 0x1023
_XTILEDATA = 18


@cache
def ask_for_matrix_unit() -> bool:
    """Ask for AMX, once; True when this process may use it from here on."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    refused = ctypes.CDLL(None).syscall(_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XTILEDATA)
    return not refused
