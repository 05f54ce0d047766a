"""Recurrent layers and their cells."""

from kgraph.layers.recurrent.bidirectional import Bidirectional
from kgraph.layers.recurrent.cell import RecurrentCell
from kgraph.layers.recurrent.conv_lstm import ConvLSTM1D, ConvLSTM2D, ConvLSTM3D
from kgraph.layers.recurrent.gru import GRU, GRUCell
from kgraph.layers.recurrent.lstm import LSTM, LSTMCell
from kgraph.layers.recurrent.rnn import RNN
from kgraph.layers.recurrent.simple_rnn import SimpleRNN, SimpleRNNCell
from kgraph.layers.recurrent.stacked import StackedRNNCells
from kgraph.layers.recurrent.time_distributed import TimeDistributed

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Bidirectional",
    "ConvLSTM1D",
    "ConvLSTM2D",
    "ConvLSTM3D",
    "GRUCell",
    "LSTMCell",
    "RecurrentCell",
    "SimpleRNN",
    "SimpleRNNCell",
    "StackedRNNCells",
    "TimeDistributed",
]
