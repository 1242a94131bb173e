"""The public ops: what cells and layers are written with, under their NumPy and Keras names.

Every function takes symbolic tensors (numbers and arrays are converted) and returns symbolic tensors. Axes may be
negative. Most are one primitive; the others are a few lines of primitives, and so are fused like anything else.
"""

from __future__ import annotations

from inspect import isfunction

from rnncc.graph.numpy_calls import OFFERED
from rnncc.ops.functions.arrange import (
    broadcast_to,
    concatenate,
    copy,
    expand_dims,
    flip,
    moveaxis,
    pad,
    ravel,
    repeat,
    reshape,
    roll,
    shape,
    split,
    squeeze,
    stack,
    swapaxes,
    tile,
    transpose,
    unstack,
)
from rnncc.ops.functions.create import (
    arange,
    eye,
    full,
    full_like,
    one_hot,
    ones,
    ones_like,
    tri,
    tril,
    triu,
    zeros,
    zeros_like,
)
from rnncc.ops.functions.digits import cos, floor_divide, mod, sin, tan
from rnncc.ops.functions.pointwise import (
    abs,
    absolute,
    add,
    cast,
    ceil,
    clip,
    divide,
    equal,
    erf,
    exp,
    exp2,
    expm1,
    floor,
    greater,
    greater_equal,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    power,
    reciprocal,
    relu,
    round,
    rsqrt,
    sigmoid,
    sign,
    sqrt,
    square,
    subtract,
    tanh,
    true_divide,
    trunc,
    where,
)
from rnncc.ops.functions.reduce import (
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    count_nonzero,
    dot,
    einsum,
    logsumexp,
    matmul,
    max,
    mean,
    min,
    outer,
    prod,
    softmax,
    std,
    sum,
    take,
    var,
)
from rnncc.ops.functions.subscript import get_item

OFFERED.update(
    {name: item for name, item in list(globals().items()) if isfunction(item) and item.__module__.startswith(__name__)}
)
