"""Weights in a line, for nests that go over them in vectors where they do not lie one after the other.

w[0, i, 0] for i in range(40)    ->    with setup(): w_line[i] = w[0, i, 0]          w_line[i]
"""

from __future__ import annotations

from collections.abc import Iterator

from rnncc.loop.builder import ONE, ZERO, integer, zero_of
from rnncc.loop.ir import Expr, For, Load, Stmt, Store, Var
from rnncc.loop.visit import substitute
from rnncc.passes.loop.nest import first_buffer
from rnncc.passes.loop.tile_parts import Names


def weight_line(part: Expr, variable: str, size: int, lanes: int, names: Names) -> Load:
    """`part`, which is made of weights and of `variable`, as what a line of `size` has there; `names` get the line.

    It is on the last of the axes that `pack` gives weights, the others have length 1. Vectors of `lanes` may be read
    whole: behind the last element there are zeros.
    """
    whole = -(-size // lanes) * lanes
    name = names.packed(f"{first_buffer(part)}_line", part.dtype, ONE, ONE, ONE, ONE, integer(whole))
    place = Var(names.fresh(variable))

    def fill(count: int, value: Expr) -> Iterator[Stmt]:
        store = Store(name, (ZERO, ZERO, ZERO, ZERO, place), value)
        yield For(place.name, "parallel", ZERO, integer(count), 1, (store,))

    if whole > size:
        names.set_up(fill(whole, zero_of(part.dtype)))
    names.set_up(fill(size, substitute(part, {variable: place})))
    return Load(name, (ZERO, ZERO, ZERO, ZERO, Var(variable)), part.dtype)
