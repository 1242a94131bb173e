"""Sums and other reductions, products, lookups: ops that read many elements for one."""

from __future__ import annotations

import math
from builtins import all as _all
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

from rnncc.errors import ArgumentError, DTypeError, ShapeError, UnsupportedError, caller
from rnncc.graph.symbolic import Tensor, apply, as_tensor, partner_dtype, shown
from rnncc.ops.elementwise import broadcast_shapes
from rnncc.ops.functions.arrange import broadcast_to, expand_dims, moveaxis, ravel, reshape, squeeze, transpose, unstack
from rnncc.ops.functions.axes import axes_of, axis_of, fixed_size
from rnncc.ops.functions.create import arange, full
from rnncc.ops.functions.pointwise import (
    cast,
    equal,
    exp,
    isfinite,
    log,
    logical_not,
    logical_or,
    maximum,
    multiply,
    not_equal,
    sqrt,
    square,
    where,
)
from rnncc.types import Dim, DType


def matmul(x1: Any, x2: Any) -> Tensor:
    """Matrix product: [..., K] x [K, N], or [..., M, K] x [..., K, N] with leading dims that broadcast. A vector is a
    row on the left and a column on the right, and that axis is gone from the result.
    """
    like = partner_dtype((x1, x2))
    left, right = as_tensor(x1, like), as_tensor(x2, like)
    if right.ndim == 1 and left.ndim > 0:
        return _times_vector(left, right)
    if left.ndim == 1 and right.ndim > 2:
        return squeeze(matmul(expand_dims(left, 0), right), -2)
    if left.ndim > 1 and right.ndim > 2 and left.type.shape[:-2] != right.type.shape[:-2]:
        try:
            lead = broadcast_shapes([left.type.shape[:-2], right.type.shape[:-2]])
        except ShapeError as error:
            what = f"the leading dims of a matrix product do not broadcast: {', '.join(error.facts)}"
            raise ShapeError(what, shown(left), shown(right), place=caller(), remedy=error.remedy) from None
        left, right = (broadcast_to(one, (*lead, *one.type.shape[-2:])) for one in (left, right))
    return apply("matmul", left, right)


def _times_vector(left: Tensor, right: Tensor) -> Tensor:
    """[..., K] x [K]."""
    if left.type.shape[-1:] != right.type.shape:
        raise ShapeError(
            f"the last axis of {left.name} must be as long as {right.name}",
            shown(left),
            shown(right),
            place=caller(),
        )
    return sum(multiply(left, right), -1)


Axis = int | Sequence[int] | None


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Sum over one axis, several, or all."""
    return _reduce("sum", x, axis, keepdims)


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Largest element along one axis, several, or all."""
    return _reduce("max", x, axis, keepdims)


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Smallest element along one axis, several, or all."""
    return _reduce("min", x, axis, keepdims)


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Mean over one axis, several, or all. Raises DTypeError for what is not float."""
    tensor = as_tensor(x)
    if not tensor.dtype.is_float:
        raise DTypeError(
            f"a mean is of kind float, not {tensor.dtype}", place=caller(), remedy="convert with rnncc.ops.cast"
        )
    total = _reduce("sum", tensor, axis, keepdims)
    dims = [tensor.type.shape[at] for at in axes_of(tensor, axis)]
    count = math.prod(dim for dim in dims if isinstance(dim, int))
    share: Any = 1.0 / count if count else math.nan
    for dim in dims:
        if isinstance(dim, str):
            share = share / sum(full((dim,), 1, tensor.dtype), 0)
    result: Tensor = total * share
    return result


