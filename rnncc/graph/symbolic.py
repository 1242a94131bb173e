"""Symbolic tensors: what a user's Python code computes with while a graph is being declared.

A `Tensor` knows its type and how it came to be (an `Application` of an op, or a leaf: an input or a weight); there is
no builder to pass around. `build_graph` collects what a set of outputs needs into a flat `Graph`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

from rnncc.arrays import as_numpy
from rnncc.errors import ArgumentError, DTypeError, RnnccError, ShapeError, caller
from rnncc.graph.ir import ArraySource, Feed, Source
from rnncc.graph.numpy_calls import (
    COMPOSED,
    METHODS,
    OFFERED,
    OPERATORS,
    SWAPPED,
    no_array_to_write_to,
    no_method,
    no_numbers,
    no_numpy_function,
)
from rnncc.graph.op import Attr, Op, find_op
from rnncc.records import record
from rnncc.types import DType, TensorType, dtype_of

_serial = itertools.count()
_scope: ContextVar[tuple[str, ...]] = ContextVar("rnncc_scope", default=())


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Ops applied inside belong to the layer `name` (shown in errors, nothing else)."""
    token = _scope.set((*_scope.get(), name))
    try:
        yield
    finally:
        _scope.reset(token)


@record(frozen=True, slots=True, eq=False)
class Application:
    """One application of `op`; `serial` orders applications by creation."""

    op: Op
    inputs: tuple[Tensor, ...]
    attrs: dict[str, Attr]
    serial: int
    scope: str
    place: str | None
    outputs: list[Tensor]


