"""LLVM IR text to machine code: LLVM's optimizer and back end, behind one function.

LLVM's own vectorizers are off: vectors are explicit in the text, and a vectorizer that added some would also choose
in which order a sum is added up.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from rnncc.codegen import llvm
from rnncc.codegen.target import Target
from rnncc.records import record


@record(frozen=True, slots=True)
class NativeCode:
    """What LLVM made of one module.

    Only `object_code` is kept. The two readable forms are derived from the source again when they are asked for:
    people read a kernel rarely, and printing costs about as much as compiling.
    """

    source: str
    target: Target
    level: int
    object_code: bytes

    @property
    def llvm_optimized(self) -> str:
        """The module after LLVM's optimizer, as LLVM IR text."""
        with llvm.lock():
            machine = _machine(self.target, self.level)
            return str(_optimized(self.source, self.target, self.level, machine))

    @property
    def assembly(self) -> str:
        """The machine code in the target's assembly language."""
        with llvm.lock():
            machine = _machine(self.target, self.level)
            machine.set_asm_verbosity(True)
            text = str(machine.emit_assembly(_optimized(self.source, self.target, self.level, machine)))
        return "".join(line for line in text.splitlines(keepends=True) if not _EMPTY_ASSEMBLY.match(line))


_EMPTY_ASSEMBLY = re.compile(r"\s*(#|//)\s?(NO_)?APP$")
"""What LLVM prints around the assembly with nothing in it that loop counters go through."""


_compiled = 0


def modules_compiled() -> int:
    """How many modules this process has compiled so far."""
    return _compiled


def compile_module(llvm_text: str, target: Target, level: int = 2) -> NativeCode:
    """Optimize LLVM IR text at `level` (0 to 3) and compile it for `target`, to one relocatable object file.

    The text comes from our emitter, so that text which LLVM rejects is an AssertionError with LLVM's message.
    """
    assert 0 <= level <= 3, f"LLVM has the optimization levels 0 to 3, and not {level}"
    global _compiled
    with llvm.lock():
        _compiled += 1
        machine = _machine(target, level)
        module = _optimized(llvm_text, target, level, machine)
        return NativeCode(llvm_text, target, level, bytes(machine.emit_object(module)))


def _optimized(llvm_text: str, target: Target, level: int, machine: Any) -> Any:
    """The parsed, verified and optimized module, in a context of its own that goes away with it."""
    try:
        module = llvm.parse_assembly(llvm_text, llvm.create_context())
        module.triple = target.triple
        module.data_layout = str(machine.target_data)
        module.verify()
    except RuntimeError as error:
        raise AssertionError(f"the emitter produced LLVM IR that LLVM rejects: {error}") from None
    if level in (1, 2):
        _simplify(module, machine)
    else:
        builder = llvm.create_pass_builder(machine, _tuning(level))
        builder.getModulePassManager().run(module, builder)
    return module


def _simplify(module: Any, machine: Any) -> None:
    """What generated code needs of LLVM's optimizer: registers and fewer blocks; the rest is emitted as it should be.

    Math functions are inlined at the end. They are tuned as they are, and stand at a hundred places.
    """
    builder = llvm.create_pass_builder(machine, _tuning(1))
    simplify = llvm.create_new_module_pass_manager()
    simplify.add_sroa_pass()
    simplify.add_always_inliner_pass()
    simplify.add_simplify_cfg_pass()
    simplify.add_global_dead_code_eliminate_pass()
    simplify.run(module, builder)


def _tuning(level: int) -> Any:
    """Options for LLVM's own pipelines."""
    options = llvm.create_pipeline_tuning_options(speed_level=level)
    options.loop_vectorization = False
    options.slp_vectorization = False
    options.loop_interleaving = False
    options.loop_unrolling = False  # tiles are unrolled by the emitter, which knows how many registers they need
    return options


def _machine(target: Target, level: int) -> Any:
    """LLVM's back end for `target`: position independent code that fits within 2 GiB, as in a shared library."""
    _initialize()
    back_end = llvm.Target.from_triple(target.triple)
    return back_end.create_target_machine(
        cpu=target.cpu, features=target.features, opt=level, reloc="pic", codemodel="small"
    )


@cache
def _initialize() -> None:
    """All back ends at once: the wheel holds them, and a target need not be the host."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
