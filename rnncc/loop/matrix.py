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

from rnncc.errors import VerifyError
from rnncc.loop.builder import ZERO
from rnncc.loop.index import at_most, stride_in
from rnncc.loop.ir import K_AXIS, PACKED_AXES, Call, Const, Expr, For, Index, Let, Load, Span, Stmt, Store, Var
from rnncc.loop.visit import free_variables, index_exprs, substitute
from rnncc.records import record

TILE_ROWS = 16
"""Rows of a tile."""

TILE_PAIRS = 16
"""Words of a row: pairs of a row of factors, or sums of as many columns."""

TILES_OF_SUMS = 4
"""Tiles that are added up side by side: an instruction takes 52 cycles, and another one may begin after 16."""


@record(frozen=True, slots=True)
class MatrixSum:
    """A sum of a matrix loop: where it is kept, and the factors that are multiplied and added, in this order."""

    store: Store
    products: tuple[tuple[Load, Load], ...]


@record(frozen=True, slots=True)
class MatrixLoop:
    """A loop of kind `matrix` in parts: its sums, and the loop over pairs in which they are added up."""

    rows: Expr
    tiles: int
    """How many tiles of rows one after the other it is for: several are full."""
    k: For
    sums: tuple[MatrixSum, ...]


def matrix_loop(loop: For) -> MatrixLoop:
    """`loop`, of kind `matrix`, in parts. Raises VerifyError, with what is wrong, for one of another form."""
    *zeros, k = loop.body or (None,)
    _need(loop.start == ZERO and loop.step == 1, "the rows of a matrix loop are counted from 0")
    tiles = _tiles(loop.stop)
    _need(tiles, f"a matrix loop has whole tiles of {TILE_ROWS} rows, or at most one: min(rows, {TILE_ROWS})")
    if not isinstance(k, For) or k.kind != "range" or not all(isinstance(zero, Store) for zero in zeros):
        raise VerifyError("a matrix loop sets sums to 0 and adds to them in one loop over k")
    whole = k.start == ZERO and k.step == 1 and isinstance(k.stop, Const) and k.stop.value % TILE_PAIRS == 0
    _need(whole, f"a matrix loop adds up whole tiles of {TILE_PAIRS} pairs")
    sums = tuple(_sums(k.body))
    starts = [(zero.buffer, zero.index) for zero in zeros if isinstance(zero, Store) and _is_zero(zero)]
    is_set = len(starts) == len(zeros) and starts == [(one.store.buffer, one.store.index) for one in sums]
    _need(is_set, "a matrix loop sets the sums to 0 that it adds to, and no others")
    fits = len(sums) * tiles <= TILES_OF_SUMS
    _need(fits, f"{len(sums)} sums of {tiles} tiles of rows are more than {TILES_OF_SUMS} tiles")
    for one in sums:
        is_vector = _is_vector(one.store) and one.store.index[0] == Var(loop.variable)
        _need(is_vector, f"a sum of a matrix loop has the rows of the loop, and {TILE_PAIRS} columns")
        for rows, columns in one.products:
            moves = loop.variable in _names_in(rows.index[:-1]) and _moves_with(rows.index[-1], k)
            _need(moves, "one factor of a matrix loop has the rows of the loop, and pairs one after the other")
            moves = loop.variable not in _names_in(columns.index) and _moves_with(columns.index[K_AXIS], k)
            _need(moves, "the other factor of a matrix loop is the same for all rows, k after k")
    return MatrixLoop(loop.stop, tiles, k, sums)


def _need(is_so: object, what: str) -> None:
    if not is_so:
        raise VerifyError(what)


def _tiles(rows: Expr) -> int:
    """Tiles of rows, one after the other; 0 where that is not known."""
    most = at_most(rows)
    if most is None or most <= 0:
        return 0
    if most <= TILE_ROWS:
        return 1
    return most // TILE_ROWS if isinstance(rows, Const) and most % TILE_ROWS == 0 else 0


def _sums(body: Sequence[Stmt]) -> Iterator[MatrixSum]:
    known: dict[str, Expr] = {}
    for statement in body:
        match statement:
            case Let(name, value):
                known[name] = substitute(value, known)
            case Store(combine="add"):
                yield MatrixSum(statement, tuple(_products(substitute(statement.value, known))))
            case _:
                raise VerifyError("the loop over k in a matrix loop adds products of pairs to sums, and nothing else")


def _products(value: Expr) -> Iterator[tuple[Load, Load]]:
    for factors in factors_of(value) or [(value, value)]:
        match factors:
            case Load() as rows, Load() as columns if (rows.lanes, columns.lanes) == (1, TILE_PAIRS):
                _need(len(columns.index) >= PACKED_AXES, "one factor of a matrix loop is packed")
                yield rows, columns
            case _:
                raise VerifyError(f"a sum of a matrix loop is of products of one pair and {TILE_PAIRS} of them")


def _moves_with(item: Index, loop: For) -> bool:
    return not isinstance(item, Span) and stride_in(item, loop.variable) == 1


def _names_in(index: tuple[Index, ...]) -> frozenset[str]:
    return frozenset[str]().union(*map(free_variables, index_exprs(index)))


def factors_of(value: Expr) -> list[tuple[Expr, Expr]] | None:
    """The factors of the products of pairs that `value` adds up, from left to right; None if it is something else."""
    match value:
        case Call("add", (first, second)):
            before, last = factors_of(first), factors_of(second)
            return None if before is None or last is None else before + last
        case Call("dot", (rows, columns)):
            return [(rows, columns)]
    return None


def _is_zero(store: Store) -> bool:
    return store.combine is None and isinstance(store.value, Const) and store.value.value == 0


def _is_vector(store: Store) -> bool:
    last = store.index[-1]
    return isinstance(last, Span) and last.lanes == TILE_PAIRS and last.limit is None
