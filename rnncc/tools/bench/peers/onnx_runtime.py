"""ONNX Runtime on the CPU, all graph optimizations on."""

from __future__ import annotations

from rnncc.tools.bench.network import Problem
from rnncc.tools.bench.peers.onnx_file import onnx_model
from rnncc.tools.bench.peers.peer import Function, Peer, optional


def make(problem: Problem, threads: int) -> Function:
    """A session of its own, with `threads` threads inside of operators."""
    runtime = optional("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    content = onnx_model(problem).SerializeToString()
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [f"input_{number}" for number in range(len(problem.inputs))]
    return Function(lambda *inputs: session.run(None, dict(zip(names, inputs, strict=True))))


PEER = Peer("onnxruntime", "ONNX Runtime", ("onnxruntime", "onnx"), make)