def var(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Mean squared distance from the mean over one axis, several, or all."""
    tensor = as_tensor(x)
    return mean(square(tensor - mean(tensor, axis, keepdims=True)), axis, keepdims)


def std(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Square root of the variance."""
    return sqrt(var(x, axis, keepdims))


def prod(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Product over one axis of fixed size, or over all of them."""
    tensor = as_tensor(x)
    if axis is None:
        result = prod(ravel(tensor), 0)
        return reshape(result, (1,) * tensor.ndim) if keepdims else result
    result = reduce(multiply, unstack(tensor, axis=axis) or [full(_without(tensor, axis), 1, tensor.dtype)])
    return expand_dims(result, axis_of(tensor, axis)) if keepdims else result


def _without(tensor: Tensor, axis: int) -> tuple[Dim, ...]:
    at = axis_of(tensor, axis)
    return tensor.type.shape[:at] + tensor.type.shape[at + 1 :]


def any(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether one of the elements is not 0 (or is true), as a bool tensor."""
    return not_equal(_reduce("max", cast(cast(x, DType.BOOL), DType.I32), axis, keepdims, start=0), 0)


def all(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether all of the elements are not 0 (or are true), as a bool tensor."""
    return logical_not(any(logical_not(cast(x, DType.BOOL)), axis, keepdims))


def count_nonzero(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """How many elements are not 0 (or are true), as i64."""
    return sum(cast(cast(x, DType.BOOL), DType.I64), axis, keepdims)


def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Logarithm of the sum of exponentials; the maximum is subtracted first."""
    tensor = as_tensor(x)
    largest = max(tensor, axis, keepdims=True)
    largest = where(isfinite(largest), largest, 0)  # an infinity is not taken from itself
    result = log(sum(exp(tensor - largest), axis, keepdims=True)) + largest
    return result if keepdims else squeeze(result, axes_of(tensor, axis))


def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Position of the (first) smallest element along one axis of fixed size, or among all elements, as i64; a NaN
    counts as smallest."""
    return _first(as_tensor(x), axis, min, keepdims)


def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Position of the (first) largest element along one axis of fixed size, or among all elements, as i64; a NaN
    counts as largest."""
    return _first(as_tensor(x), axis, max, keepdims)


def _first(tensor: Tensor, axis: int | None, extreme: Callable[..., Tensor], keepdims: bool) -> Tensor:
    """Position of the first element along `axis` that is the `extreme` one, or NaN."""
    if axis is None:
        found = _first(ravel(tensor), 0, extreme, False)
        return reshape(found, (1,) * tensor.ndim) if keepdims else found
    value = extreme(tensor, axis, keepdims=True)
    at, size = axis_of(tensor, axis), fixed_size(tensor, axis)
    if size == 0:
        raise ShapeError(f"axis {axis} has no element to find", shown(tensor), place=caller())
    found = logical_or(equal(tensor, value), not_equal(tensor, tensor))
    shape = tuple(size if number == at else 1 for number in range(tensor.ndim))
    return min(where(found, reshape(arange(size), shape), size), at, keepdims)


def softmax(x: Any, axis: int = -1) -> Tensor:
    """exp(x) scaled so that it sums to 1 along `axis`; the maximum is subtracted first."""
    tensor = as_tensor(x)
    powers = exp(tensor - max(tensor, axis, keepdims=True))
    return powers / sum(powers, axis, keepdims=True)


def take(x: Any, indices: Any, axis: int | None = 0) -> Tensor:
    """Slices of x along an axis by integer index, or elements of all of x for None; an index outside is an error at the
    call, naming its position."""
    tensor, rows = as_tensor(x), as_tensor(indices)
    tensor, axis = (ravel(tensor), 0) if axis is None else (tensor, axis)
    if not rows.dtype.is_integer:
        raise DTypeError(
            f"the indices of take are whole numbers, not {rows.dtype}",
            shown(rows),
            place=caller(),
            remedy="rnncc.ops.cast converts; rnncc.ops.where chooses by a condition",
        )
    rows = cast(rows, DType.I64)
    at = axis_of(tensor, axis)
    if at == 0:
        return apply("take", tensor, rows)
    found: Tensor = apply("take", moveaxis(tensor, at, 0), rows)
    order = list(range(rows.ndim, found.ndim))
    return transpose(found, [*order[:at], *range(rows.ndim), *order[at:]])


def dot(x1: Any, x2: Any) -> Tensor:
    """The sum of products over the last axis of x1, and the last but one (or only) axis of x2; with a number, the
    product.

    Raises UnsupportedError for what NumPy combines every matrix of x1 with every one of x2 for.
    """
    like = partner_dtype((x1, x2))
    left, right = as_tensor(x1, like), as_tensor(x2, like)
    if 0 in (left.ndim, right.ndim):
        return multiply(left, right)
    if left.ndim > 1 and right.ndim > 2:
        raise UnsupportedError(
            "dot does not combine every matrix on the left with every one on the right yet",
            shown(left),
            shown(right),
            place=caller(),
            remedy="rnncc.ops.matmul multiplies them pair by pair",
        )
    return matmul(left, right)


def outer(x1: Any, x2: Any) -> Tensor:
    """Every product of an element of x1 with one of x2; axes in front of the last one are shared."""
    return expand_dims(x1, -1) * expand_dims(x2, -2)


def einsum(subscripts: str, *operands: Any) -> Tensor:
    """Sums of products by letters, as ``einsum("bij,bj->bi", w, h)``: letters that the result does not have are summed.

    A matrix product where it is one; all else is a product and a sum, which are fused.

    Raises ArgumentError for a text that does not fit the operands, ShapeError when sizes differ.
    """
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    terms, tensors = inputs.split(","), [as_tensor(operand) for operand in operands]
    letters = "".join(terms)
    if not arrow:
        output = "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1))
    shapes_fit = len(terms) == len(tensors) and _all(
        len(term) == tensor.ndim and len(set(term)) == len(term) for term, tensor in zip(terms, tensors, strict=True)
    )
    if not shapes_fit or len(set(output)) < len(output) or not set(output) <= set(letters):
        raise ArgumentError(
            f"einsum {subscripts!r} does not fit its operands",
            *[f"{tensor.name}: {tensor.type}" for tensor in tensors],
            place=caller(),
            remedy="one term for each operand, one letter for each axis (... is not known), no letter twice in a term",
        )
    if _is_matmul(terms, output):
        return matmul(*tensors)
    summed = [letter for letter in dict.fromkeys(letters) if letter not in output]
    order = [*output, *summed]
    result = reduce(multiply, [_along(tensor, term, order) for tensor, term in zip(tensors, terms, strict=True)])
    return sum(result, list(range(len(output), len(order)))) if summed else result


def _is_matmul(terms: Sequence[str], output: str) -> bool:
    """True for ``...k,kn->...n``."""
    if len(terms) != 2 or len(terms[0]) < 2 or len(terms[1]) != 2:
        return False
    first, inner, last = terms[0], terms[1][0], terms[1][1]
    return first[-1] == inner and last not in first and output == first[:-1] + last


def _along(tensor: Tensor, term: str, order: Sequence[str]) -> Tensor:
    """`tensor` with its axes at the places of their letters in `order`, and axes of size 1 elsewhere."""
    moved = transpose(tensor, [term.index(letter) for letter in order if letter in term])
    sizes = iter(moved.type.shape)
    return reshape(moved, [next(sizes) if letter in term else 1 for letter in order])


def _reduce(name: str, x: Any, axis: Axis, keepdims: bool, start: int | None = None) -> Tensor:
    result = tensor = as_tensor(x)
    axes = axes_of(tensor, axis)
    for at in axes[::-1]:
        result = apply(name, result, axis=at)
        if start is not None:  # what the result of no elements is
            result = maximum(result, start)
    for at in axes if keepdims else ():
        result = expand_dims(result, at)
    return result


amax, amin = max, min
