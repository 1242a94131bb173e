"""Object code into this process: memory, relocations, and the addresses of its functions.

On x86-64 Linux that takes no LLVM at all, so that a model from the cache runs without loading it; object code of other
systems, or with parts that our linker does not know, goes through LLVM's.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
from collections.abc import Callable
from dataclasses import field
from functools import cache
from typing import Any

from rnncc.codegen import llvm
from rnncc.codegen.permission import ask_for_matrix_unit
from rnncc.codegen.target import Target
from rnncc.errors import UnsupportedError, caller
from rnncc.records import record
from rnncc.runtime.elf import Image, Unlinkable, is_linkable, link

_numbers = itertools.count()


@record(frozen=True, slots=True, eq=False)
class Loaded:
    """Object code in executable memory. Its addresses are valid for as long as this object lives."""

    _find: Callable[[str], int | None] = field(repr=False)
    _alive: object = field(repr=False)

    def address(self, name: str) -> int:
        """Where the function `name` starts in this process's memory."""
        found = self._find(name)
        assert found is not None, f"the object code has no function {name!r}"
        return found


def load(object_code: bytes, target: Target | None, *, has_matrix: bool = False) -> Loaded:
    """Link object code that `compile_module` made into this process. No optimization happens here.

    The linker finds the functions of the C library (memset and memcpy, which LLVM may call) in this process.

    Args:
        object_code: an object file.
        target: what it was made for; None when that is known to be this machine.
        has_matrix: whether it needs the matrix unit.

    Raises:
        UnsupportedError: this machine lacks instructions of `target`: loading would succeed, and the first call would
            end the process. Or the system lets no program make code, or not this one use the matrix unit.
    """
    if target is not None and not target.runs_on_host:
        raise UnsupportedError(
            "this machine cannot execute code for another one",
            f"code for: {target}",
            f"machine:  {Target.parse('host')}",
            place=caller(),
            remedy='compile with target="host", or read the code instead of running it',
        )
    if has_matrix and not ask_for_matrix_unit():
        raise UnsupportedError(
            "the system does not let this process use the matrix unit (AMX)",
            place=caller(),
            remedy='compile for a target without one, such as target="x86-64-v4"',
        )
    try:
        image = link(object_code) if is_linkable(object_code) else None
    except Unlinkable:
        image = None
    return link_with_llvm(object_code) if image is None else map_image(image)


# ------------------------------------------------------------------ our own linker


def map_image(image: Image) -> Loaded:
    """`image` in memory that can be executed, and no longer written."""
    content = bytearray(image.content)
    memory = mmap.mmap(-1, max(1, len(content)), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    first = ctypes.c_char.from_buffer(memory)  # keeps the memory, too
    start = ctypes.addressof(first)
    for name, slot in image.slots.items():
        content[slot : slot + 8] = _address_of(name).to_bytes(8, "little")
    for slot, place in image.own_slots.items():
        content[slot : slot + 8] = (start + place).to_bytes(8, "little")
    memory[: len(content)] = content
    if _process().mprotect(ctypes.c_void_p(start), ctypes.c_size_t(len(memory)), mmap.PROT_READ | mmap.PROT_EXEC):
        raise UnsupportedError(
            "this system lets no program make executable memory, so that compiled models cannot run",
            place=caller(),
            remedy="allow it (SELinux: deny_execmem), or use rnncc.evaluate, which needs none",
        )
    symbols = {name: start + place for name, place in image.symbols.items()}
    return Loaded(symbols.get, first)


def _address_of(name: str) -> int:
    """A function of the C library."""
    try:
        return ctypes.cast(getattr(_process(), name), ctypes.c_void_p).value or 0
    except AttributeError:
        raise AssertionError(f"the object code needs {name!r}, which this process does not have") from None


@cache
def _process() -> ctypes.CDLL:
    return ctypes.CDLL(None)


# ------------------------------------------------------------------ LLVM's linker


def link_with_llvm(object_code: bytes) -> Loaded:
    """The same for object code of any system that LLVM knows."""
    with llvm.lock():
        _initialize()
        library = f"rnncc.{next(_numbers)}"
        linker = llvm.create_lljit_compiler(use_jit_link=True)
        # LLVM frees the library together with the *first* of its trackers, and each lookup makes one: all are kept.
        trackers: dict[str, Any] = {}
        try:
            tracker = llvm.JITLibraryBuilder().add_object_img(object_code).link(linker, library)
        except RuntimeError as error:
            raise AssertionError(f"the object code cannot be linked: {error}") from None

    def find(name: str) -> int | None:
        with llvm.lock():
            try:
                if name not in trackers:
                    trackers[name] = linker.lookup(library, name)
            except RuntimeError:
                return None
            return int(trackers[name][name])

    return Loaded(find, (linker, tracker, trackers))


@cache
def _initialize() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
