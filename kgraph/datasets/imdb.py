"""IMDB: reviews of films, good or bad, as lists of word numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kgraph.datasets.download import RemoteFile, fetch
from kgraph.datasets.ragged_npz import load_ragged
from kgraph.datasets.rows_npz import Split
from kgraph.datasets.word_lists import BASE, WordOptions, read_word_index, shuffled

FILE = RemoteFile(
    "imdb.npz",
    BASE + "imdb.npz",
    "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f",
)
WORDS = RemoteFile(
    "imdb_word_index.json",
    BASE + "imdb_word_index.json",
    md5="bfafd718b763782e994055a2d397834f",  # no SHA-256 is published
)


def load_data(
    path: str = "imdb.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int | None = 3,
) -> Split:
    """Returns 25,000 reviews to train on and 25,000 to test, and whether each is good (1).

    Downloads 17 MB once. Shapes: x `[n]` lists of numbers (`utils.pad_sequences` makes an array of
    them), y `[n]` int64.

    Args:
        path: the name of the file in the cache folder (`~/.kgraph/datasets`), or a full path.
        num_words: words are numbered by how often they occur; only numbers below this one are kept.
        skip_top: numbers below this one are not kept.
        maxlen: only texts of fewer words are returned.
        seed: of the order of texts.
        start_char: number that marks the start of a text; None marks none.
        oov_char: number in the place of words that are not kept; None leaves them out.
        index_from: what is added to the numbers of words.

    Returns:
        `(x_train, y_train), (x_test, y_test)`.

    Raises:
        DataError: if the file cannot be had or is damaged, or no text is short enough.

    Source: A. L. Maas et al., "Learning Word Vectors for Sentiment Analysis", ACL 2011,
    https://ai.stanford.edu/~amaas/data/sentiment/; the file that Keras uses.
    """
    names = ("x_train", "y_train", "x_test", "y_test")
    x_train, y_train, x_test, y_test = load_ragged(fetch(replace(FILE, name=path)), names)
    options = WordOptions(num_words, skip_top, maxlen, start_char, oov_char, index_from)
    random = np.random.RandomState(seed)
    parts = []
    for texts, labels in ((x_train, y_train), (x_test, y_test)):
        order = shuffled(len(texts), random)
        moved = options.moved([texts[i] for i in order])
        parts.append(options.short(moved, labels[order]))
    (texts, y_train), (others, y_test) = parts
    kept = options.limited([*texts, *others])
    return (kept[: len(texts)], y_train), (kept[len(texts) :], y_test)


def get_word_index(path: str = "imdb_word_index.json") -> dict[str, int]:
    """Returns the number of each word; `load_data` adds `index_from` to these.

    Args:
        path: the name of the file in the cache folder (`~/.kgraph/datasets`), or a full path.

    Raises:
        DataError: if the file cannot be had.
    """
    return read_word_index(replace(WORDS, name=path))
