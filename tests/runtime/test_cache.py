"""The on-disk cache: hits need no compiler, damage and bad folders cost nothing but a compilation."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

import rnncc
from rnncc import layers, pipeline
from rnncc.runtime.cache import DiskCache, cache_folder, key_of

X = np.random.default_rng(0).integers(0, 11, (3, 5))


def model() -> rnncc.Sequential:
    rnncc.set_random_seed(1)
    return rnncc.Sequential(
        [layers.Embedding(11, 4, name="e"), layers.GRU(7, name="g"), layers.Dense(2, name="d")], name="cached"
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RNNCC_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the graphs that went through the compiler."""
    names: list[str] = []
    run = pipeline.compile_graph

    def counted(graph: rnncc.graph.ir.Graph, options: rnncc.options.Options) -> pipeline.Compilation:
        names.append(graph.name)
        return run(graph, options)

    monkeypatch.setattr(pipeline, "compile_graph", counted)
    return names


def test_second_compile_is_a_hit_with_the_same_bits(folder: Path, compilations: list[str]) -> None:
    first = rnncc.compile(model())(X)
    second = rnncc.compile(model())
    assert np.array_equal(second(X), first)
    assert compilations == ["cached"]
    assert "scan(" in second.ir("fused")  # texts are made by compiling after all
    assert compilations == ["cached", "cached"]


def test_options_and_graphs_do_not_meet(folder: Path, compilations: list[str]) -> None:
    rnncc.compile(model())
    rnncc.compile(model(), dtype="float64")
    rnncc.compile(model(), unroll=2)
    rnncc.compile(model(), target="x86-64-v2" if os.uname().machine == "x86_64" else "aarch64")
    assert len(compilations) == len(list(folder.glob("*.rnncc"))) == 4


def test_new_weights_hit(folder: Path, compilations: list[str]) -> None:
    rnncc.compile(model())
    other = model()
    other.set_weights([weight + 1 for weight in other.get_weights()])
    assert np.allclose(rnncc.compile(other)(X), rnncc.evaluate(other, X), atol=1e-6)
    assert compilations == ["cached"]


def test_stream_is_cached_too(folder: Path, compilations: list[str]) -> None:
    a = rnncc.compile(model()).stream(3).push(X)
    b = rnncc.compile(model()).stream(3).push(X)
    assert np.array_equal(a, b)
    assert len(compilations) == 2


@pytest.mark.parametrize("damage", [b"", b"short", None])
def test_damaged_entry_is_compiled_again(folder: Path, compilations: list[str], damage: bytes | None) -> None:
    rnncc.compile(model())
    (entry,) = folder.glob("*.rnncc")
    content = entry.read_bytes()
    entry.write_bytes(content[:-1] if damage is None else damage)
    assert rnncc.compile(model())(X).shape == (3, 2)
    assert len(compilations) == 2
    assert entry.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"no JSON", b"{}\n", b"[1, 2]\n", b"\xff\n"])
def test_an_entry_that_something_else_wrote_is_compiled_again(
    folder: Path, compilations: list[str], content: bytes
) -> None:
    rnncc.compile(model())
    (entry,) = folder.glob("*.rnncc")
    DiskCache(folder).put(entry.stem, content)
    assert rnncc.compile(model())(X).shape == (3, 2)
    assert len(compilations) == 2


def test_what_killed_processes_leave_goes_after_a_while(folder: Path) -> None:
    disk = DiskCache(folder)
    assert disk.put("one", b"1")
    old, new = folder / "old.part", folder / "new.part"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    assert disk.put("two", b"2")
    assert (old.exists(), new.exists()) == (False, True)
    assert disk.clear() == 2
    assert not list(folder.iterdir())


def test_put_says_whether_it_kept_something(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert not DiskCache(tmp_path / "file").put("key", b"1")


def test_off_and_unusable_folders_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compilations: list[str]
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    for value in ("off", str(blocked / "below")):
        monkeypatch.setenv("RNNCC_CACHE_DIR", value)
        assert rnncc.compile(model())(X).shape == (3, 2)
    assert len(compilations) == 2
    assert not list(tmp_path.glob("**/*.rnncc"))


def test_folder_of_the_environment() -> None:
    assert cache_folder({"RNNCC_CACHE_DIR": "off"}) is None
    assert cache_folder({"RNNCC_CACHE_DIR": "OFF"}) is None
    assert cache_folder({"RNNCC_CACHE_DIR": "~/b"}) == Path.home() / "b"
    assert cache_folder({"RNNCC_CACHE_DIR": "/a/b"}) == Path("/a/b")
    assert cache_folder({"XDG_CACHE_HOME": "/x"}) == Path("/x/rnncc/compiled")


def test_eviction_keeps_what_was_used_last(tmp_path: Path) -> None:
    disk = DiskCache(tmp_path, limit=400)
    for number in range(3):
        disk.put(f"k{number}", bytes(100))
        os.utime(tmp_path / f"k{number}.rnncc", (number, number))
    assert disk.get("k0") == bytes(100)  # used just now
    disk.put("k3", bytes(100))
    assert [disk.get(f"k{number}") is not None for number in range(4)] == [True, False, True, True]
    assert disk.info().bytes <= 400
    assert disk.clear() == 3
    assert disk.info().entries == 0


def test_keys_keep_parts_apart() -> None:
    assert key_of("ab", "c") != key_of("a", "bc")


def _writer(folder: str, number: int) -> None:
    disk = DiskCache(Path(folder))
    for turn in range(50):
        disk.put("same", bytes([number]) * 20000)
        content = disk.get("same")
        assert content is None or len(set(content)) == 1, turn


def test_concurrent_writers_leave_whole_entries(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_writer, args=(str(tmp_path), number)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["same.rnncc"]


def test_a_folder_that_is_a_file_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    monkeypatch.setenv("RNNCC_CACHE_DIR", str(file))
    with pytest.warns(UserWarning, match=r"notes\.txt, which is no folder"):
        fn = rnncc.compile(rnncc.trace(lambda x: x + 1.0, ("float32", ("B",))))
    assert fn(np.ones(3, np.float32)).tolist() == [2, 2, 2]
    assert file.read_text() == "mine"
