"""What passes over chunks of time share: which loops those are, what they keep, and how many weights a step reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rnncc.loop.builder import ZERO, add, call, integer, subtract
from rnncc.loop.index import difference
from rnncc.loop.ir import Buffer, Call, Const, Expr, For, Load, Procedure, Reduce, Span, Stmt, Var
from rnncc.loop.visit import buffers_of, children, expressions_of, walk_exprs
from rnncc.passes.loop.dependences import indices_of


def is_chunks(loop: Stmt) -> bool:
    """True for a loop over chunks of time as `chunk_steps` makes it."""
    if not isinstance(loop, For) or loop.kind != "range" or loop.step == 1:
        return False
    count = call("min", subtract(loop.stop, Var(loop.variable)), integer(loop.step))
    return (
        loop.start == ZERO
        and isinstance(loop.stop, Var)
        and all(
            isinstance(member, For) and member.start == ZERO and member.stop == count and member.step == 1
            for member in loop.body
        )
    )


def kept_in(chunks: For, procedure: Procedure) -> set[str]:
    """The sequences of which a loop over chunks keeps one chunk: nobody else has them, each member at its own step."""
    others = [other for other in procedure.body if other is not chunks]
    members = [member for member in chunks.body if isinstance(member, For)]
    return {
        buffer.name
        for buffer in procedure.buffers
        if buffer.space == "temporary"
        and buffer.shape[:1] == (integer(chunks.step),)
        and buffer.name in buffers_of(chunks)
        and stays_among(buffer.name, members, others)
    }


def stays_among(name: str, members: Sequence[For], others: Sequence[Stmt]) -> bool:
    """True for a sequence that none of the `others` has, and each of the `members` at its own step only."""
    return all(is_at_step(member, name, ZERO) for member in members) and not any(
        name in buffers_of(other) for other in others
    )


def is_at_step(member: For, name: str, start: Expr) -> bool:
    """True when every access of `member` to the buffer `name` is at its own step, counted from `start`."""
    own = add(Var(member.variable), start)
    return all(
        bool(index) and not isinstance(index[0], Span) and difference(index[0], own) == 0
        for index in indices_of(member, name)
    )


def weights_read(member: For, buffers: Mapping[str, Buffer]) -> int:
    """Bytes of weights that a step of `member` reads for one row; loops of a length that is not known count once.

    What is read in several places is read once, and pairs of bfloat16 are as many bytes as one number of float32.
    """
    return sum(times * expr.dtype.size for expr, times in _reads_of(member, buffers).items())


def step_weights(procedure: Procedure) -> int:
    """The most weights that a step of a loop over time reads for one row: how many numbers."""
    buffers = {buffer.name: buffer for buffer in procedure.buffers}
    steps = [loop for loop in procedure.body if isinstance(loop, For) and loop.kind == "range"]
    return max((sum(_reads_of(loop, buffers).values()) for loop in steps), default=0)


def _reads_of(member: For, buffers: Mapping[str, Buffer]) -> dict[Expr, int]:
    """The weights that a step of `member` reads, each once, and how many there are of each."""
    weights = {name for name, buffer in buffers.items() if buffer.space == "weight"}
    return dict(_weights_in(member.body, weights, 1))


def _weights_in(statements: Sequence[Stmt], weights: set[str], times: int) -> Iterator[tuple[Expr, int]]:
    """The weights that `statements` read, and how often each of them is read."""
    for statement in statements:
        if isinstance(statement, For):
            yield from _weights_in(statement.body, weights, times * _count(statement.stop))
        else:
            for expr in expressions_of(statement):
                yield from _weights_by(expr, weights, times)


def _weights_by(expr: Expr, weights: set[str], times: int) -> Iterator[tuple[Expr, int]]:
    is_pair = isinstance(expr, Call) and expr.function == "pair"
    loads = [part.buffer for part in walk_exprs(expr) if isinstance(part, Load)] if is_pair else []
    if (isinstance(expr, Load) and expr.buffer in weights) or (loads and weights.issuperset(loads)):
        yield expr, times
        return
    inside = times * _count(expr.size) if isinstance(expr, Reduce) else times
    for child in children(expr):
        yield from _weights_by(child, weights, inside)


def _count(size: Expr) -> int:
    return int(size.value) if isinstance(size, Const) else 1
