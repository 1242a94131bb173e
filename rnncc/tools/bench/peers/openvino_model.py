"""OpenVINO on the CPU, from the ONNX model, for latency and in float32 (its default may be bfloat16)."""

from __future__ import annotations

import numpy as np

from rnncc.tools.bench.network import Problem
from rnncc.tools.bench.peers.onnx_file import onnx_model
from rnncc.tools.bench.peers.peer import Peer, Run, optional


def build(problem: Problem, threads: int) -> Run:
    """One inference request on one stream of `threads` threads."""
    core = optional("openvino").Core()
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
    }
    compiled = core.compile_model(core.read_model(onnx_model(problem).SerializeToString()), "CPU", options)
    request = compiled.create_infer_request()
    feeds = {f"input_{number}": array for number, array in enumerate(problem.inputs)}
    ports = [compiled.output(number) for number in range(len(problem.network.outputs))]

    def run() -> list[np.ndarray]:
        results = request.infer(feeds, share_inputs=True, share_outputs=True)
        return [results[port] for port in ports]

    return run


PEER = Peer("openvino", "OpenVINO", ("openvino", "onnx"), build)
