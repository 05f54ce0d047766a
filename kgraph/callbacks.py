"""The public names that Keras keeps under `keras.callbacks`."""

from kgraph.training.callbacks import *
from kgraph.training.callbacks import __all__ as __all__
