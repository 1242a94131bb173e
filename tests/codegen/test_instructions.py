"""Instructions one by one: text that LLVM accepts, and results that are those of NumPy, for any number of lanes."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from rnncc.codegen.instructions import Code, Operand, llvm_type
from rnncc.codegen.native import compile_module
from rnncc.codegen.target import KNOWN_TARGETS, Target
from rnncc.loop.functions import FUNCTIONS
from rnncc.runtime.jit import load
from rnncc.types import DType

TARGETS = [name for name in KNOWN_TARGETS if Target.parse(name).runs_on_host]
F32, F64, I32, I64, BOOL = DType.F32, DType.F64, DType.I32, DType.I64, DType.BOOL

Build = Callable[..., Operand]


def run(
    build: Build, arrays: list[np.ndarray], result: DType, lanes: int, target: str = "host", count: int | None = None
) -> np.ndarray:
    """`build(code, *operands)` of vectors loaded from the arrays, compiled and run; `count` lanes of result."""
    machine = Target.parse(target)
    code = Code(machine)
    dtypes = [next(dtype for dtype in DType if dtype.numpy == array.dtype) for array in arrays]
    operands = [code.load(dtype, lanes, f"%in.{number}", None) for number, dtype in enumerate(dtypes)]
    code.store(build(code, *operands), "%out", None)
    parameters = ", ".join([*(f"ptr %in.{number}" for number in range(len(arrays))), "ptr %out"])
    body = "\n".join(code.lines)
    module = [f"define void @apply({parameters}) {{\nentry:\n{body}\n  ret void\n}}", *code.module_lines()]
    loaded = load(compile_module("\n".join(module), machine).object_code, machine)
    out = np.zeros(lanes if count is None else count, result.numpy)
    signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (len(arrays) + 1))
    signature(loaded.address("apply"))(*(array.ctypes.data for array in arrays), out.ctypes.data)
    return out


def numbers(dtype: DType, lanes: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype is BOOL:
        return rng.integers(0, 2, lanes).astype(bool)
    if dtype.is_integer:
        return rng.integers(-40, 40, lanes).astype(dtype.numpy)
    values = rng.normal(size=lanes)
    values[: min(lanes, 5)] = [np.nan, np.inf, -np.inf, -0.0, 0.0][: min(lanes, 5)]
    return rng.permutation(values).astype(dtype.numpy)


EXACT = [
    *((name, dtype) for name in ("add", "sub", "mul", "max", "min") for dtype in (F32, F64, I32, I64)),
    *(("div", dtype) for dtype in (F32, F64)),
    *((name, dtype) for name in ("less", "less_equal", "equal", "not_equal") for dtype in (F32, F64, I32, I64)),
    *((name, BOOL) for name in ("equal", "not_equal", "logical_and", "logical_or")),
]


@pytest.mark.parametrize(("name", "dtype"), EXACT, ids=str)
@pytest.mark.parametrize("lanes", [1, 4, 16])
def test_two_operands(name: str, dtype: DType, lanes: int) -> None:
    function = FUNCTIONS[name]
    a, b = numbers(dtype, lanes, 0), numbers(dtype, lanes, 1)
    result = function.result or dtype
    actual = run(lambda code, x, y: code.call(name, [x, y], result), [a, b], result, lanes)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(actual, function.numpy(a, b))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [F32, F64])
def test_max_and_min_hand_on_nan_and_know_the_sign_of_zero(dtype: DType, target: str) -> None:
    a = np.array([np.nan, 1, 0.0, -0.0, np.inf, -np.inf, np.nan, 2], dtype.numpy)
    b = np.array([1, np.nan, -0.0, 0.0, np.nan, 1, np.nan, 2], dtype.numpy)
    for name in ("max", "min"):
        actual = run(lambda code, x, y, name=name: code.call(name, [x, y], dtype), [a, b], dtype, 8, target)
        np.testing.assert_array_equal(actual, FUNCTIONS[name].numpy(a, b))
        assert np.signbit(actual[2:4]).tolist() == [name == "min"] * 2


@pytest.mark.parametrize(("name", "dtype"), [(n, d) for n in ("neg", "abs") for d in (F32, F64, I32, I64)], ids=str)
@pytest.mark.parametrize("lanes", [1, 8])
def test_one_operand(name: str, dtype: DType, lanes: int) -> None:
    a = numbers(dtype, lanes, 2)
    actual = run(lambda code, x: code.call(name, [x], dtype), [a], dtype, lanes)
    np.testing.assert_array_equal(actual, FUNCTIONS[name].numpy(a))


@pytest.mark.parametrize("dtype", [I32, I64])
def test_integers_wrap_around(dtype: DType) -> None:
    info = np.iinfo(dtype.numpy)
    a = np.array([info.max, info.min, info.min, 0], dtype.numpy)
    actual = run(lambda code, x: code.call("abs", [x], dtype), [a], dtype, 4)
    assert actual.tolist() == [info.max, info.min, info.min, 0]
    ones = np.ones(4, dtype.numpy)
    actual = run(lambda code, x, y: code.call("add", [x, y], dtype), [a, ones], dtype, 4)
    assert actual.tolist() == [info.min, info.min + 1, info.min + 1, 1]


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("dtype", [F32, I64, BOOL])
def test_where(dtype: DType, lanes: int) -> None:
    mask, a, b = numbers(BOOL, lanes, 3), numbers(dtype, lanes, 4), numbers(dtype, lanes, 5)
    actual = run(lambda code, m, x, y: code.call("where", [m, x, y], dtype), [mask, a, b], dtype, lanes)
    np.testing.assert_array_equal(actual, np.where(mask, a, b))


@pytest.mark.parametrize("lanes", [1, 4, 16])
@pytest.mark.parametrize("target", TARGETS)
def test_threefry(target: str, lanes: int) -> None:
    """Bits of keys and counters of any size; a scalar key is that of all lanes."""
    rng = np.random.default_rng(12)
    k, row, position = (rng.integers(-(2**31), 2**31, lanes).astype(np.int32) for _ in range(3))
    scalar = np.int32(-123456789)

    def build(code: Code, *words: Operand) -> Operand:
        return code.call("threefry", [words[0], code.constant(int(scalar), I32), *words[1:]], I32)

    actual = run(build, [k, row, position], I32, lanes, target)
    np.testing.assert_array_equal(actual, FUNCTIONS["threefry"].numpy(k, scalar, row, position))


@pytest.mark.parametrize("lanes", [2, 8])
def test_a_ramp_counts_the_lanes(lanes: int) -> None:
    start = np.full(lanes, 2**40 - 3)
    actual = run(lambda code, x: code.ramp(code.part(x, 0, 1), lanes), [start], I64, lanes)
    np.testing.assert_array_equal(actual, start + np.arange(lanes))


def test_a_scalar_is_broadcast_to_the_lanes_of_the_others() -> None:
    a = numbers(F32, 8, 6)
    actual = run(lambda code, x: code.call("sub", [code.constant(1.0, F32), x], F32), [a], F32, 8)
    np.testing.assert_array_equal(actual, np.float32(1) - a)
    mask = numbers(BOOL, 8, 7)
    actual = run(
        lambda code, m: code.call("where", [m, code.constant(0.1, F32), code.constant(-7.0, F32)], F32), [mask], F32, 8
    )
    np.testing.assert_array_equal(actual, np.where(mask, np.float32(0.1), np.float32(-7)))


CONSTANTS = [
    *((value, F32) for value in (0.0, -0.0, 0.1, 1e-45, 3.4e38, np.inf, -np.inf, np.nan)),
    *((value, F64) for value in (0.1, 5e-324, 1.7e308, -np.inf, np.nan)),
    *((value, I32) for value in (0, -1, 2**31 - 1, -(2**31))),
    *((value, I64) for value in (2**63 - 1, -(2**63))),
    (True, BOOL),
    (False, BOOL),
]


@pytest.mark.parametrize(("value", "dtype"), CONSTANTS, ids=str)
def test_constants_keep_every_bit(value: float, dtype: DType) -> None:
    actual = run(lambda code: code.constant(value, dtype), [], dtype, 1)
    assert actual.tobytes() == np.array([value], dtype.numpy).tobytes()


CASTS = [(a, b) for a in (F32, F64, I32, I64, BOOL) for b in (F32, F64, I32, I64)]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("lanes", [1, 8])
def test_casts(lanes: int, target: str) -> None:
    for source, result in CASTS:
        a = numbers(I64 if source is not BOOL else BOOL, lanes, 8).astype(source.numpy)
        if source.is_float:
            a = a + source.numpy.type(0.75)
        actual = run(lambda code, x, result=result: code.cast(x, result), [a], result, lanes, target)
        np.testing.assert_array_equal(actual, a.astype(result.numpy))


def test_large_integers_are_rounded_as_numpy_does() -> None:
    a = np.array([2**24 + 1, 2**53 + 1, 2**63 - 1, -(2**63)])
    for result in (F32, F64):
        actual = run(lambda code, x, result=result: code.cast(x, result), [a], result, 4)
        np.testing.assert_array_equal(actual, a.astype(result.numpy))
    assert run(lambda code, x: code.cast(x, I32), [a], I32, 4).tolist() == a.astype(np.int32).tolist()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("lanes", [2, 4, 8, 16])
def test_lane_masks(lanes: int, target: str) -> None:
    """From numbers and from values; nothing is on when the start is behind the limit."""

    def masks(code: Code, start: Operand, limit: Operand) -> Operand:
        return code.lane_mask(start, limit, lanes)

    for start, limit in [
        (0, 0),
        (0, 1),
        (3, 5),
        (0, lanes),
        (7, 7 + lanes - 1),
        (0, 2**40),
        (2**40, 2**40 + 1),
        (9, 2),
    ]:
        expected = start + np.arange(lanes) < limit
        arrays = [np.full(lanes, start), np.full(lanes, limit)]
        actual = run(
            lambda code, x, y: masks(code, code.part(x, 0, 1), code.part(y, 0, 1)), arrays, BOOL, lanes, target
        )
        np.testing.assert_array_equal(actual, expected)
        known = [Operand(str(number), I64, 1) for number in (start, limit)]
        actual = run(lambda code, known=known: masks(code, *known), [], BOOL, lanes, target)
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("dtype", [F32, F64, I32, I64, BOOL])
@pytest.mark.parametrize("target", TARGETS)
def test_masked_memory(dtype: DType, target: str) -> None:
    """Lanes that are off read as zero and are not written."""
    array = np.array([1, 1, 0, 1, 1, 0, 1, 1]).astype(dtype.numpy)
    mask = np.array([True, False, True, True, False, False, False, True])

    def build(code: Code, m: Operand) -> Operand:
        return code.load(dtype, 8, "%in.1", m)

    def with_memory(code: Code, m: Operand, _: Operand) -> Operand:
        return build(code, m)

    actual = run(with_memory, [mask, array], dtype, 8, target)
    np.testing.assert_array_equal(actual, np.where(mask, array, dtype.numpy.type(0)))

    def store_masked(code: Code, m: Operand, x: Operand) -> Operand:
        code.store(code.broadcast(code.constant(0, dtype), 8), "%in.1", m)
        return x

    memory = array.copy()
    run(store_masked, [mask, memory], dtype, 8, target)
    np.testing.assert_array_equal(memory, np.where(mask, dtype.numpy.type(0), array))


@pytest.mark.parametrize(
    ("function", "dtype"), [(f, d) for f in ("add", "max", "min") for d in (F32, F64, I64)], ids=str
)
def test_folds_go_by_halves(function: str, dtype: DType) -> None:
    """An order that depends on the number of lanes alone: halves, quarters, ..."""
    a = np.random.default_rng(9).uniform(-100, 100, 16).astype(dtype.numpy)
    expected = a
    while len(expected) > 1:
        half = len(expected) // 2
        expected = FUNCTIONS[function].numpy(expected[:half], expected[half:])
    actual = run(lambda code, x: code.call(f"reduce_{function}", [x], dtype), [a], dtype, 16, count=1)
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [F32, F64])
def test_multiply_add(dtype: DType, target: str) -> None:
    """Rounded once where the machine can, else twice."""
    rng = np.random.default_rng(10)
    a, b, c = (rng.normal(size=8).astype(dtype.numpy) for _ in range(3))
    c = -(a * b)
    actual = run(lambda code, x, y, z: code.multiply_add(x, y, z), [a, b, c], dtype, 8, target)
    if Target.parse(target).has_fma:
        exact = [Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z)) for x, y, z in zip(a, b, c, strict=True)]
        np.testing.assert_array_equal(actual, np.array([float(value) for value in exact], dtype.numpy))
        assert np.any(actual != 0)
    else:
        np.testing.assert_array_equal(actual, np.zeros(8))


def test_types() -> None:
    assert llvm_type(F32, 1) == "float"
    assert llvm_type(BOOL, 1) == "i1"
    assert llvm_type(BOOL, 8) == "<8 x i1>"
    assert llvm_type(BOOL, 8, memory=True) == "<8 x i8>"
    assert llvm_type(I64, 2) == "<2 x i64>"


def test_names_and_labels_are_new() -> None:
    code = Code(Target.parse("host"))
    assert len({code.name("x") for _ in range(4)} | {code.name() for _ in range(4)}) == 8
    assert [code.label("t"), code.label("t"), code.label("b")] == ["t", "t.2", "b"]
