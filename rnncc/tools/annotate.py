"""Assembly that a person can read: every loop says which loop of the loop IR it is, and what its instructions do.

    .LBB1_20:                           # %k.range
            ...                                                                         24 times vfmadd231ps
            jne     .LBB1_20
  ->
    # ==== scan step t: inner loop over k: 24 fma, 4 loads (64 B), 6 broadcasts, 0 spills ====
    #      for k in range(0, 128)    inside of t > js > jt > r
    .LBB1_20:                           # %k.range
            ...

LLVM writes the loop structure into comments, by the names of basic blocks, and the emitter names these after the
loops. LLVM also moves and merges blocks, so a machine loop is what most of its blocks say it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rnncc.loop.index import difference
from rnncc.loop.ir import For, Procedure, Stmt, Store
from rnncc.loop.printer import show_head
from rnncc.loop.visit import is_over_k
from rnncc.tools.census import Census, take_census
from rnncc.tools.page import aligned

_BLOCK = re.compile(r"^(?:\.?LBB(?P<label>\d+_\d+):|(?:#+|//|;) %bb\.\d+:)\s*(?:(?:#+|//|;) %(?P<name>\S+))?")
_HEADER = re.compile(r"=>\s*This (?:Inner )?Loop Header: Depth=\d+")
_PARENT = re.compile(r"Parent Loop BB(\d+_\d+) Depth=\d+")
_INSIDE = re.compile(r"in Loop: Header=BB(\d+_\d+) Depth=\d+")
_STRUCTURE = re.compile(r"^\s*(?:#+|//|;)\s*(=>\s*This |Parent Loop |Child Loop |in Loop: |-- )")
_TRAILING = re.compile(r"\s+(?:#+|//|;) -- (?:Begin|End) .*$")
_NOISE = re.compile(r"^\s*\.(cfi_\w+|p2align|size|type|ident|addrsig\w*|file|section\s+\S*note\S*)(\s|$)")
_REPEATED = re.compile(r"\[(?P<item>[^\[\],]+)(?P<more>(?:,(?P=item))+)\]")
_TIME = re.compile(r"t(_\d+)?")
_WIDEST = 60
"""Letters of a loop's head that are shown: bounds of the rows that are left over can be very long."""


def annotate(assembly: str, procedure: Procedure) -> str:
    """`assembly`, which LLVM made of the emitted `procedure`, with its loops explained and without noise."""
    mark = "//" if re.search(r"^(//|;) %bb\.0:", assembly, re.MULTILINE) else "#"
    blocks = _blocks([line for line in assembly.splitlines() if not _NOISE.match(line)])
    loops = _loops(blocks, _nest(procedure), is_arm=mark == "//")
    hot = _hottest(loops)
    lines = [f"{mark} {line}" for line in _overview(loops, hot)]
    for block in blocks:
        if block.label in loops:
            lines += ["", *(f"{mark} {line}" for line in _heading(loops[block.label], loops, block.label in hot))]
        lines += [_TRAILING.sub("", _shorten(line)) for line in block.lines if not _STRUCTURE.match(line)]
    return "\n".join(lines) + "\n"


def _shorten(line: str) -> str:
    """A constant vector in a comment, once with its count: ``[1.5E+0 x 16]``."""
    return _REPEATED.sub(lambda found: f"[{found['item']} x {found['more'].count(',') + 1}]", line)


# ------------------------------------------------------------------ basic blocks of the assembly


@dataclass(slots=True)
class _Block:
    """Lines up to the next label. `loop` is the header of the innermost loop around; `outer` are those of a header."""

    lines: list[str]
    label: str = ""
    name: str = ""
    loop: str = ""
    outer: tuple[str, ...] = ()


def _blocks(lines: Sequence[str]) -> list[_Block]:
    blocks = [_Block([])]
    for line in lines:
        if start := _BLOCK.match(line):
            blocks.append(_Block([], start["label"] or "", start["name"] or ""))
        block = blocks[-1]
        block.lines.append(line)
        if inside := _INSIDE.search(line):
            block.loop = inside[1]
        elif parent := _PARENT.search(line):
            block.outer = (*block.outer, parent[1])
        elif _HEADER.search(line):
            block.loop = block.label
    return blocks


# ------------------------------------------------------------------ loops of the loop IR


@dataclass(frozen=True, slots=True)
class _Source:
    """A loop as it was emitted. `outer` are the labels of the loops around it, outermost first."""

    loop: For
    outer: tuple[str, ...]

    @property
    def is_time(self) -> bool:
        """True for the loop that a scan became: it goes over time in order, and writes its state to memory."""
        return self.loop.kind == "range" and bool(_TIME.fullmatch(self.loop.variable)) and _stores(self.loop.body)

    @property
    def is_taken_once(self) -> bool:
        """True for a loop of one turn, which LLVM makes part of the loop around it."""
        size = difference(self.loop.stop, self.loop.start)
        return size is not None and size <= self.loop.step


def _stores(statements: Sequence[Stmt]) -> bool:
    return any(isinstance(item, Store) or (isinstance(item, For) and _stores(item.body)) for item in statements)


def _nest(procedure: Procedure) -> dict[str, _Source]:
    """Every loop of the body by the label that the emitter gives it: ``k.range``, ``k.range.2``, ..."""
    counts: Counter[str] = Counter()
    nest: dict[str, _Source] = {}

    def walk(statements: Sequence[Stmt], outer: tuple[str, ...]) -> None:
        for statement in statements:
            if isinstance(statement, For):
                hint = f"{statement.variable}.{statement.kind}"
                counts[hint] += 1
                label = hint if counts[hint] == 1 else f"{hint}.{counts[hint]}"
                nest[label] = _Source(statement, outer)
                walk(statement.body, (*outer, label))

    walk(procedure.body, ())
    return nest


