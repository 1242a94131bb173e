"""Computes the tables of rnncc/codegen/coefficients.py: ``python tests/tools/minimax.py`` prints them.

Remez exchange in 300 bits (mpmath, which only this script needs). A ratio is linear in its unknown coefficients once
its denominator is taken from the round before, so that a handful of solutions settle it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import mpmath as mp
import numpy as np

mp.mp.prec = 300
Real = Callable[[mp.mpf], mp.mpf]
LN2 = mp.log(2)


def fit(
    function: Real,
    interval: tuple[mp.mpf, mp.mpf],
    degrees: tuple[int, int],
    weight: Real,
    known: Sequence[mp.mpf] = (),
    points: int = 400,
) -> tuple[list[mp.mpf], list[mp.mpf], mp.mpf]:
    """Numerator, denominator (its constant term is 1) and the largest weighted error.

    `known` are the first coefficients of the numerator, where they are given and not wanted.
    """
    low, high = interval
    nodes = [(low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * i / points) for i in range(points + 1)]
    values = [function(x) for x in nodes]
    weights = [weight(x) for x in nodes]
    top, bottom = degrees
    unknowns = top + 1 - len(known) + bottom
    chosen = [points * i // unknowns for i in range(unknowns + 1)]
    denominator = [mp.mpf(1)] + [mp.mpf(0)] * bottom
    best: tuple[list[mp.mpf], list[mp.mpf], mp.mpf] = ([], [], mp.inf)
    for _ in range(25):
        for _ in range(8 if bottom else 1):
            rows, right = mp.matrix(unknowns + 1), mp.matrix(unknowns + 1, 1)
            for row, node in enumerate(chosen):
                x, y = nodes[node], values[node]
                columns = [x**k for k in range(len(known), top + 1)] + [-y * x**k for k in range(1, bottom + 1)]
                for column, entry in enumerate([*columns, (-1) ** row * evaluate(denominator, x) / weights[node]]):
                    rows[row, column] = entry
                right[row] = y - evaluate(known, x)
            solution = list(mp.lu_solve(rows, right))
            numerator = [*known, *solution[: top + 1 - len(known)]]
            denominator = [mp.mpf(1), *solution[top + 1 - len(known) : -1]]
        errors = [
            (evaluate(numerator, x) / evaluate(denominator, x) - y) * w
            for x, y, w in zip(nodes, values, weights, strict=True)
        ]
        worst = max(map(abs, errors))
        if worst < best[2]:
            best = numerator, denominator, worst
        extrema = _extrema(errors, unknowns + 1)
        if extrema in (None, chosen):
            break
        chosen = extrema
    return best


def evaluate(coefficients: Sequence[mp.mpf], x: mp.mpf) -> mp.mpf:
    """A polynomial, its constant coefficient first."""
    return sum((c * x**k for k, c in enumerate(coefficients)), mp.mpf(0))


def _extrema(errors: list[mp.mpf], wanted: int) -> list[int] | None:
    """The largest error of each run of one sign; the outer ones go when there are too many."""
    starts = [0, *(i for i, (a, b) in enumerate(pairwise(errors), 1) if a * b < 0), len(errors)]
    found = [max(range(a, b), key=lambda i: abs(errors[i])) for a, b in pairwise(starts)]
    while len(found) > wanted:
        found.pop(0 if abs(errors[found[0]]) < abs(errors[found[-1]]) else -1)
    return found if len(found) == wanted else None


def rounded_one_by_one(
    function: Real, interval: tuple[mp.mpf, mp.mpf], degree: int, weight: Real, known: Sequence[mp.mpf], dtype: type
) -> list[mp.mpf]:
    """A polynomial whose later coefficients make up for the rounding of the earlier ones."""
    done = list(known)
    while len(done) <= degree:
        coefficients, _, _ = fit(function, interval, (degree, 0), weight, done)
        done.append(mp.mpf(float(dtype(float(coefficients[len(done)])))))
    return done


def log_series(z: mp.mpf) -> mp.mpf:
    """(log((1 + s) / (1 - s)) - 2 s) / s^3 with z = s^2"""
    s = mp.sqrt(z)
    return (2 * mp.atanh(s) - 2 * s) / (s * z) if z > mp.mpf(10) ** -20 else mp.mpf(2) / 3 + 2 * z / 5


def erf_near(z: mp.mpf) -> mp.mpf:
    """erf(x) / x - 1 with z = x^2"""
    return mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1 if z > mp.mpf(10) ** -30 else 2 / mp.sqrt(mp.pi) - 1


def erf_far(x: mp.mpf) -> mp.mpf:
    """erfc(x) e^(x^2)"""
    return mp.erfc(x) * mp.exp(x * x)


def show(name: str, coefficients: Sequence[mp.mpf], dtype: type) -> None:
    """The coefficients, as short as they can be written."""
    print(f"{name}: {', '.join(str(dtype(float(c))) for c in coefficients)}")


def main() -> None:
    """Print every table, in the order of the file."""
    wide = mp.mpf("1.0001")  # arguments are reduced in rounded arithmetic: a little beyond the interval must do
    half = LN2 / 2 * wide
    ones = [mp.mpf(1), mp.mpf(1)]
    for dtype, exp, log, near, far, limit in (
        (np.float32, 6, 3, 6, (2, 2), mp.mpf("3.95")),
        (np.float64, 12, 6, 12, (5, 6), mp.mpf("5.95")),
    ):
        print(dtype.__name__)
        show("exp", rounded_one_by_one(mp.exp, (-half, half), exp, lambda x: mp.exp(-x), ones, dtype), dtype)
        ratio = (3 - 2 * mp.sqrt(2)) ** 2 * wide
        show("log", rounded_one_by_one(log_series, (mp.mpf(0), ratio), log, lambda z: mp.mpf(1), [], dtype), dtype)
        show("erf_near", fit(erf_near, (mp.mpf(0), mp.mpf(1)), (near, 0), lambda z: 1 / (1 + erf_near(z)))[0], dtype)
        top, bottom, _ = fit(erf_far, (mp.mpf(1), limit), far, lambda x: mp.exp(-x * x))
        show("erf_far numerator", top, dtype)
        show("erf_far denominator", bottom, dtype)


if __name__ == "__main__":
    main()
