"""The three models of Keras's guide to recurrent layers, with nothing changed but the import.

Each model prints its summary, is compiled, and runs on random tokens of several batch sizes and lengths: one
compilation serves them all. Every result is compared with `evaluate`, the NumPy meaning of the same model, and every
call is timed. The exit code is 1 when a number differs by more than 1e-6 + 1e-5 of its size.

    $ python examples/seed_models.py
    $ python examples/seed_models.py --help-embedding
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

import rnncc as keras
from rnncc import layers

RELATIVE, ABSOLUTE = 1e-5, 1e-6
SIZES = ((1, 1), (1, 10), (1, 100), (3, 17), (32, 100))
"""Batch and length of the calls."""


def parse_arguments() -> argparse.Namespace:
    first_line = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="seed_models.py", description=first_line)
    parser.add_argument("--help-embedding", action="store_true", help="end with help(layers.Embedding), as the guide")
    parser.add_argument("--seconds", type=float, default=0.2, help="how long to time each call (default: 0.2)")
    return parser.parse_args()


if __name__ == "__main__":
    options = parse_arguments()

# fmt: off
# In [2]:
model = keras.Sequential()
# Add an Embedding layer expecting input vocab of size 1000, and
# output embedding dimension of size 64.
model.add(layers.Embedding(input_dim=1000, output_dim=64))

# Add a LSTM layer with 128 internal units.
model.add(layers.LSTM(128))

# Add a Dense layer with 10 units.
model.add(layers.Dense(10))

model.summary()

# The guide uses the name `model` again; the ones before are needed below.
first = model

# In [4]:
model = keras.Sequential()
model.add(layers.Embedding(input_dim=1000, output_dim=64))

# The output of GRU will be a 3D tensor of shape (batch_size, timesteps, 256)
model.add(layers.GRU(256, return_sequences=True))

# The output of SimpleRNN will be a 2D tensor of shape (batch_size, 128)
model.add(layers.SimpleRNN(128))

model.add(layers.Dense(10))

model.summary()

second = model

# In [6]:
encoder_vocab = 1000
decoder_vocab = 2000

encoder_input = layers.Input(shape=(None,))
encoder_embedded = layers.Embedding(input_dim=encoder_vocab, output_dim=64)(
    encoder_input
)

# Return states in addition to output
output, state_h, state_c = layers.LSTM(64, return_state=True, name="encoder")(
    encoder_embedded
)
encoder_state = [state_h, state_c]

decoder_input = layers.Input(shape=(None,))
decoder_embedded = layers.Embedding(input_dim=decoder_vocab, output_dim=64)(
    decoder_input
)

# Pass the 2 states to a new LSTM layer, as initial state
decoder_output = layers.LSTM(64, name="decoder")(
    decoder_embedded, initial_state=encoder_state
)
output = layers.Dense(10)(decoder_output)

model = keras.Model([encoder_input, decoder_input], output)
model.summary()

third = model
# fmt: on


# The rest is not in the guide: it runs the models.


def random_tokens(model: keras.Model, batch: int, length: int, generator: np.random.Generator) -> list[np.ndarray]:
    """Token ids for each input. The second input, where there is one, has a length of its own."""
    lengths = (length, 2 * length + 1)
    vocabularies = [layer.input_dim for layer in model.layers if isinstance(layer, layers.Embedding)]
    sizes = zip(vocabularies, lengths, strict=False)
    return [generator.integers(vocabulary, size=(batch, steps)) for vocabulary, steps in sizes]


def microseconds(call: Callable[..., Any], tokens: Sequence[np.ndarray], seconds: float) -> float:
    """The median time of a call, after a few calls that do not count."""
    for _ in range(3):
        call(*tokens)
    times: list[float] = []
    end = perf_counter() + seconds
    while len(times) < 5 or perf_counter() < end:
        start = perf_counter()
        call(*tokens)
        times.append(perf_counter() - start)
    return 1e6 * median(times)


def run(model: keras.Model, seconds: float) -> bool:
    """Print a line for each size; True when all results agree with NumPy."""
    start = perf_counter()
    compiled = keras.compile(model)
    print(f"\n{model.name}: compiled in {perf_counter() - start:.2f} s")
    print("  batch  tokens        largest difference from NumPy   median time of a call")
    generator = np.random.default_rng(0)
    agrees = True
    for batch, length in SIZES:
        tokens = random_tokens(model, batch, length, generator)
        expected, result = keras.evaluate(model, *tokens), compiled(*tokens)
        close = np.allclose(result, expected, RELATIVE, ABSOLUTE)
        agrees = agrees and close
        lengths = " + ".join(str(ids.shape[1]) for ids in tokens)
        difference = np.abs(result - expected).max()
        verdict = "agrees" if close else "DIFFERS"
        time = microseconds(compiled, tokens, seconds)
        print(f"  {batch:5}  {lengths:12}  {difference:.1e}  {verdict:20}  {time:12,.1f} us", flush=True)
    return agrees


def main(options: argparse.Namespace) -> int:
    """Run all models; returns the exit code."""
    agreed = [run(model, options.seconds) for model in (first, second, third)]
    if options.help_embedding:
        # In [7]:
        help(layers.Embedding)
    return 0 if all(agreed) else 1


if __name__ == "__main__":
    sys.exit(main(options))
