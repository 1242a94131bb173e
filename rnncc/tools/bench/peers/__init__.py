"""The peers, one file each. Their libraries are optional and are imported when a problem is built."""

from rnncc.tools.bench.peers import (
    jax_scan,
    keras_model,
    numpy_loop,
    onnx_runtime,
    openvino_model,
    tensorflow_xla,
    torch_compile,
    torch_eager,
)
from rnncc.tools.bench.peers.peer import Function, Peer, Run

PEERS: tuple[Peer, ...] = (
    torch_eager.PEER,
    torch_compile.PEER,
    onnx_runtime.PEER,
    openvino_model.PEER,
    jax_scan.PEER,
    keras_model.PEER,
    tensorflow_xla.PEER,
    numpy_loop.PEER,
)
