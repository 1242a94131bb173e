"""ONNX Runtime on the CPU, all graph optimizations on."""

from __future__ import annotations

import numpy as np

from rnncc.tools.bench.network import Problem
from rnncc.tools.bench.peers.onnx_file import onnx_model
from rnncc.tools.bench.peers.peer import Peer, Run, optional


def build(problem: Problem, threads: int) -> Run:
    """A session of its own, with `threads` threads inside of operators."""
    runtime = optional("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    content = onnx_model(problem).SerializeToString()
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    feeds = {f"input_{number}": array for number, array in enumerate(problem.inputs)}

    def run() -> list[np.ndarray]:
        outputs: list[np.ndarray] = session.run(None, feeds)
        return outputs

    return run


PEER = Peer("onnxruntime", "ONNX Runtime", ("onnxruntime", "onnx"), build)
