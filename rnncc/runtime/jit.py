"""Object code into this process: memory, relocations, and the addresses of its functions."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import cache

from llvmlite import binding as llvm

from rnncc.codegen.native import LLVM_LOCK
from rnncc.codegen.target import Target
from rnncc.errors import UnsupportedError

_numbers = itertools.count()


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """Object code in executable memory. Its addresses are valid for as long as this object lives."""

    _name: str
    _linker: llvm.LLJIT = field(repr=False)
    _library: llvm.ResourceTracker = field(repr=False)
    # LLVM frees the library together with the *first* of its trackers, and each lookup makes one: all are kept.
    _lookups: dict[str, llvm.ResourceTracker] = field(default_factory=dict, repr=False)

    def address(self, name: str) -> int:
        """Where the function `name` starts in this process's memory."""
        with LLVM_LOCK:
            if name not in self._lookups:
                try:
                    self._lookups[name] = self._linker.lookup(self._name, name)
                except RuntimeError as error:
                    raise AssertionError(f"the object code has no function {name!r}: {error}") from None
            return int(self._lookups[name][name])


def load(object_code: bytes, target: Target) -> Loaded:
    """Link object code that `compile_module` made into this process. No optimization happens here.

    The linker finds the functions of the C library (memset and memcpy, which LLVM may call) in this process.

    Raises UnsupportedError when this machine lacks instructions of `target`: loading would succeed, and the first
    call would end the process.
    """
    if not target.runs_on_host:
        raise UnsupportedError(
            "this machine cannot execute code for another one",
            f"code for: {target}",
            f"machine:  {Target.parse('host')}",
            remedy='compile with target="host", or read the code instead of running it',
        )
    with LLVM_LOCK:
        _initialize()
        name = f"rnncc.{next(_numbers)}"
        linker = llvm.create_lljit_compiler(use_jit_link=True)
        try:
            return Loaded(name, linker, llvm.JITLibraryBuilder().add_object_img(object_code).link(linker, name))
        except RuntimeError as error:
            raise AssertionError(f"the object code cannot be linked: {error}") from None


@cache
def _initialize() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
