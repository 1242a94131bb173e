"""Loading object code: addresses, lifetime, threads, fork, and what must not load."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import struct
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from rnncc.codegen.native import compile_module
from rnncc.codegen.target import Target
from rnncc.errors import UnsupportedError
from rnncc.runtime import jit
from rnncc.runtime.elf import Unlinkable, is_linkable, link
from rnncc.runtime.jit import Loaded, link_with_llvm, load, map_image

TEXT = """
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
define i32 @twice(i32 %x) {
  %y = add i32 %x, %x
  ret i32 %y
}
define float @third(float %x) {
  %y = fmul float %x, 0x3FD5555560000000
  ret float %y
}
define void @fill(ptr %p, i64 %n) {
  call void @llvm.memset.p0.i64(ptr %p, i8 7, i64 %n, i1 0)
  ret void
}
"""
HOST = Target.parse("host")


LINKERS = ["own", "llvm"] if is_linkable(compile_module(TEXT, HOST).object_code) else ["llvm"]


@pytest.fixture(params=LINKERS)
def linker(request: pytest.FixtureRequest) -> Callable[[bytes], Loaded]:
    """Each way to link object code."""
    return link_with_llvm if request.param == "llvm" else lambda code: map_image(link(code))


def loaded(linker: Callable[[bytes], Loaded] | None = None, text: str = TEXT) -> Loaded:
    code = compile_module(text, HOST).object_code
    return load(code, HOST) if linker is None else linker(code)


def twice(library: Loaded, value: int) -> int:
    return int(ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int32)(library.address("twice"))(value))


def test_functions_have_addresses_and_constants(linker: Callable[[bytes], Loaded]) -> None:
    library = loaded(linker)
    assert twice(library, 21) == 42
    assert ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_float)(library.address("third"))(3.0) == pytest.approx(1.0)


def test_the_c_library_fills_memory(linker: Callable[[bytes], Loaded]) -> None:
    library = loaded(linker)
    memory = bytearray(100)
    place = (ctypes.c_char * 100).from_buffer(memory)
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(library.address("fill"))
    function(ctypes.addressof(place), 99)
    assert memory == b"\x07" * 99 + b"\x00"


def test_looking_up_does_not_unload(linker: Callable[[bytes], Loaded]) -> None:
    library = loaded(linker)
    first = library.address("twice")
    gc.collect()
    assert library.address("third") != first
    gc.collect()
    assert library.address("twice") == first
    assert twice(library, 4) == 8


def test_libraries_with_the_same_names_live_side_by_side(linker: Callable[[bytes], Loaded]) -> None:
    libraries = [loaded(linker) for _ in range(20)]
    assert len({library.address("twice") for library in libraries}) == 20
    del libraries[::2]
    gc.collect()
    assert [twice(library, 5) for library in libraries] == [10] * 10


def test_an_absent_function_is_our_mistake(linker: Callable[[bytes], Loaded]) -> None:
    with pytest.raises(AssertionError, match="no function 'thrice'"):
        loaded(linker).address("thrice")


def test_code_for_another_machine_is_refused_before_it_is_loaded() -> None:
    foreign = Target.parse("aarch64" if HOST.is_x86 else "x86-64")
    code = compile_module(TEXT, foreign)
    assert "twice" in code.assembly
    with pytest.raises(UnsupportedError, match="cannot execute") as caught:
        load(code.object_code, foreign)
    assert str(foreign) in str(caught.value)
    assert str(HOST) in str(caught.value)


def test_threads_compile_and_load_at_the_same_time(linker: Callable[[bytes], Loaded]) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda value: twice(loaded(linker), value), range(64))) == [2 * i for i in range(64)]


def _in_child(library: Loaded) -> None:
    assert twice(library, 3) == 6  # code that the parent loaded
    assert twice(loaded(), 4) == 8  # and new code


GLOBALS = """
@environ = external global ptr
@table = constant [3 x i32] [i32 5, i32 6, i32 7]
define ptr @outside() {
  %p = load ptr, ptr @environ
  ret ptr %p
}
define i32 @inside(i64 %n) {
  %p = getelementptr i32, ptr @table, i64 %n
  %x = load i32, ptr %p
  ret i32 %x
}
declare float @fmodf(float, float)
define float @rest(float %x, float %y) {
  %z = call float @fmodf(float %x, float %y)
  ret float %z
}
"""


def test_variables_are_found_inside_and_outside(linker: Callable[[bytes], Loaded]) -> None:
    library = loaded(linker, GLOBALS)
    inside = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int64)(library.address("inside"))
    assert [inside(n) for n in range(3)] == [5, 6, 7]
    outside = ctypes.CFUNCTYPE(ctypes.c_void_p)(library.address("outside"))
    assert outside() == ctypes.c_void_p.in_dll(ctypes.CDLL(None), "environ").value
    rest = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_float, ctypes.c_float)(library.address("rest"))
    assert rest(7.5, 2.0) == 1.5


FOREIGN = {
    "variable": "@count = global i32 3",
    "table of addresses": "@places = constant ptr @twice",
    "variable of a thread": "@own = thread_local global i32 3",
    "section": """
