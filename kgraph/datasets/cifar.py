"""The archives of CIFAR-10 and CIFAR-100: tar files of pickled batches."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kgraph import config
from kgraph.datasets.inert_pickle import load_arrays
from kgraph.errors import DataError

_SIDE = 32


def read_members(archive: Path, names: Sequence[str]) -> list[bytes]:
    """Returns the contents of some files of a `.tar.gz`, read in memory; nothing is extracted.

    Raises:
        DataError: if the archive is damaged or a file is missing.
    """
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:  # one way through: going back would decompress from the start
                if member.name in names and (file := tar.extractfile(member)):
                    found[member.name] = file.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError("The archive is damaged", at=archive, received=error) from error
    if missing := [name for name in names if name not in found]:
        raise DataError(f"The archive has no {', '.join(missing)}", at=archive)
    return [found[name] for name in names]


def read_batches(
    archive: Path, names: Sequence[str], label_key: str
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images and labels of some batches of an archive.

    Shapes: images `[n, 32, 32, 3]` uint8 (`[n, 3, 32, 32]` if `config.image_data_format()` is
    `"channels_first"`); labels `[n, 1]` uint8.

    Raises:
        DataError: if the archive is damaged or not one of CIFAR's.
    """
    images, labels = [], []
    for name, contents in zip(names, read_members(archive, names)):
        batch = load_arrays(contents, name)
        data, numbers = batch.get("data"), batch.get(label_key, [])
        if not isinstance(data, np.ndarray) or np.shape(numbers) != (len(data),):
            raise DataError(
                f"{name} is not a CIFAR batch",
                at=archive,
                expected=f"'data' and as many '{label_key}'",
                received=", ".join(batch),
            )
        images.append(data.reshape(-1, 3, _SIDE, _SIDE))
        labels.append(np.asarray(numbers, np.uint8).reshape(-1, 1))
    pixels = np.concatenate(images)
    if config.image_data_format() == "channels_last":
        pixels = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
    return pixels, np.concatenate(labels)
