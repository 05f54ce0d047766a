"""The public names that Keras keeps under `keras.callbacks`."""

from typing import TYPE_CHECKING

from kgraph.training import callbacks as _callbacks

if TYPE_CHECKING:
    from kgraph.training.callbacks import *
else:
    __all__, __getattr__, __dir__ = (
        _callbacks.__all__, _callbacks.__getattr__, _callbacks.__dir__,
    )  # fmt: skip
