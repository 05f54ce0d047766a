"""The public name that Keras keeps under `keras.preprocessing.sequence`."""

from kgraph.utils.sequences import pad_sequences

__all__ = ["pad_sequences"]
