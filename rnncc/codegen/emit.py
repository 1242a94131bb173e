"""Scheduled loop IR to LLVM IR text: one instruction after the other, each as far outside of loops as it may stand.

Every buffer (temporaries: every slot) is a pointer argument that aliases no other, every dim an i64; registers and
stacks become allocas, of which LLVM turns the registers into values. A loop's block is named after its variable, so
that the assembly shows which loop is which. Its counter goes through a piece of assembly with nothing in it, so that
LLVM does not know that it counts: to rewrite addresses for a counter (strength reduction) would take a third of the
back end's time, and the code is no faster for it.

The entry point is `i32 name(ptr pointers, ptr dims, ptr status, i64 thread, i64 threads, ptr barrier)`: pointers in the
order of `Emitted.pointers`, dims in that of `Procedure.given`. It returns 0, or 1 + the number of the message of a
failed check; `status` then holds how many numbers follow, the offending value, and the index in memory from which it
was read. The last three arguments say which thread of how many this is, and where they meet; code that shares nothing
(see `Emitted.shares`) has no use for them, and need not be given any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TypeVar, assert_never

from rnncc.codegen import matrix_unit
from rnncc.codegen.emitted import STATUS_VALUES, Emitted
from rnncc.codegen.instructions import Code, Operand
from rnncc.codegen.places import ascii_name, pointer_name
from rnncc.codegen.target import MATRIX_TARGETS, Target
from rnncc.codegen.team import STOPPED, barrier_text, claim_text, declarations, leave_text, team_text
from rnncc.codegen.tile_ends import Pattern, pattern_of
from rnncc.codegen.values import Values
from rnncc.errors import UnsupportedError, caller
from rnncc.loop.builder import integer
from rnncc.loop.ir import (
    FOR_THREADS,
    K_AXIS,
    Barrier,
    Buffer,
    Check,
    Const,
    Expr,
    For,
    Index,
    Let,
    Load,
    Prefetch,
    Procedure,
    Stmt,
    Store,
    Var,
)
from rnncc.loop.matrix import TILE_PAIRS, TILE_ROWS, matrix_loop
from rnncc.loop.visit import index_exprs, is_tile_end, walk_statements
from rnncc.records import record
from rnncc.types import DType

T = TypeVar("T")


def emit(procedure: Procedure, target: Target, threads: int = 1) -> Emitted:
    """The LLVM module of a procedure that went through all loop passes.

    With more than one of `threads`, it holds what teams of threads run as well (`codegen.team`).

    Raises UnsupportedError or VerifyError for matrix loops that the target, or any matrix unit, cannot do.
    """
    emitter = _Emitter(procedure, target)
    if emitter.has_matrix and not target.has_matrix_unit:
        raise UnsupportedError(
            "the loops are for a matrix unit, which the target does not have",
            f"target: {target}",
            place=caller(),
            remedy=f"compile them for a target that has one: {', '.join(MATRIX_TARGETS)}",
        )
    return emitter.module(threads)


@record(frozen=True, slots=True)
class _End:
    """A function that does the ends of some tiles: the buffers that it touches, and its arguments behind the values."""

    name: str
    buffers: frozenset[str]
    arguments: Sequence[str]


class _Emitter:
    """Walks the statements once."""

    def __init__(self, procedure: Procedure, target: Target) -> None:
        self.procedure = procedure
        self.stacks = {buffer.name for buffer in procedure.buffers if buffer.space == "stack"}
        self.code = Code(target)
        self.values = Values(procedure, self.code)
        self.places = self.values.places
        self.ends: dict[Pattern, _End] = {}
        """Functions by what they do; see `codegen.tile_ends`."""
        self.is_in_end = False
        self.written: dict[int, frozenset[str]] = {}
        """By the identity of a loop: the buffers that it writes."""
        self.checks: list[tuple[str, str]] = []
        kinds = {statement.kind for statement in walk_statements(procedure.body) if isinstance(statement, For)}
        self.shares = not kinds.isdisjoint(FOR_THREADS)
        self.has_matrix = "matrix" in kinds

    def module(self, threads: int) -> Emitted:
        procedure, code = self.procedure, self.code
        if self.has_matrix:
            self.places.own(matrix_unit.ROWS_NOW, DType.I64)
            matrix_unit.begin(code)
        self.block(procedure.body)
        code.line("ret i32 0")
        pointers = self.places.pointers
        parameters = [*self.parameters(pointers), "ptr noalias %status", *(_TEAM if self.shares else ())]
        allocas = "\n".join(f"  {name} = alloca {type}, align 64" for name, type in self.places.frame.items())
        entry = f"rnncc.{procedure.name}"
        body = (
            f'define internal i32 @"{entry}.body"({", ".join(parameters)}) nounwind noinline {{\n'
            f"entry:\n{allocas}\n" + "\n".join(code.lines) + "\n}\n"
        )
        release = matrix_unit.release(code) if self.has_matrix else ""
        parts = [_entry(entry, list(pointers), procedure.given, self.shares, release), body, *code.module_lines()]
        if self.shares:
            parts += [barrier_text(code.target), claim_text(), leave_text()]
        if threads > 1:
            parts += [team_text(code.target), declarations(code.target)]
        names = tuple(pointers.values())
        return Emitted("\n".join(parts), entry, names, tuple(self.checks), self.shares, self.has_matrix)

    def parameters(self, pointers: Iterable[str]) -> list[str]:
        """Of a function that works on what is behind `pointers`: these, and all dims."""
        written = map(self.places.buffers.__getitem__, self.written_in(self.procedure.body))
        others = {pointer_name(buffer) for buffer in written if self.shares and not buffer.is_private}
        return [
            # What other threads write as well is reached in other ways, too.
            *(f"ptr {pointer}" if pointer in others else f"ptr noalias {pointer}" for pointer in pointers),
            *(f"i64 %dim.{ascii_name(dim)}" for dim in self.procedure.given),
        ]

    # -------------------------------------------------------------- statements

    def block(self, statements: Sequence[Stmt]) -> None:
        for end, group in groupby(statements, self.end_of_tile):
            if end is None:
                for statement in group:
                    self.statement(statement)
            else:
                self.tile_end([loop for loop in group if isinstance(loop, For)])

    def end_of_tile(self, statement: Stmt) -> Expr | None:
        """The number of turns of a loop that is the end of a tile, or one stage of it; None of all other statements."""
        if self.is_in_end or not isinstance(statement, For) or not is_tile_end(statement, self.stacks):
            return None
        return statement.stop

    def statement(self, statement: Stmt) -> None:
        match statement:
            case For():
                self.loop(statement)
            case Let(name, value):
                self.values.environment[name] = self.values.expr(value)
            case Store():
                self.values.store(statement)
            case Check():
                self.check(statement)
            case Prefetch(buffer, index):
                self.code.prefetch(self.places.address(buffer, index))
            case Barrier():
                self.barrier()
            case _:
                assert_never(statement)

    def loop(self, loop: For) -> None:
        """A loop that asks at its end whether there is another turn; before it, whether there is a first one."""
        if loop.kind == "matrix":
            self.matrix(loop)
            return
        if loop.kind == "around":
            self.around(loop)
            return
        assert loop.kind in ("range", "parallel", "threads"), (
            f"a loop of kind {loop.kind} is left after the loop passes"
        )
        self.turns(loop, lambda: self.block(loop.body))

    def turns(self, loop: For, body: Callable[[], None]) -> None:
        """The turns of `loop`, with what `body` writes in each."""
        code = self.code
        start, stop, step = self.bounds(loop)
        turns = _turns(start, stop, step)
        if turns == 1:
            self.turn(loop.variable, start, body)
            return
        hint = ascii_name(loop.variable)
        name = code.label(_label(loop))
        variable = Operand(code.name(hint), DType.I64, 1)
        following = code.name(f"{hint}.next")
        written = self.written_in((loop,))
        self.values.forget(written)
        with code.region():
            if turns:
                code.line(f"br label %{name}.enter")
            else:
                some = code.assign(f"icmp slt i64 {start.text}, {stop.text}")
                code.line(f"br i1 {some}, label %{name}.enter, label %{name}.exit")
            code.open(f"{name}.enter")
            code.line(f"br label %{name}")
            code.open(name)
            code.bind(variable.text, f"phi i64 [ {start.text}, %{name}.enter ], [ {following}, %{name}.latch ]")
            self.turn(loop.variable, variable, body)
            code.line(f"br label %{name}.latch")
            code.open(f"{name}.latch")
            counted = code.assign(f"add nsw i64 {variable.text}, {step}")
            code.bind(following, f'call i64 asm "", "=r,0"(i64 {counted})')
            more = code.assign(f"icmp slt i64 {following}, {stop.text}")
            is_inner = not any(isinstance(statement, For) for statement in loop.body)
            aligned = code.alignment() if is_inner else ""
            code.line(f"br i1 {more}, label %{name}, label %{name}.exit{aligned}")
            code.open(f"{name}.exit")
        self.values.forget(written)

    def around(self, loop: For) -> None:
        """A loop over the shares of all threads, its own first: of each, a thread does what it can claim."""
        (part,) = loop.body
        assert isinstance(part, For) and part.kind == "claimed", "the verifier has looked at loops around shares"
        stop = self.values.expr(loop.stop).text

        def share() -> None:
            ahead = self.code.assign(f"add i64 {self.values.environment[loop.variable].text}, %thread")
            number = Operand(self.code.assign(f"urem i64 {ahead}, {stop}"), DType.I64, 1)
            self.turn(loop.variable, number, lambda: self.claimed(part, number.text))

        self.turns(loop, share)

    def claimed(self, loop: For, share: str) -> None:
        """The turns of a share that nobody else claims first."""
        code = self.code
        hint, name = ascii_name(loop.variable), code.label(_label(loop))
        start, stop = self.values.expr(loop.start).text, self.values.expr(loop.stop).text
        up = code.assign(f"add i64 {code.assign(f'sub i64 {stop}, {start}')}, {loop.step - 1}")
        turns = code.assign(f"udiv i64 {up}, {loop.step}")
        done, following = code.name("done"), code.name("done.next")
        variable = Operand(code.name(hint), DType.I64, 1)
        written = self.written_in((loop,))
        self.values.forget(written)
        with code.region():
            code.line(f"br label %{name}.enter")
            code.open(f"{name}.enter")
            code.line(f"br label %{name}.claim")
            code.open(f"{name}.claim")
            code.bind(done, f"phi i64 [ 0, %{name}.enter ], [ {following}, %{name}.latch ]")
            arguments = f"ptr %barrier, i64 %thread, i64 %threads, i64 {share}, i64 {turns}, i64 {done}"
            claim = code.assign(f'call i64 @"rnncc.claim"({arguments})')
            some = code.assign(f"icmp slt i64 {claim}, {turns}")
            code.line(f"br i1 {some}, label %{name}, label %{name}.exit")
            code.open(name)
            code.bind(variable.text, f"add i64 {start}, {code.assign(f'mul i64 {claim}, {loop.step}')}")
            self.turn(loop.variable, variable, lambda: self.block(loop.body))
            code.line(f"br label %{name}.latch")
            code.open(f"{name}.latch")
            code.bind(following, f"add i64 {done}, 1")
            code.line(f"br label %{name}.claim")
            code.open(f"{name}.exit")
        self.values.forget(written)

    def tile_end(self, loops: Sequence[For]) -> None:
        """A call of the function that does `loops`."""
        code = self.code
        pattern, given = pattern_of(loops)
        arguments = {name: self.values.expr(value) for name, value in given.items()}
        if pattern not in self.ends:
            self.ends[pattern] = self.end_function(pattern, arguments)
        else:
            for inner in walk_statements(loops):
                if isinstance(inner, For):
                    code.label(_label(inner))  # which loops have which label depends on the procedure only
        end = self.ends[pattern]
        self.places.used |= end.buffers
        own = [f"{argument.type} {argument.text}" for argument in arguments.values()]
        code.line(f'call void @"{end.name}"({", ".join([*own, *end.arguments])})')

    def end_function(self, pattern: Pattern, arguments: Mapping[str, Operand]) -> _End:
        """Define what does `pattern`, the end of some tiles."""
        name = f"rnncc.{self.procedure.name}.end.{len(self.ends) + 1}"
        own = {key: replace(argument, text=f"%{key}") for key, argument in arguments.items()}
        environment, used = self.values.environment, self.places.used
        self.values.environment, self.places.used, self.is_in_end = {**environment, **own}, set(), True
        with self.code.function() as body:
            self.block(pattern)
            self.code.line("ret void")
        buffers = [buffer for buffer in self.procedure.buffers if buffer.name in self.places.used]
        self.values.environment, self.places.used, self.is_in_end = environment, used, False
        parameters = self.parameters(dict.fromkeys(map(pointer_name, buffers)))
        header = ", ".join([*(f"{operand.type} {operand.text}" for operand in own.values()), *parameters])
        lines = "\n".join(body.lines)
        self.code.define(name, f'define internal void @"{name}"({header}) nounwind noinline {{\nentry:\n{lines}\n}}\n')
        same = [parameter.replace(" noalias", "") for parameter in parameters]
        return _End(name, frozenset(buffer.name for buffer in buffers), same)

    def written_in(self, statements: Iterable[Stmt]) -> frozenset[str]:
        """The buffers that `statements` write; of a loop they are looked for once."""
        result: set[str] = set()
        for statement in statements:
            if isinstance(statement, Store):
                result.add(statement.buffer)
            elif isinstance(statement, For):
                if id(statement) not in self.written:
                    self.written[id(statement)] = self.written_in(statement.body)
                result |= self.written[id(statement)]
        return frozenset(result)

    def bounds(self, loop: For) -> tuple[Operand, Operand, str]:
        """Start, stop and step; of `threads`, turn number s is of thread s % threads."""
        code = self.code
        start, stop = self.values.expr(loop.start), self.values.expr(loop.stop)
        if loop.kind != "threads":
            return start, stop, str(loop.step)
        assert loop.step == 1 and isinstance(loop.start, Const), "turns of threads are counted when compiling"
        others = code.assign("sub i64 %threads, 1")
        ahead = code.assign(f"mul i64 {others}, {loop.start.value}")
        distance = code.assign(f"urem i64 {code.assign(f'add i64 %thread, {ahead}')}, %threads")
        return Operand(code.assign(f"add i64 {start.text}, {distance}"), DType.I64, 1), stop, "%threads"

    def turn(self, variable: str, value: Operand, body: Callable[[], T]) -> T:
        """What `body` writes, and gives, where the loop variable has that value."""
        outer = self.values.environment.get(variable)
        self.values.environment[variable] = value
        result = body()
        if outer is not None:
            self.values.environment[variable] = outer
        return result

    def matrix(self, loop: For) -> None:
        """A loop over the rows of a matrix unit."""
        parts = matrix_loop(loop)
        code, k = self.code, parts.k
        tiles = [(one, tile) for tile in range(parts.tiles) for one in parts.sums]
        rows = integer(TILE_ROWS) if parts.tiles > 1 else parts.rows
        matrix_unit.set_up(code, self.values.expr(rows).text)

        def place(name: str, index: tuple[Index, ...], tile: int, axis: int) -> tuple[str, str]:
            """Where a tile begins, and how many bytes lie between its rows, which follow each other along `axis`."""
            first = Operand(str(tile * TILE_ROWS), DType.I64, 1)
            address = self.turn(loop.variable, first, lambda: self.places.address(name, index))
            return address, self.places.bytes_between(name, axis)

        def add_block() -> None:
            products = [
                (number, (rows, tile), columns)
                for turn in range(max(len(one.products) for one in parts.sums))
                for number, (one, tile) in enumerate(tiles)
                for rows, columns in one.products[turn : turn + 1]
            ]
            matrix_unit.add_products(
                code,
                products,
                lambda rows, tile: place(rows.buffer, rows.index, tile, -2),
                lambda columns: place(columns.buffer, columns.index, 0, K_AXIS),
            )

        for number in range(len(tiles)):
            matrix_unit.clear(code, number)
        self.turns(replace(k, step=TILE_PAIRS), add_block)
        for number, (one, tile) in enumerate(tiles):
            matrix_unit.keep(code, number, place(one.store.buffer, one.store.index, tile, 0))

    def check(self, check: Check) -> None:
        code = self.code
        condition = self.values.expr(check.condition)
        name = code.label("check")
        with code.region():
            code.line(f"br i1 {condition.text}, label %{name}.passed, label %{name}.failed")
            code.open(f"{name}.failed")
            (value,) = check.values
            message = self.procedure.messages[check.code]
            source = "a computed index"
            position: Sequence[Expr] = ()
            if isinstance(value, Load):
                source, position = value.buffer, index_exprs(value.index)
                message = message.replace("{position}", "{position}" + _axes(self.places.buffers[source]))
            reported = (value, *position)[:STATUS_VALUES]  # as many as there is room for
            for number, item in enumerate((integer(len(reported)), *reported)):
                place = code.assign(f"getelementptr inbounds i64, ptr %status, i64 {number}")
                code.line(f"store i64 {self.values.expr(item).text}, ptr {place}")
            self.checks.append((message, source))
            if self.shares:
                code.line('call void @"rnncc.leave"(ptr %barrier)')
            code.line(f"ret i32 {len(self.checks)}")
        code.open(f"{name}.passed")

    def barrier(self) -> None:
        code = self.code
        name = code.label("barrier")
        left = code.assign('call i1 @"rnncc.barrier"(ptr %barrier, i64 %thread, i64 %threads)')
        code.line(f"br i1 {left}, label %{name}.broken, label %{name}.passed")
        code.open(f"{name}.broken")
        code.line(f"ret i32 {STOPPED}")
        code.open(f"{name}.passed")


def _axes(buffer: Buffer) -> str:
    """What the axes of a position in `buffer` are; users know those of inputs, and nobody those of what is computed."""
    if buffer.space == "input" or len(buffer.shape) < 2:
        return ""
    sizes = (size.name if isinstance(size, Var) else str(getattr(size, "value", "...")) for size in buffer.shape)
    return f" of [{', '.join(sizes)}]"


def _turns(start: Operand, stop: Operand, step: str) -> int | None:
    """How often a loop runs; None when only the call knows."""
    if not all(text.isdigit() for text in (start.text, stop.text, step)):
        return None
    return len(range(int(start.text), int(stop.text), int(step)))


def _label(loop: For) -> str:
    return f"{ascii_name(loop.variable)}.{loop.kind}"


_TEAM = ("i64 %thread", "i64 %threads", "ptr %barrier")
"""Parameters of code that shares work: which thread of how many this is, and where they meet."""


def _entry(name: str, pointers: Sequence[str], dims: Sequence[str], shares: bool, after: str) -> str:
    """The exported function: unpacks its arrays, calls the body, and does what comes `after` it."""
    lines, arguments = [], []
    for number, pointer in enumerate(pointers):
        lines.append(f"  %at.{number} = getelementptr inbounds ptr, ptr %pointers, i64 {number}")
        lines.append(f"  {pointer} = load ptr, ptr %at.{number}")
        arguments.append(f"ptr {pointer}")
    for number, dim in enumerate(map(ascii_name, dims)):
        lines.append(f"  %place.{number} = getelementptr inbounds i64, ptr %dims, i64 {number}")
        lines.append(f"  %dim.{dim} = load i64, ptr %place.{number}")
        arguments.append(f"i64 %dim.{dim}")
    arguments += ["ptr %status", *(_TEAM if shares else ())]
    call = f'  %code = call i32 @"{name}.body"({", ".join(arguments)})\n{after}  ret i32 %code'
    parameters = ["ptr %pointers", "ptr %dims", "ptr %status", *(_TEAM if shares else ())]
    header = f'define i32 @"{name}"({", ".join(parameters)}) nounwind {{'
    return "\n".join([header, *lines, call, "}\n"])
