"""A compiled model as bytes: what calling it needs, and nothing that only the tools look at.

The layout is one line of JSON (texts, names, numbers) followed by the object code. Graphs and procedures travel as
text, which both IRs can read back.
"""

from __future__ import annotations

import json
from dataclasses import replace

from rnncc.codegen.emitted import Emitted
from rnncc.graph.ir import Graph
from rnncc.graph.parser import parse as parse_graph
from rnncc.graph.printer import show as show_graph
from rnncc.loop.ir import Procedure
from rnncc.loop.parser import parse as parse_procedure
from rnncc.loop.printer import show as show_procedure
from rnncc.records import record


@record(frozen=True, slots=True)
class Artifact:
    """Everything that a `CompiledModel` is made of, except where its weights come from."""

    graph: Graph
    setup: Graph
    procedure: Procedure
    """Buffers and setup; its body is in the object code."""
    emitted: Emitted
    """Without its text."""
    object_code: bytes
    rows: str | None
    """The extent along which a call may be cut."""
    step_weights: int
    """How many weights the largest step of a loop over time reads."""
    is_for_host: bool
    """True when the machine that compiled it can run it: a CPU's entries in the cache are for that CPU."""

    def to_bytes(self) -> bytes:
        """For the cache."""
        header = {
            "graph": show_graph(self.graph),
            "setup": show_graph(self.setup),
            "procedure": show_procedure(replace(self.procedure, body=())),
            "entry": self.emitted.entry,
            "pointers": self.emitted.pointers,
            "checks": self.emitted.checks,
            "is_for_host": self.is_for_host,
            "shares": self.emitted.shares,
            "has_matrix": self.emitted.has_matrix,
            "rows": self.rows,
            "step_weights": self.step_weights,
        }
        return json.dumps(header).encode() + b"\n" + self.object_code

    @staticmethod
    def from_bytes(content: bytes) -> Artifact:
        """What `to_bytes` wrote."""
        line, _, object_code = content.partition(b"\n")
        header = json.loads(line)
        emitted = Emitted(
            "",
            header["entry"],
            tuple(header["pointers"]),
            tuple((message, name) for message, name in header["checks"]),
            header["shares"],
            header["has_matrix"],
        )
        return Artifact(
            parse_graph(header["graph"]),
            parse_graph(header["setup"]),
            parse_procedure(header["procedure"]),
            emitted,
            object_code,
            header["rows"],
            header["step_weights"],
            header["is_for_host"],
        )
