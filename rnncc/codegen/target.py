"""The machine that code is generated for: its vectors, its registers, and whether this process can run the result."""

from __future__ import annotations

from functools import cache

from rnncc.codegen import llvm
from rnncc.errors import ArgumentError, caller
from rnncc.records import record
from rnncc.types import DType

# What each level of the x86-64 psABI adds to the one before, as far as the host's feature flags report it.
_X86_LEVELS: dict[str, tuple[str, ...]] = {
    "x86-64": ("sse2",),
    "x86-64-v2": ("sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "cx16"),
    "x86-64-v3": ("avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"),
    "x86-64-v4": ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"),
}
_X86_MORE = {"x86-64-v4-amx": ("x86-64-v4", "+amx-tile,+amx-bf16,+avx512bf16")}
"""Levels, and what LLVM calls instructions that no level has: those of Intel's servers from 2023 on."""
_LONG_WALK_BYTES = {"znver5": 480 << 10}
"""Measured: cores whose level 2 cache delivers 3/4 of its bandwidth when a line is asked for again sooner than that."""
_ARM_NAMES = ("aarch64", "armv8-a")
# LLVM splits 512-bit vectors in two on most server cores unless it is told not to.
_WHOLE_VECTORS = "-prefer-128-bit,-prefer-256-bit"

MATRIX_TARGETS = tuple(_X86_MORE)
KNOWN_TARGETS = ("host", *_X86_LEVELS, *_X86_MORE, *_ARM_NAMES)


@record(frozen=True, slots=True)
class Target:
    """An instruction set, in LLVM's words (`triple`, `cpu`, `features`) and in those that a scheduler needs."""

    triple: str
    cpu: str
    features: str
    vector_bits: int
    registers: int
    has_fma: bool

    @classmethod
    def parse(cls, spec: str) -> Target:
        """The target that a user names: ``host``, an x86-64 level (``x86-64-v3``, ``x86-64-v4-amx``) or ``aarch64``.

        Raises ArgumentError for any other name. A target that this machine cannot execute is a target like any
        other, for reading what would be generated; see `runs_on_host`.
        """
        if spec == "host":
            return _host()
        if isinstance(spec, str) and spec in _X86_LEVELS:
            return _x86_target(_triple_for("x86_64"), spec, "", frozenset(_level_features(spec)))
        if isinstance(spec, str) and spec in _X86_MORE:
            level, more = _X86_MORE[spec]
            return _x86_target(_triple_for("x86_64"), level, more, frozenset(_level_features(level)))
        if spec in _ARM_NAMES:
            return _arm_target(_triple_for("aarch64"), "generic", "")
        raise ArgumentError(f"unknown target {spec!r}", f"known: {', '.join(KNOWN_TARGETS)}", place=caller())

    def lanes(self, dtype: DType) -> int:
        """How many elements of `dtype` one vector register holds."""
        return self.vector_bits // (8 * dtype.size)

    @property
    def is_x86(self) -> bool:
        """True for 64-bit x86."""
        return _architecture(self.triple) == "x86_64"

    @property
    def has_avx512(self) -> bool:
        """True where vectors have 512 bits, mask registers and the AVX-512 instructions."""
        return self.is_x86 and self.vector_bits == 512

    @property
    def has_bfloat16(self) -> bool:
        """True where one instruction adds products of bfloat16 pairs."""
        return self.has_avx512 and "+avx512bf16" in self.features.split(",")

    @property
    def has_matrix_unit(self) -> bool:
        """True where one instruction adds products of tiles of bfloat16 pairs. A process has to ask for it."""
        return self.has_avx512 and "+amx-bf16" in self.features.split(",")

    @property
    def long_walk_bytes(self) -> int:
        """How many bytes of the level 2 cache lie between two fast readings of the same line; 0 where any do."""
        return _LONG_WALK_BYTES.get(self.cpu, 0)

    @property
    def runs_on_host(self) -> bool:
        """True when the machine that this process runs on has every instruction of the target."""
        if _architecture(self.triple) != _architecture(llvm.get_process_triple()):
            return False
        wanted = {flag[1:] for flag in self.features.split(",") if flag.startswith("+")}
        return wanted.union(_level_features(self.cpu)) <= _host_features()

    def __str__(self) -> str:
        fma = "fused multiply-add" if self.has_fma else "no fused multiply-add"
        pairs = ", pairs of bfloat16" if self.has_bfloat16 else ""
        unit = ", matrix unit" if self.has_matrix_unit else ""
        return f"{self.cpu}: {self.registers} vectors of {self.vector_bits} bits, {fma}{pairs}{unit}"


@cache
def _host() -> Target:
    """The machine that this process runs on.

    The name of the CPU only chooses a cost model: hypervisors and old LLVM tables misname CPUs, while the feature
    flags come from the CPU itself and from what the operating system has switched on.
    """
    triple = llvm.get_process_triple()
    cpu = llvm.get_host_cpu_name()
    features = llvm.get_host_cpu_features().flatten()
    match _architecture(triple):
        case "x86_64":
            return _x86_target(triple, cpu, features, _host_features())
        case "aarch64":
            return _arm_target(triple, cpu, features)
        case other:
            return Target(triple, cpu, features, vector_bits=128, registers=16, has_fma=other.startswith("riscv"))


@cache
def _host_features() -> frozenset[str]:
    return frozenset(name for name, present in llvm.get_host_cpu_features().items() if present)


def _x86_target(triple: str, cpu: str, features: str, present: frozenset[str]) -> Target:
    if "avx512f" in present:
        whole = f"{features},{_WHOLE_VECTORS}" if features else _WHOLE_VECTORS
        return Target(triple, cpu, whole, vector_bits=512, registers=32, has_fma=True)
    width = 256 if present & {"avx", "avx2"} else 128
    return Target(triple, cpu, features, vector_bits=width, registers=16, has_fma="fma" in present)


def _arm_target(triple: str, cpu: str, features: str) -> Target:
    return Target(triple, cpu, features, vector_bits=128, registers=32, has_fma=True)


def _level_features(cpu: str) -> tuple[str, ...]:
    """Every feature of an x86-64 level, those of the levels below included; nothing for another CPU's name."""
    if cpu not in _X86_LEVELS:
        return ()
    levels = list(_X86_LEVELS)
    return tuple(name for level in levels[: levels.index(cpu) + 1] for name in _X86_LEVELS[level])


def _triple_for(architecture: str) -> str:
    """This machine's triple when it has that architecture (same object format and ABI), else a Linux one."""
    host = llvm.get_process_triple()
    return host if _architecture(host) == architecture else f"{architecture}-unknown-linux-gnu"


def _architecture(triple: str) -> str:
    name = triple.split("-", 1)[0]
    return {"amd64": "x86_64", "x86_64h": "x86_64", "arm64": "aarch64"}.get(name, name)
