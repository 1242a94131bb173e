"""Options that the whole test suite shares."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: test workers share the cores as they are
os.environ["RNNCC_CACHE_DIR"] = "off"  # tests compile; those of the cache choose a folder of their own


@pytest.fixture(autouse=True)
def _same_weights_in_every_run() -> None:
    """Rounding errors depend on the numbers: a test that is near its tolerance is to be so always, or never."""
    from rnncc.layers.initializers import set_random_seed  # after the variables above

    set_random_seed(0)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--exhaustive", action="store_true", help="also run over all 2^32 float32 inputs (minutes)")
    parser.addoption("--update-golden", action="store_true", help="rewrite golden files whose meaning is unchanged")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--exhaustive"):
        return
    skip = pytest.mark.skip(reason="minutes long; select with --exhaustive")
    for item in items:
        if "exhaustive" in item.keywords:
            item.add_marker(skip)
