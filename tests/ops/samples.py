"""Samples of every primitive op: what it takes, and what it must refuse.

`SAMPLES` has operand types and attrs; `test_ops` derives the rest. A named extent has its size in `EXTENTS`. An op that
is registered and not listed here fails the suite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnncc.errors import DTypeError, RnnccError, ShapeError, TokenError
from rnncc.graph.ir import Graph
from rnncc.graph.parser import parse
from rnncc.types import DType, TensorType, bind_shape

EXTENTS = {"B": 4, "T": 3, "N": 6}
"""Sizes of the extents in samples; all differ. `lift` adds a leading T."""

Fill = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


@dataclass(frozen=True)
class Sample:
    """Operand types as text (``"f32[B, 8]"``), attrs, and how to fill operands that need particular numbers."""

    types: tuple[str, ...]
    attrs: dict[str, Any] = field(default_factory=dict)
    fill: dict[int, Fill] = field(default_factory=dict)

    @property
    def operand_types(self) -> list[TensorType]:
        return [read_type(text) for text in self.types]

    def arrays(self, seed: int = 0, lifted: tuple[bool, ...] | None = None) -> list[np.ndarray]:
        """An array per operand; with a leading axis T where `lifted` says so."""
        rng = np.random.default_rng(seed)
        arrays = []
        for number, type in enumerate(self.operand_types):
            shape = bind_shape(type.shape, EXTENTS)
            if lifted is not None and lifted[number]:
                shape = (EXTENTS["T"], *shape)
            arrays.append(self.fill.get(number, DEFAULT_FILL[type.dtype])(rng, shape).astype(type.dtype.numpy))
        return arrays


@dataclass(frozen=True)
class Wrong:
    """Operand types and attrs that `infer` must refuse, with a message that `match` finds."""

    types: tuple[str, ...]
    error: type[RnnccError]
    match: str
    attrs: dict[str, Any] = field(default_factory=dict)


def read_type(text: str) -> TensorType:
    """``"f32[B, 8]"`` as a type."""
    return parse(f"def f(x: {text}):\n    return x").inputs[0].type


def floats(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.uniform(-2, 2, shape)


def positive(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.uniform(0.25, 4, shape)


def below(limit: int) -> Fill:
    return lambda rng, shape: rng.integers(0, limit, shape)


def with_specials(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Random floats, among them NaN, infinities and both zeros."""
    specials = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0]
    return np.where(rng.random(shape) < 0.5, rng.choice(specials, shape), floats(rng, shape))


