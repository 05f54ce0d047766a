"""Weights over several `.weights.h5` files, and their index, `.weights.json`, as in Keras."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kgraph.checks import check_positive
from kgraph.errors import ConfigError
from kgraph.saving.files import strict_json
from kgraph.saving.files.atomic import put_in_place, reading_back, sync, workshop
from kgraph.saving.files.file_error import file_error, refusing
from kgraph.saving.keras_format.hdf5 import ArrayFile, write_arrays
from kgraph.saving.kgraph_format.parts import open_regular, open_window
from kgraph.writing import naming

SUFFIX = ".weights.json"
_SHARD = ".weights.h5"
_OWN = re.compile(r"_\d{5,}" + re.escape(_SHARD))
"""How the name of a file goes on that a save has written beside an index."""
_MOST_SHARDS = 100_000


class ShardedArrays(ArrayFile):
    """The arrays of all files that an index lists, as those of one `ArrayFile`.

    Raises:
        ModelFileError: the index, or one of its files, is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.member = path, None
        self._shards: list[ArrayFile] = []
        try:
            for name in _listed(path):
                shard = path.with_name(name)
                self._shards.append(ArrayFile(shard, None, open_window(shard)))
        except BaseException:
            self.__exit__()
            raise
        self._homes = {at: shard for shard in self._shards for at in shard.arrays}
        self.arrays = {at: shard.arrays[at] for at, shard in self._homes.items()}
        self.groups = {group for shard in self._shards for group in shard.groups}

    def __exit__(self, *_: Any) -> None:
        for shard in self._shards:
            shard.__exit__()

    def read(self, path: str) -> np.ndarray:
        """Returns one array."""
        return self._homes[path].read(path)

    def text(self, group: str, name: str) -> str | None:
        """Returns a text that one of the files notes for a group, or None."""
        found = (shard.text(group, name) for shard in self._shards if group in shard.groups)
        return next((text for text in found if text is not None), None)

    def texts(self, group: str, name: str) -> list[str] | None:
        """Returns None: only files of older releases list texts, and these are of newer ones."""
        return None


def write_sharded(
    path: Path, arrays: Mapping[str, np.ndarray], names: Mapping[str, str], largest: float
) -> None:
    """Writes arrays to files of at most so many bytes (or of one array), and an index of them.

    All is written and read back before anything that was there is touched. Then names change, while
    there is no index: half of a save is never taken for a whole one. (Keras wants the same names
    each time.)

    Args:
        path: of the index.
        arrays, names: see `write_arrays`.
        largest: how many bytes of arrays a file may hold.
    """
    total = sum(array.nbytes for array in arrays.values())
    with naming(path, total), workshop(path) as folder:
        new = folder / path.name
        written = _write_all(new, arrays, names, largest, total)
        with reading_back(), ShardedArrays(new) as found:
            for at in found.arrays:
                found.read(at)
        for file in (*written, new):
            sync(file)
        path.unlink(missing_ok=True)
        for shard in _shards_beside(path):
            shard.unlink()
        for file in written:
            os.replace(file, path.with_name(file.name))
        put_in_place(new, path)


def _write_all(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    names: Mapping[str, str],
    largest: float,
    total: int,
) -> list[Path]:
    """Writes all of `write_sharded`; returns the files besides the index."""
    places: dict[str, list[str]] = {}
    written: list[Path] = []
    for number, part in enumerate(_parts(arrays, largest)):
        shard = path.with_name(f"{path.name.removesuffix(SUFFIX)}_{number:05}{_SHARD}")
        groups = {at.rpartition("/")[0] for at in part}
        for group in sorted(groups):
            places.setdefault(f"/{group}", []).append(shard.name)
        named = {group: names[group] for group in groups if group in names}
        shard.write_bytes(write_arrays(part, named))
        written.append(shard)
    index = {"metadata": {"total_size": total}, "weight_map": places}
    path.write_bytes(strict_json.encode(index, "The index"))
    return written


def _shards_beside(path: Path) -> list[Path]:
    """Returns the files that an earlier save has written beside an index."""
    stem = path.name.removesuffix(SUFFIX)
    found = path.parent.glob(f"{glob.escape(stem)}_*{_SHARD}")
    return [file for file in found if _OWN.fullmatch(file.name.removeprefix(stem))]


def bytes_of_shards(gigabytes: float) -> float:
    """Returns `max_shard_size` in bytes, checked."""
    return check_positive("save_weights", "max_shard_size", gigabytes) * 1024**3


def check_name(path: Path, largest: float | None) -> None:
    """Raises ConfigError if a name does not go with `max_shard_size`."""
    if path.name.endswith(SUFFIX) != (largest is not None):
        raise ConfigError(
            "save_weights writes an index of files with `max_shard_size`, and only then",
            expected=f"a name that ends in {SUFFIX}, and max_shard_size=5 (GB), say; or neither",
            received=f"{os.fspath(path)!r}, max_shard_size={largest}",
        )


def _parts(arrays: Mapping[str, np.ndarray], largest: float) -> Iterator[dict[str, np.ndarray]]:
    """Yields arrays in their order, as many at a time as fit."""
    part: dict[str, np.ndarray] = {}
    size = 0
    for at, array in arrays.items():
        if part and size + array.nbytes > largest:
            yield part
            part, size = {}, 0
        part[at] = array
        size += array.nbytes
    yield part


def _listed(path: Path) -> list[str]:
    """Returns the names of the files that an index lists, in their order."""
    with open_regular(path) as file, refusing(path, "is no index of weights"):
        places = strict_json.decode(file.read())["weight_map"].values()
        listed = [name for at in places for name in ([at] if isinstance(at, str) else at)]
        names = list(dict.fromkeys(listed))
    for name in names:
        if not isinstance(name, str) or name != os.path.basename(name) or name in ("", ".", ".."):
            raise file_error(
                path, "lists a file that is not beside it", expected="names", received=repr(name)
            )
    if len(names) > _MOST_SHARDS:
        raise file_error(path, "lists too many files", expected=_MOST_SHARDS, received=len(names))
    return names
