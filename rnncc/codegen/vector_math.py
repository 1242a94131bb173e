"""exp, sigmoid, tanh, log, log1p and erf of whole vectors, as LLVM IR: straight-line code, no calls, no tables.

sigmoid and tanh are quotients, and a product of two of them is a function of two arguments, with one division.

Every function is right over the whole range: denormal arguments and results, both zeros, infinities, NaN. Rounding
to an integer is an addition and a subtraction of 1.5 * 2^(precision - 1): every target has them, and the low bits of
the sum are the integer, ready to be shifted into an exponent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from rnncc.codegen.coefficients import FORMATS, Format
from rnncc.codegen.straight import StraightCode
from rnncc.codegen.target import Target
from rnncc.loop.functions import FUNCTIONS as MEANINGS
from rnncc.loop.functions import PRODUCTS_OF_QUOTIENTS
from rnncc.records import record
from rnncc.types import DType


@record(frozen=True, slots=True)
class MathFunction:
    """An LLVM function of vectors: its symbol, its definition, and what the module has to declare for it."""

    symbol: str
    definition: str
    declarations: tuple[str, ...]


@cache
def math_function(name: str, dtype: DType, lanes: int, target: Target) -> MathFunction:
    """The function `name` (one of `FUNCTIONS`) on vectors of `lanes` elements; on scalars when `lanes` is 1.

    The bits of an element's result depend on the element and on whether the target has fused multiply-add, and not on
    the number of lanes. float32 results are within 3 units in the last place, products of quotients within 5; float64
    results within 1e-14.
    """
    assert name in FUNCTIONS, f"there is no vector code for {name!r}: {', '.join(FUNCTIONS)}"
    assert dtype.is_float, f"{name} is a function of floating point numbers, and not of {dtype}"
    code = StraightCode(dtype, lanes, target)
    arguments = [f"%x{position}" for position in range(MEANINGS[name].arity)]
    result = FUNCTIONS[name](code, FORMATS[dtype], *arguments)
    symbol = f"rnncc.{name}.{dtype}{f'x{lanes}' if lanes > 1 else ''}"
    parameters = ", ".join(f"{code.floats} {argument}" for argument in arguments)
    header = f"define internal {code.floats} @{symbol}({parameters})"
    body = "\n".join(f"  {line}" for line in (*code.lines, f"ret {code.floats} {result}"))
    definition = f"{header} alwaysinline nounwind willreturn memory(none) {{\n{body}\n}}\n"
    return MathFunction(symbol, definition, tuple(code.declarations))


def _exp(code: StraightCode, form: Format, x: str) -> str:
    """2^n e^r with x = n ln 2 + r."""
    x = code.clamp(x, form.lowest_log - 1.0, form.highest_log + 1.0)
    shifted, count, rest = _reduce(code, form, x, 2 * form.bias)
    power = code.multiply_add(_slope(code, form.exp, rest), rest, code.constant(1.0))
    if code.target.has_avx512 and code.lanes * code.dtype.size == 64:
        return _scale(code, power, count)
    # 2^n reaches beyond the exponents of normal numbers, so that it is split in two factors. The product with the first
    # one is exact; the second one alone rounds to a denormal, or overflows.
    half = code.integer("lshr", shifted, code.word(1))
    first = code.value(code.integer("shl", half, code.word(form.precision - 1)))
    other = code.integer("sub", shifted, half)
    second = code.value(code.integer("shl", other, code.word(form.precision - 1)))
    return code.multiply(code.multiply(power, first), second)


def _scale(code: StraightCode, value: str, count: str) -> str:
    """value * 2^count, rounded once: one instruction instead of six, with the same bits."""
    letter, mask = ("s", "i16") if code.dtype is DType.F32 else ("d", "i8")
    name = f"llvm.x86.avx512.mask.scalef.p{letter}.512"
    vector = code.floats
    return code.call(name, (vector, value), (vector, count), (vector, "zeroinitializer"), (mask, "-1"), ("i32", "4"))


def _sigmoid(code: StraightCode, form: Format, x: str) -> Quotient:
    """1 / (1 + e^-x) as S / (S + K e^-r) with S = K 2^n.

    The scale K keeps S normal down to the smallest denormal result: only the division rounds to a denormal. Further
    down, at the lower bound, the exponent field of S is 0, so that S and the result are zeros.
    """
    x = code.clamp(x, form.lowest_log - 0.75, form.sigmoid_limit)
    shifted, _, rest = _reduce(code, form, x, form.bias + form.precision)
    scale = 2.0**form.precision
    alternating = [scale * (-1) ** index * value for index, value in enumerate(form.exp)]
    power = code.value(code.integer("shl", shifted, code.word(form.precision - 1)))
    # The constant term joins S, which is there long before the polynomial is.
    first = code.add(power, code.constant(scale))
    return power, code.multiply_add(_slope(code, alternating, rest), rest, first)


def _tanh(code: StraightCode, form: Format, x: str) -> Quotient:
    """E / (E + 2) with E = e^2|x| - 1 = Z u + (Z / 2 - 1), |x| = n ln 2 / 2 + r, Z = 2^(n+1), u = (e^2r - 1) / 2.

    u begins with r itself, so that small results have all their bits. The relative error of E counts by 2 / (E + 2):
    that is why the exponent is positive, and why n ln 2 may be rounded.
    """
    y = code.at_most(code.intrinsic("fabs", x), form.tanh_limit)
    magic = code.constant(form.magic + form.bias + 1)
    shifted = code.multiply_add(y, code.constant(2 * form.log2_e), magic)
    rest = code.multiply_add(code.subtract(shifted, magic), code.constant(-form.ln2 / 2), y)
    double = code.value(code.integer("shl", code.pattern(shifted), code.word(form.precision - 1)))
    square = code.multiply(rest, rest)
    halves = [value * 2.0**index / 2 for index, value in enumerate(form.exp)]
    u = code.multiply_add(code.paired(halves[2:], rest, square), square, rest)
    less_one = code.multiply_add(double, code.constant(0.5), code.constant(-1.0))
    e = code.multiply_add(double, u, less_one)
    return code.intrinsic("copysign", e, x), code.add(e, code.constant(2.0))


def _slope(code: StraightCode, coefficients: Sequence[float], r: str) -> str:
    """(p(r) - p(0)) / r of a polynomial p."""
    return code.paired(coefficients[1:], r, code.multiply(r, r))


def _reduce(code: StraightCode, form: Format, x: str, bias: int) -> tuple[str, str, str]:
    """n = round(x / ln 2), as a word with n + bias in its low bits and as a number, and x - n ln 2.

    The high part of ln 2 has so few bits that n times it is exact, with or without fused multiply-add.
    """
    magic = code.constant(form.magic + bias)
    shifted = code.multiply_add(x, code.constant(form.log2_e), magic)
    count = code.subtract(shifted, magic)
    rest = code.multiply_add(count, code.constant(-form.ln2_high), x)
    rest = code.multiply_add(count, code.constant(-form.ln2_low), rest)
    return code.pattern(shifted), count, rest


def _erf(code: StraightCode, form: Format, x: str) -> str:
    """x + x p(x^2) up to 1, and 1 - e^(-x^2) N(x) / D(x) beyond, where all the coefficients are positive."""
    size = code.at_most(code.intrinsic("fabs", x), form.erf_limit)
    square = code.multiply(size, size)
    near = code.multiply_add(code.horner(form.erf_near, square), size, size)
    above, below = (code.horner(coefficients, size) for coefficients in form.erf_far)
    shifted, _, rest = _reduce(code, form, code.negate(square), form.bias)
    power = code.value(code.integer("shl", shifted, code.word(form.precision - 1)))
    tail = code.multiply(code.multiply(power, code.horner(form.exp, rest)), code.divide(above, below))
    far = code.subtract(code.constant(1.0), tail)
    either = code.select(code.compare("ogt", size, code.constant(1.0)), far, near)
    return code.intrinsic("copysign", either, x)


def _log(code: StraightCode, form: Format, x: str) -> str:
    """k ln 2 + log(1 + f) with x = 2^k (1 + f), and log(1 + f) by the series of atanh in s = f / (2 + f)."""
    shift = code.word(form.precision - 1)
    is_denormal = code.compare("olt", x, code.constant(form.smallest_normal))
    scaled = code.multiply(x, code.constant(2.0**form.precision))
    bits = code.pattern(code.select(is_denormal, scaled, x))
    root_half = form.bits_of(0.5**0.5)
    # 1 + f lies between sqrt(1/2) and sqrt(2): the exponent is that of x / sqrt(1/2).
    biased = code.integer("sub", bits, code.word(root_half - (form.bias << (form.precision - 1))))
    exponent = code.integer("lshr", biased, shift)
    fraction = code.integer("sub", bits, code.integer("shl", exponent, shift))
    f = code.subtract(
        code.value(code.integer("add", fraction, code.word(form.bias << (form.precision - 1)))), code.constant(1.0)
    )
    counted = code.value(code.integer("add", exponent, code.word(form.bits_of(form.magic))))
    undo = code.select(
        is_denormal, code.constant(form.magic + form.bias + form.precision), code.constant(form.magic + form.bias)
    )
    k = code.subtract(counted, undo)
    s = code.divide(f, code.add(f, code.constant(2.0)))
    z = code.multiply(s, s)
    half_square = code.multiply(code.multiply(f, code.constant(0.5)), f)
    series = code.multiply_add(code.horner(form.log, z), z, half_square)
    low = code.multiply_add(s, series, code.multiply(k, code.constant(form.ln2_low)))
    near = code.subtract(code.subtract(half_square, low), f)
    result = code.subtract(code.multiply(k, code.constant(form.ln2_high)), near)
    result = code.select(code.compare("olt", x, code.constant(float("inf"))), result, x)
    result = code.select(code.compare("oeq", x, code.constant(0.0)), code.constant(float("-inf")), result)
    return code.select(code.compare("olt", x, code.constant(0.0)), code.constant(float("nan")), result)


def _log1p(code: StraightCode, form: Format, x: str) -> str:
    """log u + (x - (u - 1)) / u with u = 1 + x: the second term is what rounding took from u (Goldberg 1991)."""
    one = code.constant(1.0)
    u = code.add(one, x)
    lost = code.subtract(x, code.subtract(u, one))
    log = _log(code, form, u)
    # A NaN of the second term must not meet one of the logarithm: which of the two a sum keeps, nobody says.
    result = code.select(code.compare("ogt", u, code.constant(0.0)), code.add(log, code.divide(lost, u)), log)
    result = code.select(code.compare("oeq", u, one), x, result)  # tiny x, and both zeros
    return code.select(code.compare("oeq", u, code.constant(float("inf"))), u, result)


Quotient = tuple[str, str]
"""A function as two operands, one over the other. Neither, nor a product of two of either, overflows; and a product of
two of the upper ones is a normal number wherever the product of the functions is."""

_Emit = Callable[..., str]
_EmitQuotient = Callable[[StraightCode, Format, str], Quotient]


def _divided(quotient: _EmitQuotient) -> _Emit:
    """The function that `quotient` is."""
    return lambda code, form, x: code.divide(*quotient(code, form, x))


def _divided_once(left: _EmitQuotient, right: _EmitQuotient) -> _Emit:
    """The product of two quotients: a division costs as much as half a dozen multiplications and more."""

    def emit(code: StraightCode, form: Format, x: str, y: str) -> str:
        (x_over, x_under), (y_over, y_under) = left(code, form, x), right(code, form, y)
        return code.divide(code.multiply(x_over, y_over), code.multiply(x_under, y_under))

    return emit


_QUOTIENTS: dict[str, _EmitQuotient] = {"sigmoid": _sigmoid, "tanh": _tanh}

FUNCTIONS: dict[str, _Emit] = {
    "exp": _exp,
    "log": _log,
    "log1p": _log1p,
    "erf": _erf,
    **{name: _divided(quotient) for name, quotient in _QUOTIENTS.items()},
    **{
        product: _divided_once(_QUOTIENTS[left], _QUOTIENTS[right])
        for (left, right), product in PRODUCTS_OF_QUOTIENTS.items()
    },
}
