"""Keras-shaped layers and models. Each builds symbolic tensors; `rnncc.graph` and below know nothing of layers."""

from rnncc.layers.base import Layer
from rnncc.layers.core import Activation, Dense, Embedding
from rnncc.layers.gru import GRU, GRUCell
from rnncc.layers.inputs import Input, InputLayer
from rnncc.layers.lstm import LSTM, LSTMCell
from rnncc.layers.masking import Masking
from rnncc.layers.recurrent import RNN
from rnncc.layers.simple_rnn import SimpleRNN, SimpleRNNCell
from rnncc.layers.specs import InputSpec
from rnncc.layers.stacked import StackedRNNCells
