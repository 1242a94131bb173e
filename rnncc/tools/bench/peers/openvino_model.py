"""OpenVINO on the CPU, from the ONNX model, for latency, in the precision that is asked for."""

from __future__ import annotations

from itertools import cycle

import numpy as np

from rnncc.tools.bench.network import Problem
from rnncc.tools.bench.peers.onnx_file import onnx_model
from rnncc.tools.bench.peers.peer import Function, Peer, optional


def make(problem: Problem, threads: int) -> Function:
    """One inference request on one stream of `threads` threads; two in turn when one call reads what another wrote."""
    core = optional("openvino").Core()
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if problem.precision == "bfloat16" else "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
    }
    compiled = core.compile_model(core.read_model(onnx_model(problem).SerializeToString()), "CPU", options)
    requests = cycle([compiled.create_infer_request() for _ in range(2 if problem.carried else 1)])
    names = [f"input_{number}" for number in range(len(problem.inputs))]
    ports = [compiled.output(number) for number in range(len(problem.network.outputs))]

    def call(*inputs: np.ndarray) -> list[np.ndarray]:
        feeds = dict(zip(names, inputs, strict=True))
        results = next(requests).infer(feeds, share_inputs=True, share_outputs=True)
        return [results[port] for port in ports]

    return Function(call)


PEER = Peer("openvino", "OpenVINO", ("openvino", "onnx"), make, precisions=("float32", "bfloat16"))
