"""Lower a graph to loops, naively: one nest per node, every value in a buffer of its own, nothing decided.

    y: f32[B, 8] = add(a, b)    ->    for i in parallel(0, B):
                                          for j in parallel(0, 8):
                                              y[i, j] = a[i, j] + b[i, j]

A scan becomes a loop over time. Each state lives twice (`state[t % 2, ...]` is read, `state[(t + 1) % 2, ...]` is
written), so a step may read any element of the old state after it has written elements of the new one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rnncc.errors import ArgumentError, UnsupportedError
from rnncc.graph.ir import Graph, Node, Scan, is_scan, scan_view
from rnncc.graph.value import Value
from rnncc.loop.builder import ZERO, add, integer, load, mod, size_of, subtract, whole_part
from rnncc.loop.ir import Buffer, Check, Expr, For, Procedure, Stmt, Store, Var
from rnncc.names import unused
from rnncc.ops.lowering import Guard, Operand, Point, Region
from rnncc.types import Dim, TensorType

ROW, COLUMN, OTHERS = "b", "j", ("i", "l", "m", "n", "o", "p", "q")
"""Loop variables: the batch, the last axis, all other axes; with a number when something else has that name."""


def lower(graph: Graph) -> Procedure:
    """The procedure that computes `graph`; its consts are `weight` buffers, in order, then inputs, then outputs."""
    lowering = _Lowering(graph)
    return lowering.run()


class _Lowering:
    """Walks a graph once; `values` says how each value is read, `block` is where statements go."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.taken: set[str] = {*graph.extents, *(value.name for value in (*graph.consts, *graph.inputs))}
        self.row, self.column, *self.others = map(self.fresh, (ROW, COLUMN, *OTHERS))
        self.buffers: list[Buffer] = []
        self.messages: list[str] = []
        self.values: dict[Value, Operand] = {}
        self.block: list[Stmt] = []

    def run(self) -> Procedure:
        graph = self.graph
        for value in graph.consts:
            self.values[value] = self.operand(value.type, self.parameter(value, "weight"))
        for value in graph.inputs:
            self.values[value] = self.operand(value.type, self.parameter(value, "input"))
        self.nodes(graph)
        for number, value in enumerate(graph.outputs):
            name = value.name if value not in (*graph.consts, *graph.inputs) else f"output_{number}"
            target = self.buffer(f"{name}_out", value.type, "output")
            self.fill(target, value.type, self.values[value].at)
        return Procedure(graph.name, graph.extents, tuple(self.buffers), (), tuple(self.block), tuple(self.messages))

    # -------------------------------------------------------------- names, buffers, nests

    def fresh(self, hint: str) -> str:
        name = unused(hint, self.taken)
        self.taken.add(name)
        return name

    def parameter(self, value: Value, space: str) -> str:
        """The buffer of a weight or an input: a call knows it by the name of the value."""
        if value.name in self.graph.extents:
            raise ArgumentError(
                f"{value.name} is the name of an {'input' if space == 'input' else 'weight'} and of an extent",
                f"{value.name}: {value.type}",
                remedy="give one of them another name",
            )
        self.buffers.append(Buffer(value.name, value.type.dtype, tuple(map(size_of, value.type.shape)), space))
        return value.name

    def buffer(self, name: str, type: TensorType, space: str, lead: tuple[Dim, ...] = ()) -> str:
        unique = self.fresh(name)
        shape = tuple(size_of(dim) for dim in (*lead, *type.shape))
        self.buffers.append(Buffer(unique, type.dtype, shape, space))
        return unique

    def operand(self, type: TensorType, buffer: str, lead: tuple[Expr, ...] = ()) -> Operand:
        return Operand(type, lambda index: load(buffer, (*lead, *index), type.dtype))

    def nest(self, shape: Sequence[Dim], leaf: Callable[[Sequence[Expr]], Stmt]) -> None:
        """Append parallel loops over `shape` around `leaf(index)`."""
        names = self.axis_names(shape)
        statement = leaf([Var(name) for name in names])
        for name, dim in zip(reversed(names), reversed(shape), strict=True):
            statement = For(name, "parallel", ZERO, size_of(dim), 1, (statement,))
        self.block.append(statement)

    def axis_names(self, shape: Sequence[Dim]) -> list[str]:
        """One loop variable per axis; nests use the same names again, since none is inside of another."""
        self.others += [self.fresh(OTHERS[0]) for _ in range(len(shape) - len(self.others))]
        others = iter(self.others)
        names: list[str] = []
        for axis, dim in enumerate(shape):
            if dim == "B" and self.row not in names:
                names.append(self.row)
            else:
                names.append(self.column if axis == len(shape) - 1 else next(others))
        return names

    def fill(
        self,
        buffer: str,
        type: TensorType,
        value: Callable[[Sequence[Expr]], Expr],
        lead: tuple[Expr, ...] = (),
        start: Sequence[int] | None = None,
    ) -> None:
        """Append `buffer[lead, start + index] = value(index)` for every index of `type.shape`."""
        corner = start or (0,) * type.rank

        def leaf(index: Sequence[Expr]) -> Stmt:
            place = tuple(add(i, integer(offset)) for i, offset in zip(index, corner, strict=True))
            return Store(buffer, (*lead, *place), value(index))

        self.nest(type.shape, leaf)

    # -------------------------------------------------------------- nodes

    def nodes(self, graph: Graph) -> None:
        for node in graph.nodes:
            if is_scan(node):
                self.scan(node)
            else:
                self.node(node)

    def node(self, node: Node) -> None:
        op = node.op
        if op.lower is None:
            raise UnsupportedError(f"op {op.name} cannot be compiled", place=node.place)
        operands = [self.values[value] for value in node.inputs]
        type = node.output.type

        def point(region: int) -> Callable[[Sequence[Expr]], Expr]:
            assert op.lower is not None
            rule = op.lower
            return lambda index: rule(Point(operands, index, node.attrs, type, region, self.fresh))

        if op.guard is not None:
            self.guard(op.guard(operands, node.attrs))
        if not node.inputs:  # a number or a counter: nothing worth a buffer
            self.values[node.output] = Operand(type, point(0))
            return
        buffer = self.buffer(node.output.name, type, "temporary")
        whole = [Region((0,) * type.rank, type.shape)]
        regions = whole if op.regions is None else op.regions([operand.type for operand in operands], node.attrs)
        for number, region in enumerate(regions):
            if 0 in region.shape and op.regions is not None:
                continue  # nothing of it is there
            self.fill(buffer, TensorType(type.dtype, region.shape), point(number), start=region.start)
        self.values[node.output] = self.operand(type, buffer)

    def guard(self, guard: Guard) -> None:
        code = len(self.messages)
        self.messages.append(guard.message)
        self.nest(guard.shape, lambda index: Check(guard.condition(index), code, (guard.value(index),)))

    def scan(self, node: Node) -> None:
        """A loop over time; `unroll` steps in each turn, and a second loop for the steps that are left."""
        scan = scan_view(node)
        length = size_of(scan.length)
        self.values.update(zip(scan.body.consts, (self.values[value] for value in scan.consts), strict=True))
        states = [self.buffer(value.name, value.type, "temporary", lead=(2,)) for value in scan.body.inputs]
        for state, value, init in zip(states, scan.body.inputs, scan.init, strict=True):
            self.fill(state, value.type, self.values[init].at, lead=(ZERO,))
        collected = [
            self.buffer(ys.name, value.type, "temporary", lead=(scan.length,))
            for ys, value in zip(scan.ys, scan.body_ys, strict=True)
        ]
        turns = whole_part(length, scan.unroll)
        t = Var(self.fresh("t"))
        if turns != ZERO:
            self.turns(scan, t, (ZERO, turns, scan.unroll), states, collected)
        if turns != length:
            self.turns(scan, t, (turns, length, 1), states, collected)
        for state, value in zip(states, scan.final, strict=True):
            self.values[value] = self.operand(value.type, state, (mod(length, integer(2)),))
        for name, value in zip(collected, scan.ys, strict=True):
            self.values[value] = self.operand(value.type, name)

    def turns(
        self, scan: Scan, t: Var, bounds: tuple[Expr, Expr, int], states: Sequence[str], collected: Sequence[str]
    ) -> None:
        """Append a loop over time from bounds[0] to bounds[1] with bounds[2] steps in each turn."""
        start, stop, count = bounds
        steps: list[Stmt] = []
        for number in range(count):
            time = add(t, integer(number))
            inner = t if count == 1 else Var(self.fresh(t.name))
            outer, self.block = self.block, []
            self.step(scan, inner, states, collected)
            if count == 1:
                steps = self.block
            else:  # a block of its own for each step: nests are never fused over a step's end
                steps.append(For(inner.name, "range", time, add(time, integer(1)), 1, tuple(self.block)))
            self.block = outer
        self.block.append(For(t.name, "range", start, stop, count, tuple(steps)))

    def step(self, scan: Scan, time: Expr, states: Sequence[str], collected: Sequence[str]) -> None:
        """Append one step: from the states at `time % 2` to those at `(time + 1) % 2`."""
        length = size_of(scan.length)
        place = subtract(subtract(length, integer(1)), time) if scan.reverse else time
        old, new = mod(time, integer(2)), mod(add(time, integer(1)), integer(2))
        for state, value in zip(states, scan.body.inputs, strict=True):
            self.values[value] = self.operand(value.type, state, (old,))
        for value, xs in zip(scan.body.xs, scan.xs, strict=True):
            self.values[value] = self.slice_of(self.values[xs], place)
        self.nodes(scan.body)
        for state, value in zip(states, scan.next_carry, strict=True):
            self.fill(state, value.type, self.values[value].at, lead=(new,))
        for ys, value in zip(collected, scan.body_ys, strict=True):
            self.fill(ys, value.type, self.values[value].at, lead=(place,))

    def slice_of(self, operand: Operand, step: Expr) -> Operand:
        type = TensorType(operand.type.dtype, operand.type.shape[1:])
        return Operand(type, lambda index: operand.at([step, *index]))