declare i32 @getppid()
define void @first() {
  call i32 @getppid()
  ret void
}
@llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 9, ptr @first, ptr null }]
""",
}
"""What our own code never has, and other LLVMs may make of it."""


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_our_linker_does_not_know_goes_through_that_of_llvm(kind: str) -> None:
    code = compile_module(TEXT + FOREIGN[kind], HOST).object_code
    if is_linkable(code):
        with pytest.raises(Unlinkable):
            link(code)
    assert twice(load(code, HOST), 21) == 42


@pytest.mark.skipif("own" not in LINKERS, reason="code of this system goes through LLVM's linker")
def test_every_relocation_is_known_or_handed_on() -> None:
    """Whatever type the only relocation has, our linker either knows it or says that it does not."""
    code = compile_module(TEXT, HOST).object_code
    known = [kind for kind in range(64) if _links(with_relocation(code, kind))]
    assert known == [2, 4, 9, 24, 41, 42]


def _links(code: bytes) -> bool:
    try:
        link(code)
    except Unlinkable:
        return False
    return True


def with_relocation(code: bytes, kind: int) -> bytes:
    """`code` with the type of every relocation of its text replaced."""
    table, size, count = (struct.unpack_from("<QI6H", code, 40)[at] for at in (0, 5, 6))
    changed = bytearray(code)
    for number in range(count):
        _, type, _, _, offset, length, *_ = struct.unpack_from("<IIQQQQIIQQ", code, table + size * number)
        for place in range(offset, offset + length, 24) if type == 4 else ():
            struct.pack_into("<I", changed, place + 8, kind)
    return bytes(changed)


def test_an_absent_symbol_of_the_process_is_our_mistake(linker: Callable[[bytes], Loaded]) -> None:
    with pytest.raises(AssertionError, match="the object code"):
        loaded(linker, "declare i32 @nowhere()\ndefine i32 @f() {\n %x = call i32 @nowhere()\n ret i32 %x\n}").address(
            "f"
        )


@pytest.mark.skipif("own" not in LINKERS, reason="code of this system goes through LLVM's linker")
def test_a_system_that_forbids_code_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        jit, "_process", lambda: SimpleNamespace(mprotect=lambda *_: -1, memset=ctypes.CDLL(None).memset)
    )
    with pytest.raises(UnsupportedError, match="executable memory"):
        loaded()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system starts processes otherwise")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_can_use_and_load_code_while_another_thread_compiles() -> None:
    library = loaded()
    stop = threading.Event()

    def compile_on() -> None:
        while not stop.is_set():
            compile_module(TEXT, HOST)

    thread = threading.Thread(target=compile_on)
    thread.start()
    try:
        context = multiprocessing.get_context("fork")
        for _ in range(10):
            child = context.Process(target=_in_child, args=(library,))
            child.start()
            child.join(30)
            if child.is_alive():
                child.kill()
                child.join()
            assert child.exitcode == 0
    finally:
        stop.set()
        thread.join()
