"""Random graphs mean the same after every pass, and no pass changes its own result."""

import numpy as np
import pytest

from rnncc.graph.interp import interpret
from rnncc.graph.verify import verify
from rnncc.options import Options
from rnncc.pipeline import graph_passes
from tests.graph.random_graphs import random_extents, random_graph, random_inputs

TOLERANCE = 2e-4
"""The numbers of random graphs are tame, but sums run in another order, up to a hundred terms and ten ops deep."""


@pytest.mark.parametrize("seed", range(120))
def test_random_graph(seed: int) -> None:
    graph = random_graph(seed)
    extents = random_extents(graph, seed)
    arrays = random_inputs(graph, extents, seed)
    by_name = dict(zip((value.name for value in graph.parameters), arrays, strict=True))
    expected = interpret(graph, arrays, extents)
    for step in graph_passes(Options()):
        before, graph = graph, step.run(graph)
        if graph is before:
            continue
        verify(graph, after=step.name)
        assert step.run(graph) is graph, f"{step.name} changes its own result"
        actual = interpret(graph, [by_name[value.name] for value in graph.parameters], extents)
        for wanted, given in zip(expected, actual, strict=True):
            assert (given.dtype, given.shape) == (wanted.dtype, wanted.shape)
            np.testing.assert_allclose(given, wanted, TOLERANCE, TOLERANCE, err_msg=f"after {step.name}")
