"""The kernels that measure a machine, as LLVM text for vectors of any length.

`peak` keeps independent chains of multiply-adds in registers; `pairs` does so with products of pairs of bfloat16, where
there is an instruction for them. `read` adds up a block of memory as integers, into independent sums, again and again.
All that LLVM knows writes its results to the block, so that nothing can be left out. `meet` lets threads do nothing but
meet, at the barrier of compiled models.
"""

from __future__ import annotations

from rnncc.codegen import matrix_unit
from rnncc.codegen.bfloat16 import dot_instruction
from rnncc.codegen.instructions import Code
from rnncc.codegen.permission import ask_for_matrix_unit
from rnncc.codegen.target import Target
from rnncc.codegen.team import barrier_text, declarations
from rnncc.types import DType


def peak_text(lanes: int, chains: int, *, has_fma: bool) -> str:
    """`void peak(ptr block, i64 repeats, i64)`: ``acc[i] = acc[i] * m + m`` for every chain i, with m from memory."""
    vector, intrinsic = f"<{lanes} x float>", f"llvm.fma.v{lanes}f32"
    lines = [
        "define void @peak(ptr %block, i64 %repeats, i64 %turns) nounwind {",
        "entry:",
        f"  %m = load {vector}, ptr %block",
        *_moves("load", "%start", vector, chains),
        "  br label %loop",
        "loop:",
        "  %r = phi i64 [ 0, %entry ], [ %r.next, %loop ]",
        *(f"  %acc.{i} = phi {vector} [ %start.{i}, %entry ], [ %next.{i}, %loop ]" for i in range(chains)),
    ]
    for i in range(chains):
        if has_fma:
            lines.append(f"  %next.{i} = call {vector} @{intrinsic}({vector} %acc.{i}, {vector} %m, {vector} %m)")
        else:
            lines.append(f"  %product.{i} = fmul {vector} %acc.{i}, %m")
            lines.append(f"  %next.{i} = fadd {vector} %product.{i}, %m")
    lines += [
        *_next_repeat(vector, chains),
        f"declare {vector} @{intrinsic}({vector}, {vector}, {vector})",
    ]
    return "\n".join(lines) + "\n"


def _next_repeat(vector: str, chains: int) -> list[str]:
    """The end of a loop over repeats in one block, and of its function: what the chains hold goes to the block."""
    return [
        "  %r.next = add i64 %r, 1",
        "  %more = icmp slt i64 %r.next, %repeats",
        "  br i1 %more, label %loop, label %exit",
        "exit:",
        *_moves("store", "%next", vector, chains),
        "  ret void",
        "}",
    ]


def pairs_text(target: Target, chains: int) -> tuple[str, int] | None:
    """`void pairs(ptr block, i64 repeats, i64)`: sums of products of pairs, and how many of those a repeat has.

    None where the machine has no instruction for them that this process may use.
    """
    if target.has_matrix_unit and ask_for_matrix_unit():
        return matrix_unit.peak_text(target)
    if not target.has_bfloat16:
        return None
    code = Code(target)
    lanes = target.lanes(DType.F32)
    vector, numbers = f"<{lanes} x float>", range(chains)
    lines = [
        "define void @pairs(ptr %block, i64 %repeats, i64 %turns) nounwind {",
        "entry:",
        "  %pairs = load <32 x bfloat>, ptr %block",
        "  br label %loop",
        "loop:",
        "  %r = phi i64 [ 0, %entry ], [ %r.next, %loop ]",
        *(f"  %acc.{i} = phi {vector} [ zeroinitializer, %entry ], [ %next.{i}, %loop ]" for i in numbers),
        *(f"  %next.{i} = {dot_instruction(code, '%pairs', '%pairs', f'%acc.{i}')}" for i in numbers),
        *_next_repeat(vector, chains),
        *code.module_lines(),
    ]
    return "\n".join(lines) + "\n", 2 * lanes * chains


def read_text(lanes: int, sums: int) -> str:
    """`void read(ptr block, i64 repeats, i64 turns)`: adds up `turns` groups of `sums` vectors, `repeats` times.

    The sums are written over the first vectors of the block, which are part of the next call's work.
    """
    vector = f"<{lanes} x i32>"
    numbers = range(sums)
    lines = [
        "define void @read(ptr %block, i64 %repeats, i64 %turns) nounwind {",
        "entry:",
        "  br label %outer",
        "outer:",
        "  %r = phi i64 [ 0, %entry ], [ %r.next, %outer.latch ]",
        *(f"  %sum.{i} = phi {vector} [ zeroinitializer, %entry ], [ %next.{i}, %outer.latch ]" for i in numbers),
        "  br label %loop",
        "loop:",
        "  %t = phi i64 [ 0, %outer ], [ %t.next, %loop ]",
        *(f"  %acc.{i} = phi {vector} [ %sum.{i}, %outer ], [ %next.{i}, %loop ]" for i in numbers),
        f"  %first = mul i64 %t, {sums}",
    ]
    for i in numbers:
        lines += [
            f"  %number.{i} = add i64 %first, {i}",
            f"  %at.{i} = getelementptr inbounds {vector}, ptr %block, i64 %number.{i}",
            f"  %word.{i} = load {vector}, ptr %at.{i}",
            f"  %next.{i} = add {vector} %acc.{i}, %word.{i}",
        ]
    lines += [
        "  %t.next = add i64 %t, 1",
        "  %more = icmp slt i64 %t.next, %turns",
        "  br i1 %more, label %loop, label %outer.latch",
        "outer.latch:",
        "  %r.next = add i64 %r, 1",
        "  %again = icmp slt i64 %r.next, %repeats",
        "  br i1 %again, label %outer, label %exit",
        "exit:",
        *_moves("store", "%next", vector, sums),
        "  ret void",
        "}",
    ]
    return "\n".join(lines) + "\n"


def meet_text(target: Target) -> str:
    """`void meet(ptr barrier, i64 repeats, i64 thread, i64 threads)`: so many meetings."""
    return f"""{declarations(target)}{barrier_text(target)}
define void @meet(ptr %barrier, i64 %repeats, i64 %thread, i64 %threads) nounwind {{
entry:
  br label %loop
loop:
  %r = phi i64 [ 0, %entry ], [ %r.next, %loop ]
  %left = call i1 @"rnncc.barrier"(ptr %barrier, i64 %thread, i64 %threads)
  %r.next = add i64 %r, 1
  %more = icmp slt i64 %r.next, %repeats
  br i1 %more, label %loop, label %exit
exit:
  ret void
}}
"""


def _moves(kind: str, stem: str, vector: str, count: int) -> list[str]:
    """Loads or stores of `count` vectors at the start of the block."""
    lines = []
    for i in range(count):
        place = f"%{kind}.place.{i}"
        lines.append(f"  {place} = getelementptr inbounds {vector}, ptr %block, i64 {i}")
        if kind == "load":
            lines.append(f"  {stem}.{i} = load {vector}, ptr {place}")
        else:
            lines.append(f"  store {vector} {stem}.{i}, ptr {place}")
    return lines
