"""Make chunks of time shorter where there are many rows, so that they stay in the level 2 cache.

    z = temporary(f32, [64, B, 512])                   z = temporary(f32, [min(64, max(2, 64 // B * 2)), B, 512])
    for start in range(0, T, 64):                      steps = min(64, max(2, 64 // B * 2))
        for i in parallel(0, min(T - start, 64)):      for chunk in range(0, (T + steps - 1) // steps):
            z[i, b, j] = sum(x[b, start + i, k] ...        start = chunk * steps
        for t in range(0, min(T - start, 64)):    ->       for i in parallel(0, min(T - start, steps)):
            ... z[t, b, j]                                     z[i, b, j] = sum(x[b, start + i, k] ...)
                                                           for t in range(0, min(T - start, steps)):
                                                               ... z[t, b, j]

A product for all steps of a chunk reads its weights once, and uses them for as many rows as the chunk has steps times
sequences. With one sequence, that takes all 64 steps; with many, a few steps are enough, and what they pass on is
still in the cache when it is read. On a Zen 3, a cell of four gates and 128 units takes 8 to 9 % less time for 64 to
256 sequences, two layers of three gates 8 to 16 %, and four normalized gates 9 % for 32 sequences. Until a chunk has
two steps, the memory between them does not grow with B.

The more weights there are, the more rows have to share them. Chunks have an even number of steps: the halves of a state
alternate over their ends.

Requires: `chunk_steps`, and comes after `wavefront`, which knows the long form only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace

from rnncc.loop.builder import ONE, ZERO, add, call, floordiv, folded, integer, multiply, product, subtract
from rnncc.loop.ir import Buffer, Const, Expr, For, Let, Procedure, Stmt, Var
from rnncc.loop.names import Names
from rnncc.passes.loop.chunks import is_chunks, kept_in, weights_read
from rnncc.passes.manager import Note, nobody
from rnncc.records import record

ROWS = 128
"""Rows of a chunk that share weights which the level 2 cache holds."""

ROW_BYTES = 8 << 10
"""Weights for which there has to be one row more: what comes from beyond that cache is read while others are used."""

UNIT_ROW_BYTES = 32 << 10
"""The same for a matrix unit, which reads all rows of a chunk again for every panel of weights, and so fast that they
had better be in that cache. Measured with AMX on four gates of 1,024 units and 32 rows: 38 ms instead of 42."""


def shorten_chunks(
    procedure: Procedure, rows: int = ROWS, row_bytes: int = ROW_BYTES, note: Note = nobody
) -> Procedure:
    """Make the steps of every chunk depend on how many rows a step has, so that a chunk has `rows` or more by need.

    `row_bytes` of weights are worth one row.
    """
    buffers_by_name = {buffer.name: buffer for buffer in procedure.buffers}
    shortener = _Shortener(procedure, buffers_by_name, Names(procedure), rows, row_bytes, note)
    body = tuple(map(shortener.statement, procedure.body))
    if not shortener.short:
        return procedure
    named = (Let(name.name, steps) for steps, name in shortener.named.items())
    buffers = tuple(
        replace(buffer, shape=(shortener.short[buffer.name], *buffer.shape[1:]))
        if buffer.name in shortener.short
        else buffer
        for buffer in procedure.buffers
    )
    return replace(procedure, buffers=buffers, body=(*named, *body))


@record(frozen=True, slots=True)
class _Shortener:
    """`short` are the buffers of chunks that have become shorter, and how many steps they hold; `named` those numbers.

    They get their names first of all: loops over steps that stand side by side have nothing between them.
    """

    procedure: Procedure
    buffers: Mapping[str, Buffer]
    names: Names
    rows: int
    row_bytes: int
    note: Note
    short: dict[str, Expr] = field(default_factory=dict)
    named: dict[Expr, Var] = field(default_factory=dict)

    def statement(self, statement: Stmt) -> Stmt:
        """A loop over chunks with fewer steps, if there are many rows; everything else as it is."""
        if not isinstance(statement, For) or not is_chunks(statement):
            return statement
        kept = sorted(kept_in(statement, self.procedure))
        rows = max((self.buffers[name].shape[1:-1] for name in kept), key=len, default=())
        wanted = self.rows_wanted(statement)
        steps = _steps(wanted, product(rows), statement.step)
        if isinstance(steps, Const) and steps.value == statement.step:
            return statement
        most, least = wanted // statement.step, wanted // 4 + 1
        self.note(f"{', '.join(kept)}: {statement.step} steps up to {most} rows a step, 2 from {least} on")
        self.short.update(dict.fromkeys(kept, steps))
        return self.shortened(statement, steps)

    def rows_wanted(self, chunks: For) -> int:
        """How many rows share the weights of what is done for all steps of a chunk."""
        members = [member for member in chunks.body if isinstance(member, For) and member.kind == "parallel"]
        return max(self.rows, sum(weights_read(member, self.buffers) for member in members) // self.row_bytes // 2 * 2)

    def shortened(self, chunks: For, number: Expr) -> For:
        """`chunks`, of so many steps each."""
        if isinstance(number, Const):
            return replace(chunks, step=int(number.value), body=_members(chunks, number))
        if number not in self.named:
            self.named[number] = Var(self.names.fresh("steps"))
        steps, chunk = self.named[number], Var(self.names.fresh("chunk"))
        count = floordiv(add(chunks.stop, subtract(steps, ONE)), steps)
        start = Let(chunks.variable, multiply(chunk, steps))
        return For(chunk.name, "range", ZERO, count, 1, (start, *_members(chunks, steps)))


def _members(chunks: For, steps: Expr) -> tuple[Stmt, ...]:
    """The loops in `chunks`, over at most so many steps."""
    stop = call("min", subtract(chunks.stop, Var(chunks.variable)), steps)
    return tuple(replace(member, stop=stop) for member in chunks.body if isinstance(member, For))


def _steps(wanted: int, rows: Expr, most: int) -> Expr:
    """An even number of steps from 2 to `most`, with no more rows in all than are `wanted`, if that can be."""
    pairs = floordiv(integer(wanted // 2), folded(call("max", rows, ONE)))  # no rows at all are one too few
    return call("min", integer(most), call("max", integer(2), multiply(pairs, integer(2))))
