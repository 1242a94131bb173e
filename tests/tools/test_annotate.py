from __future__ import annotations

from pathlib import Path

import pytest

from rnncc.loop.parser import parse
from rnncc.tools.annotate import annotate
from rnncc.tools.census import take_census

CASES = Path(__file__).parent / "asm"
"""LLVM's assembly for `cell.txt`, kept so that it does not depend on the version of LLVM, and what is made of it."""


@pytest.mark.parametrize("name", ["x86-64-v4", "x86-64-v3", "aarch64"])
def test_annotated_assembly(name: str, request: pytest.FixtureRequest) -> None:
    procedure = parse((CASES / "cell.txt").read_text())
    text = annotate((CASES / f"{name}.s").read_text(), procedure)
    golden = CASES / f"{name}.annotated.s"
    if request.config.getoption("--update-golden"):
        golden.write_text(text)
    assert text == golden.read_text()


def test_the_inner_loop_of_the_scan_step_is_marked_once() -> None:
    procedure = parse((CASES / "cell.txt").read_text())
    lines = annotate((CASES / "x86-64-v4.s").read_text(), procedure).splitlines()
    (at,) = [number for number, line in enumerate(lines) if "====" in line]
    assert lines[at] == "# ==== scan step t: inner loop over k: 2 fma, 2 loads (64 B), 1 broadcast, 0 spills ===="
    assert lines[at + 1] == "#      for k in range(0, 64)    inside of t > j > r"
    assert lines[at + 2].startswith(".LBB")
    assert lines[at + 3].split() == ["vbroadcastss", "(%r11),", "%zmm3"]
    assert not any(".cfi" in line or "p2align" in line or "Parent Loop" in line for line in lines)


def test_code_is_kept() -> None:
    """What is taken away are comments and directives, and nothing of the code."""
    procedure = parse((CASES / "cell.txt").read_text())
    for name in ("x86-64-v4", "aarch64"):
        mark = "//" if name == "aarch64" else "#"
        before = (CASES / f"{name}.s").read_text()
        code = [_code(text, mark) for text in (before, annotate(before, procedure))]
        assert code[0] == code[1]


def _code(text: str, mark: str) -> list[str]:
    lines = (line.partition(mark)[0].strip() for line in text.splitlines())
    return [line for line in lines if line and (not line.startswith(".") or line.startswith(".LBB"))]


def test_a_loop_of_one_turn_is_not_what_remains_of_it() -> None:
    """LLVM drops the loop over j: the blocks that are named after it belong to the loop over t."""
    procedure = parse(
        """
        def f(T):
            y = temporary(f32, [T, 16])
            for t in range(0, T):
                for j in parallel(0, 16, 16):
                    y[t, span(j, 16)] = 1.0
        """
    )
    text = "f:\n# %bb.0:\n.LBB0_1:  # %j.parallel\n  # =>This Inner Loop Header: Depth=1\n\tvmovups %zmm0, (%rdi)\n"
    assert "# ---- inner loop over t: 0 fma" in annotate(text, procedure)


