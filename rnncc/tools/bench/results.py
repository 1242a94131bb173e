"""What a run of the benchmark found, as plain records; `as_json` gives their names to machines."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from rnncc.runtime.roof import Roof
from rnncc.tools.bench.floor import Floor

SCHEMA = 2
SELF = "rnncc"


@dataclass(frozen=True, slots=True)
class Target:
    """Something that a workload must reach, with each of these numbers of `threads`, in one `precision`.

    `kind` says what `value` is: how many times as fast as the `best` peer; a share of the `floor`; microseconds of a
    `call` or nanoseconds of a `step` at most; how much slower than `other` at most (`beside`); the same bits as `other`
    (`bits`); how many `compilations` at most.
    """

    kind: str
    value: float = 0.0
    threads: tuple[int, ...] = (1,)
    other: str = ""
    precision: str = "float32"

    @property
    def text(self) -> str:
        """The target in words."""
        texts = {
            "best": f"{self.value:g}x best",
            "floor": f"{self.value:.0%} of floor",
            "call": f"{self.value:g} us a call",
            "step": f"{self.value:g} ns a step",
            "beside": f"{self.other} + {self.value:.0%}",
            "bits": f"bits of {self.other}",
            "compilations": f"{self.value:g} compilation{'s' if self.value != 1 else ''}",
        }
        return texts[self.kind]

    def is_met(self, row: Row) -> bool | None:
        """Whether a row reaches it; None when the row does not say."""
        own, other = row.timing(SELF), row.timing(self.other)
        if self.kind in ("best", "floor"):
            found = row.ratio if self.kind == "best" else row.share
            return None if found is None else found >= self.value
        if self.kind == "bits":
            return row.same_bits.get(self.other)
        if self.kind == "compilations":
            return None if row.compilations is None else row.compilations <= self.value
        if own is None or (self.kind == "beside" and other is None):
            return None
        if self.kind == "beside":
            assert other is not None
            return own.median_us <= other.median_us * (1 + self.value)
        return own.median_us <= (self.value if self.kind == "call" else self.value * row.length / 1e3)


@dataclass(frozen=True, slots=True)
class Timing:
    """Times of one contender: median and quartiles of its calls, and how long building and the first call took."""

    name: str
    is_peer: bool
    median_us: float
    first_quartile_us: float
    third_quartile_us: float
    calls: int
    build_ms: float

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, as a share of the median."""
        return (self.third_quartile_us - self.first_quartile_us) / 2 / self.median_us


@dataclass(frozen=True, slots=True)
class Row:
    """A workload at one size and number of threads. Contenders that could not run are in `notes`."""

    workload: str
    about: str
    batch: int
    length: int
    threads: int
    timings: tuple[Timing, ...]
    largest_difference: float
    is_correct: bool
    notes: tuple[str, ...]
    targets: tuple[Target, ...] = ()
    same_bits: dict[str, bool] = field(default_factory=dict)
    """By the name of another way to write the model: whether it gives the same bits."""
    compilations: int | None = None
    """How often rnncc compiled in one call, where calls start from cold."""
    floor: Floor | None = None

    def timing(self, name: str) -> Timing | None:
        """The times of one contender."""
        return next((timing for timing in self.timings if timing.name == name), None)

    @property
    def best_peer(self) -> Timing | None:
        """The fastest peer."""
        peers = [timing for timing in self.timings if timing.is_peer]
        return min(peers, key=lambda timing: timing.median_us, default=None)

    @property
    def ratio(self) -> float | None:
        """How many times as fast as the best peer rnncc is."""
        own, best = self.timing(SELF), self.best_peer
        return best.median_us / own.median_us if own and best else None

    @property
    def share(self) -> float | None:
        """The share of the floor that rnncc reaches: 1 is as fast as the machine allows."""
        own = self.timing(SELF)
        return self.floor.microseconds / own.median_us if own and self.floor else None


@dataclass(frozen=True, slots=True)
class Report:
    """All rows of a run, and where they are from.

    `versions` holds everything that was used, `missing` the peers that are not installed.
    """

    cpu: str
    date: str
    command: str
    versions: dict[str, str]
    missing: tuple[str, ...]
    seconds: float
    tolerance: str
    roofs: tuple[Roof, ...]
    rows: tuple[Row, ...]


def as_json(report: Report) -> dict[str, Any]:
    """A report as JSON values: the fields of the records, and what follows from them."""
    content = {"schema": SCHEMA, **asdict(report)}
    for values, row in zip(content["rows"], report.rows, strict=True):
        values["best_peer"] = row.best_peer.name if row.best_peer else None
        values["ratio_to_best_peer"] = row.ratio
        values["share_of_floor"] = row.share
        values["targets"] = [{"target": target.text, "is_met": target.is_met(row)} for target in row.targets]
    return content
