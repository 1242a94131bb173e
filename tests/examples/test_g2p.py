"""The parts of the g2p example, on small random weights: conversion, decoding, words, reports, exit codes."""

from __future__ import annotations

import string
import sys
from collections.abc import Sequence
from pathlib import Path

import g2p
import g2p_progress
import g2p_reference
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rnncc
from tests.examples.conftest import random_arrays


@pytest.mark.parametrize(("widths", "units"), [((3, 5), 4), ((1, 1), 1), ((8, 2), 17)])
def test_converted_weights_give_the_numbers_of_the_numpy_loop(widths: tuple[int, int], units: int) -> None:
    graphemes, phonemes, steps = 6, 7, 5
    arrays = random_arrays(graphemes, phonemes, widths, units)
    models = g2p.build_models(arrays)
    letters = np.random.default_rng(1).integers(graphemes, size=(4, 9))
    exact = g2p_reference.as_float64(arrays)
    decoded = [g2p_reference.decode(exact, word, start=2, end=-1, steps=steps) for word in letters]
    known = np.array([[2, *chosen[:-1]] for chosen, _ in decoded])
    needed = np.stack([logits for _, logits in decoded])
    assert needed.shape == (4, steps, phonemes)
    np.testing.assert_allclose(models.whole(letters, known), needed, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(rnncc.evaluate(models.whole, letters, known), needed, rtol=1e-4, atol=1e-5)


def test_encoder_and_steps_give_what_the_whole_model_gives() -> None:
    arrays = random_arrays(6, 7, (3, 3), 8)
    models = g2p.build_models(arrays)
    generator = np.random.default_rng(2)
    letters, known = generator.integers(6, size=(3, 4)), generator.integers(7, size=(3, 6))
    state = models.encoder(letters)
    assert state.shape == (3, 8)
    steps = []
    for t in range(known.shape[1]):
        logits, state = models.step(known[:, t : t + 1], state)
        steps.append(logits)
    np.testing.assert_allclose(np.concatenate(steps, axis=1), models.whole(letters, known), rtol=1e-5, atol=1e-6)


def test_gates_change_their_places() -> None:
    rows = np.arange(6.0)
    square = np.tile(rows[:, None], (1, 2))
    kernel, recurrent, bias = g2p.keras_gru_weights(
        {"enc_w_ih": square, "enc_w_hh": square + 10, "enc_b_ih": rows, "enc_b_hh": rows + 10}, "enc"
    )
    assert kernel.tolist() == [[2, 3, 0, 1, 4, 5]] * 2
    assert recurrent.tolist() == [[12, 13, 10, 11, 14, 15]] * 2
    assert bias.tolist() == [[2, 3, 0, 1, 4, 5], [12, 13, 10, 11, 14, 15]]


# ------------------------------------------------------------------ decoding


@given(keys=st.lists(st.integers(0, 4)), size=st.integers(1, 5))
def test_batches_hold_every_position_once_and_one_key_each(keys: list[int], size: int) -> None:
    found = list(g2p.batches(keys, size))
    assert sorted(position for group in found for position in group) == list(range(len(keys)))
    for group in found:
        assert 1 <= len(group) <= size
        assert len({keys[position] for position in group}) == 1
        assert group == sorted(group)
    full = sum(-(-keys.count(key) // size) for key in set(keys))
    assert len(found) == full


class Counter:
    """An encoder and a step whose state is the number of steps left: each word takes `steps[its length]`."""

    def __init__(self, steps: dict[int, int]) -> None:
        self.steps = steps
        self.batches: list[tuple[int, int]] = []
        self.calls = 0

    def encoder(self, letters: np.ndarray) -> np.ndarray:
        self.batches.append(letters.shape)
        return np.full((len(letters), 1), self.steps[letters.shape[1] - 1])

    def step(self, tokens: np.ndarray, state: np.ndarray) -> list[np.ndarray]:
        self.calls += 1
        chosen = np.where(state[:, 0] > 0, tokens[:, 0] + 2, g2p.END)  # 2 is the start: 4, 6, 8, ...
        return [np.eye(len(g2p.PHONEMES))[chosen][:, None], state - 1]


def test_words_of_one_length_share_batches_and_keep_their_places() -> None:
    model = Counter({1: 1, 2: 2, 3: 0})
    found = g2p.Decoder(model.encoder, model.step, batch_size=2).pronounce(["a", "bc", "d", "efg", "h", "ij"])
    assert found == [[4], [4, 6], [4], [], [4], [4, 6]]
    assert model.batches == [(2, 2), (1, 2), (2, 3), (1, 4)]


def test_decoding_stops_when_all_words_have_ended() -> None:
    model = Counter({2: 3})
    assert g2p.Decoder(model.encoder, model.step, 8).pronounce(["ab", "cd"]) == [[4, 6, 8]] * 2
    assert model.calls == 4


def test_decoding_stops_after_twenty_phonemes() -> None:
    model = Counter({1: 99})
    (found,) = g2p.Decoder(model.encoder, model.step, 8).pronounce(["a"])
    assert found == list(range(4, 44, 2))
    assert model.calls == 20


def test_symbols() -> None:
    assert len(g2p.GRAPHEMES) == len(set(g2p.GRAPHEMES)) == 29
    assert len(g2p.PHONEMES) == len(set(g2p.PHONEMES)) == 74
    assert g2p.spell("abz") == [3, 4, 28, 2]
    assert (g2p.START, g2p.END) == (2, 3)
    assert g2p.until_end([5, 6, 3, 7, 3]) == [5, 6]
    assert g2p.until_end([5, 6]) == [5, 6]


# ------------------------------------------------------------------ words


@pytest.mark.parametrize(
    ("text", "words", "odd"),
    [
        ("", [], []),
        (" \n\t ", [], []),
        ("Hello, WORLD!\n\nagain", ["hello", "world", "again"], []),
        ("“Well-known” — (café), naïve.", ["well", "known", "cafe", "naive"], []),
        ("don't r2d2 привет x", ["x"], ["don't", "r2d2", "привет"]),
        ("-- ... 42 !", [], ["42"]),
        ("\ufffd\x00", [], []),
        ("a\ufffdb", [], ["a\ufffdb"]),
        ("\U0001d56c\U0001d586 \u210b\u2102", ["aa", "hc"], []),  # letters of mathematics
    ],
)
def test_words_in_text(text: str, words: list[str], odd: list[str]) -> None:
    assert g2p.words_in(text) == (words, odd)


@given(st.text())
def test_any_text_gives_words_that_can_be_spelled(text: str) -> None:
    words, _ = g2p.words_in(text)
    assert all(word and set(word) <= set(string.ascii_lowercase) for word in words)


def test_the_built_in_list() -> None:
    words = g2p.WORDS.read_text().split()
    assert len(words) >= 1200
    assert words == sorted(set(words))
    assert all(set(word) <= set(string.ascii_lowercase) for word in words)


# ------------------------------------------------------------------ the program, in this process


@pytest.fixture
def small_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = random_arrays(len(g2p.GRAPHEMES), len(g2p.PHONEMES), (4, 4), 8)
    monkeypatch.setattr(g2p, "read_checkpoint", lambda cache: arrays)


@pytest.mark.usefixtures("small_weights")
def test_check_agrees_with_any_weights(capsys: pytest.CaptureFixture[str]) -> None:
    assert g2p.main(["--check", "one", "two", "three", "Two"]) == 0
    *lines, report, phonemes, logits, verdict = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["one", "two", "three", "two"]
    assert report.startswith("checked 3 distinct words against a NumPy loop")
    assert phonemes.endswith(" equal for 3 of 3 words")
    assert logits.endswith("within 1e-04")
    assert verdict.strip() == "agreement"


@pytest.mark.usefixtures("small_weights")
def test_check_sees_other_phonemes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def decode(*arguments: object, **named: int) -> tuple[list[int], np.ndarray]:
        phonemes, logits = true_decode(*arguments, **named)  # type: ignore[arg-type]
        return [*phonemes[:-1], phonemes[-1] ^ 1], logits

    true_decode = g2p_reference.decode
    monkeypatch.setattr(g2p_reference, "decode", decode)
    assert g2p.main(["--check", "word"]) == 1
    printed = capsys.readouterr().out
    assert "\n  word: " in printed
    assert "equal for 0 of 1 words" in printed
    assert "NO AGREEMENT" in printed


@pytest.mark.usefixtures("small_weights")
@pytest.mark.parametrize("error", [2e-4, np.nan])
def test_check_sees_other_logits(
    error: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def decode(*arguments: object) -> tuple[list[int], np.ndarray]:
        phonemes, logits = true_decode(*arguments)  # type: ignore[arg-type]
        return phonemes, logits + error

    true_decode = g2p_reference.decode
    monkeypatch.setattr(g2p_reference, "decode", decode)
    assert g2p.main(["--check", "word"]) == 1
    printed = capsys.readouterr().out
    assert "equal for 1 of 1 words" in printed
    assert "beyond 1e-04" in printed
    assert "NO AGREEMENT" in printed


@pytest.mark.usefixtures("small_weights")
def test_words_come_from_arguments_and_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").write_text("\ufeffthree four\n")
    (tmp_path / "b").write_bytes(b"five \xff\xfe")
    assert g2p.main(["one", "two", "--file", str(tmp_path / "a"), "-f", str(tmp_path / "b")]) == 0
    spoken = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert spoken == ["one", "two", "three", "four", "five"]


@pytest.mark.usefixtures("small_weights")
def test_a_long_list_comes_in_blocks_and_tells_its_speed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(g2p, "BLOCK", 50)
    words = [first + second for first in "abcdefghijk" for second in string.ascii_lowercase[:10]]
    assert g2p.main(["--batch-size", "7", *words]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == words
    assert err.startswith("g2p: 110 words in ")
    assert "words per second (after " in err
    assert "\x1b" not in err


def test_what_cannot_be_spoken_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert g2p.main([f"r{digit}d" for digit in range(8)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        *(f"g2p: skipped 'r{digit}d': it is not made of the letters a to z" for digit in range(5)),
        "g2p: skipped 3 more words like these",
        "g2p: there is no word to speak",
    ]


def test_files_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert g2p.main(["--file", str(tmp_path / "nothing")]) == 2
    assert capsys.readouterr().err == f"g2p: cannot read {tmp_path / 'nothing'}: No such file or directory\n"
    assert g2p.main(["--file", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"g2p: cannot read {tmp_path}: Is a directory\n"


def test_weights_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(cache: Path | None) -> None:
        raise g2p.CheckpointError("no network")

    monkeypatch.setattr(g2p, "read_checkpoint", fail)
    assert g2p.main(["word"]) == 2
    assert capsys.readouterr().err == "g2p: no network\n"


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5"])
def test_batch_sizes_that_have_no_meaning(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        g2p.main([f"--batch-size={text}", "word"])
    assert stopped.value.code == 2
    assert f"'{text}' is not a whole number above 0" in capsys.readouterr().err


# ------------------------------------------------------------------ the progress bar


class Terminal:
    """Standard error as a terminal that remembers what is written."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True


def advance(bars: Sequence[object]) -> None:
    for bar in bars:
        with bar as entered:  # type: ignore[attr-defined]
            for _ in range(200):
                entered.advance(1)


def test_bars_are_for_long_lists_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    advance([g2p_progress.progress_bar("short", 99)])
    assert terminal.text == ""
    monkeypatch.setattr(terminal, "isatty", lambda: False)
    advance([g2p_progress.progress_bar("piped", 200)])
    assert terminal.text == ""


def test_the_plain_bar_wipes_itself(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with g2p_progress.progress_bar("words", 200) as bar:
        bar.advance(100)
        assert terminal.text.startswith("\r\x1b[Kwords  [###############---------------]  100/200  ")
        bar.write("a line\n")
        assert terminal.text.endswith("words/s\r\x1b[K")
    assert terminal.text.endswith("\r\x1b[K")
    assert capsys.readouterr().out == "a line\n"


def test_the_rich_bar_goes_aside_for_text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rich")
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with g2p_progress.progress_bar("words", 200) as bar:
        bar.advance(100)
        bar.write("a line\n")
        bar.advance(100)
    assert "200/200" in terminal.text
    assert capsys.readouterr().out == "a line\n"
