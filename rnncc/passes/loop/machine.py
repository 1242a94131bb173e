"""What the loop passes know of the machine, and the shapes of tiles they choose from it."""

from __future__ import annotations

from collections.abc import Sequence

from rnncc.records import record
from rnncc.types import DType

NEAR_BYTES = 32 << 10
"""Level 1 data cache of a core that is not at hand: what every one of the last ten years has."""

MIDDLE_BYTES = 1 << 20
"""The same of level 2: those of servers have this or twice as much."""


@record(frozen=True, slots=True)
class Machine:
    """Vector registers: how many bytes each, and how many; and the caches that a schedule counts on.

    Sizes, and not rates: what a core reads or multiplies in a second may differ by half from one minute to the next, on
    a machine that others use as well, and the same model is to compile to the same code there.
    """

    vector_bytes: int
    registers: int
    near_bytes: int = NEAR_BYTES
    """Level 1 data cache."""
    long_walk_bytes: int = 0
    """How many bytes of the level 2 cache have to be read before it delivers a line at full speed again; 0: any."""
    has_pairs: bool = False
    """Whether one instruction adds the products of bfloat16 pairs."""
    has_matrix_unit: bool = False
    """Whether a unit multiplies tiles of bfloat16 pairs, see `loop.matrix`."""
    middle_bytes: int = MIDDLE_BYTES
    """Level 2 cache."""

    def lanes(self, dtype: DType, extent: int | None) -> int:
        """Elements of one vector for a loop of `extent` turns (None: not known): a power of two."""
        lanes = self.vector_bytes // max(dtype.size, 4)
        while extent is not None and lanes // 2 >= max(extent, 1):
            lanes //= 2
        return lanes


TAIL_ROWS = (4, 3, 2)
"""Tiles of fewer rows, for those that full tiles leave over."""

FEW_TAILS = (2,)
"""The same where it is not worth the code to be fast with a few rows: they are all steps of all sequences, or the nest
is a small part of the work whatever its rows are."""

ODD_ROWS = 3
"""Rows of the tile that is used once where the number of rows is odd, and else not: two rows and one on its own take as
long as four. Where full tiles have three rows themselves, one or two tiles of two rows leave none on its own, unless it
is the only one."""


@record(frozen=True, slots=True)
class TileShape:
    """How a nest is cut: panels of `panel` vectors, and in a panel blocks of (rows, vectors), most rows first.

    Each block takes the rows that the one before it leaves over; the last one takes single rows. The vectors of every
    block divide those of the panel.
    """

    panel: int
    blocks: tuple[tuple[int, int], ...]

    @staticmethod
    def of(rows: int, width: int, panel: int, tails: Sequence[int] = TAIL_ROWS) -> TileShape:
        """Tiles of `rows` x `width`, of `tails` for what they leave over, and single rows in panels of `panel`."""
        counts = [rows, *(fewer for fewer in tails if fewer < rows)] if rows > 1 else []
        return TileShape(panel, (*((count, width) for count in counts), (1, panel)))


FMA_CHAINS = 8
"""Independent accumulators that keep two multiply-add units with a latency of four cycles busy."""

STREAM_CHAINS = 4
"""Accumulators that keep up with weights which come from beyond the level 1 cache: one vector a cycle at best."""

LINE_BYTES = 64
"""What a level 2 cache delivers in a cycle at best. Vectors that are shorter need FMA_CHAINS to keep up, too."""


def tile_shape(
    machine: Machine,
    reductions: int,
    vectors: int | None,
    tails: Sequence[int] = TAIL_ROWS,
    *,
    streams: bool,
    halves: bool = False,
) -> TileShape:
    """The tiles for a nest with `reductions` accumulators a point and `vectors` vectors in a row (None: not known).

    Many rows: each weight vector and each broadcast input is used as often as the registers allow; they hold
    reductions * vectors * rows sums, one of the weights of one k and all inputs, or the other way round. Tiles of as
    few rows as `tails` says take what full tiles leave over. One row: every weight is used once. When they are in the
    level 1 cache, all that counts is to have FMA_CHAINS sums on the way; when they are not (`streams`), that they are
    read in one stream from front to back, which a panel of the same width as that of many rows is: the prefetcher
    follows one stream at full bandwidth, and two of them in turn at two thirds of it. With vectors of half a line,
    there are FMA_CHAINS all the same (four sums of 64 to 512 columns on a Zen 3: 5 to 8 % less time).

    `halves`: factors are pairs that are taken apart, see `registers_of`.
    """
    width = max(1, -(-STREAM_CHAINS // reductions) if machine.registers >= 32 else 2 // reductions)
    if vectors is not None:
        width = min(width, max(vectors, 1))
    wanted = reductions * width
    fits = (rows for rows in range(8, 1, -1) if registers_of(rows, wanted, halves=halves) <= machine.registers)
    rows = next(fits, 1)
    one_stream = streams and machine.vector_bytes >= LINE_BYTES
    panel = width if one_stream else _panel(reductions, width, vectors, machine)
    return TileShape.of(rows, width, panel, tails)


def registers_of(rows: int, vectors: int, *, halves: bool = False) -> int:
    """Vector registers of a tile: its sums, the inputs of all rows or the weights of one k, and one of the others.

    Of pairs in `halves`, the weights of all vectors are kept until their other half is wanted, and so are both halves
    of the inputs: in larger tiles, sums do not stay in registers (on a Zen 3, 32 rows of four sums of 1,024 columns
    take 5/3 of the time then).
    """
    if halves:
        return rows * vectors + 2 * rows + vectors + 1
    return rows * vectors + min(rows, vectors) + 1


def _panel(reductions: int, width: int, vectors: int | None, machine: Machine) -> int:
    wanted = max(width, -(-FMA_CHAINS // reductions))
    wanted = -(-wanted // width) * width
    if vectors is None or vectors <= wanted:
        return wanted if vectors is None else -(-max(vectors, 1) // width) * width
    for count in range(wanted, wanted * 2, width):
        if vectors % count == 0 and registers_of(1, count * reductions) <= machine.registers:
            return count
    return wanted
