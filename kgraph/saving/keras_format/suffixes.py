"""Which names mean a file of Keras'."""

from __future__ import annotations

import os
from typing import Literal, TypeAlias

from kgraph.types import FilePath

Format: TypeAlias = Literal["model", "weights", "hdf5"]


def keras_format_of(filepath: FilePath) -> Format | None:
    """Returns what a name stands for: a `.keras` model, its weights, another `.h5`, or None."""
    text = os.fspath(filepath)
    name = text.decode() if isinstance(text, bytes) else text
    if name.endswith(".keras"):
        return "model"
    if name.endswith((".weights.h5", ".weights.json")):
        return "weights"
    return "hdf5" if name.endswith((".h5", ".hdf5")) else None
