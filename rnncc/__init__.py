"""rnncc: a computation-graph compiler for recurrent neural networks."""

from typing import TYPE_CHECKING

from rnncc import layers, ops
from rnncc.compiler import compile
from rnncc.graph.trace import trace
from rnncc.layers import activations, initializers
from rnncc.layers.absent import absent as _absent
from rnncc.layers.execution import evaluate, set_compiler
from rnncc.layers.initializers import set_random_seed
from rnncc.layers.inputs import Input
from rnncc.layers.model import Model
from rnncc.layers.sequential import Sequential
from rnncc.ops.scan import scan
from rnncc.runtime.compiled import CompiledModel

__version__ = "0.1.0"

set_compiler(compile)

if not TYPE_CHECKING:  # else no name would ever be unknown

    def __getattr__(name: str) -> object:
        raise _absent(__name__, name, globals())
