"""Texts from a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from kgraph.errors import DataError
from kgraph.utils.file_dataset import datasets_of
from kgraph.utils.indexing import choose
from kgraph.utils.tensorflow_data import check_format, in_format


def text_dataset_from_directory(
    directory: str | os.PathLike[str],
    labels: str | Sequence[int] | None = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    batch_size: int | None = 32,
    max_length: int | None = None,
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    follow_links: bool = False,
    format: str | None = None,
    verbose: bool = True,
) -> Any:
    """Returns a dataset of the `.txt` files in a folder.

    Batches are `(texts, labels)`, or texts alone; texts are a list of strings. Models take numbers:
    `dataset.map(lambda texts, labels: (vectorize(texts), labels))` makes them.

    Args:
        directory: with a subfolder for each class, if labels are inferred. Files may be deeper.
        labels, label_mode, class_names, batch_size, shuffle, seed, validation_split, subset,
            follow_links, format, verbose: as in `image_dataset_from_directory`.
        max_length: characters of a text that are kept; None keeps all.

    Returns:
        A dataset as that of `image_dataset_from_directory`.

    Raises:
        ConfigError: an option has another value, or options do not fit each other.
        DataError: there are no files; or, when a batch is asked for, one is not UTF-8.
    """
    owner = "text_dataset_from_directory"
    check_format(owner, format)

    def read(path: str) -> str:
        try:
            with open(path, encoding="utf-8") as file:
                return file.read(max_length)
        except UnicodeDecodeError as error:
            raise DataError("This text is not UTF-8", at=path, received=error) from error

    choice = choose(
        owner, directory, labels, label_mode, class_names, shuffle, seed, validation_split,
        subset, follow_links, verbose,
    )  # fmt: skip
    return in_format(owner, format, datasets_of(choice, (".txt",), read, list, batch_size))
