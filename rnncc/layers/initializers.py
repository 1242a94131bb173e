"""How weights get their first numbers: Keras's initializers, drawn from one seeded generator.

An initializer is called with a shape and a dtype and returns an array. Layers take one as a name (``"orthogonal"``), an
instance (``Orthogonal(gain=0.5)``) or any function of a shape.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rnncc.errors import ArgumentError, ShapeError, caller, nearest
from rnncc.numeric import real_number, whole_number
from rnncc.records import record

Initializer = Callable[..., np.ndarray]

_generator = np.random.default_rng()
_seeds = np.random.default_rng()
"""Apart from the other: whether layers draw seeds does not change the first numbers of weights."""


def set_random_seed(seed: int) -> None:
    """Seed the generators that initializers and dropout without a seed of their own draw from.

    Two runs that set the same seed and build the same layers in the same order get the same weights, and then the same
    masks at every call.
    """
    global _generator, _seeds
    number = whole_number(seed, 0)
    if number is None:
        raise ArgumentError("a seed must be a whole number, 0 or above", f"seed: {seed!r}", place=caller())
    _generator = np.random.default_rng(number)
    _seeds = np.random.default_rng([number, 1])


def draw_seed() -> int:
    """A seed for a layer that draws random numbers when it runs."""
    return int(_seeds.integers(2**63))


def _draw(seed: int | None) -> np.random.Generator:
    return _generator if seed is None else np.random.default_rng(seed)


def _fans(shape: Sequence[int]) -> tuple[float, float]:
    """Numbers of inputs and outputs of one unit: the two last dims, times the size of the others."""
    if len(shape) < 2:
        size = float(shape[0]) if shape else 1.0
        return size, size
    field = math.prod(shape[:-2])
    return float(shape[-2] * field), float(shape[-1] * field)


@record(frozen=True, slots=True)
class Zeros:
    """All 0."""

    def __call__(self, shape: Sequence[int], dtype: Any = np.float32) -> np.ndarray:
        """An array of `shape`."""
        return np.zeros(shape, dtype)


@record(frozen=True, slots=True)
class Ones:
    """All 1."""

    def __call__(self, shape: Sequence[int], dtype: Any = np.float32) -> np.ndarray:
        """An array of `shape`."""
        return np.ones(shape, dtype)


@record(frozen=True, slots=True)
class Constant:
    """All `value`."""

    value: float = 0.0

    def __call__(self, shape: Sequence[int], dtype: Any = np.float32) -> np.ndarray:
        """An array of `shape`."""
        return np.full(shape, self.value, dtype)


@record(frozen=True, slots=True)
class RandomUniform:
    """Evenly spread between `minval` and `maxval`."""

    minval: float = -0.05
    maxval: float = 0.05
    seed: int | None = None

    def __call__(self, shape: Sequence[int], dtype: Any = np.float32) -> np.ndarray:
        """An array of `shape`."""
        unit = _draw(self.seed).random(tuple(shape), np.float32)
        return (unit * (self.maxval - self.minval) + self.minval).astype(dtype, copy=False)


@record(frozen=True, slots=True)
class RandomNormal:
    """Normally distributed around `mean`."""

    mean: float = 0.0
    stddev: float = 0.05
    seed: int | None = None

    def __call__(self, shape: Sequence[int], dtype: Any = np.float32) -> np.ndarray:
        """An array of `shape`."""
        unit = _draw(self.seed).standard_normal(tuple(shape), np.float32)
        return (unit * self.stddev + self.mean).astype(dtype, copy=False)


@record(frozen=True, slots=True)
class TruncatedNormal:
    """Normally distributed around `mean`, and drawn again beyond two standard deviations."""

    mean: float = 0.0
    stddev: float = 0.05
    seed: int | None = None

    def __call__(self, shape: Sequence[int], dtype: Any = np.float32) -> np.ndarray:
        """An array of `shape`."""
        generator = _draw(self.seed)
        unit = generator.standard_normal(tuple(shape), np.float32)
        while (outside := np.abs(unit) > 2).any():
            unit[outside] = generator.standard_normal(int(outside.sum()), np.float32)
        return (unit * self.stddev + self.mean).astype(dtype, copy=False)


@record(frozen=True, slots=True)
class VarianceScaling:
    """Random numbers around 0 of variance scale / n: n is the number of inputs or outputs of a unit, or their mean."""

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"
    seed: int | None = None

    def __post_init__(self) -> None:
        scale = real_number(self.scale)
        if scale is None or not scale > 0:
            raise ArgumentError("scale of VarianceScaling must be above 0", f"scale: {self.scale!r}", place=caller())
        for name, known in (("mode", _MODES), ("distribution", _DISTRIBUTIONS)):
            if getattr(self, name) not in known:
                raise ArgumentError(
                    f"VarianceScaling has no {name} {getattr(self, name)!r}",
                    f"known: {', '.join(known)}",
                    place=caller(),
                )

    def __call__(self, shape: Sequence[int], dtype: Any = np.float32) -> np.ndarray:
        """An array of `shape`."""
        fan_in, fan_out = _fans(shape)
        count = {"fan_in": fan_in, "fan_out": fan_out}.get(self.mode, (fan_in + fan_out) / 2)
        variance = self.scale / max(1.0, count)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return RandomUniform(-limit, limit, self.seed)(shape, dtype)
        if self.distribution == "untruncated_normal":
            return RandomNormal(0.0, math.sqrt(variance), self.seed)(shape, dtype)
        spread = 0.87962566103423978  # standard deviation of a normal distribution that is cut off at +-2
        return TruncatedNormal(0.0, math.sqrt(variance) / spread, self.seed)(shape, dtype)


_MODES = ("fan_in", "fan_out", "fan_avg")
_DISTRIBUTIONS = ("normal", "truncated_normal", "untruncated_normal", "uniform")


class _Scaled:
    """A `VarianceScaling` that has a name of its own."""

    scale: float
    mode: str
    distribution: str

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def __call__(self, shape: Sequence[int], dtype: Any = np.float32) -> np.ndarray:
        """An array of `shape`."""
        return VarianceScaling(self.scale, self.mode, self.distribution, self.seed)(shape, dtype)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(seed={self.seed})"


class GlorotUniform(_Scaled):
    """Evenly spread within +-sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""

    scale, mode, distribution = 1.0, "fan_avg", "uniform"


