"""What `fn.profile` gives: where the time of a call goes, kernel by kernel, and how near each is to the roof."""

from __future__ import annotations

from rnncc.records import record
from rnncc.runtime.roof import Roof


@record(frozen=True, slots=True)
class KernelTime:
    """One fused kernel of a call.

    Attributes:
        name: the buffers that it writes, by their names in the loop IR (``fn.ir("loop")``).
        reads: the weights that it reads; their names start with the layer's.
        runs: how often it ran: once, or once a step.
        microseconds: all runs together.
        share: of the time of the call.
        operations: additions, multiplications, tanh and so on, of all runs.
        bytes: what all runs read and write, each element once a run.
        roof_share: the least time that the machine needs for so many operations and bytes (whichever takes longer), as
            a share of the time that was taken.
    """

    name: str
    reads: tuple[str, ...]
    runs: int
    microseconds: float
    share: float
    operations: int
    bytes: int
    roof_share: float

    @property
    def gflops(self) -> float:
        """Operations a nanosecond."""
        return self.operations / self.microseconds / 1e3 if self.microseconds else 0.0

    @property
    def gbytes(self) -> float:
        """Bytes a nanosecond, which are GB/s."""
        return self.bytes / self.microseconds / 1e3 if self.microseconds else 0.0


@record(frozen=True, slots=True)
class Profile:
    """The kernels of a call in the order in which they run, and the time of the whole call. ``str`` is a table."""

    kernels: tuple[KernelTime, ...]
    microseconds: float
    calls: int
    """How many calls the figures were chosen from."""
    roof: Roof

    def __str__(self) -> str:
        titles = ("kernel", "runs", "us", "share", "GFLOP/s", "GB/s", "of roof", "weights")
        rows = [
            (
                kernel.name,
                f"{kernel.runs:,}",
                f"{kernel.microseconds:,.1f}",
                f"{kernel.share:.1%}",
                f"{kernel.gflops:.1f}",
                f"{kernel.gbytes:.1f}",
                f"{kernel.roof_share:.0%}",
                ", ".join(kernel.reads),
            )
            for kernel in self.kernels
        ]
        rest = self.microseconds - sum(kernel.microseconds for kernel in self.kernels)
        share = rest / self.microseconds if self.microseconds else 0.0
        rows.append(("between them", "", f"{rest:,.1f}", f"{share:.1%}", "", "", "", ""))
        rows.append(("the call", "", f"{self.microseconds:,.1f}", "", "", "", "", ""))
        widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
        last = len(titles) - 1
        lines = [
            "  ".join(
                cell.ljust(width) if number in (0, last) else cell.rjust(width)
                for number, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in (titles, *rows)
        ]
        lines.append(f"roof: {self.roof.text}")
        return "\n".join(lines)
