"""Batches of what is in files, read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kgraph.data import RowDataset
from kgraph.utils.indexing import Choice, Indexed

WORKERS = 4
"""Threads that read files ahead of the training."""


class FileDataset(RowDataset):
    """A dataset of files: batches `(contents, labels)`, or contents alone.

    Attributes:
        class_names: the classes in the order of their numbers; None without labels.
        file_paths: the files in the order before the shuffling of the passes.
    """

    class_names: list[str] | None
    file_paths: list[str]

    def __init__(
        self,
        files: Indexed,
        labels: np.ndarray | None,
        read: Callable[[str], Any],
        join: Callable[[Sequence[Any]], Any],
        batch_size: int | None,
        shuffle: bool,
        seed: int,
    ) -> None:
        def take(rows: Any) -> Any:
            if np.ndim(rows):
                contents = join([read(files.paths[row]) for row in rows])
            else:
                contents = read(files.paths[rows])
            return contents if labels is None else (contents, labels[rows])

        super().__init__(len(files.paths), take, batch_size, shuffle, seed, WORKERS)
        self.class_names = files.class_names
        self.file_paths = list(files.paths)


def datasets_of(
    choice: Choice,
    endings: tuple[str, ...],
    read: Callable[[str], Any],
    join: Callable[[Sequence[Any]], Any],
    batch_size: int | None,
) -> Any:
    """Returns the dataset of a folder, or for `subset="both"` a list of two.

    Args:
        choice: the common options.
        endings: of the files.
        read: returns what is in a file.
        join: makes a batch of several of these.
        batch_size: files per batch; None gives them one by one.
    """
    made = []
    for part in choice.index(endings):
        shuffle = choice.shuffle and not (choice.subset == "both" and made)  # validation never is
        labels = choice.encode(part)
        made.append(FileDataset(part, labels, read, join, batch_size, shuffle, choice.seed))
    return made if choice.subset == "both" else made[0]
