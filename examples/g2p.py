"""From words to phonemes with a pretrained recurrent network, compiled by rnncc.

    $ python examples/g2p.py hello world
    hello  HH EH1 L OW0
    world  W ER1 L D

The model is the GRU encoder-decoder that the package g2p-en 2.1.0 ships: 29 graphemes, 74 phonemes, embeddings and
states of width 256. `g2p_checkpoint.py` finds its weights; here they go into layers, in Keras's layout.

    letters  -> Embedding -> GRU -> final state
                                        | initial_state
    phonemes -> Embedding ----------> GRU -> Dense -> logits of the next phoneme

The same layers form three models, as is usual for such a network in Keras: the whole one (letters and known phonemes
in, logits out), its encoder, and one step of its decoder. The last two decode greedily: the likeliest phoneme of one
step is the input of the next, until all words of a batch have ended or have 20 phonemes. Words of one length share a
batch, so nothing is padded.

`--check` compares with `g2p_reference.py`, plain NumPy loops over the same weights.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import g2p_reference as reference
import numpy as np
from g2p_checkpoint import GRAPHEMES, PHONEMES, CheckpointError, read_checkpoint
from g2p_progress import LONG, Bar, progress_bar

import rnncc
from rnncc import layers

WORDS = Path(__file__).with_name("words.txt")
START, END = PHONEMES.index("<s>"), PHONEMES.index("</s>")
MAX_PHONEMES = 20
BLOCK = 4096
"""Words that are decoded before the first of them is printed."""
LOGIT_LIMIT = 1e-4
"""The largest difference of logits that `--check` accepts. They are of the order of 10, in float32."""

Arrays = Mapping[str, np.ndarray]


# ------------------------------------------------------------------ the model


@dataclass(frozen=True, slots=True)
class Models:
    """Three models over one set of layers."""

    whole: rnncc.Model
    """Letters ``(batch, n)``, phonemes so far ``(batch, m)`` -> logits ``(batch, m, phonemes)``."""
    encoder: rnncc.Model
    """Letters ``(batch, n)`` -> state ``(batch, units)``."""
    step: rnncc.Model
    """Phonemes ``(batch, m)``, state -> logits ``(batch, m, phonemes)``, next state."""


def build_models(arrays: Arrays) -> Models:
    """The network for weights in PyTorch's layout; all sizes are taken from their shapes."""
    graphemes, phonemes, units = len(arrays["enc_emb"]), len(arrays["dec_emb"]), arrays["enc_w_hh"].shape[1]
    # All first numbers are replaced below, so they need not be random, and orthogonal ones would take a while.
    gru = partial(layers.GRU, units, recurrent_initializer="zeros", return_state=True)

    encoder_input = layers.Input(shape=(None,), name="letters")
    encoder_embedding = layers.Embedding(graphemes, arrays["enc_emb"].shape[1], name="encoder_embedding")
    encoder_gru = gru(name="encoder")
    _, encoder_state = encoder_gru(encoder_embedding(encoder_input))

    decoder_input = layers.Input(shape=(None,), name="phonemes")
    decoder_embedding = layers.Embedding(phonemes, arrays["dec_emb"].shape[1], name="decoder_embedding")
    decoder_gru = gru(return_sequences=True, name="decoder")
    dense = layers.Dense(phonemes, name="logits")
    decoder_embedded = decoder_embedding(decoder_input)
    decoder_output, _ = decoder_gru(decoder_embedded, initial_state=encoder_state)
    whole = rnncc.Model([encoder_input, decoder_input], dense(decoder_output), name="g2p")

    state_input = layers.Input(shape=(units,), name="state")
    step_output, next_state = decoder_gru(decoder_embedded, initial_state=state_input)
    step = rnncc.Model([decoder_input, state_input], [dense(step_output), next_state], name="g2p_step")

    encoder_embedding.set_weights([arrays["enc_emb"]])
    encoder_gru.set_weights(keras_gru_weights(arrays, "enc"))
    decoder_embedding.set_weights([arrays["dec_emb"]])
    decoder_gru.set_weights(keras_gru_weights(arrays, "dec"))
    dense.set_weights([arrays["fc_w"].T, arrays["fc_b"]])
    return Models(whole, rnncc.Model(encoder_input, encoder_state, name="g2p_encoder"), step)


def keras_gru_weights(arrays: Arrays, side: str) -> list[np.ndarray]:
    """Kernel, recurrent kernel and bias in Keras's layout for the "enc" or "dec" GRU in PyTorch's.

    PyTorch stores a row for each output and the gates in the order r, z, n; Keras a column for each output, the gates
    in the order z, r, h, and both biases as the two rows of one array. Both compute z * h + (1 - z) * candidate, and
    Keras's default `reset_after=True` is the only way in PyTorch.
    """

    def swap_gates(name: str) -> np.ndarray:
        r, z, n = np.split(arrays[f"{side}_{name}"], 3)
        return np.concatenate([z, r, n])

    bias = np.stack([swap_gates("b_ih"), swap_gates("b_hh")])
    return [swap_gates("w_ih").T, swap_gates("w_hh").T, bias]


