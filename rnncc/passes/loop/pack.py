"""Store weights in the order in which the loops read them, once, when they are bound.

    for k in range(0, 128):                            with setup():
        for j in lanes(js, js + 16):                       for p, k, l: wp[p, k, 0, l] = w[k, p * 16 + l]
            acc[0, 0, j - js] += h[k] * w[k, j]            for p, k, l: wp[p, k, 1, l] = w[k, p * 16 + l + 128]
            acc_2[0, 0, j - js] += h[k] * w[k, j + 128]
                                                 ->    for k in range(0, 128):
                                                           for j in lanes(js, js + 16):
                                                               acc[...] += h[k] * wp[js // 16, k, 0, j - js]
                                                               acc_2[...] += h[k] * wp[js // 16, k, 1, j - js]

A panel holds one vector of columns of every weight that one turn of the loop over k reads, k after k: a step of the
loop reads the next bytes of one stream. The last panel is filled up with zeros.

Requires: `tile`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rnncc.loop.builder import ZERO, add, floordiv, integer, load, multiply, subtract
from rnncc.loop.index import difference
from rnncc.loop.ir import Buffer, Call, Const, Expr, For, Load, Procedure, Stmt, Store, Var
from rnncc.loop.visit import free_variables, map_expr, map_statement, substitute, walk_exprs, walk_statements
from rnncc.passes.loop.names import Names, unused
from rnncc.passes.loop.nest import is_packable, scalars

K, COLUMN = Var("k"), Var("column")
"""Where a member of a layout is, whatever the loops that read it call that."""


def pack(procedure: Procedure) -> Procedure:
    """Pack the weights of every loop over k that adds to register tiles."""
    packer = _Packer(procedure, Names(procedure))
    body = packer.block(procedure.body)
    if not packer.layouts:
        return procedure
    buffers = (*procedure.buffers, *(layout.buffer for layout in packer.layouts.values()))
    taken = {buffer.name for buffer in buffers} | set(procedure.dims)
    variables = _Variables(*(Var(unused(hint, taken)) for hint in ("p", "k", "l")))
    setup = tuple(statement for layout in packer.layouts.values() for statement in _fill(layout, variables))
    return replace(procedure, buffers=buffers, setup=(*procedure.setup, *setup), body=body)


@dataclass(frozen=True, slots=True)
class _Variables:
    """Of the loops in setup: nothing else has their names."""

    panel: Var
    k: Var
    lane: Var


@dataclass(frozen=True, slots=True)
class _Layout:
    """A packed buffer [panel, k, member, lane] and what its members are, as loads at (k, column)."""

    buffer: Buffer
    members: tuple[Load, ...]
    columns: int


@dataclass(slots=True)
class _Packer:
    procedure: Procedure
    names: Names
    layouts: dict[tuple[tuple[Load, ...], int, int], _Layout] = field(default_factory=dict)

    def block(self, statements: Sequence[Stmt]) -> tuple[Stmt, ...]:
        """Statements with every loop over k packed."""
        return tuple(self.statement(statement) for statement in statements)

    def statement(self, statement: Stmt) -> Stmt:
        if not isinstance(statement, For):
            return statement
        if statement.kind == "range" and isinstance(statement.stop, Const) and _adds_to_registers(statement):
            return self.loop_over_k(statement)
        return replace(statement, body=self.block(statement.body))

    def loop_over_k(self, loop: For) -> For:
        """One loop over k with its weights read from a packed buffer."""
        members: dict[Load, None] = {}
        lanes = 0
        for lane_loop in _lane_loops(loop):
            for store in lane_loop.body:
                assert isinstance(store, Store)
                lanes = max(lanes, self.register_lanes(store.buffer))
                members.update(dict.fromkeys(self.members_of(store.value, loop.variable, lane_loop.variable)))
        if not members or lanes < 2:
            return loop
        layout = self.layout(tuple(members), int(loop.stop.value) if isinstance(loop.stop, Const) else 0, lanes)
        places = {member: number for number, member in enumerate(layout.members)}

        def lane_body(lane_loop: For) -> For:
            def packed(expr: Expr) -> Expr:
                member = self.member(expr, loop.variable, lane_loop.variable)
                if member is None:
                    return expr
                panel = _divided(lane_loop.start, lanes)
                lane = subtract(Var(lane_loop.variable), lane_loop.start)
                index = (panel, Var(loop.variable), integer(places[member]), lane)
                return load(layout.buffer.name, index, layout.buffer.dtype)

            body = tuple(map_statement(store, lambda expr: map_expr(expr, packed)) for store in lane_loop.body)
            return replace(lane_loop, body=body)

        return _map_lane_loops(loop, lane_body)

    def register_lanes(self, name: str) -> int:
        size = self.procedure.buffer(name).shape[-1]
        assert isinstance(size, Const), "register shapes are constant"
        return int(size.value)

    def members_of(self, value: Expr, k: str, j: str) -> Iterator[Load]:
        """The weights that `value` reads at (k, j), in order."""
        for expr in walk_exprs(value):
            member = self.member(expr, k, j)
            if member is not None:
                yield member

    def member(self, expr: Expr, k: str, j: str) -> Load | None:
        """`expr` as a load at (k, column), if it is a weight that moves with both and with nothing else."""
        if not isinstance(expr, Load) or self.procedure.buffer(expr.buffer).space != "weight":
            return None
        if not is_packable(expr, k, j):
            return None
        names: Mapping[str, Expr] = {k: K, j: COLUMN}
        return replace(expr, index=tuple(substitute(item, names) for item in scalars(expr.index)))

    def layout(self, members: tuple[Load, ...], depth: int, lanes: int) -> _Layout:
        key = (members, depth, lanes)
        if key not in self.layouts:
            columns = min(self.columns(member) for member in members)
            shape = tuple(map(integer, (-(-columns // lanes), depth, len(members), lanes)))
            name = self.names.fresh(f"{members[0].buffer}_packed")
            self.layouts[key] = _Layout(Buffer(name, members[0].dtype, shape, "packed"), members, columns)
        return self.layouts[key]

    def columns(self, member: Load) -> int:
        """How far the column may go before the weight ends."""
        shape = self.procedure.buffer(member.buffer).shape
        for item, size in zip(scalars(member.index), shape, strict=True):
            if COLUMN.name in free_variables(item):
                offset = difference(item, COLUMN)
                assert isinstance(size, Const) and offset is not None, "weights have constant shapes"
                return int(size.value) - offset
        raise AssertionError("a member moves with the column")


def _adds_to_registers(loop: For) -> bool:
    inner = list(walk_statements(loop.body))
    return all(isinstance(s, For) or (isinstance(s, Store) and s.combine is not None) for s in inner) and not any(
        isinstance(s, For) and s.kind in ("range", "parallel") for s in inner
    )


def _lane_loops(loop: For) -> Iterator[For]:
    for statement in walk_statements(loop.body):
        if isinstance(statement, For) and statement.kind == "lanes":
            yield statement


def _map_lane_loops(loop: For, change: Callable[[For], For]) -> For:
    body = tuple(
        statement
        if not isinstance(statement, For)
        else change(statement)
        if statement.kind == "lanes"
        else _map_lane_loops(statement, change)
        for statement in loop.body
    )
    return replace(loop, body=body)


def _divided(start: Expr, lanes: int) -> Expr:
    """`start // lanes` of a sum whose parts are multiples of `lanes`, part by part."""
    match start:
        case Const(value):
            return integer(int(value) // lanes)
        case Call("add", (a, b)):
            return add(_divided(a, lanes), _divided(b, lanes))
        case Call("mul", (a, Const(factor))) if int(factor) % lanes == 0:
            return multiply(a, integer(int(factor) // lanes))
        case _:
            return floordiv(start, integer(lanes))


def _fill(layout: _Layout, variables: _Variables) -> Iterator[Stmt]:
    """The loops that fill a packed buffer."""
    panels, depth, _, lanes = (int(size.value) for size in layout.buffer.shape if isinstance(size, Const))
    p, k, lane = variables.panel, variables.k, variables.lane
    full, rest = divmod(layout.columns, lanes)
    for number, member in enumerate(layout.members):

        def copy(panel: Expr, width: int, member: Load = member, number: int = number) -> Stmt:
            column = add(multiply(panel, integer(lanes)), lane)
            value = substitute(member, {K.name: k, COLUMN.name: column})
            store: Stmt = Store(layout.buffer.name, (panel, k, integer(number), lane), value)
            return _loops(((k, depth), (lane, width)), store)

        if full:
            yield For(p.name, "parallel", ZERO, integer(full), 1, (copy(p, lanes),))
        if rest:
            last = integer(panels - 1)
            zero = Const(0.0 if layout.buffer.dtype.is_float else 0, layout.buffer.dtype)
            fill = Store(layout.buffer.name, (last, k, integer(number), lane), zero)
            yield _loops(((k, depth), (lane, lanes)), fill)
            yield copy(last, rest)


def _loops(variables: Sequence[tuple[Var, int]], body: Stmt) -> Stmt:
    for variable, size in reversed(variables):
        body = For(variable.name, "parallel", ZERO, integer(size), 1, (body,))
    return body
