"""How much memory there is, and how sizes are written."""

from __future__ import annotations

import os


def available_memory() -> int:
    """Bytes that can be allocated without swapping, as the operating system estimates it."""
    try:
        with open("/proc/meminfo") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def memory_size(size: float) -> str:
    """Bytes for people, as Keras writes them: ``641.04 KB``."""
    for unit in ("Byte", "KB", "MB", "GB", "TB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} PB"