# ------------------------------------------------------------------ decoding

Call = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Decoder:
    """Greedy decoding with compiled models."""

    encoder: Call
    step: Call
    batch_size: int

    def pronounce(self, words: Sequence[str], bar: Bar | None = None) -> list[list[int]]:
        """The phonemes of each word, as numbers, in the order of the words."""
        found: list[list[int]] = [[] for _ in words]
        for group in batches([len(word) for word in words], self.batch_size):
            for position, phonemes in zip(group, self._batch([words[position] for position in group]), strict=True):
                found[position] = phonemes
            if bar is not None:
                bar.advance(len(group))
        return found

    def _batch(self, words: Sequence[str]) -> list[list[int]]:
        """The phonemes of words of one length."""
        state = self.encoder(np.array([spell(word) for word in words]))
        tokens = np.full(len(words), START)
        chosen = np.empty((len(words), 0), int)
        for _ in range(MAX_PHONEMES):
            logits, state = self.step(tokens[:, None], state)
            tokens = logits[:, -1].argmax(-1)
            chosen = np.concatenate([chosen, tokens[:, None]], axis=1)
            if (chosen == END).any(axis=1).all():
                break
        return [until_end(row) for row in chosen.tolist()]


def spell(word: str) -> list[int]:
    """What the encoder reads for a word: its letters and the end."""
    return [*(GRAPHEMES.index(letter) for letter in word), GRAPHEMES.index("</s>")]


def until_end(phonemes: list[int]) -> list[int]:
    """The phonemes before the first `</s>`."""
    return phonemes[: phonemes.index(END)] if END in phonemes else phonemes


def batches(keys: Sequence[Hashable], size: int) -> Iterator[list[int]]:
    """Positions of equal keys together, at most `size` in a batch."""
    groups: defaultdict[Hashable, list[int]] = defaultdict(list)
    for position, key in enumerate(keys):
        groups[key].append(position)
    for group in groups.values():
        for start in range(0, len(group), size):
            yield group[start : start + size]


# ------------------------------------------------------------------ checking


@dataclass(frozen=True, slots=True)
class Report:
    """What the comparison with the NumPy loop found."""

    words: int
    steps: int
    differing: tuple[str, ...]
    """A line for each word with other phonemes."""
    logit_difference: float

    @property
    def agrees(self) -> bool:
        """True when all phonemes are equal and the logits are close. (A NaN is not close.)"""
        return not self.differing and self.logit_difference <= LOGIT_LIMIT

    def __str__(self) -> str:
        limit_met = "within" if self.logit_difference <= LOGIT_LIMIT else "beyond"
        lines = [
            f"checked {self.words:,} distinct words against a NumPy loop (float64, one word at a time)",
            *(f"  {line}" for line in self.differing[:20]),
            f"  phonemes: equal for {self.words - len(self.differing):,} of {self.words:,} words",
            f"  logits:   largest difference {self.logit_difference:.1e} over {self.steps:,} steps, "
            f"{limit_met} {LOGIT_LIMIT:.0e}",
            f"  {'agreement' if self.agrees else 'NO AGREEMENT'}",
        ]
        return "\n".join(lines)


def check(arrays: Arrays, whole: Call, decoder: Decoder, words: Sequence[str]) -> Report:
    """Compare decoded phonemes, and the whole model's logits for the phonemes of the NumPy loop."""
    words = list(dict.fromkeys(words))
    exact = reference.as_float64(arrays)
    expected: list[list[int]] = []
    expected_logits: list[np.ndarray] = []
    with progress_bar("NumPy loop", len(words)) as bar:
        for word in words:
            phonemes, logits = reference.decode(exact, spell(word), START, END, MAX_PHONEMES)
            expected.append(phonemes)
            expected_logits.append(logits)
            bar.advance(1)
    differing = tuple(
        f"{word}: {spoken(found)} here, {spoken(needed)} in NumPy"
        for word, found, needed in zip(words, decoder.pronounce(words), expected, strict=True)
        if found != needed
    )
    difference = 0.0
    sizes = [(len(word), len(logits)) for word, logits in zip(words, expected_logits, strict=True)]
    for group in batches(sizes, decoder.batch_size):
        letters = np.array([spell(words[position]) for position in group])
        steps = sizes[group[0]][1]
        known = np.array([[START, *expected[position]][:steps] for position in group])
        logits = whole(letters, known)
        needed = np.stack([expected_logits[position] for position in group])
        difference = float(np.maximum(difference, np.abs(logits - needed).max()))
    return Report(len(words), sum(steps for _, steps in sizes), differing, difference)


# ------------------------------------------------------------------ words in, lines out


def words_in(text: str) -> tuple[list[str], list[str]]:
    """The words of a text, and what looks like a word but has something other than letters in it.

    White space, dashes and hyphens separate words. Case, accents and punctuation around a word do not matter.
    """
    words, odd = [], []
    for token in re.split(r"[\s\-\u2010-\u2015]+", text):
        word = _only_letters(token)
        if word.isascii() and word.isalpha():
            words.append(word)
        elif word:
            odd.append(token)
    return words, odd