def test_assembly_without_loops() -> None:
    procedure = parse("def f(B):\n    y = output(f32, [B])\n    y[0] = 1.0\n")
    text = "f:\n# %bb.0:\n\tmovl\t$1, (%rdi)\n\tretq\n"
    assert annotate(text, procedure) == text


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("vfmadd231ps (%r9,%r12), %zmm3, %zmm2", "1 fma, 1 load (64 B), 0 broadcasts, 0 spills"),
        ("vfmadd213ps .LCPI1_8(%rip){1to16}, %zmm2, %zmm15", "1 fma, 0 loads, 1 broadcast, 0 spills"),
        ("vfnmadd231sd %xmm1, %xmm2, %xmm3", "1 fma, 0 loads, 0 broadcasts, 0 spills"),
        ("vbroadcastss -1024(%rax,%r9), %ymm6", "0 fma, 0 loads, 1 broadcast, 0 spills"),
        ("vmovups -192(%r10), %ymm7", "0 fma, 1 load (32 B), 0 broadcasts, 0 spills"),
        ("vmovups (%r10), %zmm7 {%k1} {z}", "0 fma, 1 load (64 B), 0 broadcasts, 0 spills"),
        ("vmovups %zmm7, 8(%r10)", "0 fma, 0 loads, 0 broadcasts, 1 store, 0 spills"),
        ("vmovups %zmm30, 1136(%rsp)  # 64-byte Spill", "0 fma, 0 loads, 0 broadcasts, 1 spill"),
        ("vmovups 1136(%rsp), %zmm30  # 64-byte Reload", "0 fma, 0 loads, 0 broadcasts, 0 spills, 1 reload"),
        ("vmovups -64(%rbp), %zmm30  # 64-byte Reload", "0 fma, 0 loads, 0 broadcasts, 0 spills, 1 reload"),
        ("vaddps 64(%rsp), %zmm1, %zmm2", "0 fma, 1 add, 0 loads, 0 broadcasts, 0 spills, 1 reload"),
        ("addq $32768, 88(%rsp)  # 8-byte Folded Spill", "0 fma, 0 loads, 0 broadcasts, 1 spill, 1 reload"),
        ("cmpq %r9, (%r13)", "0 fma, 1 load (8 B), 0 broadcasts, 0 spills"),
        ("movss (%rax), %xmm0", "0 fma, 1 load (4 B), 0 broadcasts, 0 spills"),
        ("shufps $0, %xmm0, %xmm0", "0 fma, 0 loads, 1 broadcast, 0 spills"),
        ("mulps 16(%rax), %xmm0", "0 fma, 1 mul, 1 load (16 B), 0 broadcasts, 0 spills"),
        ("movl (%rax), %ecx", "0 fma, 1 load (4 B), 0 broadcasts, 0 spills"),
        ("leaq 8(%rax), %rcx", "0 fma, 0 loads, 0 broadcasts, 0 spills"),
        ("tileloadd (%rcx,%r14), %tmm4", "0 fma, 1 load (1024 B), 0 broadcasts, 0 spills"),
        ("tilestored %tmm0, (%rcx,%r14)", "0 fma, 0 loads, 0 broadcasts, 1 store, 0 spills"),
        ("tdpbf16ps %tmm6, %tmm4, %tmm0", "0 fma, 1 tile product, 0 loads, 0 broadcasts, 0 spills"),
        ("callq memset@PLT", "0 fma, 0 loads, 0 broadcasts, 0 spills, 1 call"),
        (".p2align 4", "0 fma, 0 loads, 0 broadcasts, 0 spills"),
    ],
)
def test_census_of_x86(line: str, expected: str) -> None:
    census = take_census([f"\t{line}"], arm=False)
    assert str(census) == expected
    assert census.instructions == (not line.startswith("."))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("fmla v5.4s, v3.4s, v20.s[0]", "1 fma, 0 loads, 0 broadcasts, 0 spills"),
        ("fmadd s0, s1, s2, s3", "1 fma, 0 loads, 0 broadcasts, 0 spills"),
        ("ldp q0, q1, [x0, #32]", "0 fma, 2 loads (16 B), 0 broadcasts, 0 spills"),
        ("ldr q0, [x0, x1, lsl #2]", "0 fma, 1 load (16 B), 0 broadcasts, 0 spills"),
        ("ldrsw x0, [x1]", "0 fma, 1 load (4 B), 0 broadcasts, 0 spills"),
        ("ld1 { v0.4s, v1.4s }, [x0]", "0 fma, 2 loads (16 B), 0 broadcasts, 0 spills"),
        ("ld1 { v0.s }[1], [x0]", "0 fma, 1 load (4 B), 0 broadcasts, 0 spills"),
        ("ld1r { v4.4s }, [x0], #4", "0 fma, 0 loads, 1 broadcast, 0 spills"),
        ("dup v0.4s, w1", "0 fma, 0 loads, 1 broadcast, 0 spills"),
        ("stp q0, q1, [x2]", "0 fma, 0 loads, 0 broadcasts, 2 stores, 0 spills"),
        ("str q0, [sp, #16]  // 16-byte Spill", "0 fma, 0 loads, 0 broadcasts, 1 spill"),
        ("ldr x30, [sp, #32]  // 8-byte Reload", "0 fma, 0 loads, 0 broadcasts, 0 spills, 1 reload"),
        ("bl memset", "0 fma, 0 loads, 0 broadcasts, 0 spills, 1 call"),
        ("add x8, x8, #1", "0 fma, 0 loads, 0 broadcasts, 0 spills"),
    ],
)
def test_census_of_aarch64(line: str, expected: str) -> None:
    assert str(take_census([f"\t{line}"], arm=True)) == expected
