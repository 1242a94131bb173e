"""The on-disk cache of compiled models: files named after what they were made from.

An entry is written to a temporary file and renamed, so that a reader sees all of it or nothing; a checksum catches what
a crash or a full disk leaves behind. Whatever goes wrong with the folder (read-only, full, gone), the cache answers
"not here", and the model is compiled: it never stands between a user and a result.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import itertools
import os
import tempfile
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from time import time

from rnncc.records import record

SUFFIX = ".rnncc"
_UNFINISHED = ".part"
_ABANDONED = 3600.0
"""Seconds after which nobody is writing an unfinished entry any more."""
_CHECKSUM = 32  # bytes of a SHA-256


@record(frozen=True, slots=True)
class CacheInfo:
    """What a cache holds."""

    folder: Path
    entries: int
    bytes: int
    limit: int


@record(frozen=True, slots=True)
class DiskCache:
    """A folder with at most `limit` bytes of entries; the longest unused ones go first."""

    folder: Path
    limit: int = 256 << 20

    def get(self, key: str) -> bytes | None:
        """The entry `key`, or None when it is missing or damaged (it is then removed)."""
        path = self.folder / f"{key}{SUFFIX}"
        try:
            content = path.read_bytes()
        except OSError:
            return None
        checksum, payload = content[:_CHECKSUM], content[_CHECKSUM:]
        if hashlib.sha256(payload).digest() != checksum:
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return payload

    def put(self, key: str, payload: bytes) -> bool:
        """Keep `payload` under `key`; False, and no error, when that is not possible."""
        name = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.folder, suffix=_UNFINISHED, delete=False) as file:
                name = file.name
                file.write(hashlib.sha256(payload).digest())
                file.write(payload)
            os.replace(name, self.folder / f"{key}{SUFFIX}")
            name = None
            self._evict()
            return True
        except OSError:
            return False
        finally:
            if name is not None:
                with contextlib.suppress(OSError):
                    os.unlink(name)

    def info(self) -> CacheInfo:
        """Number and size of the entries."""
        entries = self._entries()
        return CacheInfo(self.folder, len(entries), sum(size for _, size, _ in entries), self.limit)

    def clear(self) -> int:
        """Remove every entry, and what processes that were killed have left; returns how many entries went."""
        removed = 0
        for path, _, _ in (*self._entries(), *self._entries(_UNFINISHED)):
            with contextlib.suppress(OSError):
                path.unlink()
                removed += path.suffix == SUFFIX
        return removed

    def _entries(self, suffix: str = SUFFIX) -> list[tuple[Path, int, float]]:
        """Path, size and time of last use of each entry. Another process may remove some meanwhile."""
        found = []
        with contextlib.suppress(OSError):
            for path in self.folder.glob(f"*{suffix}"):
                with contextlib.suppress(OSError):
                    status = path.stat()
                    found.append((path, status.st_size, status.st_mtime))
        return found

    def _evict(self) -> None:
        for path, _, written in self._entries(_UNFINISHED):
            if time() - written > _ABANDONED:
                with contextlib.suppress(OSError):
                    path.unlink()
        entries = sorted(self._entries(), key=lambda entry: entry[2])
        total = sum(size for _, size, _ in entries)
        for path, size, _ in entries:
            if total <= self.limit:
                return
            with contextlib.suppress(OSError):
                path.unlink()
                total -= size


def cache_folder(environment: Mapping[str, str]) -> Path | None:
    """Where the cache lives: RNNCC_CACHE_DIR, else the user's cache folder; None for RNNCC_CACHE_DIR=off."""
    chosen = environment.get("RNNCC_CACHE_DIR", "")
    if chosen.lower() == "off":
        return None
    if chosen:
        folder = Path(os.path.expanduser(chosen))
        if folder.exists() and not folder.is_dir():
            warnings.warn(f"RNNCC_CACHE_DIR is {folder}, which is no folder: nothing is kept there", stacklevel=2)
        return folder
    home = environment.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "rnncc" / "compiled"


@cache
def compiler_fingerprint() -> str:
    """Changes whenever the compiler's own files do."""
    found = []
    folders = [str(Path(__file__).parent.parent)]
    for folder in folders:
        for entry in os.scandir(folder):
            if entry.is_dir():
                folders.append(entry.path)
            elif entry.name.endswith(".py"):
                status = entry.stat()
                found.append(f"{entry.path.removeprefix(folders[0])} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest()


@cache
def machine_fingerprint() -> str | None:
    """Changes with what LLVM can see of this CPU, and with LLVM itself; None where the system does not tell.

    The kernel's description of the first CPU takes LLVM's place: asking LLVM would mean to load it.
    """
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            lines = list(itertools.takewhile(str.strip, file))
    except OSError:
        return None
    changing = ("processor", "cpu MHz", "bogomips", "core id", "physical id", "apicid", "initial apicid")
    cpu = "".join(line for line in lines if not line.startswith(changing))
    found = importlib.util.find_spec("llvmlite")
    assert found is not None and found.origin is not None, "llvmlite is installed"
    libraries = sorted(Path(found.origin).parent.glob("binding/*llvmlite*"))
    return "".join([cpu, *(f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}\n" for path in libraries)])


def key_of(*parts: str) -> str:
    """A name for what `parts` lead to."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:".encode())
        digest.update(part.encode())
    return digest.hexdigest()