def _only_letters(token: str) -> str:
    """`token` in lower case, without accents, and without what is not a letter or digit at its ends."""
    plain = unicodedata.normalize("NFKD", token).lower()  # some letters have a lower case only once they are plain
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    inner = [position for position, character in enumerate(plain) if character.isalnum()]
    return plain[inner[0] : inner[-1] + 1] if inner else ""


def spoken(phonemes: Sequence[int]) -> str:
    """Phonemes as text: ``HH EH1 L OW0``."""
    return " ".join(PHONEMES[phoneme] for phoneme in phonemes)


class InputError(Exception):
    """Words that cannot be read."""


def read_text(options: argparse.Namespace) -> str:
    """All words that the command line names, as one text. Raises InputError for a file that cannot be read."""
    try:
        return _read_all(options)
    except OSError as error:
        raise InputError(f"cannot read {error.filename or 'the input'}: {error.strerror or error}") from None


def _read_all(options: argparse.Namespace) -> str:
    parts = list(options.word)
    if options.words or (options.check and not options.word and not options.file):
        parts.append(WORDS.read_text())
    for name in options.file if parts or options.file else ["-"]:
        parts.append(_read(name))
    return "\n".join(parts)


def _read(name: str) -> str:
    if name != "-":
        return Path(name).read_bytes().decode("utf-8-sig", errors="replace")
    if sys.stdin.isatty():
        _tell("reading words from the keyboard; end with Ctrl-D (--help says more)")
    return sys.stdin.buffer.read().decode("utf-8-sig", errors="replace")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="g2p.py",
        description="Print how English words are spoken: ARPAbet phonemes from a pretrained recurrent network.",
        epilog="""\
examples:
  g2p.py hello world recurrent
  g2p.py --file book.txt > spoken.txt
  echo Hello, world! | g2p.py
  g2p.py --check

Words are taken from the arguments, then from files, else from standard input. White space and hyphens separate
them; case, accents and punctuation around them do not matter. A word with anything but letters inside (digits, an
apostrophe, another alphabet) is skipped, with a note on standard error.

The weights (3 MB) come from the installed package g2p-en 2.1.0, from the cache, or once from pip.

exit code: 0; 1 when --check finds a difference; 2 for input or weights that cannot be read; 130 after Ctrl-C
""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("word", nargs="*", help="words to speak")
    parser.add_argument("-f", "--file", action="append", default=[], help="a text file; - is standard input")
    parser.add_argument("-w", "--words", action="store_true", help="the built-in list of common words")
    parser.add_argument(
        "--check",
        action="store_true",
        help="also run the words through a NumPy loop and report whether it agrees; without words, the built-in list, "
        "of which then only the report is printed",
    )
    parser.add_argument("--batch-size", type=_positive, default=64, metavar="N", help="words per batch (default: 64)")
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="folder for the downloaded weights (default: rnncc in $XDG_CACHE_HOME or ~/.cache)",
    )
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


# ------------------------------------------------------------------ the program


def run(options: argparse.Namespace) -> int:
    """Do what the command line says; returns the exit code."""
    words, odd = words_in(read_text(options))
    for token in odd[:5]:
        _tell(f"skipped {token!r}: it is not made of the letters a to z")
    if odd[5:]:
        _tell(f"skipped {len(odd) - 5:,} more words like these")
    if not words:
        _tell("there is no word to speak")
        return 2

    start = perf_counter()
    arrays = read_checkpoint(options.cache)
    models = build_models(arrays)
    decoder = Decoder(rnncc.compile(models.encoder), rnncc.compile(models.step), options.batch_size)
    decoder.pronounce(words[:1])
    ready = perf_counter()
    only_report = options.check and not (options.word or options.file or options.words)
    with progress_bar("speaking", len(words)) as bar:
        for first in range(0, len(words), BLOCK):
            block = words[first : first + BLOCK]
            found = decoder.pronounce(block, bar)
            if not only_report:
                bar.write("".join(f"{word}  {spoken(said)}\n" for word, said in zip(block, found, strict=True)))
    if len(words) >= LONG:
        seconds = perf_counter() - ready
        _tell(
            f"{len(words):,} words in {seconds:.2f} s: {len(words) / seconds:,.0f} words per second "
            f"(after {ready - start:.2f} s of loading and compiling)"
        )
    if not options.check:
        return 0
    report = check(arrays, rnncc.compile(models.whole), decoder, words)
    print(report, flush=True)
    return 0 if report.agrees else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; returns the exit code."""
    options = parse_arguments(arguments)
    try:
        return run(options)
    except KeyboardInterrupt:
        _tell("stopped")
        return 130
    except BrokenPipeError:  # whoever reads the output has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        _tell(f"cannot write the output: {error.strerror or error}")
        return 2
    except (InputError, CheckpointError) as error:
        _tell(str(error))
        return 2


def _tell(message: str) -> None:
    print(f"g2p: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
