"""Keras-shaped layers and models. Each builds symbolic tensors; `rnncc.graph` and below know nothing of layers."""

from typing import TYPE_CHECKING

from rnncc.layers.absent import absent as _absent
from rnncc.layers.base import Layer
from rnncc.layers.core import Activation, Dense, Embedding
from rnncc.layers.gru import GRU, GRUCell
from rnncc.layers.inputs import Input, InputLayer
from rnncc.layers.lambda_layer import Lambda
from rnncc.layers.lstm import LSTM, LSTMCell
from rnncc.layers.masking import Masking
from rnncc.layers.merging import (
    Add,
    Average,
    Concatenate,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
    add,
    average,
    concatenate,
    maximum,
    minimum,
    multiply,
    subtract,
)
from rnncc.layers.normalization import LayerNormalization, RMSNormalization
from rnncc.layers.papers import (
    CoupledGateLSTMCell,
    IndRNNCell,
    LayerNormGRUCell,
    LayerNormLSTMCell,
    MinimalGRUCell,
    PeepholeLSTMCell,
    ProjectedLSTMCell,
    SRUCell,
    ZoneoutLSTMCell,
)
from rnncc.layers.pooling import GlobalAveragePooling1D, GlobalMaxPooling1D
from rnncc.layers.recurrent import RNN
from rnncc.layers.regularization import Dropout, SpatialDropout1D
from rnncc.layers.reshaping import Flatten, Permute, RepeatVector, Reshape
from rnncc.layers.simple_rnn import SimpleRNN, SimpleRNNCell
from rnncc.layers.specs import InputSpec
from rnncc.layers.stacked import StackedRNNCells
from rnncc.layers.wrappers import Bidirectional, TimeDistributed

if not TYPE_CHECKING:  # else no name would ever be unknown

    def __getattr__(name: str) -> object:
        raise _absent(__name__, name, globals())
