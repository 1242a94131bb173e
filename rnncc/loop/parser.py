"""Reads the text of `rnncc.loop.printer` back. It only reads: whether the procedure keeps the rules is for `verify`."""

from __future__ import annotations

import ast
import math
import textwrap
import warnings
from collections.abc import Mapping, Sequence

from rnncc.errors import ParseError
from rnncc.loop.functions import INFIX
from rnncc.loop.ir import (
    COMBINE,
    SPACES,
    Barrier,
    Buffer,
    Call,
    Check,
    Const,
    Expr,
    For,
    Index,
    Let,
    Load,
    Prefetch,
    Procedure,
    Ramp,
    Reduce,
    Span,
    Stmt,
    Store,
    Var,
)
from rnncc.loop.visit import result_dtype
from rnncc.types import DType

_OPERATORS: Mapping[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
_REDUCTIONS = {name: function for function, name in COMBINE.items()}

Scope = dict[str, Var]
"""The variables that are bound: loop variables are i64, the others what their value is."""


def parse(text: str) -> Procedure:
    """The procedure that `text` describes. Raises ParseError with the line and the column.

    A name that is nowhere bound is read as an i64 variable and an unknown buffer as one of f32.
    """
    source = textwrap.dedent(text)
    parser = _Parser(source.splitlines())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about numbers and texts that Python finds odd
            module = ast.parse(source)
    except SyntaxError as error:
        raise parser.error_at(error.msg, error.lineno or 1, (error.offset or 1) - 1, 1) from None
    match module.body:
        case [ast.FunctionDef() as definition]:
            return parser.procedure(definition)
    raise parser.error_at("a text holds one procedure: def name(dims): ...", 1, 0, 1)


class _Parser:
    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = lines
        self.buffers: dict[str, Buffer] = {}

    # -------------------------------------------------------------- errors

    def error(self, what: str, node: ast.expr | ast.stmt | ast.arg) -> ParseError:
        """An error that points at `node`."""
        width = (node.end_col_offset or 0) - node.col_offset if node.end_lineno == node.lineno else 1
        return self.error_at(what, node.lineno, node.col_offset, width)

    def error_at(self, what: str, line: int, column: int, width: int) -> ParseError:
        """An error that points at a part of a line."""
        number = f"{line:>4} | "
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        return ParseError(what, number + text, " " * (len(number) - 2) + "| " + " " * column + "^" * max(1, width))

    # -------------------------------------------------------------- procedure

    def procedure(self, definition: ast.FunctionDef) -> Procedure:
        dims = tuple(argument.arg for argument in definition.args.args)
        numbered = [argument.arg for argument in definition.args.kwonlyargs]
        if len(numbered) > 1:
            raise self.error("behind * stands one name: that of the number of row 0", definition.args.kwonlyargs[1])
        scope = {dim: Var(dim) for dim in (*dims, *numbered)}
        rest = list(definition.body)
        buffers: list[Buffer] = []
        setup: tuple[Stmt, ...] = ()
        messages: tuple[str, ...] = ()
        while rest and (buffer := self._buffer(rest[0], scope)):
            buffers.append(buffer)
            self.buffers[buffer.name] = buffer
            rest.pop(0)
        match rest:
            case [ast.Expr(ast.Call(ast.Name("messages"), args)), *_]:
                messages = tuple(self._message(arg) for arg in args)
                rest.pop(0)
        match rest:
            case [ast.With([ast.withitem(ast.Call(ast.Name("setup"), [], []), None)], body), *_]:
                setup = self._block(body, scope)
                rest.pop(0)
        statements = self._block(rest, scope)
        return Procedure(definition.name, dims, tuple(buffers), setup, statements, messages, *numbered)

    def _buffer(self, node: ast.stmt, scope: Scope) -> Buffer | None:
        match node:
            case ast.Assign(
                [ast.Name(name)], ast.Call(ast.Name(space), [ast.Name() as dtype, ast.List(sizes)], keywords)
            ) if space in SPACES:
                shape = tuple(self.expr(size, scope) for size in sizes)
                return Buffer(name, self._dtype(dtype), shape, space, self._slot(keywords, node))
        return None

    def _slot(self, keywords: Sequence[ast.keyword], node: ast.stmt) -> int | None:
        match keywords:
            case []:
                return None
            case [ast.keyword("slot", ast.Constant(int() as slot))]:
                return slot
        raise self.error("a buffer has a slot=number at most", node)

    def _message(self, node: ast.expr) -> str:
        match node:
            case ast.Constant(str() as message):
                return message
        raise self.error("a message is a string", node)

    # -------------------------------------------------------------- statements

    def _block(self, nodes: Sequence[ast.stmt], scope: Scope) -> tuple[Stmt, ...]:
        inner = dict(scope)
        return tuple(self._statement(node, inner) for node in nodes if not isinstance(node, ast.Pass))

    def _statement(self, node: ast.stmt, scope: Scope) -> Stmt:
        """The statement at `node`; a Let is added to `scope`."""
        match node:
            case ast.For(ast.Name(variable), ast.Call(ast.Name(kind), bounds, []), body, []):
                start, stop, step = self._bounds(bounds, node, scope)
                inner = {**scope, variable: Var(variable)}
                return For(variable, kind, start, stop, step, self._block(body, inner))
            case ast.Assign([ast.Name(name)], value):
                bound = self.expr(value, scope)
                scope[name] = Var(name, bound.dtype, bound.lanes)
                return Let(name, bound)
            case ast.Assign([ast.Subscript() as target], value):
                return self._store(target, value, None, scope)
            case ast.AugAssign(ast.Subscript() as target, ast.Add(), value):
                return self._store(target, value, "add", scope)
            case ast.Expr(ast.Call(ast.Name(name), [ast.Subscript() as target, value], [])) if name.startswith(
                "combine_"
            ):
                return self._store(target, value, name.removeprefix("combine_"), scope)
            case ast.Expr(ast.Call(ast.Name("check"), [condition, code, *values], [])):
                reported = tuple(self.expr(value, scope) for value in values)
                return Check(self.expr(condition, scope), self._integer(code), reported)
            case ast.Expr(ast.Call(ast.Name("prefetch"), [ast.Subscript() as target], [])):
                return Prefetch(*self._access(target, scope))
            case ast.Expr(ast.Call(ast.Name("barrier"), [], [])):
                return Barrier()
        raise self.error("this is no statement of loop IR", node)

    def _bounds(self, bounds: Sequence[ast.expr], loop: ast.stmt, scope: Scope) -> tuple[Expr, Expr, int]:
        match bounds:
            case [start, stop]:
                return self.expr(start, scope), self.expr(stop, scope), 1
            case [start, stop, step]:
                return self.expr(start, scope), self.expr(stop, scope), self._integer(step)
        raise self.error("a loop is: for i in kind(start, stop) or kind(start, stop, step)", loop)

    def _store(self, target: ast.Subscript, value: ast.expr, combine: str | None, scope: Scope) -> Store:
        buffer, index = self._access(target, scope)
        return Store(buffer, index, self.expr(value, scope), combine)

    def _access(self, node: ast.Subscript, scope: Scope) -> tuple[str, tuple[Index, ...]]:
        match node:
            case ast.Subscript(ast.Name(buffer), ast.Tuple(items)):
                return buffer, tuple(self._index(item, scope) for item in items)
            case ast.Subscript(ast.Name(buffer), item):
                return buffer, (self._index(item, scope),)
        raise self.error("an access is: buffer[index, ...]", node)

    def _index(self, node: ast.expr, scope: Scope) -> Index:
        match node:
            case ast.Call(ast.Name("span"), [start, lanes], []):
                return Span(self.expr(start, scope), self._integer(lanes))
            case ast.Call(ast.Name("span"), [start, lanes, limit], []):
                return Span(self.expr(start, scope), self._integer(lanes), self.expr(limit, scope))
        return self.expr(node, scope)

    # -------------------------------------------------------------- expressions

    def expr(self, node: ast.expr, scope: Scope) -> Expr:
        """The expression at `node`."""
        number = _number(node)
        if number is not None:
            return _constant(number)
        match node:
            case ast.Name(name):
                return scope.get(name, Var(name))
            case ast.Subscript():
                buffer, index = self._access(node, scope)
                known = self.buffers.get(buffer)
                return Load(buffer, index, known.dtype if known else DType.F32)
            case ast.BinOp(left, operator, right) if type(operator) in _OPERATORS:
                return self._infix(operator, left, right, scope)
            case ast.Compare(left, [operator], [right]) if type(operator) in _OPERATORS:
                return self._infix(operator, left, right, scope)
            case ast.Call(ast.Name("const"), [value, ast.Name() as dtype], []):
                return self._typed_constant(value, self._dtype(dtype))
            case ast.Call(ast.Name(name), [ast.GeneratorExp() as generator], []) if name in _REDUCTIONS:
                return self._reduce(_REDUCTIONS[name], generator, scope)
            case ast.Call(ast.Name("ramp"), [start, lanes], []):
                return Ramp(self.expr(start, scope), self._integer(lanes))
            case ast.Call(ast.Name(function), [_, *_] as operands, []):
                return _call(function, [self.expr(operand, scope) for operand in operands])
        raise self.error("this is no expression of loop IR", node)

    def _infix(self, operator: ast.AST, left: ast.expr, right: ast.expr, scope: Scope) -> Call:
        return _call(INFIX[_OPERATORS[type(operator)]], [self.expr(left, scope), self.expr(right, scope)])

    def _reduce(self, function: str, node: ast.GeneratorExp, scope: Scope) -> Reduce:
        match node:
            case ast.GeneratorExp(
                value, [ast.comprehension(ast.Name(variable), ast.Call(ast.Name("range"), [size], []), [], 0)]
            ):
                inner = {**scope, variable: Var(variable)}
                return Reduce(function, variable, self.expr(size, scope), self.expr(value, inner))
        raise self.error("a reduction is: sum(value for k in range(size))", node)

    def _typed_constant(self, node: ast.expr, dtype: DType) -> Const:
        match node:
            case ast.Name("inf" | "nan" as name):
                return Const(float(name), dtype)
            case ast.UnaryOp(ast.USub(), ast.Name("inf")):
                return Const(-math.inf, dtype)
        number = _number(node)
        if number is None:
            raise self.error("a constant is a number", node)
        return Const(float(number) if dtype.is_float else number, dtype)

    def _integer(self, node: ast.expr) -> int:
        number = _number(node)
        if type(number) is not int:
            raise self.error("this must be an integer", node)
        return number

    def _dtype(self, node: ast.Name) -> DType:
        try:
            return DType(node.id)
        except ValueError:
            raise self.error(
                f"unknown element type; known: {', '.join(dtype.value for dtype in DType)}", node
            ) from None


def _number(node: ast.expr) -> float | int | bool | None:
    match node:
        case ast.Constant(bool() | int() | float() as value):
            return value
        case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as value)):
            return -value
    return None


def _constant(value: float | int | bool) -> Const:
    if isinstance(value, bool):
        return Const(value, DType.BOOL)
    return Const(value, DType.I64 if isinstance(value, int) else DType.F32)


def _call(function: str, args: Sequence[Expr]) -> Call:
    return Call(function, tuple(args), result_dtype(function, args))
