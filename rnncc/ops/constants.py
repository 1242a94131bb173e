"""Ops without operands: a number, and counting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnncc.graph.op import Attrs, Op, register
from rnncc.loop.ir import Const
from rnncc.types import DType, TensorType

CONSTANT = register(
    Op(
        "constant",
        attrs=("value", "dtype"),
        infer=lambda types, attrs: (TensorType(attrs["dtype"], ()),),
        eval=lambda arrays, attrs, extents: (np.asarray(attrs["value"], dtype=attrs["dtype"].numpy),),
        lower=lambda point: Const(point.attrs["value"], point.type.dtype),
        arity=0,
        cheap=True,
    )
)
"""constant(value=, dtype=): a scalar."""


def _infer_iota(types: Sequence[TensorType], attrs: Attrs) -> tuple[TensorType, ...]:
    return (TensorType(DType.I64, (attrs["size"],)),)


IOTA = register(
    Op(
        "iota",
        attrs=("size",),
        infer=_infer_iota,
        eval=lambda arrays, attrs, extents: (
            np.arange(extents[attrs["size"]] if isinstance(attrs["size"], str) else attrs["size"], dtype=np.int64),
        ),
        lower=lambda point: point.index[0],
        arity=0,
        cheap=True,
    )
)
"""iota(size=): 0, 1, ..., size - 1 as i64."""
