"""What instructions do, read from assembly: multiply-adds, loads, broadcasts, spills. x86 (AT&T) and AArch64."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

FLOPS = {"fma": 2, "mul": 1, "add": 1, "tile product": 1024}
"""What makes a loop hot: operations of one instruction on each lane of its vector. A tile product is 16 x 16 sums of 16
pairs, two multiply-adds each: 1,024 for each of 16 lanes."""


@dataclass(slots=True)
class Census:
    """Instructions of a stretch of code by what they do; one that does several things counts for each.

    `kinds` has fma, mul, add (and subtract), tile product, broadcast, store, spill, reload (both are accesses to the
    stack), call.
    `loads` counts the other loads by the number of bytes that each reads.
    """

    instructions: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    loads: Counter[int] = field(default_factory=Counter)

    @property
    def work(self) -> int:
        """Operations on vectors: a multiply-add is two."""
        return sum(self.kinds[kind] * flops for kind, flops in FLOPS.items())

    def __add__(self, other: Census) -> Census:
        return Census(self.instructions + other.instructions, self.kinds + other.kinds, self.loads + other.loads)

    def __str__(self) -> str:
        parts = [f"{self.kinds['fma']} fma"]
        parts += [_counted(self.kinds["tile product"], "tile product")] if self.kinds["tile product"] else []
        parts += [_counted(self.kinds[kind], kind) for kind in ("mul", "add") if self.kinds[kind]]
        loads = sorted(self.loads.items(), reverse=True)
        parts += [f"{_counted(count, 'load')} ({size} B)" for size, count in loads] or ["0 loads"]
        parts.append(_counted(self.kinds["broadcast"], "broadcast"))
        parts += [_counted(self.kinds["store"], "store")] if self.kinds["store"] else []
        parts.append(_counted(self.kinds["spill"], "spill"))
        parts += [_counted(self.kinds[kind], kind) for kind in ("reload", "call") if self.kinds[kind]]
        return ", ".join(parts)


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 or word in ('mul', 'add') else 's'}"


def take_census(lines: Iterable[str], *, arm: bool) -> Census:
    """The census of lines of assembly; labels, directives and comments count for nothing."""
    total = Census()
    for line in lines:
        code, _, comment = line.partition("//" if arm else "#")
        words = code.split(None, 1)
        if not words or not code[0].isspace() or words[0].startswith(".") or words[0].endswith(":"):
            continue
        operands = _operands(words[1]) if len(words) > 1 else []
        total.instructions += 1
        if arm:
            _count_arm(total, words[0], operands)
        else:
            _count_x86(total, words[0], operands, comment)
    return total


def _operands(text: str) -> list[str]:
    """Operands, split at the commas that are outside of parentheses, brackets and braces."""
    return [part.strip() for part in re.split(r",(?![^(\[{]*[)\]}])", text)]


# ------------------------------------------------------------------ x86

_X86_FMA = re.compile(r"vf(n?m(add|sub)|m(addsub|subadd))\d{3}[ps][sd]")
_X86_ARITHMETIC = re.compile(r"v?(add|sub|mul)[ps][sd]")
_X86_BROADCAST = re.compile(r"v(p?broadcast\w+)|v?movs?ddup")
_X86_REGISTER_BYTES = (("%zmm", 64), ("%ymm", 32), ("%xmm", 16))
_X86_TILE_BYTES = 1024
_X86_NO_ACCESS = ("lea", "nop", "prefetch", "push", "pop", "j", "call", "ret")
_X86_READS_LAST = ("cmp", "test", "ucomis", "comis", "bt", "mul", "div", "idiv")
_X86_SUFFIX_BYTES = {"q": 8, "l": 4, "w": 2, "b": 1}


def _count_x86(total: Census, name: str, operands: list[str], comment: str) -> None:
    kinds = total.kinds
    if _X86_FMA.fullmatch(name):
        kinds["fma"] += 1
    elif arithmetic := _X86_ARITHMETIC.fullmatch(name):
        kinds["mul" if arithmetic[1] == "mul" else "add"] += 1
    elif name.startswith("tdp"):
        kinds["tile product"] += 1
    elif name.startswith("call"):
        kinds["call"] += 1
    memory = [number for number, operand in enumerate(operands) if "(" in operand]
    is_broadcast = bool(_X86_BROADCAST.fullmatch(name)) or any("{1to" in operand for operand in operands)
    is_broadcast |= name in ("shufps", "pshufd") and operands[0] == "$0"
    kinds["broadcast"] += is_broadcast
    if not memory or name.startswith(_X86_NO_ACCESS):
        return
    on_stack = "(%rsp" in operands[memory[0]] or "Spill" in comment or "Reload" in comment
    is_target = memory[0] == len(operands) - 1 and not name.startswith(_X86_READS_LAST)
    reads = not is_target or not name.startswith(("v", "mov", "set", "tilestore"))
    if is_target:
        kinds["spill" if on_stack else "store"] += 1
    if reads and on_stack:
        kinds["reload"] += 1
    elif reads and not is_broadcast:
        total.loads[_x86_bytes(name, operands)] += 1


def _x86_bytes(name: str, operands: list[str]) -> int:
    """Bytes that an instruction with a memory operand reads."""
    if name.startswith("tileload"):
        return _X86_TILE_BYTES
    if name.endswith("ss"):
        return 4
    if name.endswith(("sd", "sdq")):
        return 8
    widths = [size for register, size in _X86_REGISTER_BYTES if any(register in operand for operand in operands)]
    if name.startswith(("v", "mov")) and name.endswith(("movd", "movq")) and widths:
        return 4 if name.endswith("d") else 8
    return widths[0] if widths else _X86_SUFFIX_BYTES.get(name[-1], 8)


# ------------------------------------------------------------------ AArch64

_ARM_FMA = frozenset({"fmla", "fmls", "fmadd", "fmsub", "fnmadd", "fnmsub"})
_ARM_ARITHMETIC = {"fmul": "mul", "fnmul": "mul", "fadd": "add", "fsub": "add"}
_ARM_REGISTER_BYTES = {"q": 16, "d": 8, "s": 4, "h": 2, "b": 1, "x": 8, "w": 4}
_ARM_NARROW = {"b": 1, "h": 2, "sb": 1, "sh": 2, "sw": 4}
_ARM_VECTOR = re.compile(r"v\d+\.(\d+)?([bhsd])")


def _count_arm(total: Census, name: str, operands: list[str]) -> None:
    kinds = total.kinds
    if name in _ARM_FMA:
        kinds["fma"] += 1
    elif name in _ARM_ARITHMETIC:
        kinds[_ARM_ARITHMETIC[name]] += 1
    elif name in ("bl", "blr"):
        kinds["call"] += 1
    elif name == "dup" or re.fullmatch(r"ld[1-4]r", name):
        kinds["broadcast"] += 1
    address = next((operand for operand in operands if operand.startswith("[")), None)
    if address is None or name.startswith("prf"):
        return
    on_stack = address.startswith("[sp")
    count = 2 if name in ("ldp", "stp", "ldnp", "stnp", "ldpsw") else 1
    if name.startswith("st"):
        kinds["spill" if on_stack else "store"] += count
    elif on_stack:
        kinds["reload"] += count
    elif not re.fullmatch(r"ld[1-4]r", name):
        vectors = len(_ARM_VECTOR.findall(operands[0])) if operands[0].startswith("{") else count
        total.loads[_arm_bytes(name, operands[0])] += max(1, vectors)


def _arm_bytes(name: str, target: str) -> int:
    """Bytes that a load puts into each of its registers."""
    if vector := _ARM_VECTOR.search(target):
        return int(vector[1] or 1) * _ARM_REGISTER_BYTES[vector[2]]
    narrow = re.fullmatch(r"ldu?r(s?[bhw])", name)
    return _ARM_NARROW[narrow[1]] if narrow else _ARM_REGISTER_BYTES.get(target[0], 8)
