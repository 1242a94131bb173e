"""The machine that the figures are from: its name, and how a process is kept on some of its cores."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CPUS = Path("/sys/devices/system/cpu")


def cpu_name() -> str:
    """What the CPU calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def cores(count: int) -> frozenset[int]:
    """`count` of the CPUs that this process may use, on cores of their own as far as there are enough."""
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    first_of_core: dict[str, int] = {}
    for cpu in usable:
        first_of_core.setdefault(_siblings(cpu), cpu)
    ordered = [*first_of_core.values(), *(cpu for cpu in usable if cpu not in first_of_core.values())]
    return frozenset(ordered[:count])


def stay_on(cpus: frozenset[int]) -> None:
    """Keep this process, and threads that it starts from now on, on these CPUs, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)


@contextmanager
def environment(threads: int) -> Iterator[None]:
    """Environment variables for a child process whose libraries shall use `threads` threads."""
    flags = os.environ.get("XLA_FLAGS", "")
    settings = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC")}
    settings |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    settings["TF_NUM_INTRAOP_THREADS"] = settings["TF_NUM_INTEROP_THREADS"] = str(threads)
    if threads == 1:
        settings["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _siblings(cpu: int) -> str:
    """What identifies the core of a CPU."""
    try:
        return (_CPUS / f"cpu{cpu}/topology/thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)
