"""The g2p example as a user runs it: a process of its own, the pretrained weights, real words."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.conftest import EXAMPLES, run_example

G2P = [sys.executable, str(EXAMPLES / "g2p.py")]

HELLO = "hello  HH EH1 L OW0\n"
WORLD = "world  W ER1 L D\n"
RECURRENT = "recurrent  R IH0 K ER1 AH0 N T\n"


@pytest.mark.usefixtures("checkpoint")
def test_arguments() -> None:
    done = run_example("g2p.py", "hello", "World", "recurrent")
    assert (done.returncode, done.stdout, done.stderr) == (0, HELLO + WORLD + RECURRENT, "")


@pytest.mark.usefixtures("checkpoint")
def test_standard_input() -> None:
    done = run_example("g2p.py", stdin="Hello, world!\nisn't 4ever\n\nrecurrent\n")
    assert (done.returncode, done.stdout) == (0, HELLO + WORLD + RECURRENT)
    assert done.stderr == (
        'g2p: skipped "isn\'t": it is not made of the letters a to z\n'
        "g2p: skipped '4ever': it is not made of the letters a to z\n"
    )


@pytest.mark.usefixtures("checkpoint")
def test_a_file_and_the_end_of_standard_input(tmp_path: Path) -> None:
    (tmp_path / "words").write_text("world")
    done = run_example("g2p.py", "--file", str(tmp_path / "words"), "--file", "-", "hello", stdin="recurrent")
    assert (done.returncode, done.stdout) == (0, HELLO + WORLD + RECURRENT)


@pytest.mark.usefixtures("checkpoint")
def test_check_of_some_words(tmp_path: Path) -> None:
    words = (EXAMPLES / "words.txt").read_text().split()[::20]
    (tmp_path / "words").write_text("\n".join(words))
    done = run_example("g2p.py", "--check", "--file", str(tmp_path / "words"))
    assert done.returncode == 0, done.stdout
    assert f"equal for {len(words)} of {len(words)} words" in done.stdout
    assert done.stdout.startswith(f"{words[0]}  ")
    assert "words per second" in done.stderr


@pytest.mark.usefixtures("checkpoint")
def test_check_of_the_built_in_list_prints_the_report_only() -> None:
    done = run_example("g2p.py", "--check")
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("checked ")
    assert done.stdout.endswith("\n  agreement\n")
    assert len(done.stdout.splitlines()) == 4


@pytest.mark.usefixtures("checkpoint")
def test_a_reader_that_has_seen_enough() -> None:
    program = subprocess.Popen([*G2P, "--words"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert program.stdout is not None and program.stderr is not None
    program.stdout.close()
    errors = program.stderr.read()
    program.stderr.close()
    assert (program.wait(60), errors) == (141, b"")


def test_control_c(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "words")
    # A shell's background jobs ignore the signal, and would hand that down.
    program = subprocess.Popen(
        [*G2P, "--file", str(tmp_path / "words")],
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        with open(tmp_path / "words", "w"):  # opens when the program does
            program.send_signal(signal.SIGINT)
            _, errors = program.communicate(timeout=60)
    finally:
        program.kill()
    assert (program.returncode, errors) == (130, b"g2p: stopped\n")


def test_help_says_where_words_come_from() -> None:
    done = run_example("g2p.py", "--help")
    assert done.returncode == 0
    for part in ("hello world recurrent", "--file", "--check", "--words", "--cache", "standard input", "exit code"):
        assert part in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--file", "no-such-file"), "g2p: cannot read no-such-file: No such file or directory\n"),
        (("...",), "g2p: there is no word to speak\n"),
        ((), "g2p: there is no word to speak\n"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], message: str) -> None:
    done = run_example("g2p.py", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)
