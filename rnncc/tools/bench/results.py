"""What a run of the benchmark found, as plain records; `as_json` gives their names to machines."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rnncc.tools.bench.floor import Floor
from rnncc.tools.bench.roof import Roof

SCHEMA = 1
SELF = "rnncc"


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
    floor: Floor | None
    largest_difference: float
    is_correct: bool
    notes: tuple[str, ...]

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
    return content
