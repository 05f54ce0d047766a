"""Activations that have options or weights."""

from kgraph.layers.activation.rectifiers import ELU, LeakyReLU, PReLU, ReLU
from kgraph.layers.activation.softmax import Softmax

__all__ = ["ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax"]
