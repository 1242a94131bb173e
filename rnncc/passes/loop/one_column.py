"""A product with a single column is no tile: its sum goes over k in vectors, where all that it reads lies k after k.

    y[b, 0] = sum(tanh(x[b, k]) * w[k, 0] for k in range(64))
 ->
    with setup(): w_line[k] = w[k, 0]
    y[b, 0] = sum(tanh(x[b, k]) * w_line[k] for k in range(64))

A tile would have one lane, and functions of what is multiplied, such as the scores of an attention, would be computed
number by number. So weights are stored in a line, once, whatever they are made of and however they lay before.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import replace

from rnncc.loop.builder import ONE, ZERO, integer
from rnncc.loop.ir import Const, Expr, For, Load, Reduce, Stmt, Store, Var
from rnncc.loop.visit import replace_parts, substitute, walk_exprs
from rnncc.passes.loop.machine import Machine
from rnncc.passes.loop.nest import parts_of_weights
from rnncc.passes.loop.plain_tiles import is_contiguous_in
from rnncc.passes.loop.tile_parts import Names, Sums


def in_lines(sums: Sums, column: str, weights: Container[str], machine: Machine, names: Names) -> Sums | None:
    """`sums` at the only `column`, with weights in lines; None where what else they read does not lie k after k."""
    parts = {name: list(parts_of_weights(one.value, one.variable, column, weights)) for name, one in sums.items()}
    for name, one in sums.items():
        without = replace_parts(one.value, dict.fromkeys(parts[name], ZERO))
        if not is_contiguous_in(without, one.variable) or (parts[name] and not isinstance(one.size, Const)):
            return None
    lines: dict[Expr, Expr] = {}
    for name, one in sums.items():
        for part in parts[name]:
            if part not in lines:
                lines[part] = _line(part, one, column, machine, names)
    return {name: replace(one, value=replace_parts(one.value, lines)) for name, one in sums.items()}


def _line(part: Expr, one: Reduce, column: str, machine: Machine, names: Names) -> Load:
    """`part` of a sum, stored for all k on the last of the axes that `pack` gives weights; the others have length 1."""
    assert isinstance(one.size, Const), "lines of weights have a constant length"
    size = int(one.size.value)
    lanes = machine.lanes(one.dtype, size)
    whole = -(-size // lanes) * lanes  # vectors are read whole: of 8-byte numbers there are fewer in one, not more
    first = next(load for load in walk_exprs(part) if isinstance(load, Load))
    name = names.packed(f"{first.buffer}_line", part.dtype, ONE, ONE, ONE, ONE, integer(whole))
    k = Var(names.fresh("k"))

    def fill(count: int, value: Expr) -> Iterator[Stmt]:
        yield For(k.name, "parallel", ZERO, integer(count), 1, (Store(name, (ZERO, ZERO, ZERO, ZERO, k), value),))

    if whole > size:
        names.set_up(fill(whole, Const(0.0 if part.dtype.is_float else 0, part.dtype)))
    names.set_up(fill(size, substitute(part, {one.variable: k, column: ZERO})))
    return Load(name, (ZERO, ZERO, ZERO, ZERO, Var(one.variable)), part.dtype)
