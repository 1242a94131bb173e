"""`rnncc bench --tune`: tries other register tiles than those of the cost model, one nest after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rnncc.codegen.target import Target
from rnncc.compiler import compile as compile_model
from rnncc.errors import ArgumentError
from rnncc.graph.ir import Graph
from rnncc.lower.lower import lower
from rnncc.lower.setup import split_setup
from rnncc.options import Options
from rnncc.passes.loop.machine import Machine
from rnncc.passes.loop.register_tiles import Tiling
from rnncc.passes.loop.schedule import Tile, shape_of
from rnncc.passes.loop.tile import tiles_of
from rnncc.pipeline import graph_passes, loop_passes, machine_of
from rnncc.start import prepared
from rnncc.tools.bench.cases import Case
from rnncc.tools.bench.measure import interleave

ROWS, WIDTHS, PANELS = (1, 2, 3, 4, 6, 8), (1, 2, 4), (1, 2, 4)
"""What is tried: rows, vectors, and how many times as wide as a tile a panel is."""
WORTH = 0.98
"""A tile is taken when the call takes at most this share of the time."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a search found: tiles that are better than those of the cost model, and the times without and with them."""

    tiles: dict[str, Tile]
    before_us: float
    after_us: float
    tried: int

    @property
    def schedule(self) -> dict[str, dict[str, int]]:
        """For `rnncc.compile(schedule=...)`."""
        return {name: asdict(tile) for name, tile in self.tiles.items()}


def tune(case: Case, options: Options, seconds: float, progress: Progress) -> Tuned:
    """Search for about so many seconds for each nest, besides compiling.

    Raises ArgumentError for a case that is no call on whole sequences, or has no tile to choose.
    """
    if case.workload.way != "call":
        raise ArgumentError(f"{case.workload.name} is not one call on whole sequences", remedy="tune another workload")
    machine = machine_of(Target.parse(options.target), options.precision)
    chosen: dict[str, Tile] = {}
    tried = 0
    tiles = register_tiles(graph_of(case), options)
    if not tiles:
        raise ArgumentError(
            f"{case.workload.name} has no register tile to choose",
            f"precision: {options.precision}",
            remedy="tune another workload; the tiles of a matrix unit have one shape",
        )
    for number, (name, tiling) in enumerate(tiles.items(), 1):
        runs: list[tuple[str, Any]] = [("", _runner(case, options, chosen))]
        found: dict[str, Tile] = {}
        for tile in candidates(name, tiling, machine):
            label = f"{tile.rows} x {tile.width}, panel {tile.panel}"
            progress(f"{name} ({number} of {len(tiles)}): compiling {label}")
            found[label] = tile
            runs.append((label, _runner(case, options, {**chosen, name: tile})))
        times = {label: median(taken) / 1e3 for label, taken in interleave(runs, seconds, progress).items()}
        usual, best = times[""], min(times, key=lambda label: times[label])
        tried += len(found)
        if best and times[best] <= WORTH * usual:
            chosen[name] = found[best]
    before, after = _compared(case, options, chosen, seconds, progress)
    is_better = after <= WORTH * before
    return Tuned(chosen if is_better else {}, before, after if is_better else before, tried)


def _compared(
    case: Case, options: Options, chosen: dict[str, Tile], seconds: float, progress: Progress
) -> tuple[float, float]:
    """Microseconds without and with the `chosen` tiles, in turn: the fastest of many may have been so by chance."""
    progress("comparing what was found with the cost model")
    runs = [("", _runner(case, options, {})), *([("found", _runner(case, options, chosen))] if chosen else [])]
    times = {label: median(taken) / 1e3 for label, taken in interleave(runs, seconds, progress).items()}
    return times[""], times.get("found", times[""])


def graph_of(case: Case) -> Graph:
    """What is compiled for a case."""
    graph: Graph = case.model if isinstance(case.model, Graph) else case.model.graph()
    return graph


def register_tiles(graph: Graph, options: Options) -> dict[str, Tiling]:
    """The register tiles that the cost model gives the nests of `graph`, by the names that a schedule has for them."""
    machine = machine_of(Target.parse(options.target), options.precision)
    graph = prepared(graph, options)
    for graph_pass in graph_passes(options):
        graph = graph_pass.run(graph)
    loops = lower(split_setup(graph)[1])
    for loop_pass in loop_passes(machine, options.threads, options.precision):
        if loop_pass.name == "tile":
            break
        loops = loop_pass.run(loops)
    return {name: tiling for name, tiling in tiles_of(loops, machine).items() if not tiling.is_matrix}


def candidates(name: str, tiling: Tiling, machine: Machine) -> Iterator[Tile]:
    """Tiles that fit the registers; each shape once, and not that of the cost model."""
    seen = {tiling.shape}
    for rows in ROWS:
        for width in WIDTHS:
            for times in PANELS:
                tile = Tile(rows, width, width * times)
                if tile.registers(tiling.sums) > machine.registers:
                    continue
                shape = shape_of(name, tile, machine, tiling.sums, tiling.vectors, tiling.tails)
                if shape not in seen:
                    seen.add(shape)
                    yield tile


def _runner(case: Case, options: Options, tiles: dict[str, Tile]) -> Callable[[], Any]:
    schedule = {name: asdict(tile) for name, tile in tiles.items()}
    function = compile_model(
        case.model, threads=options.threads, precision=options.precision, schedule=schedule, cache=False
    )
    return lambda: function(*case.inputs)
