"""Runs a scheduled procedure as machine code on arrays, without a model around it."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

import numpy as np

from rnncc.codegen.emit import emit
from rnncc.codegen.emitted import STATUS_VALUES
from rnncc.codegen.native import compile_module
from rnncc.codegen.target import Target
from rnncc.loop.interp import interpret
from rnncc.loop.ir import FOR_THREADS, Const, For, Procedure
from rnncc.loop.visit import walk_statements
from rnncc.runtime.jit import load
from rnncc.runtime.memory import aligned, shape_of, slot_offsets
from rnncc.runtime.packing import setup_procedure
from rnncc.runtime.threads import POOL


class NativeCheckFailed(Exception):
    """A check did not hold: its message, the buffer and the offending value, and the index it was loaded from."""

    def __init__(self, message: str, buffer: str, value: int, position: tuple[int, ...]) -> None:
        super().__init__(message, buffer, value, position)
        self.message = message
        self.value = value
        self.position = position


def run_native(
    procedure: Procedure,
    arrays: Mapping[str, np.ndarray],
    dims: Mapping[str, int],
    target: str = "host",
    level: int = 2,
) -> dict[str, np.ndarray]:
    """The outputs of `procedure`, all loop passes done, for its inputs and weights; memory begins as NaN.

    Where threads share the work, there are as many as they have shares for.
    """
    machine = Target.parse(target)
    loops = [s for s in walk_statements(procedure.body) if isinstance(s, For) and s.kind in FOR_THREADS]
    threads = max((int(loop.stop.value) for loop in loops if isinstance(loop.stop, Const)), default=1)
    emitted = emit(procedure, machine, threads)
    loaded = load(compile_module(emitted.text, machine, level).object_code, machine)
    memory: dict[str | int, np.ndarray] = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    memory.update(packed_weights(procedure, arrays))
    outputs = {}
    for buffer in procedure.buffers:
        if buffer.space == "output" or (buffer.space == "temporary" and buffer.slot is None):
            memory[buffer.name] = np.full(shape_of(buffer, dims), 255, np.uint8).astype(buffer.dtype.numpy)
            if buffer.space == "output":
                outputs[buffer.name] = memory[buffer.name]
    offsets, size = slot_offsets(procedure.buffers, dims)
    arena = aligned(size)
    arena[:] = 255  # as floats: NaN
    memory.update({slot: arena[offset:] for slot, offset in offsets.items()})
    pointers = (ctypes.c_void_p * len(emitted.pointers))(*(memory[key].ctypes.data for key in emitted.pointers))
    sizes = (ctypes.c_int64 * len(procedure.dims))(*(dims[dim] for dim in procedure.dims))
    status = (ctypes.c_int64 * (STATUS_VALUES + 1))()
    address = loaded.address(emitted.entry)
    if emitted.shares:
        statuses = [(ctypes.c_int64 * (STATUS_VALUES + 1))() for _ in range(threads)]
        with POOL.team(threads, loaded) as team:
            parts = [(pointers, sizes, status) for status in statuses]
            code, number = team.run(address, parts, together=True)
        status = statuses[number]
    else:
        prototype = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
        code = prototype(address)(pointers, sizes, status)
    if code:
        value, *position = status[1 : 1 + status[0]]
        raise NativeCheckFailed(*emitted.checks[code - 1], value, tuple(position))
    return outputs


def packed_weights(procedure: Procedure, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the setup of `procedure` fills, by interpretation."""
    setup = setup_procedure(procedure)
    weights = {buffer.name: arrays[buffer.name] for buffer in setup.buffers if buffer.space == "weight"}
    return interpret(setup, weights, {})
