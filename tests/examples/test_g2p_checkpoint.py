"""Finding, downloading and keeping the weights of the g2p example. pip is replaced: no test here needs a network."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import g2p_checkpoint
import numpy as np
import pytest

DATA = b"weights" * 1000
NAME = "g2p-en-2.1.0-checkpoint20.npz"


class Pip:
    """Stands for `python -m pip`: puts a wheel with `members` into the folder that it is told."""

    def __init__(self, members: dict[str, bytes] | None, code: int = 0) -> None:
        self.members, self.code = members, code
        self.commands: list[Sequence[str]] = []

    def __call__(self, command: Sequence[str], **options: object) -> subprocess.CompletedProcess[bytes]:
        self.commands.append(command)
        if self.members is not None:
            folder = Path(command[command.index("-d") + 1])
            with zipfile.ZipFile(folder / "g2p_en-2.1.0-py3-none-any.whl", "w") as wheel:
                for name, data in self.members.items():
                    wheel.writestr(name, data)
        return subprocess.CompletedProcess(command, self.code)


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pip:
    """A pip that delivers; nothing is installed, nothing is in the cache, and DATA has the right checksum."""
    stand_in = Pip({g2p_checkpoint.MEMBER: DATA})
    monkeypatch.setattr(subprocess, "run", stand_in)
    monkeypatch.setattr(g2p_checkpoint, "_installed", lambda: iter(()))
    monkeypatch.setattr(g2p_checkpoint, "SHA256", hashlib.sha256(DATA).hexdigest())
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return stand_in


def test_downloads_once(pip: Pip, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = tmp_path / "deep" / "cache"
    assert g2p_checkpoint.checkpoint_bytes(cache) == DATA
    assert g2p_checkpoint.checkpoint_bytes(cache) == DATA
    (command,) = pip.commands
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert command[-1] == "g2p-en==2.1.0"
    assert [path.name for path in cache.iterdir()] == [NAME]
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("g2p: downloading g2p-en==2.1.0 with pip")
    assert err.endswith(f"kept as {cache / NAME}\n")


def test_a_damaged_file_is_replaced(pip: Pip, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / NAME).write_bytes(DATA[:-1])
    assert g2p_checkpoint.checkpoint_bytes(tmp_path) == DATA
    assert (tmp_path / NAME).read_bytes() == DATA
    assert f"{tmp_path / NAME} does not have the checksum of g2p-en==2.1.0: not used" in capsys.readouterr().err


def test_a_cache_that_cannot_be_written(pip: Pip, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    cache = tmp_path / "file" / "cache"
    assert g2p_checkpoint.checkpoint_bytes(cache) == DATA
    assert f"cannot keep the file in {cache}: Not a directory" in capsys.readouterr().err
    assert g2p_checkpoint.checkpoint_bytes(cache) == DATA
    assert len(pip.commands) == 1, "the second time it comes from the folder for temporary files"


@pytest.mark.usefixtures("pip")
def test_nowhere_to_keep_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(g2p_checkpoint, "_folders", lambda cache: (tmp_path / "file" / "cache",))
    assert g2p_checkpoint.checkpoint_bytes() == DATA


def test_several_at_once(pip: Pip, tmp_path: Path) -> None:
    barrier = Barrier(4)

    def read(_: int) -> bytes:
        barrier.wait()
        return g2p_checkpoint.checkpoint_bytes(tmp_path / "cache")

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, range(4))) == [DATA] * 4
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [NAME]
    assert 1 <= len(pip.commands) <= 4


@pytest.mark.parametrize(
    ("stand_in", "message"),
    [
        (Pip(None, code=1), "pip could not download g2p-en==2.1.0 (exit code 1"),
        (Pip(None), "pip could not download g2p-en==2.1.0 (exit code 0"),
        (Pip({"other": b""}), "does not hold g2p_en/checkpoint20.npz"),
        (Pip({g2p_checkpoint.MEMBER: b"other"}), "has another checksum than expected"),
    ],
)
@pytest.mark.usefixtures("pip")
def test_downloads_that_fail(stand_in: Pip, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(subprocess, "run", stand_in)
    with pytest.raises(g2p_checkpoint.CheckpointError) as raised:
        g2p_checkpoint.checkpoint_bytes(tmp_path / "cache")
    assert message in str(raised.value)
    assert not (tmp_path / "cache").exists()


def test_the_installed_package_is_read_and_not_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    information = tmp_path / "g2p_en-2.1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: g2p-en\nVersion: 2.1.0\n")
    (tmp_path / "g2p_en").mkdir()
    (tmp_path / "g2p_en" / "__init__.py").write_text("raise AssertionError('imported')\n")
    (tmp_path / "g2p_en" / "checkpoint20.npz").write_bytes(DATA)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(g2p_checkpoint, "SHA256", hashlib.sha256(DATA).hexdigest())
    monkeypatch.setattr(subprocess, "run", Pip(None, code=1))
    assert g2p_checkpoint.checkpoint_bytes(tmp_path / "cache") == DATA
    assert not (tmp_path / "cache").exists()


def test_the_default_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert g2p_checkpoint.default_cache({}) == tmp_path / ".cache" / "rnncc"
    assert g2p_checkpoint.default_cache({"XDG_CACHE_HOME": "/x"}) == Path("/x/rnncc")
    assert g2p_checkpoint.default_cache({"XDG_CACHE_HOME": "relative"}) == tmp_path / ".cache" / "rnncc"

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    assert g2p_checkpoint.default_cache({}) is None


def test_the_real_file(checkpoint: dict[str, np.ndarray]) -> None:
    assert checkpoint["enc_emb"].shape == (29, 256)
    assert checkpoint["dec_emb"].shape == (74, 256)
    assert {array.dtype for array in checkpoint.values()} == {np.dtype(np.float32)}
    assert len(checkpoint) == 12
