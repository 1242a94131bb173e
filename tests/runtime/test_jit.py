"""Loading object code: addresses, lifetime, threads, fork, and what must not load."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rnncc.codegen.native import compile_module
from rnncc.codegen.target import Target
from rnncc.errors import UnsupportedError
from rnncc.runtime.jit import Loaded, load

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


def loaded() -> Loaded:
    return load(compile_module(TEXT, HOST).object_code, HOST)


def twice(library: Loaded, value: int) -> int:
    return int(ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int32)(library.address("twice"))(value))


def test_functions_have_addresses_and_constants() -> None:
    library = loaded()
    assert twice(library, 21) == 42
    assert ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_float)(library.address("third"))(3.0) == pytest.approx(1.0)


def test_the_c_library_fills_memory() -> None:
    library = loaded()
    memory = bytearray(100)
    place = (ctypes.c_char * 100).from_buffer(memory)
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(library.address("fill"))
    function(ctypes.addressof(place), 99)
    assert memory == b"\x07" * 99 + b"\x00"


def test_looking_up_does_not_unload() -> None:
    library = loaded()
    first = library.address("twice")
    gc.collect()
    assert library.address("third") != first
    gc.collect()
    assert library.address("twice") == first
    assert twice(library, 4) == 8


def test_libraries_with_the_same_names_live_side_by_side() -> None:
    libraries = [loaded() for _ in range(20)]
    assert len({library.address("twice") for library in libraries}) == 20
    del libraries[::2]
    gc.collect()
    assert [twice(library, 5) for library in libraries] == [10] * 10


def test_an_absent_function_is_our_mistake() -> None:
    with pytest.raises(AssertionError, match="no function 'thrice'"):
        loaded().address("thrice")


def test_code_for_another_machine_is_refused_before_it_is_loaded() -> None:
    foreign = Target.parse("aarch64" if HOST.is_x86 else "x86-64")
    code = compile_module(TEXT, foreign)
    assert "twice" in code.assembly
    with pytest.raises(UnsupportedError, match="cannot execute") as caught:
        load(code.object_code, foreign)
    assert str(foreign) in str(caught.value)
    assert str(HOST) in str(caught.value)


def test_threads_compile_and_load_at_the_same_time() -> None:
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda value: twice(loaded(), value), range(64))) == [2 * i for i in range(64)]


def _in_child(library: Loaded) -> None:
    assert twice(library, 3) == 6  # code that the parent loaded
    assert twice(loaded(), 4) == 8  # and new code


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
