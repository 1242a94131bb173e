"""rnncc: a computation-graph compiler for recurrent neural networks."""

from rnncc import ops
from rnncc.graph.trace import trace
from rnncc.ops.scan import scan

__version__ = "0.1.0"