class Tensor:
    """A symbolic tensor: f32[B, T, 64] and where it comes from. Operators work as in NumPy.

    `shape` shows named extents as None, as Keras does; `type.shape` has their names. A leaf has no `origin`: it is an
    input (no `source`) or a weight (`source` holds the payload).
    """

    __slots__ = ("__weakref__", "history", "mask", "name", "origin", "source", "type")

    def __init__(
        self,
        type: TensorType,
        name: str,
        *,
        origin: Application | None = None,
        source: Source | None = None,
    ) -> None:
        self.type = type
        self.name = name
        self.origin = origin
        self.source = source
        self.history: Any = None
        """Set by `layers`: which layer call made this tensor."""
        self.mask: Tensor | None = None
        """Set by `layers`: which steps of this sequence count, as a bool tensor of its first two dims."""

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape with None for every extent that is not fixed."""
        return tuple(dim if isinstance(dim, int) else None for dim in self.type.shape)

    @property
    def dtype(self) -> DType:
        """Element type."""
        return self.type.dtype

    @property
    def ndim(self) -> int:
        """Number of dims."""
        return self.type.rank

    def __repr__(self) -> str:
        return f"<Tensor {self.name}: {self.type}>"

    def __bool__(self) -> bool:
        raise ArgumentError(
            f"the truth value of the symbolic tensor {self.name} is not known while the graph is declared",
            shown(self),
            place=caller(),
            remedy="use rnncc.ops.where(condition, a, b) instead of if/and/or",
        )

    def __iter__(self) -> Iterator[Tensor]:
        if not self.type.shape or not isinstance(self.type.shape[0], int):
            raise ArgumentError(
                f"cannot iterate over the symbolic tensor {self.name}",
                shown(self),
                place=caller(),
                remedy=getattr(self.history, "what_to_unpack", None)
                or "use rnncc.scan to loop over an extent that is bound at the call",
            )
        return (self[i] for i in range(self.type.shape[0]))

    def __len__(self) -> int:
        if not self.type.shape or not isinstance(self.type.shape[0], int):
            raise no_numbers("the length", shown(self))
        return self.type.shape[0]

    def __float__(self) -> float:
        raise no_numbers("the number", shown(self))

    def __int__(self) -> int:
        raise no_numbers("the number", shown(self))

    def __index__(self) -> int:
        raise no_numbers("the number", shown(self))

    def __array__(self, dtype: object = None, copy: bool | None = None) -> np.ndarray:
        raise no_numbers("the array", shown(self))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: object, **options: object) -> Tensor:
        name = ufunc.__name__
        if "out" in options:
            raise no_array_to_write_to(shown(self))
        is_plain = method == "__call__" and not options
        if is_plain and name in OPERATORS:
            return apply(OPERATORS[name], *inputs)
        if is_plain and name in SWAPPED:
            return apply(SWAPPED[name], *reversed(inputs))
        if is_plain and name in COMPOSED:
            result: Tensor = OFFERED[COMPOSED[name]](*inputs)
            return result
        raise no_numpy_function(name, shown(self))

    def __array_function__(self, function: Any, types: object, args: object, options: object) -> Tensor:
        raise no_numpy_function(function.__name__, shown(self))

    def __add__(self, other: object) -> Tensor:
        return apply("add", self, other)

    def __radd__(self, other: object) -> Tensor:
        return apply("add", other, self)

    def __sub__(self, other: object) -> Tensor:
        return apply("sub", self, other)

    def __rsub__(self, other: object) -> Tensor:
        return apply("sub", other, self)

    def __mul__(self, other: object) -> Tensor:
        return apply("mul", self, other)

    def __rmul__(self, other: object) -> Tensor:
        return apply("mul", other, self)

    def __truediv__(self, other: object) -> Tensor:
        return apply("div", self, other)

    def __rtruediv__(self, other: object) -> Tensor:
        return apply("div", other, self)

    def __neg__(self) -> Tensor:
        return apply("neg", self)

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return apply("abs", self)

    def __pow__(self, other: object) -> Any:
        return OFFERED["power"](self, other)

    def __rpow__(self, other: object) -> Any:
        return OFFERED["power"](other, self)

    def __mod__(self, other: object) -> Any:
        return OFFERED["mod"](self, other)

    def __rmod__(self, other: object) -> Any:
        return OFFERED["mod"](other, self)

    def __floordiv__(self, other: object) -> Any:
        return OFFERED["floor_divide"](self, other)

    def __rfloordiv__(self, other: object) -> Any:
        return OFFERED["floor_divide"](other, self)

    def __invert__(self) -> Tensor:
        return apply("logical_not", self)

    def __and__(self, other: object) -> Tensor:
        return apply("logical_and", self, other)

    def __or__(self, other: object) -> Tensor:
        return apply("logical_or", self, other)

    def __xor__(self, other: object) -> Any:
        return OFFERED["logical_xor"](self, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __eq__(self, other: object) -> Any:
        return apply("equal", self, other) if _is_operand(other) else NotImplemented

    def __ne__(self, other: object) -> Any:
        return apply("not_equal", self, other) if _is_operand(other) else NotImplemented

    __hash__ = object.__hash__

    def __matmul__(self, other: object) -> Any:
        return OFFERED["matmul"](self, other)

    def __rmatmul__(self, other: object) -> Any:
        return OFFERED["matmul"](other, self)

    def __lt__(self, other: object) -> Tensor:
        return apply("less", self, other)

    def __le__(self, other: object) -> Tensor:
        return apply("less_equal", self, other)

    def __gt__(self, other: object) -> Tensor:
        return apply("less", other, self)

    def __ge__(self, other: object) -> Tensor:
        return apply("less_equal", other, self)

    def __getitem__(self, key: object) -> Any:
        return OFFERED["get_item"](self, key)

    if not TYPE_CHECKING:  # else no name would ever be unknown

        def __getattr__(self, name: str) -> Any:
            if name in METHODS or name in OFFERED:
                raise no_method(name, shown(self))
            raise AttributeError(f"'Tensor' object has no attribute {name!r}", name=name, obj=self)


def _is_operand(other: object) -> bool:
    """True for what a comparison by == computes with; anything else is just not equal."""
    return isinstance(other, Tensor | np.ndarray | np.generic | bool | int | float) or hasattr(other, "tensor")


def shown(tensor: Tensor) -> str:
    """``ids: i64[B, T]``: a tensor in an error message, which gives plain names to extents that have none yet."""
    return f"{tensor.name}: {tensor.type}"


class FedTensor(Tensor):
    """A leaf that stands for a hidden input: every call draws its array from `feed`."""

    __slots__ = ("feed",)

    def __init__(self, type: TensorType, name: str, feed: Feed) -> None:
        super().__init__(type, name)
        self.feed = feed


def fed_tensor(type: TensorType, name: str, feed: Feed) -> Tensor:
    """A leaf whose array is `feed.draw()`, another one for each call."""
    return FedTensor(type, name, feed)


def input_tensor(type: TensorType, name: str) -> Tensor:
    """A leaf whose array comes with the call."""
    return Tensor(type, name)


class StepTensor(Tensor):
    """A leaf that exists inside the steps of a scan only: a state before the step, or a slice of what it reads."""

    __slots__ = ()


def weight_tensor(type: TensorType, name: str, source: Source) -> Tensor:
    """A leaf whose array is `source.value`."""
    return Tensor(type, name, source=source)


def as_tensor(value: object, like: DType | None = None) -> Tensor:
    """`value` as a symbolic tensor: a Tensor stays, a number takes the type of its partner, an array is kept whole."""
    if isinstance(value, Tensor):
        return value
    if hasattr(value, "tensor") and isinstance(value.tensor, Tensor):  # a layer's weight
        return value.tensor
    if isinstance(value, bool | int | float | np.generic) and np.ndim(value) == 0:
        return _constant(value.item() if isinstance(value, np.generic) else value, like)
    if isinstance(value, list | tuple) and any(isinstance(item, Tensor) for item in value):
        raise ArgumentError(
            "a list of symbolic tensors is not a tensor", place=caller(), remedy="rnncc.ops.stack makes one of them"
        )
    array = as_numpy("a constant", value)
    if array.dtype == object:
        raise ArgumentError(f"{value!r} is not a tensor, a number or an array", place=caller())
    if array.dtype.kind == "f" and (like is None or like.is_float):
        array = array.astype((like or DType.F32).numpy)
    dtype = dtype_of(array.dtype)
    return Tensor(TensorType(dtype, array.shape), "array", source=ArraySource(array))


def _constant(number: bool | int | float, like: DType | None) -> Tensor:
    """A number as a tensor of dtype `like`, if that keeps its value."""
    natural = DType.BOOL if isinstance(number, bool) else DType.I64 if isinstance(number, int) else DType.F32
    dtype = like or natural
    if dtype.is_float:
        return apply("constant", value=float(number), dtype=dtype)
    if isinstance(number, float) or (dtype is DType.BOOL and number not in (0, 1)):
        raise DTypeError(
            f"the number {number} does not become {dtype}",
            f"its partner has dtype {dtype}",
            place=caller(),
            remedy="convert the partner with rnncc.ops.cast",
        )
    if dtype is DType.BOOL:
        return apply("constant", value=bool(number), dtype=dtype)
    limits = np.iinfo(dtype.numpy)
    if not limits.min <= number <= limits.max:
        raise ArgumentError(f"the number {number} is too large for {dtype}", place=caller())
    return apply("constant", value=int(number), dtype=dtype)


def partner_dtype(operands: Sequence[object]) -> DType | None:
    """The dtype that numbers among `operands` take: that of the first tensor or weight."""
    for operand in operands:
        tensor = operand if isinstance(operand, Tensor) else getattr(operand, "tensor", None)
        if isinstance(tensor, Tensor):
            return tensor.dtype
    return None


def apply(name: str, *operands: object, **attrs: Attr) -> Tensor:
    """Apply the op `name`, which has one result."""
    (result,) = apply_many(name, *operands, **attrs)
    return result


def apply_many(name: str, *operands: object, **attrs: Attr) -> tuple[Tensor, ...]:
    """Apply the op `name` and return all its results."""
    op = find_op(name)
    partner = partner_dtype(operands)
    inputs = tuple(as_tensor(operand, partner) for operand in operands)
    place = caller()
    where = "/".join(_scope.get())
    try:
        types = op.infer([tensor.type for tensor in inputs], attrs)
    except (ShapeError, DTypeError) as error:
        raise _located(error, op, inputs, where, place) from None
    application = Application(op, inputs, attrs, next(_serial), where, place, [])
    application.outputs.extend(Tensor(type, op.name, origin=application) for type in types)
    return tuple(application.outputs)


def _located(error: RnnccError, op: Op, inputs: Sequence[Tensor], where: str, place: str | None) -> RnnccError:
    """`error` of an op's `infer`, with the op, its layer, the operands and the user's line."""
    width = max((len(tensor.name) for tensor in inputs), default=0)
    operands = [f"{tensor.name.ljust(width)}: {tensor.type}" for tensor in inputs]
    title = f"{op.name} in {where}" if where else op.name
    return type(error)(f"{title}: {error.what}", *operands, *error.facts, place=place, remedy=error.remedy)
