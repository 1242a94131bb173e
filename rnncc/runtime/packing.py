"""Weights in the order in which the machine code reads them: the setup loops of a procedure, run on arrays.

Nearly all of setup moves elements from one place to another, and that is one assignment between two views:

    for p in parallel(0, 64):
        for k in parallel(0, 1024):                          ->    packed[:, :, 0, :] = kernel.reshape(1024, 64, 16)
            for l in parallel(0, 16):                                                    .transpose(1, 0, 2)
                packed[p, k, 0, l] = kernel[k, p * 16 + l]

A buffer that is filled in any other way goes through the interpreter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.lib.stride_tricks import as_strided

from rnncc.loop.index import affine
from rnncc.loop.interp import interpret
from rnncc.loop.ir import Const, For, Index, Load, Procedure, Span, Stmt, Store, Var
from rnncc.loop.visit import stores_of
from rnncc.records import record
from rnncc.runtime.memory import aligned, aligned_copy, shape_of


def pack(procedure: Procedure, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every packed buffer of `procedure`, filled by its setup, which reads `weights`; aligned for vectors."""
    moves = [_move_of(statement, weights) for statement in procedure.setup]
    written = [{store.buffer for store in stores_of(statement)} for statement in procedure.setup]
    others = {name for move, names in zip(moves, written, strict=True) if move is None for name in names}
    results: dict[str, np.ndarray] = {}
    for buffer in procedure.buffers:
        if buffer.space == "packed" and buffer.name not in others:
            shape = shape_of(buffer, {})
            size = math.prod(shape) * buffer.dtype.size
            results[buffer.name] = aligned(size).view(buffer.dtype.numpy).reshape(shape)
    for move in moves:
        if move is not None and move.buffer in results:
            move.run(results[move.buffer], weights)
    if others:
        rest = tuple(item for item, names in zip(procedure.setup, written, strict=True) if names & others)
        interpreted = interpret(setup_procedure(replace(procedure, setup=rest)), weights, {})
        results |= {name: aligned_copy(interpreted[name]) for name in others}
    return results


def setup_procedure(procedure: Procedure) -> Procedure:
    """The setup loops alone, with what they fill as outputs."""
    spaces = {"weight": "weight", "packed": "output"}
    buffers = tuple(
        replace(buffer, space=spaces[buffer.space]) for buffer in procedure.buffers if buffer.space in spaces
    )
    return Procedure(f"{procedure.name}_setup", (), buffers, (), procedure.setup, ())


@record(frozen=True, slots=True)
class _Move:
    """`buffer[...] = value` for all values of some variables: a number, or an element of a weight."""

    buffer: str
    counts: tuple[int, ...]
    """How many values each variable has."""
    place: tuple[tuple[int, ...], ...]
    """For each axis of the buffer: where the first element is, and how far each variable moves from there."""
    value: Const | Load
    source: tuple[tuple[int, ...], ...] = ()
    """The same for the weight."""

    def run(self, packed: np.ndarray, weights: Mapping[str, np.ndarray]) -> None:
        """Do it."""
        goal = _view(packed, self.place, self.counts)
        if isinstance(self.value, Const):
            goal[...] = self.value.value
        else:
            goal[...] = _view(np.ascontiguousarray(weights[self.value.buffer]), self.source, self.counts)


def _move_of(statement: Stmt, weights: Mapping[str, np.ndarray]) -> _Move | None:
    """`statement` as a move from one of `weights`, if it is one."""
    variables: dict[str, tuple[int, int]] = {}
    counts: list[int] = []
    while isinstance(statement, For):
        start, stop = statement.start, statement.stop
        if not isinstance(start, Const) or not isinstance(stop, Const) or len(statement.body) != 1:
            return None
        counts.append(max(0, len(range(int(start.value), int(stop.value), statement.step))))
        variables[statement.variable] = (int(start.value), statement.step)
        (statement,) = statement.body
    if not isinstance(statement, Store) or statement.combine is not None:
        return None
    place, value = _strides(statement.index, variables), statement.value
    if isinstance(value, Const):
        return None if place is None else _Move(statement.buffer, tuple(counts), place, value)
    if not isinstance(value, Load) or value.buffer not in weights:
        return None
    source = _strides(value.index, variables)
    if place is None or source is None:
        return None
    return _Move(statement.buffer, tuple(counts), place, value, source)


def _strides(index: Sequence[Index], variables: Mapping[str, tuple[int, int]]) -> tuple[tuple[int, ...], ...] | None:
    """For each axis the first element, and the distance that each variable makes; None when that is not all."""
    axes = []
    for item in index:
        form = affine(item) if not isinstance(item, Span) else None
        if form is None or any(not isinstance(term, Var) or term.name not in variables for term in form.terms):
            return None
        first = form.constant + sum(form.coefficient(name) * start for name, (start, _) in variables.items())
        axes.append((first, *(form.coefficient(name) * step for name, (_, step) in variables.items())))
    return tuple(axes)


def _view(array: np.ndarray, axes: Sequence[Sequence[int]], counts: Sequence[int]) -> np.ndarray:
    """The elements of a contiguous `array` at all values of the variables, one axis a variable."""
    flat, first, strides = array.reshape(-1), 0, [0] * len(counts)
    for (start, *steps), size in zip(axes, array.shape, strict=True):
        reach = [step * (count - 1) for step, count in zip(steps, counts, strict=True)]
        ends = start + sum(min(0, far) for far in reach), start + sum(max(0, far) for far in reach)
        assert 0 in counts or (ends[0] >= 0 and ends[1] < size), f"setup reaches from {ends[0]} to {ends[1]} of {size}"
        first = first * size + start
        strides = [stride * size + step for stride, step in zip(strides, steps, strict=True)]
    if 0 in counts:
        return np.empty(counts, array.dtype)
    return as_strided(flat[first:], counts, [stride * array.itemsize for stride in strides])
