"""Loops of kind `matrix`: what a matrix unit does with the rows of a tile, and how such a loop is read.

    for m in matrix(0, min(rows - r, 16)):
        held[m, 0, span(0, 16)] = 0.0
        for k in range(0, 64):
            held[m, 0, span(0, 16)] += dot(pairs[r + m, k], packed[js // 16, k, 0, 0, span(0, 16)])

A matrix unit has a few large registers, called tiles, of 16 rows of 16 words: 16 rows of 16 pairs of bfloat16, or what
16 pairs of 16 columns are, or the 256 float32 that they add up to. One instruction adds the products of two tiles of
pairs to one of sums. The loop is over rows, of which a tile may have fewer; those of `step` 16 pairs over k are whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rnncc.loop.ir import Call, Const, Expr, For, Let, Load, Span, Stmt, Store
from rnncc.loop.visit import substitute

TILE_ROWS = 16
"""Rows of a tile."""

TILE_PAIRS = 16
"""Words of a row: pairs of a row of factors, or sums of as many columns."""

TILES_OF_SUMS = 4
"""Tiles that are added up side by side: an instruction takes 52 cycles, and another one may begin after 16."""


@dataclass(frozen=True, slots=True)
class MatrixSum:
    """A sum of a matrix loop: where it is kept, and the factors that are multiplied and added, in this order."""

    store: Store
    products: tuple[tuple[Load, Load], ...]


@dataclass(frozen=True, slots=True)
class MatrixLoop:
    """A loop of kind `matrix` in parts: its sums, and the loop over pairs in which they are added up."""

    rows: Expr
    tiles: int
    """How many tiles of rows one after the other it is for: several are full."""
    k: For
    sums: tuple[MatrixSum, ...]


def matrix_loop(loop: For) -> MatrixLoop | str:
    """`loop`, of kind `matrix`, in parts; or what is wrong with it."""
    *zeros, k = loop.body or (None,)
    if loop.start != Const(0, loop.start.dtype) or loop.step != 1:
        return "the rows of a matrix loop are counted from 0"
    tiles = _tiles(loop.stop)
    if tiles is None:
        return f"a matrix loop has whole tiles of {TILE_ROWS} rows, or at most one: min(rows, {TILE_ROWS})"
    if not isinstance(k, For) or k.kind != "range" or not all(isinstance(zero, Store) for zero in zeros):
        return "a matrix loop sets sums to 0 and adds to them in one loop over k"
    if not (isinstance(k.start, Const) and isinstance(k.stop, Const)) or k.start.value or k.stop.value % TILE_PAIRS:
        return f"a matrix loop adds up whole tiles of {TILE_PAIRS} pairs"
    sums = tuple(_sums(k.body))
    starts = [(zero.buffer, zero.index) for zero in zeros if isinstance(zero, Store) and _is_zero(zero)]
    if len(starts) != len(zeros) or starts != [(one.store.buffer, one.store.index) for one in sums]:
        return "a matrix loop sets the sums to 0 that it adds to, and no others"
    if len(sums) * tiles > TILES_OF_SUMS:
        return f"{len(sums)} sums of {tiles} tiles of rows are more than {TILES_OF_SUMS} tiles"
    if not all(one.products and _is_vector(one.store) for one in sums):
        return f"a sum of a matrix loop is {TILE_PAIRS} columns of products of pairs"
    return MatrixLoop(loop.stop, tiles, k, sums)


def _tiles(rows: Expr) -> int | None:
    """Tiles of rows, one after the other."""
    match rows:
        case Const(value):
            count = int(value)
            return count // TILE_ROWS if count and count % TILE_ROWS == 0 else (1 if 0 < count < TILE_ROWS else None)
        case Call("min", (Const(most), _) | (_, Const(most))) if 0 < most <= TILE_ROWS:
            return 1
    return None


def _sums(body: Sequence[Stmt]) -> Iterator[MatrixSum]:
    known: dict[str, Expr] = {}
    for statement in body:
        match statement:
            case Let(name, value):
                known[name] = substitute(value, known)
            case Store(combine="add"):
                products = _products(substitute(statement.value, known))
                yield MatrixSum(statement, tuple(products or ()))
            case _:
                return


def _products(value: Expr) -> list[tuple[Load, Load]] | None:
    """The factors of the products that `value` adds up, from left to right; None when it is something else."""
    match value:
        case Call("add", (first, second)):
            before, last = _products(first), _products(second)
            return None if before is None or last is None else before + last
        case Call("dot", (Load() as rows, Load() as columns)) if rows.lanes == 1 and columns.lanes == TILE_PAIRS:
            return [(rows, columns)]
    return None


def _is_zero(store: Store) -> bool:
    return store.combine is None and isinstance(store.value, Const) and store.value.value == 0


def _is_vector(store: Store) -> bool:
    last = store.index[-1]
    return isinstance(last, Span) and last.lanes == TILE_PAIRS and last.limit is None
