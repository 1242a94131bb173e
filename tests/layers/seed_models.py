"""The three models of the guide to Keras's recurrent layers; prints their summaries (run in a process of its own)."""

from __future__ import annotations

from rnncc import layers
from rnncc.layers.model import Model
from rnncc.layers.sequential import Sequential


def first() -> Sequential:
    """Embedding, LSTM, Dense."""
    model = Sequential()
    model.add(layers.Embedding(input_dim=1000, output_dim=64))
    model.add(layers.LSTM(128))
    model.add(layers.Dense(10))
    return model


def second() -> Sequential:
    """Embedding, GRU with sequences, SimpleRNN, Dense."""
    model = Sequential()
    model.add(layers.Embedding(input_dim=1000, output_dim=64))
    model.add(layers.GRU(256, return_sequences=True))
    model.add(layers.SimpleRNN(128))
    model.add(layers.Dense(10))
    return model


def third() -> Model:
    """Encoder and decoder: the final state of one LSTM starts the other."""
    encoder_input = layers.Input(shape=(None,))
    encoder_embedded = layers.Embedding(input_dim=1000, output_dim=64)(encoder_input)
    output, state_h, state_c = layers.LSTM(64, return_state=True, name="encoder")(encoder_embedded)
    encoder_state = [state_h, state_c]
    decoder_input = layers.Input(shape=(None,))
    decoder_embedded = layers.Embedding(input_dim=2000, output_dim=64)(decoder_input)
    decoder_output = layers.LSTM(64, name="decoder")(decoder_embedded, initial_state=encoder_state)
    output = layers.Dense(10)(decoder_output)
    return Model([encoder_input, decoder_input], output)


if __name__ == "__main__":
    for make in (first, second, third):
        make().summary()
