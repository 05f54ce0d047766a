"""The word lists of IMDB and Reuters: arrays of lists in `.npz` files, which NumPy pickles."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from kgraph.datasets.inert_pickle import load_lists
from kgraph.errors import DataError


def load_ragged(path: Path, names: tuple[str, ...]) -> list[Any]:
    """Returns members of a file: arrays of numbers, and lists of lists of whole numbers.

    Nothing that the file names is imported or called.

    Raises:
        DataError: a member is missing, or is something else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(f"{name}.npy") for name in names}
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise DataError(
            "This is not the expected file", at=path, expected=", ".join(names), received=error
        ) from error
    return [_member(contents, f"{name} of {path.name}") for name, contents in members.items()]


def _member(contents: bytes, where: str) -> Any:
    file = io.BytesIO(contents)
    try:
        version = np.lib.format.read_magic(file)
        reader = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
        _, _, dtype = reader[min(version[0], 2)](file)
        if dtype.hasobject:
            return load_lists(file.read(), where)
        return np.lib.format.read_array(io.BytesIO(contents), allow_pickle=False)
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{where} is no array", received=error) from error
