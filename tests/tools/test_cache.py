"""`rnncc cache` shows and clears the folder that the environment names."""

from __future__ import annotations

from pathlib import Path

import pytest

from rnncc.runtime.cache import DiskCache
from rnncc.tools.main import main


def test_info_and_clear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RNNCC_CACHE_DIR", str(tmp_path))
    DiskCache(tmp_path).put("key", bytes(2**20))
    assert main(["cache"]) == 0
    shown = capsys.readouterr().out
    assert f"folder:  {tmp_path}" in shown
    assert "entries: 1" in shown
    assert "1.0 MiB of at most 256 MiB" in shown
    assert main(["cache", "--clear"]) == 0
    assert "removed 1 entry from" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_off(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RNNCC_CACHE_DIR", "off")
    assert main(["cache"]) == 0
    assert "the cache is off" in capsys.readouterr().out
