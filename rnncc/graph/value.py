"""The values of the graph IR: what nodes take and give."""

from __future__ import annotations

from rnncc.records import record
from rnncc.types import TensorType


@record(frozen=True, slots=True, eq=False)
class Value:
    """One tensor of the graph: a name (unique in its graph, an identifier) and a type."""

    name: str
    type: TensorType
