"""Random bits: the published vectors of the generator, who depends on what, and statistics with fixed keys."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

import rnncc
from rnncc import ops
from rnncc.graph.symbolic import Tensor
from rnncc.loop.threefry import first_word, threefry
from rnncc.ops.random import folded_key, random_bits, random_choice
from rnncc.types import Dim

ONES = (0xFFFFFFFF, 0xFFFFFFFF)
KNOWN = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    (ONES, ONES, (0x1CB996FC, 0xBB002BE7)),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
]
"""Key, counter and words of Threefry2x32-20, from the file kat_vectors of Random123."""


def bits(shape: tuple[Dim, ...], key: tuple[int, int], **extents: int) -> np.ndarray:
    """`random_bits` of a compiled graph."""
    dims = tuple(extents)

    def model(like: Tensor, words: Tensor) -> Tensor:
        return random_bits((words[0], words[1]), shape)

    graph = rnncc.trace(model, ("float32", dims), ("int32", (2,)))
    arrays = np.zeros(tuple(extents.values()), np.float32), np.array(key, np.int64).astype(np.int32)
    compiled = rnncc.compile(graph, cache=False)(*arrays)
    np.testing.assert_array_equal(compiled, rnncc.evaluate(graph, *arrays))
    return compiled


@pytest.mark.parametrize(("key", "counter", "words"), KNOWN)
def test_published_vectors(key: tuple[int, int], counter: tuple[int, int], words: tuple[int, int]) -> None:
    assert tuple(map(int, threefry(key, counter))) == words
    signed = [np.array(word, np.uint32).view(np.int32) for word in (*key, *counter)]
    assert int(first_word(*signed).view(np.uint32)) == words[0]


JAX = """
import jax.extend.random, numpy
rng = numpy.random.default_rng(0)
key, counter = rng.integers(0, 2**32, 2, numpy.uint32), rng.integers(0, 2**32, (2, 501), numpy.uint32)
print(*numpy.ravel(jax.extend.random.threefry_2x32(key, counter)))
"""


def test_words_are_those_of_jax() -> None:
    """In a process of its own: its threads would be there when other tests fork."""
    done = subprocess.run([sys.executable, "-c", JAX], capture_output=True, text=True, check=True)
    rng = np.random.default_rng(0)
    key, counter = rng.integers(0, 2**32, 2, np.uint32), rng.integers(0, 2**32, (2, 501), np.uint32)
    words = np.ravel(threefry((key[0], key[1]), (counter[0], counter[1])))
    assert words.tolist() == list(map(int, done.stdout.split()))


def test_an_element_counts_with_its_row_and_its_position_in_it() -> None:
    whole = bits(("B", "T", 7), (3, -4), B=5, T=4)
    for b, t, j in np.ndindex(5, 4, 7):
        assert whole[b, t, j] == first_word(3, -4, b, t * 7 + j)
    assert bits((), (3, -4), B=1)[()] == first_word(3, -4, 0, 0)
    np.testing.assert_array_equal(bits(("B",), (3, -4), B=9), first_word(3, -4, np.arange(9), 0))


@pytest.mark.parametrize("shape", [("B", 37), ("B", "T", 5), ("B", "T", "S", 3), ("B", 2, "T", 3)])
def test_no_element_depends_on_how_many_there_are(shape: tuple[Dim, ...]) -> None:
    large = bits(shape, (11, 12), B=6, T=5, S=4)
    small = bits(shape, (11, 12), B=2, T=3, S=4)
    np.testing.assert_array_equal(small, large[tuple(slice(0, size) for size in small.shape)])
    assert len(np.unique(large)) == large.size  # 32 bits each: equal ones among so few would be a great chance


def test_folded_keys_are_other_keys() -> None:
    def model(words: Tensor, steps: Tensor) -> list[Tensor]:
        first, second = folded_key((words[0], words[1]), steps)
        return [first, second]

    graph = rnncc.trace(model, ("int32", (2,)), ("int32", ("T",)))
    words = np.array([5, 6], np.int32), np.arange(1000, dtype=np.int32)
    first, second = rnncc.evaluate(graph, *words)
    assert len(np.unique([first, second])) == 2000


# ------------------------------------------------------------------ statistics: fixed keys, so that nothing flakes


def test_bits_are_uniform() -> None:
    sample = bits(("B", 256), (2024, 1), B=400).ravel().view(np.uint32)
    for shift in (0, 8, 16, 24):
        counts = np.bincount(sample >> shift & 255, minlength=256)
        assert 0.001 < stats.chisquare(counts).pvalue < 0.999
    each = (sample[:, None] >> np.arange(32, dtype=np.uint32) & 1).mean(0)
    assert np.all(np.abs(each - 0.5) < 5 * 0.5 / np.sqrt(len(sample)))


@pytest.mark.parametrize("share", [0.0, 1e-3, 0.2, 0.5, 0.9, 0.999])
def test_a_choice_drops_its_share(share: float) -> None:
    def model(like: Tensor, words: Tensor) -> Tensor:
        return random_choice((words[0], words[1]), like.type.shape, share)

    graph = rnncc.trace(model, ("float32", ("B", 250)), ("int32", (2,)))
    kept = rnncc.compile(graph)(np.zeros((400, 250), np.float32), np.array([7, 8], np.int32))
    sigma = np.sqrt(share * (1 - share) / kept.size)
    assert abs(kept.mean() - (1 - share)) <= 5 * sigma


def test_rows_positions_and_keys_are_independent() -> None:
    kept = bits(("B", 64), (1, 2), B=2000) >= 0
    others = [bits(("B", 64), key, B=2000) >= 0 for key in ((1, 3), (2, 2), (2, 1))]
    pairs = [(kept[1:], kept[:-1]), (kept[:, 1:], kept[:, :-1]), *((kept, other) for other in others)]
    for a, b in pairs:
        agreement = np.mean(a == b)
        assert abs(agreement - 0.5) < 5 * 0.5 / np.sqrt(a.size)


def test_counting_in_vectors() -> None:
    """An index as a value, in full vectors, in the last one and in a loop over several axes."""
    graph = rnncc.trace(lambda x: x + ops.cast(ops.arange(37), "float32"), ("float32", ("B", 37)))
    x = np.random.default_rng(0).normal(size=(3, 37)).astype(np.float32)
    compiled = rnncc.compile(graph)
    assert "ramp(" in compiled.ir("scheduled")
    np.testing.assert_array_equal(compiled(x), x + np.arange(37, dtype=np.float32))