def words(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Any bits."""
    return rng.integers(-(2**31), 2**31, shape)


DEFAULT_FILL: dict[DType, Fill] = {
    DType.F32: floats,
    DType.F64: floats,
    DType.I32: lambda rng, shape: rng.integers(-5, 6, shape),
    DType.I64: lambda rng, shape: rng.integers(-5, 6, shape),
    DType.BOOL: lambda rng, shape: rng.integers(0, 2, shape),
}

# ------------------------------------------------------------------ families of samples


def _unary(*dtypes: str, fill: Fill | None = None) -> list[Sample]:
    fills = {0: fill} if fill else {}
    return [Sample((f"{dtype}[{dims}]",), fill=fills) for dtype in dtypes for dims in ("", "7", "B, 1, 5", "0, 3")]


def _binary(*dtypes: str, fill: Fill | None = None) -> list[Sample]:
    fills = {1: fill} if fill else {}
    shapes = [("", ""), ("B, 5", "B, 5"), ("B, 5", "5"), ("", "N, 3"), ("B, 1, 5", "7, 1"), ("1", "B"), ("2, 3", "3")]
    return [Sample((f"{d}[{a}]", f"{d}[{b}]"), fill=fills) for d in dtypes for a, b in shapes]


def _products() -> list[Sample]:
    """Of sigmoids and tanhs."""
    return [*_binary(*_FLOATS), Sample(("f32[40]", "f32[40]"), fill={0: with_specials, 1: with_specials})]


def _reductions() -> list[Sample]:
    shapes = [("5", 0), ("B, 5", 0), ("B, 5", 1), ("3, N, 7", 1), ("0, 3", 0), ("0, 3", 1)]
    some = [Sample((f"{dtype}[{dims}]",), {"axis": axis}) for dtype in ("f32", "i64") for dims, axis in shapes]
    return [*some, Sample(("f64[2, 3]",), {"axis": 1}), Sample(("i32[2, 3]",), {"axis": 0})]


_FLOATS, _NUMBERS, _ANY = ("f32", "f64"), ("f32", "f64", "i32", "i64"), ("f32", "i64", "bool")

BODY = """
def body(w: f32[5, 5], /, h: f32[B, 5], n: i64[], *, x: f32[B, 5], skip: bool[]):
    one: i64[] = constant(value=1, dtype=i64)
    next_n: i64[] = add(n, one)
    product: f32[B, 5] = matmul(h, w)
    total: f32[B, 5] = add(product, x)
    new: f32[B, 5] = tanh(total)
    next_h: f32[B, 5] = where(skip, h, new)
    return next_h, next_n, next_h, next_n
"""


def _scans() -> list[Sample]:
    types = ("f32[5, 5]", "f32[B, 5]", "i64[]")
    body: Graph = parse(BODY)
    attrs = {"body": body, "reverse": False, "length": "N", "unroll": 1}
    return [
        Sample((*types, "f32[N, B, 5]", "bool[N]"), attrs),
        Sample((*types, "f32[N, B, 5]", "bool[N]"), {**attrs, "reverse": True, "unroll": 2}),
        Sample((*types, "f32[3, B, 5]", "bool[3]"), {**attrs, "length": 3}),
        Sample((*types, "f32[0, B, 5]", "bool[0]"), {**attrs, "length": 0}),
    ]


# ------------------------------------------------------------------ the table

SAMPLES: dict[str, list[Sample]] = {
    "abs": [*_unary(*_NUMBERS), Sample(("f32[40]",), fill={0: with_specials})],
    "add": _binary(*_NUMBERS),
    "broadcast_to": [
        Sample(("f32[]",), {"shape": ("B", 5)}),
        Sample(("f32[5]",), {"shape": ("B", 5)}),
        Sample(("i64[B, 1]",), {"shape": (2, "B", 3)}),
        Sample(("bool[1, 3]",), {"shape": ("N", 3)}),
        Sample(("f32[B]",), {"shape": ("B",)}),
        Sample(("f32[]",), {"shape": ()}),
    ],
    "cast": [
        Sample((f"{source}[B, 3]",), {"dtype": target})
        for source in ("f32", "f64", "i32", "i64", "bool")
        for target in (DType.F32, DType.F64, DType.I32, DType.I64)
    ],
    "concatenate": [
        Sample(("f32[B, 3]", "f32[B, 5]"), {"axis": 1}),
        Sample(("f32[2, B]", "f32[0, B]", "f32[7, B]"), {"axis": 0}),
        Sample(("i64[3, 2, 5]", "i64[3, 4, 5]"), {"axis": 1}),
        Sample(("bool[3]",), {"axis": 0}),
    ],
    "constant": [
        Sample((), {"value": value, "dtype": dtype})
        for value, dtype in [
            (0.0, DType.F32),
            (-0.0, DType.F32),
            (0.1, DType.F64),
            (1e-45, DType.F32),
            (1e300, DType.F64),
            (float("inf"), DType.F32),
            (float("-inf"), DType.F32),
            (float("nan"), DType.F32),
            (-(2**63), DType.I64),
            (7, DType.I32),
            (True, DType.BOOL),
        ]
    ],
    "div": [*_binary(*_FLOATS, fill=positive), Sample(("f32[40]", "f32[40]"), fill={0: with_specials, 1: positive})],
    "equal": [*_binary(*_ANY), Sample(("f32[40]", "f32[40]"), fill={0: with_specials, 1: with_specials})],
    "erf": [*_unary(*_FLOATS), Sample(("f32[40]",), fill={0: with_specials})],
    "exp": [*_unary(*_FLOATS), Sample(("f32[40]",), fill={0: with_specials})],
    "flip": [
        Sample(("f32[B, 3]",), {"axis": 0}),
        Sample(("i64[2, B, 5]",), {"axis": 2}),
        Sample(("bool[2, B, 1]",), {"axis": 1}),
        Sample(("f32[0, 3]",), {"axis": 0}),
    ],
    "floor": [*_unary(*_FLOATS), Sample(("f32[40]",), fill={0: with_specials})],
    "iota": [Sample((), {"size": size}) for size in (0, 1, 7, "B")],
    "lengths": [
        Sample(("i64[B]",), {"steps": 5}, {0: below(6)}),
        Sample(("i64[B, 2]",), {"steps": "N"}, {0: below(7)}),
        Sample(("i64[]",), {"steps": 0}, {0: below(1)}),
    ],
    "less": _binary(*_NUMBERS),
    "less_equal": _binary(*_NUMBERS),
    "log": [*_unary(*_FLOATS, fill=positive), Sample(("f32[40]",), fill={0: with_specials})],
    "log1p": [*_unary(*_FLOATS, fill=positive), Sample(("f32[40]",), fill={0: with_specials})],
    "logical_and": _binary("bool"),
    "logical_not": _unary("bool"),
    "logical_or": _binary("bool"),
    "matmul": [
        Sample((f"{dtype}[{left}]", f"{dtype}[{right}]"))
        for dtype in _FLOATS
        for left, right in [
            ("5", "5, 7"),
            ("B, 5", "5, 7"),
            ("N, B, 5", "5, 7"),
            ("B, 3, 5", "B, 5, 7"),
            ("2, B, 3, 5", "2, B, 5, 7"),
            ("B, 0", "0, 3"),
            ("3, N", "N, B"),
        ]
    ],
    "max": _reductions(),
    "maximum": [*_binary(*_NUMBERS), Sample(("f32[40]", "f32[40]"), fill={0: with_specials, 1: with_specials})],
    "min": _reductions(),
    "minimum": [*_binary(*_NUMBERS), Sample(("f32[40]", "f32[40]"), fill={0: with_specials, 1: with_specials})],
    "mul": _binary(*_NUMBERS),
    "neg": _unary(*_NUMBERS),
    "not_empty": [Sample(("f32[B, 3]",), {"rows": "N"}), Sample(("i64[]",), {"rows": "B"})],
    "not_equal": [*_binary(*_ANY), Sample(("f32[40]", "f32[40]"), fill={0: with_specials, 1: with_specials})],
    "reshape": [
        Sample(("f32[B, 6]",), {"shape": ("B", 2, 3)}),
        Sample(("f32[B, N, 2, 3]",), {"shape": ("B", "N", 6)}),
        Sample(("i64[3]",), {"shape": (1, 3, 1)}),
        Sample(("f32[1, 1]",), {"shape": ()}),
        Sample(("bool[]",), {"shape": (1,)}),
        Sample(("f32[4, 6]",), {"shape": (3, 8)}),
        Sample(("f32[0, 3]",), {"shape": (3, 0)}),
        Sample(("f32[B, 2, N]",), {"shape": ("B", "N", 2)}),
    ],
    "scan": _scans(),
    "sigmoid": [*_unary(*_FLOATS), Sample(("f32[40]",), fill={0: with_specials})],
    "sigmoid_times_sigmoid": _products(),
    "sigmoid_times_tanh": _products(),
    "slice": [
        Sample(("f32[B, 7]",), {"starts": (0, 2), "sizes": ("B", 3)}),
        Sample(("i64[7]",), {"starts": (6,), "sizes": (1,)}),
        Sample(("f32[5, 3]",), {"starts": (5, 0), "sizes": (0, 3)}),
        Sample(("f32[]",), {"starts": (), "sizes": ()}),
    ],
    "sqrt": _unary(*_FLOATS, fill=positive),
    "sub": _binary(*_NUMBERS),
    "sum": _reductions(),
    "take": [
        Sample(("f32[5, 3]", "i64[B]"), fill={1: below(5)}),
        Sample(("f32[5]", "i64[B, N]"), fill={1: below(5)}),
        Sample(("i64[B, 3, 2]", "i64[]"), fill={1: below(4)}),
        Sample(("bool[5, 3]", "i64[0]"), fill={1: below(5)}),
    ],
    "tanh": [*_unary(*_FLOATS), Sample(("f32[40]",), fill={0: with_specials})],
    "tanh_times_tanh": _products(),
    "threefry": [
        Sample((f"i32[{key}]", f"i32[{key}]", f"i32[{rows}]", f"i32[{positions}]"), fill=dict.fromkeys(range(4), words))
        for key, rows, positions in [("", "", ""), ("", "B, 1", "5"), ("T, 1, 1", "B, 1", "37"), ("7", "7", "7")]
    ],
    "transpose": [
        Sample(("f32[B, 3]",), {"axes": (1, 0)}),
        Sample(("i64[2, B, N]",), {"axes": (2, 0, 1)}),
        Sample(("f32[3]",), {"axes": (0,)}),
        Sample(("f32[]",), {"axes": ()}),
    ],
    "where": [
        Sample(("bool[B, 3]", "f32[B, 3]", "f32[B, 3]")),
        Sample(("bool[B, 1]", "f32[3]", "f32[]")),
        Sample(("bool[]", "i64[B]", "i64[1]")),
        Sample(("bool[3]", "bool[B, 1]", "bool[3]")),
    ],
}

_BODY: Graph = parse(BODY)
_SCAN_ATTRS = {"body": _BODY, "reverse": False, "length": "N", "unroll": 1}
_DIFFERENT = r"different dtypes: f32 and i64\n.*rnncc.ops.cast"


def _wrong_binary(refused: str) -> list[Wrong]:
    return [
        Wrong(("f32[2, 3]", "f32[2, 4]"), ShapeError, "do not broadcast\n  axis -1: 3 != 4"),
        Wrong(("f32[B]", "f32[N]"), ShapeError, r"axis -1: B != N\n.*same name for this extent"),
        Wrong(("f32[2]", "i64[2]"), DTypeError, _DIFFERENT),
        *(
            [Wrong((f"{refused}[2]", f"{refused}[2]"), DTypeError, f"must be of kind .*, not {refused}")]
            * bool(refused)
        ),
    ]


def _wrong_unary(refused: str) -> list[Wrong]:
    return [Wrong((f"{refused}[2]",), DTypeError, f"must be of kind .*, not {refused}")]


_WRONG_BOOLS = [
    Wrong(("bool[2]", "bool[3]"), ShapeError, "do not broadcast"),
    Wrong(("f32[2]", "f32[2]"), DTypeError, "must be of kind bool, not f32"),
]
_WRONG_REDUCTIONS = [
    Wrong(("f32[B, 3]",), ShapeError, r"axis 2 does not exist in f32\[B, 3\]", {"axis": 2}),
    Wrong(("f32[B, 3]",), ShapeError, "axis -1 does not exist", {"axis": -1}),
    Wrong(("bool[3]",), DTypeError, "bool cannot be reduced", {"axis": 0}),
]

WRONG: dict[str, list[Wrong]] = {
    "abs": _wrong_unary("bool"),
    "add": _wrong_binary("bool"),
    "broadcast_to": [
        Wrong(("f32[3]",), ShapeError, r"f32\[3\] does not broadcast to f32\[2\]", {"shape": (2,)}),
        Wrong(("f32[2, 3]",), ShapeError, "does not broadcast", {"shape": (3,)}),
        Wrong(("f32[B]",), ShapeError, "does not broadcast", {"shape": ("N",)}),
    ],
    "cast": [Wrong(("f32[3]",), DTypeError, "nothing is cast to bool", {"dtype": DType.BOOL})],
    "concatenate": [
        Wrong((), ShapeError, "nothing to concatenate", {"axis": 0}),
        Wrong(("f32[3]",), ShapeError, "axis 1 does not exist in rank 1", {"axis": 1}),
        Wrong(("f32[3]", "i64[3]"), DTypeError, "operand 1 is i64, operand 0 is f32", {"axis": 0}),
        Wrong(("f32[3, 2]", "f32[3, 4]"), ShapeError, "operands 0 and 1 differ in more than axis 0", {"axis": 0}),
        Wrong(("f32[B]", "f32[B]"), ShapeError, "axis 0 of operand 0 has the extent B", {"axis": 0}),
    ],
    "constant": [],
    "div": [*_wrong_binary("bool"), Wrong(("i64[]", "i64[]"), DTypeError, "must be of kind float, not i64")],
    "equal": _wrong_binary(""),
    "erf": _wrong_unary("i64"),
    "exp": _wrong_unary("i64"),
    "flip": [Wrong(("f32[B, 3]",), ShapeError, "axis 2 does not exist in rank 2", {"axis": 2})],
    "floor": _wrong_unary("i32"),
    "iota": [],
    "lengths": [Wrong(("i32[B]",), DTypeError, r"lengths must be i64\n  lengths: i32\[B\]", {"steps": 3})],
    "less": _wrong_binary("bool"),
    "less_equal": _wrong_binary("bool"),
    "log": _wrong_unary("i64"),
    "log1p": _wrong_unary("i64"),
    "logical_and": _WRONG_BOOLS,
    "logical_not": _wrong_unary("f32"),
    "logical_or": _WRONG_BOOLS,
    "matmul": [
        Wrong(("f32[B, 3]", "f32[4, 5]"), ShapeError, "inner dimensions differ\n  3 != 4"),
        Wrong(("f32[B, N]", "f32[T, 5]"), ShapeError, "inner dimensions differ\n  N != T"),
        Wrong(("f32[]", "f32[3, 5]"), ShapeError, "operands must be"),
        Wrong(("f32[3]", "f32[3]"), ShapeError, "operands must be"),
        Wrong(("f32[2, 3]", "f32[4, 3, 5]"), ShapeError, "operands must be"),
        Wrong(("f32[B, 2, 3]", "f32[4, 3, 5]"), ShapeError, "leading dimensions differ"),
        Wrong(("f32[3]", "f64[3, 5]"), DTypeError, "floats of one dtype\n  f32 and f64"),
        Wrong(("i64[3]", "i64[3, 5]"), DTypeError, "floats of one dtype"),
    ],
    "max": _WRONG_REDUCTIONS,
    "maximum": _wrong_binary("bool"),
    "min": _WRONG_REDUCTIONS,
    "minimum": _wrong_binary("bool"),
    "mul": _wrong_binary("bool"),
    "neg": _wrong_unary("bool"),
    "not_empty": [],
    "not_equal": _wrong_binary(""),
    "reshape": [
        Wrong(("f32[B, 3]",), ShapeError, r"number of elements differs\n  from: f32\[B, 3\]", {"shape": ("B", 4)}),
        Wrong(("f32[B, 3]",), ShapeError, "number of elements differs", {"shape": ("N", 3)}),
    ],
    "scan": [
        Wrong(("f32[5, 5]",), ShapeError, "the body takes 5 operands, 1 given", _SCAN_ATTRS),
        Wrong(
            ("f32[5, 5]", "f32[B, 6]", "i64[]", "f32[N, B, 5]", "bool[N]"),
            ShapeError,
            r"operand for h has another type\n  f32\[B, 6\] given\n  f32\[B, 5\] needed",
            _SCAN_ATTRS,
        ),
        Wrong(
            ("f32[5, 5]", "f32[B, 5]", "i64[]", "f32[T, B, 5]", "bool[N]"),
            ShapeError,
            "operand for x has another type",
            _SCAN_ATTRS,
        ),
        Wrong(
            ("f32[3]", "f32[]"),
            ShapeError,
            r"the state h changes type over a step\n  f32\[\] before\n  f32\[3\] after",
            {**_SCAN_ATTRS, "body": parse("def f(w: f32[3], /, h: f32[]):\n    return w")},
        ),
    ],
    "sigmoid": _wrong_unary("i64"),
    "sigmoid_times_sigmoid": _wrong_binary("i64"),
    "sigmoid_times_tanh": _wrong_binary("i64"),
    "slice": [
        Wrong(("f32[3]",), ShapeError, "2 starts and 1 sizes for 1 dims", {"starts": (0, 0), "sizes": (1,)}),
        Wrong(("f32[3]",), ShapeError, r"elements 2 to 2 \+ 2 are outside axis 0", {"starts": (2,), "sizes": (2,)}),
        Wrong(("f32[3]",), ShapeError, "outside axis 0 of size 3", {"starts": (-1,), "sizes": (1,)}),
        Wrong(("f32[3]",), ShapeError, "outside axis 0 of size 3", {"starts": (0,), "sizes": ("B",)}),
        Wrong(("f32[B]",), ShapeError, "the extent B and can only be taken whole", {"starts": (0,), "sizes": (1,)}),
    ],
    "sqrt": _wrong_unary("i64"),
    "sub": _wrong_binary("bool"),
    "sum": _WRONG_REDUCTIONS,
    "take": [
        Wrong(("f32[3]", "i32[2]"), DTypeError, r"indices must be i64\n  indices: i32\[2\]"),
        Wrong(("f32[]", "i64[2]"), ShapeError, "the table has no rows"),
    ],
    "tanh": _wrong_unary("i64"),
    "tanh_times_tanh": _wrong_binary("i64"),
    "threefry": [
        Wrong(("i64[3]", "i64[3]", "i64[3]", "i64[3]"), DTypeError, "operands must be of kind i32, not i64"),
        Wrong(("i32[3]", "i32[3]", "i32[3]", "f32[3]"), DTypeError, "different dtypes: i32 and i32 and i32 and f32"),
        Wrong(("i32[]", "i32[]", "i32[2]", "i32[3]"), ShapeError, "do not broadcast"),
    ],
    "transpose": [
        Wrong(("f32[B, 3]",), ShapeError, "not a permutation of the 2 axes", {"axes": (0, 0)}),
        Wrong(("f32[B, 3]",), ShapeError, "not a permutation of the 2 axes", {"axes": (0,)}),
    ],
    "where": [
        Wrong(("f32[3]", "f32[3]", "f32[3]"), DTypeError, "the condition must be bool"),
        Wrong(("bool[3]", "f32[3]", "i64[3]"), DTypeError, _DIFFERENT),
        Wrong(("bool[2]", "f32[3]", "f32[3]"), ShapeError, "do not broadcast"),
    ],
}

WRONG_VALUES = [
    (
        "take",
        [np.zeros((5, 2)), np.array([0, 5])],
        TokenError,
        r"holds 5 at position \(1,\), .* 5 rows \(0 to 4\)",
    ),
    ("take", [np.zeros((5, 2)), np.array(-1)], TokenError, "row -1 is wanted of an axis of 5 rows"),
]
"""Ops whose operands' elements matter: op, arrays, error, message."""