def _said_by(name: str, nest: Mapping[str, _Source]) -> str | None:
    """The label of the loop that a block of this name lies in; None when its name does not say.

    ``k.range.latch`` lies in the loop over k; ``k.range.exit`` and ``k.range.head.preheader`` in the one around it.
    """
    label = name
    while label not in nest:
        label, dot, _ = label.rpartition(".")
        if not dot:
            return None
    suffix = name[len(label) :]
    if ".lr.ph" in suffix or suffix.count("preheader") > 1:
        return None
    around = [*nest[label].outer, label]
    if any(word in suffix for word in ("preheader", ".enter", ".exit")):
        around.pop()
    return next((outer for outer in reversed(around) if not nest[outer].is_taken_once), None)


# ------------------------------------------------------------------ loops of the assembly


@dataclass(frozen=True, slots=True)
class _Loop:
    """A loop of the machine code; `outer` are the headers around it, `census` that of its own blocks."""

    header: str
    outer: tuple[str, ...]
    source: _Source | None
    census: Census
    is_innermost: bool

    @property
    def variable(self) -> str:
        return self.source.loop.variable if self.source else "?"

    @property
    def head(self) -> str:
        if self.source is None:
            return "a loop that LLVM made"
        text = show_head(self.source.loop).rstrip(":")
        return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 4]}...)"


def _loops(blocks: Sequence[_Block], nest: Mapping[str, _Source], *, is_arm: bool) -> dict[str, _Loop]:
    """Every machine loop by its header's label, in order of appearance."""
    votes: dict[str, Counter[str]] = {}
    census: dict[str, Census] = {}
    for block in blocks:
        if block.loop:
            said = _said_by(block.name, nest)
            votes.setdefault(block.loop, Counter()).update([said] if said else [])
            census[block.loop] = census.get(block.loop, Census()) + take_census(block.lines, arm=is_arm)
    heads = [block for block in blocks if block.label and block.loop == block.label]
    around = {header for head in heads for header in head.outer}
    loops = {}
    for head in heads:
        source = next((nest[label] for label, _ in votes[head.label].most_common(1)), None)
        loops[head.label] = _Loop(head.label, head.outer, source, census[head.label], head.label not in around)
    return loops


def _scan_of(loop: _Loop, loops: Mapping[str, _Loop]) -> _Loop | None:
    """The outermost loop over time around `loop`, or `loop` itself if it is one."""
    for header in (*loop.outer, loop.header):
        item = loops.get(header)
        if item is not None and item.source is not None and item.source.is_time:
            return item
    return None


def _hottest(loops: Mapping[str, _Loop]) -> set[str]:
    """Headers of the innermost loops with most arithmetic: one for each scan, a loop over k if there is one."""

    def heat(loop: _Loop) -> tuple[bool, int]:
        return loop.source is not None and is_over_k(loop.source.loop), loop.census.work

    best: dict[str, _Loop] = {}
    for loop in loops.values():
        scan = _scan_of(loop, loops)
        if scan is not None and loop.is_innermost and loop.census.work:
            known = best.get(scan.header)
            if known is None or heat(loop) > heat(known):
                best[scan.header] = loop
    return {loop.header for loop in best.values()}


# ------------------------------------------------------------------ what is written

_COLUMNS = {
    "fma": "fma",
    "mul": "mul",
    "add": "add",
    "load": "loads",
    "broadcast": "broadcasts",
    "store": "stores",
    "spill": "spills",
    "reload": "reloads",
    "call": "calls",
}


def _heading(loop: _Loop, loops: Mapping[str, _Loop], is_hot: bool) -> Iterator[str]:
    path = " > ".join(loops[header].variable for header in loop.outer if header in loops)
    inside = f"    inside of {path}" if path else ""
    scan = _scan_of(loop, loops)
    if is_hot and scan is not None:
        yield f"==== scan step {scan.variable}: inner loop over {loop.variable}: {loop.census} ===="
        yield f"     {loop.head}{inside}"
    elif loop.is_innermost:
        yield f"---- inner loop over {loop.variable}: {loop.census} ----"
        yield f"     {loop.head}{inside}"
    else:
        yield f"---- {loop.head}, depth {len(loop.outer) + 1}{inside} ----"


def _overview(loops: Mapping[str, _Loop], hot: set[str]) -> Iterator[str]:
    """A table of all loops; its numbers are those of a loop's own code, without the loops inside."""
    has_tiles = any(loop.census.kinds["tile product"] for loop in loops.values())
    columns = {"tile product": "tile products"} | _COLUMNS if has_tiles else _COLUMNS
    rows = []
    for loop in loops.values():
        counts = {**loop.census.kinds, "load": sum(loop.census.loads.values())}
        numbers = [str(counts.get(kind) or ".") for kind in columns]
        hottest = "<== hottest loop of the scan" if loop.header in hot else ""
        rows.append(["  " * len(loop.outer) + loop.head, f"BB{loop.header}", *numbers, hottest])
    if rows:
        yield "loops, with the instructions of each outside of the loops in it"
        titles = ["loop", "label", *columns.values(), ""]
        yield from (f"  {line}" for line in aligned([titles, *rows], range(2, 2 + len(columns))))
