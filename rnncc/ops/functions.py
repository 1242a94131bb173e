"""The public ops: what cells and layers are written with, under their NumPy and Keras names.

Every function takes symbolic tensors (numbers and arrays are converted) and returns symbolic tensors. Axes may be
negative. Most are one primitive; the others are a few lines of primitives, and so are fused like anything else.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from inspect import isfunction
from typing import Any

from rnncc.errors import ArgumentError, ShapeError, caller
from rnncc.graph.numpy_calls import OFFERED
from rnncc.graph.symbolic import Tensor, apply, as_tensor, partner_dtype
from rnncc.ops.shape import factors
from rnncc.types import Dim, DType, as_shape, dtype_of

# ------------------------------------------------------------------ elementwise


def add(a: Any, b: Any) -> Tensor:
    """a + b, broadcast."""
    return apply("add", a, b)


def subtract(a: Any, b: Any) -> Tensor:
    """a - b, broadcast."""
    return apply("sub", a, b)


def multiply(a: Any, b: Any) -> Tensor:
    """a * b, broadcast."""
    return apply("mul", a, b)


def divide(a: Any, b: Any) -> Tensor:
    """a / b of floats, broadcast."""
    return apply("div", a, b)


def maximum(a: Any, b: Any) -> Tensor:
    """The larger of a and b, elementwise."""
    return apply("maximum", a, b)


def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of a and b, elementwise."""
    return apply("minimum", a, b)


def negative(x: Any) -> Tensor:
    """-x."""
    return apply("neg", x)


def abs(x: Any) -> Tensor:
    """|x|."""
    return apply("abs", x)


def floor(x: Any) -> Tensor:
    """The largest whole number not above x."""
    return apply("floor", x)


def exp(x: Any) -> Tensor:
    """e to the x."""
    return apply("exp", x)


def log(x: Any) -> Tensor:
    """Natural logarithm; -inf at 0, NaN below."""
    return apply("log", x)


def log1p(x: Any) -> Tensor:
    """Natural logarithm of 1 + x with all bits of a small x; -inf at -1, NaN below."""
    return apply("log1p", x)


def expm1(x: Any) -> Tensor:
    """e to the x, less 1, with all bits of a small result."""
    tensor = as_tensor(x)
    half = tanh(minimum(tensor, 1) * 0.5)
    return where(less(tensor, 1), 2 * half / (1 - half), exp(tensor) - 1)


def clip(x: Any, low: Any, high: Any) -> Tensor:
    """x within low..high: ``minimum(maximum(x, low), high)``."""
    return minimum(maximum(x, low), high)


def sign(x: Any) -> Tensor:
    """-1, 0 or 1 with the sign of x; NaN stays NaN."""
    tensor = as_tensor(x)
    return where(less(tensor, 0), -1, where(less(0, tensor), 1, tensor))


def reciprocal(x: Any) -> Tensor:
    """1 / x of floats."""
    return apply("div", 1.0, x)


def rsqrt(x: Any) -> Tensor:
    """1 / sqrt(x)."""
    return reciprocal(sqrt(x))


def sqrt(x: Any) -> Tensor:
    """Square root."""
    return apply("sqrt", x)


def square(x: Any) -> Tensor:
    """x * x."""
    tensor = as_tensor(x)
    return apply("mul", tensor, tensor)


def tanh(x: Any) -> Tensor:
    """Hyperbolic tangent."""
    return apply("tanh", x)


def sigmoid(x: Any) -> Tensor:
    """1 / (1 + exp(-x))."""
    return apply("sigmoid", x)


def erf(x: Any) -> Tensor:
    """Gauss error function."""
    return apply("erf", x)


def relu(x: Any) -> Tensor:
    """max(x, 0)."""
    return apply("maximum", x, 0)


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """a where the bool tensor `condition` is true, b elsewhere; all broadcast."""
    like = partner_dtype((a, b))
    return apply("where", condition, as_tensor(a, like), as_tensor(b, like))


def equal(a: Any, b: Any) -> Tensor:
    """a == b as a bool tensor."""
    return apply("equal", a, b)


def not_equal(a: Any, b: Any) -> Tensor:
    """a != b as a bool tensor."""
    return apply("not_equal", a, b)


def less(a: Any, b: Any) -> Tensor:
    """a < b as a bool tensor."""
    return apply("less", a, b)


def less_equal(a: Any, b: Any) -> Tensor:
    """a <= b as a bool tensor."""
    return apply("less_equal", a, b)


def greater(a: Any, b: Any) -> Tensor:
    """a > b as a bool tensor."""
    return apply("less", b, a)


def greater_equal(a: Any, b: Any) -> Tensor:
    """a >= b as a bool tensor."""
    return apply("less_equal", b, a)


def logical_and(a: Any, b: Any) -> Tensor:
    """a and b, elementwise, of bool tensors."""
    return apply("logical_and", a, b)


