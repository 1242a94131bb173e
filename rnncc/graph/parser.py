"""Text to graph: reads what `rnncc.graph.printer` writes, through Python's own `ast`.

A type in front of `=` is taken as it is (the verifier compares it with what the op infers); a result without one, and
every result of a node that has several, gets the inferred type. A parsed graph has no payloads for its weights.
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

from rnncc.errors import ParseError, RnnccError
from rnncc.graph.ir import Graph, Node
from rnncc.graph.op import Attr, Op, find_op
from rnncc.graph.printer import Spot, excerpt
from rnncc.graph.value import Value
from rnncc.types import Dim, DType, TensorType, is_extent_name

_SCALAR = re.compile(rf"\b({'|'.join(dtype.value for dtype in DType)})\[\]")
_SCALAR_MARK = "__"  # Python has no `f32[]`: it is read as `f32__`, which is as long, so columns stay right
_FLOATS = {"inf": float("inf"), "nan": float("nan")}


def parse(text: str) -> Graph:
    """The graph that `text` holds: one ``def``, which may be indented as a whole.

    Raises ParseError with line, column and the line itself.
    """
    return _Parser(textwrap.dedent(text)).graph()


@dataclass(slots=True)
class _Names:
    """What is known inside one ``def``; `outer` leads to the enclosing one and is for messages only."""

    outer: _Names | None = None
    values: dict[str, Value] = field(default_factory=dict)
    bodies: dict[str, Graph] = field(default_factory=dict)
    unused: dict[str, ast.FunctionDef] = field(default_factory=dict)

    def is_outside(self, name: str) -> bool:
        return self.outer is not None and (name in self.outer.values or self.outer.is_outside(name))


class _Parser:
    """Holds the source for messages."""

    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n").replace("\r", "\n")
        self._lines = self._text.split("\n")

    def graph(self) -> Graph:
        module = self._syntax_tree()
        match module.body:
            case [ast.FunctionDef() as definition]:
                return self._graph(definition, None)
            case [_, extra, *_]:
                raise self._error(extra, "one def is all that a graph consists of")
            case [other]:
                raise self._error(other, "a graph is one def")
        raise ParseError("line 1, column 1: the text is empty: a graph is one def")

    def _syntax_tree(self) -> ast.Module:
        source = _SCALAR.sub(rf"\1{_SCALAR_MARK}", self._text)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about escapes in strings, which are none of Python's business here
                return ast.parse(source)
        except SyntaxError as error:
            line = min(max(error.lineno or 1, 1), len(self._lines))
            column = min(max(error.offset or 1, 1), len(self._lines[line - 1]) + 1)
            raise self._error_at(Spot(line, column, 1), f"this is not Python syntax: {error.msg}") from None
        except (ValueError, RecursionError, MemoryError) as error:
            raise ParseError(f"line 1, column 1: the text cannot be read: {error}") from None

    # -------------------------------------------------------------- graphs and nodes

    def _graph(self, definition: ast.FunctionDef, outer: _Names | None) -> Graph:
        arguments = definition.args
        for node in (*definition.decorator_list, definition.returns, arguments.vararg, arguments.kwarg):
            if node is not None:
                raise self._error(node, "a def has a name and parameters, and nothing else")
        for default in (*arguments.defaults, *arguments.kw_defaults):
            if default is not None:
                raise self._error(default, "parameters have no default values")
        names = _Names(outer)
        consts, inputs, xs = (
            tuple(self._parameter(argument, names) for argument in kind)
            for kind in (arguments.posonlyargs, arguments.args, arguments.kwonlyargs)
        )
        *statements, last = definition.body
        nodes = [node for statement in statements for node in self._statement(statement, names)]
        if not isinstance(last, ast.Return):
            raise self._error(last, "the last line of a def is its return")
        outputs = tuple(self._use(name, names) for name in self._operands(last.value))
        for name, unused in names.unused.items():
            raise self._error(unused, f"{name} is not used by any node")
        return Graph(definition.name, consts, inputs, xs, tuple(nodes), outputs)

    def _parameter(self, argument: ast.arg, names: _Names) -> Value:
        if argument.annotation is None:
            raise self._error(argument, f"parameter {argument.arg} has no type")
        return self._define(argument, argument.arg, self._type(argument.annotation), names)

    def _statement(self, statement: ast.stmt, names: _Names) -> list[Node]:
        """The node of one line; a nested def is none."""
        match statement:
            case ast.FunctionDef(name=name):
                if name in names.bodies:
                    raise self._error(statement, f"{name} is defined twice")
                names.bodies[name] = self._graph(statement, names)
                names.unused[name] = statement
                return []
            case ast.AnnAssign(target=ast.Name() as target, annotation=annotation, value=ast.Call() as call):
                return [self._node(call, [target], self._type(annotation), names)]
            case ast.Assign(targets=[ast.Name() as target], value=ast.Call() as call):
                return [self._node(call, [target], None, names)]
            case ast.Assign(targets=[ast.Tuple() as targets], value=ast.Call() as call):
                return [self._node(call, self._operands(targets), None, names)]
            case ast.Expr(value=ast.Call() as call):
                return [self._node(call, [], None, names)]
            case _:
                raise self._error(
                    statement, "a line is `name: type = op(...)`, `names = op(...)`, a nested def or the return"
                )

    def _operands(self, expression: ast.expr | None) -> list[ast.Name]:
        """The bare names of ``a`` or ``a, b``."""
        if expression is None:
            return []
        names = []
        for item in expression.elts if isinstance(expression, ast.Tuple) else [expression]:
            if not isinstance(item, ast.Name):
                raise self._error(item, "the name of a value is expected here")
            names.append(item)
        return names

    def _node(self, call: ast.Call, targets: Sequence[ast.Name], claimed: TensorType | None, names: _Names) -> Node:
        op = self._op(call.func)
        operands = [operand for argument in call.args for operand in self._single(argument)]
        inputs = tuple(self._use(operand, names) for operand in operands)
        attrs: dict[str, Attr] = {}
        for keyword in call.keywords:
            if keyword.arg is None or keyword.arg in attrs:
                raise self._error(keyword, "attrs are name=value, each once")
            attrs[keyword.arg] = self._body_or_attr(keyword.arg, keyword.value, names)
        types = (claimed,) if claimed else self._infer(op, inputs, attrs, call)
        if len(types) != len(targets):
            raise self._error(call, f"{op.name} has {len(types)} results here, not {len(targets)}")
        outputs = (self._define(t, t.id, type, names) for t, type in zip(targets, types, strict=True))
        return Node(op, inputs, tuple(outputs), attrs)

    def _single(self, argument: ast.expr) -> list[ast.Name]:
        if isinstance(argument, ast.Tuple):
            raise self._error(argument, "the name of a value is expected here")
        return self._operands(argument)

    def _op(self, function: ast.expr) -> Op:
        if not isinstance(function, ast.Name):
            raise self._error(function, "the name of an op is expected here")
        try:
            return find_op(function.id)
        except ParseError as error:
            raise self._error(function, error.what, *error.facts) from None

    def _infer(self, op: Op, inputs: Sequence[Value], attrs: dict[str, Attr], call: ast.Call) -> tuple[TensorType, ...]:
        if op.arity is not None and len(inputs) != op.arity:
            raise self._error(call, f"{op.name} takes {op.arity} operands, {len(inputs)} given")
        if wrong := op.wrong_attrs(attrs):
            raise self._error(call, *wrong)
        try:
            return op.infer([value.type for value in inputs], attrs)
        except RnnccError as error:
            raise self._error(call, f"{op.name}: {error.what}", *error.facts) from None
        except Exception as error:  # attrs of another kind: rules compare them freely
            given = [f"{key}={attrs[key]}" for key in op.attrs]
            raise self._error(call, f"an attr of {op.name} is of a wrong kind: {error}", *given) from None

    def _define(self, where: ast.arg | ast.Name, name: str, type: TensorType, names: _Names) -> Value:
        if name in names.values:
            raise self._error(where, f"{name} is defined twice")
        names.values[name] = Value(name, type)
        return names.values[name]

    def _use(self, name: ast.Name, names: _Names) -> Value:
        if name.id in names.values:
            return names.values[name.id]
        if names.is_outside(name.id):
            raise self._error(
                name, f"{name.id} belongs to an enclosing def: a body is closed, and takes it as a parameter"
            )
        raise self._error(name, f"{name.id} is not defined here")

    # -------------------------------------------------------------- types and attrs

    def _type(self, annotation: ast.expr) -> TensorType:
        match annotation:
            case ast.Name(id=word) if word.endswith(_SCALAR_MARK):
                return TensorType(DType(word.removesuffix(_SCALAR_MARK)), ())
            case ast.Subscript(value=ast.Name(id=word), slice=dims) if word in DType._value2member_map_:
                items = dims.elts if isinstance(dims, ast.Tuple) else [dims]
                return TensorType(DType(word), tuple(map(self._dim, items)))
        raise self._error(annotation, "a type is a dtype with dims, such as f32[B, 8]")

    def _dim(self, expression: ast.expr) -> Dim:
        match expression:
            case ast.Constant(value=int(size)) if not isinstance(size, bool):
                return size
            case ast.Name(id=name) if is_extent_name(name):
                return name
        raise self._error(expression, "a dim is a whole number or the name of an extent")

    def _body_or_attr(self, key: str, expression: ast.expr, names: _Names) -> Attr:
        if key != "body":
            return self._attr(expression)
        if not isinstance(expression, ast.Name) or expression.id not in names.bodies:
            raise self._error(expression, "body is the name of a def right above")
        names.unused.pop(expression.id, None)
        return names.bodies[expression.id]

    def _attr(self, expression: ast.expr) -> Attr:
        match expression:
            case ast.Constant(value=str()):
                return self._string(expression)
            case ast.Constant(value=bool() | int() | float() as value):
                return value
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                value = self._attr(operand)
                if isinstance(value, int | float) and not isinstance(value, bool):
                    return -value
            case ast.Name(id=name) if name in _FLOATS:
                return _FLOATS[name]
            case ast.Name(id=name) if name in DType._value2member_map_:
                return DType(name)
            case ast.Name(id=name):
                return name
            case ast.Tuple(elts=items):
                return tuple(map(self._attr, items))
        raise self._error(expression, "an attr is a number, a dtype, an extent, a string in quotes, or a tuple of them")

    def _string(self, expression: ast.Constant) -> str:
        """A string as it was before ``f32[]`` was marked."""
        original = ast.get_source_segment(self._text, expression)
        assert original is not None, "the marked text has the same columns"
        return str(ast.literal_eval(original))

    # -------------------------------------------------------------- errors

    def _error(self, where: ast.AST, what: str, *facts: str) -> ParseError:
        first = self._column(getattr(where, "lineno", 1), getattr(where, "col_offset", 0))
        line, end_line = getattr(where, "lineno", 1), getattr(where, "end_lineno", 1)
        last = self._column(line, getattr(where, "end_col_offset", 0)) if end_line == line else 0
        width = (last or len(self._lines[line - 1])) - first
        return self._error_at(Spot(line, first + 1, width), what, *facts)

    def _column(self, line: int, offset: int) -> int:
        """Characters before a UTF-8 byte offset."""
        return len(self._lines[line - 1].encode()[:offset].decode(errors="ignore"))

    def _error_at(self, spot: Spot, what: str, *facts: str) -> ParseError:
        source = excerpt(self._lines, spot)
        return ParseError(f"line {spot.line}, column {spot.column}: {what}", *source, *facts)
