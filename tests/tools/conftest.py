"""What tests of the tools share."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture
def light_keras(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Other tests need Keras on NumPy in this process; libraries warn of things that are theirs."""
    monkeypatch.setenv("KERAS_BACKEND", "numpy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