def logical_or(a: Any, b: Any) -> Tensor:
    """a or b, elementwise, of bool tensors."""
    return apply("logical_or", a, b)


def logical_not(x: Any) -> Tensor:
    """not x, elementwise, of a bool tensor."""
    return apply("logical_not", x)


def cast(x: Any, dtype: Any) -> Tensor:
    """x with another element type; floats become integers by cutting towards zero."""
    tensor, target = as_tensor(x), dtype_of(dtype)
    return tensor if tensor.dtype is target else apply("cast", tensor, dtype=target)


# ------------------------------------------------------------------ shape


def reshape(x: Any, shape: Sequence[Dim]) -> Tensor:
    """The elements of x in row-major order under `shape`; one dim may be -1."""
    tensor = as_tensor(x)
    wanted = list(shape)
    if -1 in wanted:
        at = wanted.index(-1)
        wanted[at] = _missing_dim(tensor, as_shape(wanted[:at]), as_shape(wanted[at + 1 :]))
    dims = as_shape(wanted)
    return tensor if dims == tensor.type.shape else apply("reshape", tensor, shape=dims)


def _missing_dim(tensor: Tensor, before: tuple[Dim, ...], after: tuple[Dim, ...]) -> Dim:
    """The dim that -1 stands for, between those before and after it."""
    number, names = factors(tensor.type.shape)
    given, given_names = factors(before + after)
    rest = list(names)
    for name in given_names:
        if name in rest:
            rest.remove(name)
    if given and number % given == 0 and len(rest) + len(given_names) == len(names):
        if not rest:
            return number // given
        if len(rest) == 1 and number == given:
            return rest[0]
    raise ShapeError(
        f"-1 in the shape {(*before, -1, *after)} stands for no single extent",
        f"{tensor.name}: {tensor.type}",
        place=caller(),
        remedy="name the extents: reshape(x, (*x.type.shape[:2], -1))",
    )


def copy(x: Any) -> Tensor:
    """x as another tensor with the same elements."""
    tensor = as_tensor(x)
    return apply("reshape", tensor, shape=tensor.type.shape)


def transpose(x: Any, axes: Sequence[int] | None = None) -> Tensor:
    """x with its axes in another order; reversed by default."""
    tensor = as_tensor(x)
    order = tuple(range(tensor.ndim))[::-1] if axes is None else tuple(_axis(tensor, axis) for axis in axes)
    return tensor if order == tuple(range(tensor.ndim)) else apply("transpose", tensor, axes=order)


def flip(x: Any, axis: int) -> Tensor:
    """x with the elements along one axis in reverse order."""
    tensor = as_tensor(x)
    at, made = _axis(tensor, axis), tensor.origin
    if made is not None and made.op.name == "flip" and made.attrs["axis"] == at:
        return made.inputs[0]
    return apply("flip", tensor, axis=at)


def expand_dims(x: Any, axis: int) -> Tensor:
    """x with a new axis of size 1 at `axis`."""
    tensor = as_tensor(x)
    at = _axis(tensor, axis, new_axes=1)
    shape = tensor.type.shape
    return apply("reshape", tensor, shape=(*shape[:at], 1, *shape[at:]))


def squeeze(x: Any, axis: int) -> Tensor:
    """x without its axis `axis`, which must have size 1."""
    tensor = as_tensor(x)
    at = _axis(tensor, axis)
    shape = tensor.type.shape
    return apply("reshape", tensor, shape=(*shape[:at], *shape[at + 1 :]))


def concatenate(xs: Sequence[Any], axis: int = 0) -> Tensor:
    """Tensors side by side along `axis`."""
    tensors = [as_tensor(x) for x in xs]
    if not tensors:
        raise ArgumentError("nothing to concatenate", place=caller())
    return tensors[0] if len(tensors) == 1 else apply("concatenate", *tensors, axis=_axis(tensors[0], axis))


def stack(xs: Sequence[Any], axis: int = 0) -> Tensor:
    """Tensors of one shape along a new axis."""
    return concatenate([expand_dims(x, axis) for x in xs], axis)


def split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """x cut into equal sections, or at the given positions, along `axis`."""
    tensor = as_tensor(x)
    at = _axis(tensor, axis)
    dim = tensor.type.shape[at]
    if not isinstance(dim, int):
        raise ShapeError(
            f"axis {axis} has the extent {dim}, known only at the call: it cannot be split", place=caller()
        )
    if isinstance(indices_or_sections, int):
        if indices_or_sections < 1 or dim % indices_or_sections:
            raise ShapeError(
                f"axis {axis} of size {dim} does not split into {indices_or_sections} equal sections",
                f"{tensor.name}: {tensor.type}",
                place=caller(),
            )
        size = dim // indices_or_sections
        cuts = list(range(0, dim + 1, size))
    else:
        cuts = [0, *indices_or_sections, dim]
    lead = (slice(None),) * at
    return [tensor[(*lead, slice(a, b))] for a, b in itertools.pairwise(cuts)]


