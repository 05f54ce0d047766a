"""Layers that prepare numbers, categories and sound."""

from kgraph.layers.preprocessing.category_encoding import CategoryEncoding
from kgraph.layers.preprocessing.discretization import Discretization
from kgraph.layers.preprocessing.hashed_crossing import HashedCrossing
from kgraph.layers.preprocessing.hashing import Hashing
from kgraph.layers.preprocessing.mel_spectrogram import MelSpectrogram
from kgraph.layers.preprocessing.normalization import Normalization
from kgraph.layers.preprocessing.rescaling import Rescaling
from kgraph.layers.preprocessing.stft_spectrogram import STFTSpectrogram

__all__ = [
    "CategoryEncoding",
    "Discretization",
    "HashedCrossing",
    "Hashing",
    "MelSpectrogram",
    "Normalization",
    "Rescaling",
    "STFTSpectrogram",
]
