"""The numbers behind rnncc/codegen/vector_math.py, one table for each floating point format.

The polynomials and the ratio are minimax fits (Remez exchange). ``tests/tools/minimax.py`` computes and prints them
in this order. The error of a polynomial is below a tenth of a unit in the last place of the function that is made of
it, that of the ratio below a fifth.
"""

from __future__ import annotations

import struct

from rnncc.records import record
from rnncc.types import DType


@record(frozen=True, slots=True)
class Format:
    """A floating point format and the constants that the functions need in it. Coefficients: constant term first."""

    precision: int  # bits of the significand, the implied one included
    bias: int
    log2_e: float
    ln2: float
    ln2_high: float  # n * ln2_high is exact for the exponent n of any number
    ln2_low: float
    lowest_log: float  # e to this power is half the smallest denormal
    highest_log: float  # e to this power is beyond the largest number
    sigmoid_limit: float  # from here on, sigmoid is 1; what is divided for it may be multiplied by its like
    tanh_limit: float  # from here on, tanh is 1
    erf_limit: float
    exp: tuple[float, ...]  # e^r for |r| <= ln 2 / 2; relative error
    log: tuple[float, ...]  # (log((1 + s) / (1 - s)) - 2 s) / s^3 by s^2
    erf_near: tuple[float, ...]  # erf(x) / x - 1 by x^2, for |x| <= 1
    erf_far: tuple[tuple[float, ...], tuple[float, ...]]  # erfc(x) e^(x^2), above and below, for x >= 1

    @property
    def smallest_normal(self) -> float:
        """The smallest number with a full significand."""
        return 2.0 ** (1 - self.bias)

    @property
    def magic(self) -> float:
        """What to add, and to subtract, for rounding to an integer."""
        return 1.5 * 2.0 ** (self.precision - 1)

    def bits_of(self, value: float) -> int:
        """The bit pattern of `value` in this format, as an unsigned integer."""
        number, word = ("<f", "<I") if self.precision == 24 else ("<d", "<Q")
        return int(struct.unpack(word, struct.pack(number, value))[0])


_F32 = Format(
    precision=24,
    bias=127,
    log2_e=1.4426950408889634,
    ln2=0.6931471805599453,
    ln2_high=0.693145751953125,
    ln2_low=1.4286068203094173e-06,
    lowest_log=-103.97207708399179,
    highest_log=88.722839111673,
    sigmoid_limit=18.0,
    tanh_limit=9.1,
    erf_limit=3.95,
    exp=(1.0, 1.0, 0.49999994, 0.16666523, 0.041668188, 0.008368504, 0.0013826829),
    log=(0.6666667, 0.3999888, 0.28661528, 0.20847183),
    erf_near=(0.12837917, -0.37612626, 0.112835854, -0.026853813, 0.005188328, -0.00080101984, 7.8538775e-05),
    erf_far=((0.9935068, 0.41327232, 0.003344997), (1.0, 1.5063835, 0.79150784)),
)

_F64 = Format(
    precision=53,
    bias=1023,
    log2_e=1.4426950408889634,
    ln2=0.6931471805599453,
    ln2_high=0.693147180559663,
    ln2_low=2.8235290563031577e-13,
    lowest_log=-745.1332191019412,
    highest_log=709.782712893384,
    sigmoid_limit=40.0,
    tanh_limit=19.1,
    erf_limit=5.95,
    exp=(
        1.0,
        1.0,
        0.5,
        0.16666666666666674,
        0.04166666666666676,
        0.008333333333324462,
        0.0013888888888804692,
        0.00019841269878184957,
        2.4801587401864798e-05,
        2.7557252066622916e-06,
        2.755765692818006e-07,
        2.5106496976216022e-08,
        2.056878329790904e-09,
    ),
    log=(
        0.666666666666667,
        0.39999999999899416,
        0.2857142862613598,
        0.22222211103395267,
        0.1818289149458742,
        0.1533164367854751,
        0.14617385593167528,
    ),
    erf_near=(
        0.1283791670955126,
        -0.3761263890318375,
        0.11283791670954857,
        -0.026866170645072907,
        0.005223977624780965,
        -0.0008548326978747702,
        0.00012055331037093965,
        -1.4925593511401867e-05,
        1.6460972886829844e-06,
        -1.6350025936209924e-07,
        1.4657884472637242e-08,
        -1.1365683248456953e-09,
        5.945290031037285e-11,
    ),
    erf_far=(
        (
            0.9999998869912032,
            1.3905895215001527,
            0.9495354247375425,
            0.37360781274869304,
            0.08435153656185498,
            0.008930697309018859,
        ),
        (
            1.0,
            2.5189674980672714,
            2.791891852984051,
            1.7571865503641078,
            0.6701767477452604,
            0.14950530060520822,
            0.015829371297407708,
        ),
    ),
)

FORMATS = {DType.F32: _F32, DType.F64: _F64}
