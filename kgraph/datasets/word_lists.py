"""Texts as lists of word numbers: what the loaders of IMDB and Reuters have in common."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kgraph.datasets.download import RemoteFile, fetch
from kgraph.errors import DataError

BASE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"


@dataclass(frozen=True)
class WordOptions:
    """Which words are kept, and how they are numbered; see the loaders."""

    num_words: int | None
    skip_top: int
    maxlen: int | None
    start_char: int | None
    oov_char: int | None
    index_from: int | None

    def moved(self, texts: Sequence[Sequence[int]]) -> list[list[int]]:
        """Returns the texts with numbers from `index_from` on, and the start marked."""
        start = [] if self.start_char is None else [self.start_char]
        by = self.index_from or 0
        return [[*start, *(word + by for word in text)] for text in texts]

    def short(
        self, texts: list[list[int]], labels: np.ndarray
    ) -> tuple[list[list[int]], np.ndarray]:
        """Returns the texts, with their labels, that are shorter than `maxlen`.

        Raises:
            DataError: there is none.
        """
        if not self.maxlen:
            return texts, labels
        kept = [i for i, text in enumerate(texts) if len(text) < self.maxlen]
        if not kept:
            raise DataError(f"No text is shorter than maxlen={self.maxlen} words")
        return [texts[i] for i in kept], labels[kept]

    def limited(self, texts: list[list[int]]) -> np.ndarray:
        """Returns an array of lists, with words out of bounds replaced or left out."""
        most = self.num_words or max(map(max, texts))
        known, other = range(self.skip_top, most), self.oov_char
        made = np.empty(len(texts), object)
        for i, text in enumerate(texts):
            if other is None:
                made[i] = [word for word in text if word in known]
            else:
                made[i] = [word if word in known else other for word in text]
        return made


def shuffled(count: int, random: np.random.RandomState) -> np.ndarray:
    """Returns an order of rows: the same draw as in Keras, so the same split for a seed."""
    order = np.arange(count)
    random.shuffle(order)
    return order


def read_word_index(file: RemoteFile) -> dict[str, int]:
    """Returns the number of each word.

    Raises:
        DataError: the file cannot be had or is no such dict.
    """
    path = fetch(file)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError("This is no word index", at=path, received=error) from error
    if not isinstance(found, dict):
        raise DataError("This is no word index", at=path, received=type(found).__name__)
    return found