def broadcast_to(x: Any, shape: Sequence[Dim]) -> Tensor:
    """x repeated along new and unit axes until it has `shape`."""
    tensor, dims = as_tensor(x), as_shape(shape)
    return tensor if tensor.type.shape == dims else apply("broadcast_to", tensor, shape=dims)


# ------------------------------------------------------------------ creation


def full(shape: Sequence[Dim], value: float, dtype: Any = DType.F32) -> Tensor:
    """A tensor of `shape` (ints and names of extents) filled with one number."""
    return broadcast_to(as_tensor(value, dtype_of(dtype)), shape)


def zeros(shape: Sequence[Dim], dtype: Any = DType.F32) -> Tensor:
    """Zeros."""
    return full(shape, 0, dtype)


def ones(shape: Sequence[Dim], dtype: Any = DType.F32) -> Tensor:
    """Ones."""
    return full(shape, 1, dtype)


def zeros_like(x: Tensor) -> Tensor:
    """Zeros with the type of x."""
    return full(x.type.shape, 0, x.dtype)


def ones_like(x: Tensor) -> Tensor:
    """Ones with the type of x."""
    return full(x.type.shape, 1, x.dtype)


def arange(size: Dim) -> Tensor:
    """0, 1, ..., size - 1 as i64; `size` may be the name of an extent."""
    return apply("iota", size=as_shape((size,))[0])


# ------------------------------------------------------------------ contraction, reduction, lookup


def matmul(a: Any, b: Any) -> Tensor:
    """Matrix product: [..., K] x [K, N], or [..., M, K] x [..., K, N] with equal leading dims."""
    return apply("matmul", a, b)


def sum(x: Any, axis: int, keepdims: bool = False) -> Tensor:
    """Sum over one axis."""
    return _reduce("sum", x, axis, keepdims)


def max(x: Any, axis: int, keepdims: bool = False) -> Tensor:
    """Largest element along one axis."""
    return _reduce("max", x, axis, keepdims)


def min(x: Any, axis: int, keepdims: bool = False) -> Tensor:
    """Smallest element along one axis."""
    return _reduce("min", x, axis, keepdims)


def mean(x: Any, axis: int, keepdims: bool = False) -> Tensor:
    """Mean over one axis, whose size must be fixed."""
    tensor = as_tensor(x)
    return _reduce("sum", tensor, axis, keepdims) * (1.0 / _fixed(tensor, axis))


def var(x: Any, axis: int, keepdims: bool = False) -> Tensor:
    """Mean squared distance from the mean over one axis, whose size must be fixed."""
    tensor = as_tensor(x)
    return mean(square(tensor - mean(tensor, axis, keepdims=True)), axis, keepdims)


def argmax(x: Any, axis: int = -1) -> Tensor:
    """Position of the (first) largest element along one axis of fixed size, as i64; a NaN counts as largest."""
    tensor = as_tensor(x)
    at, size = _axis(tensor, axis), _fixed(tensor, axis)
    largest = max(tensor, at, keepdims=True)
    found = logical_or(equal(tensor, largest), not_equal(tensor, tensor))
    shape = tuple(size if number == at else 1 for number in range(tensor.ndim))
    return min(where(found, reshape(arange(size), shape), size), at)


def softmax(x: Any, axis: int = -1) -> Tensor:
    """exp(x) scaled so that it sums to 1 along `axis`; the maximum is subtracted first."""
    tensor = as_tensor(x)
    powers = exp(tensor - max(tensor, axis, keepdims=True))
    return powers / sum(powers, axis, keepdims=True)


def take(table: Any, indices: Any) -> Tensor:
    """Rows of `table` by integer index; an index outside is an error at the call, naming its position."""
    return apply("take", table, cast(indices, DType.I64))


def _reduce(name: str, x: Any, axis: int, keepdims: bool) -> Tensor:
    tensor = as_tensor(x)
    at = _axis(tensor, axis)
    result: Tensor = apply(name, tensor, axis=at)
    return expand_dims(result, at) if keepdims else result


def _axis(tensor: Tensor, axis: int, new_axes: int = 0) -> int:
    rank = tensor.ndim + new_axes
    if not -rank <= axis < rank:
        raise ShapeError(
            f"axis {axis} does not exist in rank {rank}",
            f"{tensor.name}: {tensor.type}",
            place=caller(),
        )
    return axis % rank


def _fixed(tensor: Tensor, axis: int) -> int:
    dim = tensor.type.shape[_axis(tensor, axis)]
    if not isinstance(dim, int):
        raise ShapeError(
            f"axis {axis} has the extent {dim}, known only at the call",
            f"{tensor.name}: {tensor.type}",
            place=caller(),
            remedy="this op needs an axis of fixed size",
        )
    return dim


OFFERED.update(name for name, item in list(globals().items()) if isfunction(item) and item.__module__ == __name__)
