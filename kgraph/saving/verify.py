"""Reads a whole file and compares it with its digests, without the code of its model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kgraph.saving.files.pending import settle
from kgraph.saving.keras_format import keras_format_of
from kgraph.saving.keras_format.weights_file import open_arrays
from kgraph.saving.kgraph_format.container import open_container
from kgraph.saving.kgraph_format.manifest import is_arrays_member
from kgraph.saving.kgraph_format.safetensors import SUFFIX
from kgraph.saving.weights import SafetensorsReader
from kgraph.tracebacks import entry
from kgraph.types import FilePath
from kgraph.writing import local_path


@dataclass(frozen=True)
class Verified:
    """A file that was read and is whole: its arrays, and how many bytes they have."""

    path: Path
    arrays: int
    nbytes: int

    def __str__(self) -> str:
        return f"{self.path} is whole: {self.arrays:,} arrays, {self.nbytes:,} bytes"


@entry
def verify_file(filepath: FilePath) -> Verified:
    """Reads a saved file to its end, as loading would, but builds no model.

    Args:
        filepath: `.kgraph` (a file or folder), `.keras`, `.weights.h5` or `.safetensors`. Files of
            Keras' and others have checksums of their own, or none: then what was read has the
            form it should have.

    Raises:
        ModelFileError: the file is missing, no such file, cut, or damaged.
    """
    path = Path(local_path(filepath))
    settle(path)
    sizes = [array.nbytes for array in _arrays(path)]
    return Verified(path, len(sizes), sum(sizes))


def _arrays(path: Path) -> Iterator[np.ndarray]:
    if keras_format_of(path) is not None:
        with open_arrays(path) as file:
            yield from (file.read(name) for name in file.arrays)
    elif path.suffix == SUFFIX:
        with SafetensorsReader(path) as file:
            yield from (array for _, array in file.read(set(file.specs)))
    else:
        with open_container(path) as container:
            for name in container.manifest.members:
                if not is_arrays_member(name):
                    container.read(name)
            paths = {entry.path for entry in container.manifest.arrays}
            yield from (array for _, array in container.read_arrays(paths))
