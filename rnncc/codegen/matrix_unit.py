"""Matrix loops as LLVM IR: Intel's AMX, eight tiles of 16 rows of 64 bytes.

Tiles 0 to 3 are sums, 4 and 5 hold rows, 6 and 7 columns. How many rows tiles have is set for all of them at once,
which also empties them; that takes some hundred cycles, so that it is done where another number of rows than the last
one is needed only. A function that has matrix loops remembers it in `%matrix.rows`, and its caller lets the tiles go.

Source: Intel, Intrinsics Guide and Software Developer's Manual, chapter 18 of volume 1 (AMX).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rnncc.codegen.instructions import Code
from rnncc.codegen.target import Target
from rnncc.loop.ir import Load
from rnncc.loop.matrix import TILE_PAIRS, TILE_ROWS

ROWS_NOW = "%matrix.rows"
"""The i64 in memory that says how many rows the tiles have; 0: they are not set up."""

_SUMS, _ROWS, _COLUMNS = (0, 1, 2, 3), (4, 5), (6, 7)
_ROW_BYTES = 64
_SHAPES = "@rnncc.tile.shapes"


def begin(code: Code) -> None:
    """At the start of a function that has matrix loops."""
    code.line(f"store i64 0, ptr {ROWS_NOW}")


def release(code: Code) -> str:
    """The instruction that lets the tiles go: threads that hold none are cheaper to switch between."""
    code.declare("void @llvm.x86.tilerelease()")
    return "  call void @llvm.x86.tilerelease()\n"


def set_up(code: Code, rows: str) -> None:
    """Give the tiles so many rows."""
    code.define(_SHAPES, f"{_SHAPES} = private constant [{TILE_ROWS} x [64 x i8]] [{', '.join(_shapes())}], align 64")
    code.declare("void @llvm.x86.ldtilecfg(ptr)")
    name = code.label("tiles")
    with code.region():
        now = code.assign(f"load i64, ptr {ROWS_NOW}")
        same = code.assign(f"icmp eq i64 {now}, {rows}")
        code.line(f"br i1 {same}, label %{name}.ready, label %{name}.set")
        code.open(f"{name}.set")
        before = code.assign(f"sub i64 {rows}, 1")
        shape = code.assign(f"getelementptr [64 x i8], ptr {_SHAPES}, i64 {before}")
        code.line(f"call void @llvm.x86.ldtilecfg(ptr {shape})")
        code.line(f"store i64 {rows}, ptr {ROWS_NOW}")
        code.line(f"br label %{name}.ready")
        code.open(f"{name}.ready")


def _shapes() -> Iterator[str]:
    """What is loaded for 1 to 16 rows: palette 1, at byte 16 the bytes of a row, at byte 48 the rows of each tile."""
    for rows in range(1, TILE_ROWS + 1):
        content = bytearray(64)
        content[0] = 1
        for tile in (*_SUMS, *_ROWS, *_COLUMNS):
            content[16 + 2 * tile] = _ROW_BYTES
            content[48 + tile] = TILE_ROWS if tile in _COLUMNS else rows
        yield "[64 x i8] [" + ", ".join(f"i8 {byte}" for byte in content) + "]"


def peak_text(target: Target) -> tuple[str, int]:
    """`void pairs(ptr block, i64 repeats, i64)`: products of tiles and nothing else, and how many in a repeat."""
    code = Code(target)
    begin(code)
    set_up(code, str(TILE_ROWS))
    for number in range(len(_SUMS)):
        clear(code, number)
    for tile in (*_ROWS, *_COLUMNS):
        _transfer(code, "tileloadd64", tile, ("%block", str(_ROW_BYTES)))
    code.line("br label %loop")
    code.open("loop")
    code.line("%r = phi i64 [ 0, %tiles.ready ], [ %r.next, %loop ]")
    for number, tile in enumerate(_SUMS):
        multiply(code, tile, _ROWS[number % len(_ROWS)], _COLUMNS[number // len(_ROWS)])
    code.line("%r.next = add i64 %r, 1")
    code.line("%more = icmp slt i64 %r.next, %repeats")
    code.line("br i1 %more, label %loop, label %exit")
    code.open("exit")
    header = "define void @pairs(ptr %block, i64 %repeats, i64 %turns) nounwind {\nentry:\n"
    body = [f"  {ROWS_NOW} = alloca i64", *code.lines, release(code) + "  ret void", "}", *code.module_lines()]
    return header + "\n".join(body) + "\n", len(_SUMS) * TILE_ROWS * TILE_PAIRS * TILE_PAIRS * 2


def clear(code: Code, number: int) -> None:
    """Set the tile of sums `number` to 0."""
    code.declare("void @llvm.x86.tilezero(i8 immarg)")
    code.line(f"call void @llvm.x86.tilezero(i8 {_SUMS[number]})")


def keep(code: Code, number: int, place: tuple[str, str]) -> None:
    """Write the tile of sums `number` to `place`: the address of its first row, and how many bytes are between rows."""
    _transfer(code, "tilestored64", _SUMS[number], place)


Product = tuple[int, tuple[Load, int], Load]
"""The tile of sums that it is added to; rows, and which tile of them; columns."""


def add_products(
    code: Code,
    products: Sequence[Product],
    rows_at: Callable[[Load, int], tuple[str, str]],
    columns_at: Callable[[Load], tuple[str, str]],
) -> None:
    """Add `products` in their order, what they share loaded once where two tiles of each kind allow that."""
    rows = _Kept(_ROWS, [of for _, of, _ in products])
    columns = _Kept(_COLUMNS, [of for _, _, of in products])
    for position, (total, (operand, tile), weight) in enumerate(products):
        left, is_new = rows.tile(position)
        if is_new:
            _transfer(code, "tileloadd64", left, rows_at(operand, tile))
        right, is_new = columns.tile(position)
        if is_new:
            place = columns_at(weight)
            _transfer(code, "tileloadd64", right, place)
            _ask_for_next(code, place)
        multiply(code, _SUMS[total], left, right)


def _ask_for_next(code: Code, place: tuple[str, str]) -> None:
    """Bring near the tile of columns that lies behind the one at `place`, and is loaded in the next turn over k.

    Loads of tiles do not run far ahead: 8 % of the time of four gates of 1,024 units and 32 rows, whose weights come
    from the level 3 cache, and nothing where they are near.
    """
    address, between = place
    for row in range(TILE_ROWS, 2 * TILE_ROWS):
        offset = code.assign(f"mul i64 {between}, {row}")
        code.prefetch(code.assign(f"getelementptr i8, ptr {address}, i64 {offset}"))


def multiply(code: Code, total: int, rows: int, columns: int) -> None:
    """Add the products of two tiles, by their own numbers, to a third one."""
    code.declare("void @llvm.x86.tdpbf16ps(i8 immarg, i8 immarg, i8 immarg)")
    code.line(f"call void @llvm.x86.tdpbf16ps(i8 {total}, i8 {rows}, i8 {columns})")


class _Kept:
    """Which of `wanted`, a value for each position, is in which of `tiles`."""

    def __init__(self, tiles: Sequence[int], wanted: Sequence[object]) -> None:
        self.wanted = wanted
        self.held: dict[int, object] = dict.fromkeys(tiles)

    def tile(self, position: int) -> tuple[int, bool]:
        """The tile with what is wanted at `position`, and whether it has to be loaded: where it is missed last."""
        value = self.wanted[position]
        for tile, held in self.held.items():
            if held == value:
                return tile, False
        later = self.wanted[position:]
        tile = max(self.held, key=lambda tile: later.index(self.held[tile]) if self.held[tile] in later else len(later))
        self.held[tile] = value
        return tile, True


def _transfer(code: Code, name: str, tile: int, place: tuple[str, str]) -> None:
    code.declare(f"void @llvm.x86.{name}(i8 immarg, ptr, i64)")
    address, between = place
    code.line(f"call void @llvm.x86.{name}(i8 {tile}, ptr {address}, i64 {between})")
