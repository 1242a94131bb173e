"""The sizes of this machine's caches, as the system reports them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from rnncc.records import record

_CPUS = Path("/sys/devices/system/cpu")


@record(frozen=True, slots=True)
class Caches:
    """Bytes of one core's data caches, and of the cache that cores share."""

    l1: int = 32 << 10
    l2: int = 1 << 20
    l3: int = 32 << 20


@cache
def caches() -> Caches:
    """The caches that the system reports, usual sizes for those that it does not."""
    found: dict[str, int] = {}
    for folder in sorted(_CPUS.glob("cpu0/cache/index*")):
        try:
            level, kind = ((folder / name).read_text().strip() for name in ("level", "type"))
            size = (folder / "size").read_text().strip()
        except OSError:
            continue
        if kind != "Instruction" and size.endswith("K"):
            found[f"l{level}"] = int(size[:-1]) << 10
    return Caches(**{name: size for name, size in found.items() if name in ("l1", "l2", "l3")})
