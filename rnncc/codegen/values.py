"""Expressions, loads and stores to LLVM's operands and instructions; what registers hold is not loaded again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rnncc.codegen.bfloat16 import dot_add, pair, rest
from rnncc.codegen.instructions import Code, Operand, llvm_type
from rnncc.codegen.places import Places, ascii_name, lanes_of
from rnncc.loop.ir import Call, Const, Expr, Load, Procedure, Ramp, Store, Var
from rnncc.types import DType

_CONSTANT = ("input", "weight", "packed")
"""Spaces that no call writes to."""


class Values:
    """The values of a procedure, in the code of a function that is being written.

    `environment` holds loop variables, dims and what lets have bound; who walks over statements adds to it.
    """

    def __init__(self, procedure: Procedure, code: Code) -> None:
        self.code = code
        self.places = Places(procedure, code, self.expr)
        self.environment: dict[str, Operand] = {
            dim: Operand(f"%dim.{ascii_name(dim)}", DType.I64, 1) for dim in procedure.given
        }
        self._held: dict[str, dict[str, Operand]] = {}
        """What registers hold, where that is known: by buffer, then by register."""

    def forget(self, buffers: Iterable[str]) -> None:
        """What the registers of `buffers` hold depends on the turn from here on."""
        for buffer in buffers:
            self._held.pop(buffer, None)

    def expr(self, expr: Expr) -> Operand:
        """The value of `expr`, in what is bound here."""
        if isinstance(expr, Var):
            return self.environment[expr.name]
        if isinstance(expr, Const):
            return self.code.constant(expr.value, expr.dtype)
        if isinstance(expr, Load):
            return self._load(expr)
        if isinstance(expr, Call):
            args = [self.expr(arg) for arg in expr.args]
            if expr.function in ("pair", "dot"):
                return self._pairs(expr.function, args)
            if expr.function == "rest":
                return rest(self.code, *args)
            return self.code.call(expr.function, args, expr.dtype)
        assert isinstance(expr, Ramp), "a reduction is left after the loop passes"
        return self.code.ramp(self.expr(expr.start), expr.lanes)

    def store(self, store: Store) -> None:
        """Write, or combine with what is there."""
        buffer = self.places.buffers[store.buffer]
        lanes = lanes_of(store.index)
        code = self.code
        if store.combine is None:
            value = self.expr(store.value)
        else:
            old = self._load(Load(store.buffer, store.index, buffer.dtype))
            value = self._combined(store.combine, old, store.value)
        value = code.broadcast(value, lanes)
        if buffer.space == "register":
            register = self.places.register(buffer.name, store.index)
            code.line(f"store {value.type} {value.text}, ptr {register}, align 64")
            self._held.setdefault(buffer.name, {})[register] = value
            return
        code.store(value, self.places.address(buffer.name, store.index), self.places.mask(store.index))

    def _pairs(self, function: str, args: Sequence[Operand]) -> Operand:
        """Pairs of bfloat16, or the products of two pairs."""
        code = self.code
        lanes = max(arg.lanes for arg in args)
        first, second = (code.broadcast(arg, lanes) for arg in args)
        if function == "pair":
            return pair(code, first, second)
        return dot_add(code, first, second, code.broadcast(code.constant(0.0, DType.F32), lanes))

    def _load(self, load: Load) -> Operand:
        buffer = self.places.buffers[load.buffer]
        lanes = lanes_of(load.index)
        if buffer.space == "register":
            type_ = llvm_type(buffer.dtype, lanes)
            register = self.places.register(buffer.name, load.index)
            if register in self._held.get(buffer.name, ()):
                return self._held[buffer.name][register]
            return Operand(self.code.assign(f"load {type_}, ptr {register}, align 64"), buffer.dtype, lanes)
        address, mask = self.places.address(buffer.name, load.index), self.places.mask(load.index)
        return self.code.load(buffer.dtype, lanes, address, mask, buffer.space in _CONSTANT)

    def _combined(self, function: str, old: Operand, value: Expr) -> Operand:
        """`old` combined with `value`: a sum of products is one fused multiply-add where there is one.

        Of several pairs of products, each is added by itself, from left to right.
        """
        code = self.code
        if function == "add" and isinstance(value, Call) and value.function == "dot":
            first, second = (code.broadcast(self.expr(arg), old.lanes) for arg in value.args)
            return dot_add(code, first, second, old)
        match value:
            case Call("add", (others, Call("dot") as last)) if function == "add":
                return self._combined("add", self._combined("add", old, others), last)
        if function == "add" and isinstance(value, Call) and value.function == "mul" and value.dtype.is_float:
            left, right = (code.broadcast(self.expr(arg), old.lanes) for arg in value.args)
            return code.multiply_add(left, right, old)
        return code.call(function, [old, code.broadcast(self.expr(value), old.lanes)], old.dtype)
