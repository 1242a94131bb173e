"""What the tests of the examples share: running one as a user does, small weights, and the real ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path.append(str(EXAMPLES))  # the examples import their neighbours, as scripts do


def run_example(name: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run an example in a process of its own, with warnings as errors."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=300, check=False)


def random_arrays(
    graphemes: int, phonemes: int, widths: tuple[int, int], units: int, seed: int = 0
) -> dict[str, np.ndarray]:
    """Weights as in the checkpoint, of any size: embeddings of `widths` for encoder and decoder."""
    generator = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {"fc_w": (phonemes, units), "fc_b": (phonemes,)}
    for side, symbols, width in (("enc", graphemes, widths[0]), ("dec", phonemes, widths[1])):
        shapes[f"{side}_emb"] = (symbols, width)
        shapes[f"{side}_w_ih"], shapes[f"{side}_w_hh"] = (3 * units, width), (3 * units, units)
        shapes[f"{side}_b_ih"] = shapes[f"{side}_b_hh"] = (3 * units,)
    return {name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture(scope="session")
def checkpoint() -> dict[str, np.ndarray]:
    """The pretrained weights; the test is skipped when they are not on this machine and there is no network."""
    from g2p_checkpoint import CheckpointError, read_checkpoint

    try:
        return read_checkpoint()
    except CheckpointError:
        pytest.skip("the weights of g2p-en 2.1.0 are not installed, not in the cache, and pip cannot download them")
