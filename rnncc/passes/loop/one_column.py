"""A product with a single column is no tile: its sum goes over k in vectors, where all that it reads lies k after k.

    y[b, 0] = sum(tanh(x[b, k]) * w[k, 0] for k in range(64))
 ->
    with setup(): w_line[k] = w[k, 0]
    y[b, 0] = sum(tanh(x[b, k]) * w_line[k] for k in range(64))

A tile would have one lane, and functions of what is multiplied, such as the scores of an attention, would be computed
number by number. So weights are stored in a line, once, whatever they are made of and however they lay before.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace

from rnncc.loop.builder import ZERO
from rnncc.loop.ir import Const, Expr
from rnncc.loop.visit import replace_parts, substitute
from rnncc.passes.loop.machine import Machine
from rnncc.passes.loop.nest import parts_of_weights
from rnncc.passes.loop.plain_tiles import is_contiguous_in
from rnncc.passes.loop.tile_parts import Names, Sums
from rnncc.passes.loop.weight_lines import weight_line


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
            if part not in lines and isinstance(one.size, Const):
                size = int(one.size.value)
                lanes = machine.lanes(one.dtype, size)  # of wider numbers there are fewer in a vector, not more
                lines[part] = weight_line(substitute(part, {column: ZERO}), one.variable, size, lanes, names)
    return {name: replace(one, value=replace_parts(one.value, lines)) for name, one in sums.items()}
