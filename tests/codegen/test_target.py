"""Targets by name: what they promise a scheduler, and what LLVM makes of them."""

from __future__ import annotations

import pytest

from rnncc.codegen.native import compile_module
from rnncc.codegen.target import KNOWN_TARGETS, Target
from rnncc.errors import ArgumentError
from rnncc.types import DType

ADD = """
define void @add({vector} %x, ptr %p) {{
  %y = load {vector}, ptr %p
  %sum = fadd {vector} %x, %y
  store {vector} %sum, ptr %p
  ret void
}}
"""


@pytest.mark.parametrize(
    ("name", "bits", "registers", "fma"),
    [
        ("x86-64", 128, 16, False),
        ("x86-64-v2", 128, 16, False),
        ("x86-64-v3", 256, 16, True),
        ("x86-64-v4", 512, 32, True),
        ("x86-64-v4-amx", 512, 32, True),
        ("aarch64", 128, 32, True),
        ("armv8-a", 128, 32, True),
    ],
)
def test_named_targets(name: str, bits: int, registers: int, fma: bool) -> None:
    target = Target.parse(name)
    assert (target.vector_bits, target.registers, target.has_fma) == (bits, registers, fma)
    assert target.lanes(DType.F32) == bits // 32
    assert target.lanes(DType.F64) == target.lanes(DType.I64) == bits // 64
    assert f"{bits} bits" in str(target)


def test_units_for_bfloat16() -> None:
    assert [name for name in KNOWN_TARGETS if name != "host" and Target.parse(name).has_matrix_unit] == [
        "x86-64-v4-amx"
    ]
    assert Target.parse("x86-64-v4-amx").has_bfloat16
    assert not Target.parse("x86-64-v4").has_bfloat16


def test_the_host_runs_on_the_host() -> None:
    host = Target.parse("host")
    assert host.runs_on_host
    assert host == Target.parse("host")
    assert host.vector_bits in (128, 256, 512)


def test_levels_run_where_the_level_above_runs() -> None:
    runs = [Target.parse(name).runs_on_host for name in KNOWN_TARGETS if name.startswith("x86-64")]
    assert runs == sorted(runs, reverse=True)
    assert runs[0] == Target.parse("host").is_x86


def test_another_architecture_does_not_run_here() -> None:
    foreign = "aarch64" if Target.parse("host").is_x86 else "x86-64"
    assert not Target.parse(foreign).runs_on_host


def test_an_instruction_that_the_host_lacks_is_noticed() -> None:
    host = Target.parse("host")
    wider = Target(host.triple, host.cpu, host.features + ",+no-such-unit", 128, 16, False)
    assert not wider.runs_on_host


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ArgumentError, match="unknown target 'pentium'") as caught:
        Target.parse("pentium")
    assert all(name in str(caught.value) for name in KNOWN_TARGETS)


@pytest.mark.parametrize("name", KNOWN_TARGETS)
def test_whole_vectors_stay_whole(name: str) -> None:
    target = Target.parse(name)
    text = ADD.format(vector=f"<{target.lanes(DType.F32)} x float>")
    assembly = compile_module(text, target).assembly
    additions = [line for line in assembly.splitlines() if "fadd" in line or "addps" in line]
    assert len(additions) == 1, assembly


def test_every_level_of_optimization_compiles() -> None:
    text = ADD.format(vector="<4 x float>")
    for level in range(4):
        code = compile_module(text, Target.parse("host"), level)
        assert code.object_code
        assert "@add" in code.llvm_optimized
        assert "add:" in code.assembly


def test_text_that_llvm_rejects_is_our_mistake() -> None:
    host = Target.parse("host")
    with pytest.raises(AssertionError, match=r"(?s)LLVM IR that LLVM rejects.*expected type"):
        compile_module("define nothing", host)
    with pytest.raises(AssertionError, match="LLVM IR that LLVM rejects"):
        compile_module("define i32 @f() { \n %x = add i32 %y, 1 \n %y = add i32 %x, 1 \n ret i32 %y }", host)


def test_loops_are_neither_vectorized_nor_unrolled() -> None:
    text = """
    define void @f(ptr noalias %p, i64 %n) {
    entry:
      br label %loop
    loop:
      %i = phi i64 [0, %entry], [%j, %loop]
      %q = getelementptr float, ptr %p, i64 %i
      %x = load float, ptr %q
      %y = fmul float %x, %x
      store float %y, ptr %q
      %j = add i64 %i, 1
      %more = icmp ult i64 %j, %n
      br i1 %more, label %loop, label %done
    done:
      ret void
    }
    """
    optimized = compile_module(text, Target.parse("host"), level=3).llvm_optimized
    assert optimized.count("fmul") == 1
    assert "x float>" not in optimized