class GlorotNormal(_Scaled):
    """Normally distributed with variance 2 / (fan_in + fan_out), cut off at two standard deviations."""

    scale, mode, distribution = 1.0, "fan_avg", "truncated_normal"


class HeUniform(_Scaled):
    """Evenly spread within +-sqrt(6 / fan_in) (He et al. 2015)."""

    scale, mode, distribution = 2.0, "fan_in", "uniform"


class HeNormal(_Scaled):
    """Normally distributed with variance 2 / fan_in, cut off at two standard deviations (He et al. 2015)."""

    scale, mode, distribution = 2.0, "fan_in", "truncated_normal"


class LecunUniform(_Scaled):
    """Evenly spread within +-sqrt(3 / fan_in) (LeCun et al. 1998)."""

    scale, mode, distribution = 1.0, "fan_in", "uniform"


class LecunNormal(_Scaled):
    """Normally distributed with variance 1 / fan_in, cut off at two standard deviations (LeCun et al. 1998)."""

    scale, mode, distribution = 1.0, "fan_in", "truncated_normal"


@record(frozen=True, slots=True)
class Orthogonal:
    """A random matrix whose shorter side is orthonormal, times `gain` (Saxe et al. 2014)."""

    gain: float = 1.0
    seed: int | None = None

    def __call__(self, shape: Sequence[int], dtype: Any = np.float32) -> np.ndarray:
        """An array of `shape`; leading dims count as rows."""
        if len(shape) < 2:
            raise ShapeError("an orthogonal initializer needs at least two dims", f"shape: {tuple(shape)}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        normal = _draw(self.seed).standard_normal((max(rows, columns), min(rows, columns)), np.float32)
        q = _orthonormal(normal)
        matrix = q if rows >= columns else q.T
        return (self.gain * matrix).reshape(shape).astype(dtype, copy=False)


def _orthonormal(normal: np.ndarray) -> np.ndarray:
    """Q of the factors of a tall random matrix for which R has a positive diagonal: that makes the choice uniform.

    R is also the Cholesky factor of A'A, which products find three times as fast as reflections do. That squares the
    condition of the matrix, which is about 6 when a normal matrix is twice as tall as wide, and not small.
    """
    if len(normal) >= 2 * normal.shape[1] >= 128:
        exact = normal.astype(np.float64)
        factor = np.linalg.cholesky(exact.T @ exact)
        return normal @ np.linalg.inv(factor).T.astype(np.float32)
    q, r = np.linalg.qr(normal)
    return q * np.where(np.diagonal(r) < 0, np.float32(-1), np.float32(1))


@record(frozen=True, slots=True)
class Identity:
    """`gain` on the diagonal of a matrix, 0 elsewhere."""

    gain: float = 1.0

    def __call__(self, shape: Sequence[int], dtype: Any = np.float32) -> np.ndarray:
        """An array of `shape`, which must have two dims."""
        if len(shape) != 2:
            raise ShapeError("an identity initializer needs two dims", f"shape: {tuple(shape)}")
        return (self.gain * np.eye(shape[0], shape[1])).astype(dtype, copy=False)


@record(frozen=True, slots=True)
class UnitForgetBias:
    """The bias of an LSTM: `others` for the gates i, c and o, and 1 for the forget gate (Jozefowicz et al. 2015)."""

    others: Initializer

    def __call__(self, shape: Sequence[int], dtype: Any = np.float32) -> np.ndarray:
        """An array of shape (4 * units,)."""
        units = shape[0] // 4
        parts: list[tuple[Initializer, int]] = [(self.others, units), (Ones(), units), (self.others, 2 * units)]
        return np.concatenate([initializer((size,), dtype) for initializer, size in parts])


_KNOWN: dict[str, Callable[[], Initializer]] = {
    "zeros": Zeros,
    "ones": Ones,
    "constant": Constant,
    "uniform": RandomUniform,
    "random_uniform": RandomUniform,
    "normal": RandomNormal,
    "random_normal": RandomNormal,
    "glorot_uniform": GlorotUniform,
    "glorot_normal": GlorotNormal,
    "he_uniform": HeUniform,
    "he_normal": HeNormal,
    "lecun_uniform": LecunUniform,
    "lecun_normal": LecunNormal,
    "truncated_normal": TruncatedNormal,
    "variance_scaling": VarianceScaling,
    "orthogonal": Orthogonal,
    "identity": Identity,
}


def get(spec: Any, argument: str = "initializer") -> Initializer:
    """The initializer that a user means by a name, a class, an instance or a function of a shape."""
    if isinstance(spec, str):
        name = spec if spec in _KNOWN else spec.lower().replace("_", "")
        for known, make in _KNOWN.items():
            if name in (known, known.replace("_", "")):
                return make()
        meant = nearest(spec, _KNOWN)
        raise ArgumentError(
            f"{argument}: there is no initializer {spec!r}",
            f"known: {', '.join(_KNOWN)}",
            place=caller(),
            remedy=f"did you mean {meant!r}?" if meant else "give a known name, or a function of a shape",
        )
    if callable(spec):
        function: Any = spec() if inspect.isclass(spec) else spec
        return function  # type: ignore[no-any-return]
    raise ArgumentError(
        f"{argument} must be a name, an initializer or a function of a shape", f"given: {spec!r}", place=caller()
    )
