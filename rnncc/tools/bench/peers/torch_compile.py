"""`torch.compile` of what `torch_eager` runs, only on request: an unrolled loop takes minutes, with a C++ compiler."""

from __future__ import annotations

from rnncc.tools.bench.network import Problem
from rnncc.tools.bench.peers.peer import Function, Peer, optional
from rnncc.tools.bench.peers.torch_eager import function_of


def make(problem: Problem, threads: int) -> Function:
    """Shapes are fixed. PyTorch itself runs `torch.nn` recurrent layers uncompiled, loops of ops unrolled."""
    torch = optional("torch")
    return function_of(problem, threads, lambda forward: torch.compile(forward, dynamic=False))


PEER = Peer("torch-compile", "torch.compile", ("torch",), make, is_default=False)
