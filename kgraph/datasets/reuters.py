"""Reuters: news of 46 topics, as lists of word numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kgraph.datasets.download import RemoteFile, fetch
from kgraph.datasets.ragged_npz import load_ragged
from kgraph.datasets.rows_npz import Split
from kgraph.datasets.word_lists import BASE, WordOptions, read_word_index, shuffled
from kgraph.errors import DataError

FILE = RemoteFile(
    "reuters.npz",
    BASE + "reuters.npz",
    "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916",
)
WORDS = RemoteFile(
    "reuters_word_index.json",
    BASE + "reuters_word_index.json",
    md5="4d44cc38712099c9e383dc6e5f11a921",  # no SHA-256 is published
)
LABELS = (
    "cocoa", "grain", "veg-oil", "earn", "acq", "wheat", "copper", "housing", "money-supply",
    "coffee", "sugar", "trade", "reserves", "ship", "cotton", "carcass", "crude", "nat-gas", "cpi",
    "money-fx", "interest", "gnp", "meal-feed", "alum", "oilseed", "gold", "tin",
    "strategic-metal", "livestock", "retail", "ipi", "iron-steel", "rubber", "heat", "jobs", "lei",
    "bop", "zinc", "orange", "pet-chem", "dlr", "gas", "silver", "wpi", "hog", "lead",
)  # fmt: skip


def load_data(
    path: str = "reuters.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    test_split: float = 0.2,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int | None = 3,
) -> Split:
    """Returns 11,228 news and the number of the topic of each, split into training and test.

    Downloads 2 MB once. Shapes: x `[n]` lists of numbers (`utils.pad_sequences` makes an array of
    them), y `[n]` int64.

    Args:
        path: the name of the file in the cache folder (`~/.kgraph/datasets`), or a full path.
        num_words: words are numbered by how often they occur; only numbers below this one are kept.
        skip_top: numbers below this one are not kept.
        maxlen: only texts of fewer words are returned.
        test_split: part of the texts for the test, at least 0 and below 1.
        seed: of the order of texts.
        start_char: number that marks the start of a text; None marks none.
        oov_char: number in the place of words that are not kept; None leaves them out.
        index_from: what is added to the numbers of words.

    Returns:
        `(x_train, y_train), (x_test, y_test)`.

    Raises:
        DataError: if the file cannot be had or is damaged, `test_split` is out of range, or no text
            is short enough.

    Source: D. D. Lewis, "Reuters-21578", https://doi.org/10.24432/C52G6M; the file that Keras uses.
    """
    if not 0 <= test_split < 1:
        raise DataError("`test_split` is at least 0 and below 1", received=repr(test_split))
    texts, labels = load_ragged(fetch(replace(FILE, name=path)), ("x", "y"))
    options = WordOptions(num_words, skip_top, maxlen, start_char, oov_char, index_from)
    order = shuffled(len(texts), np.random.RandomState(seed))
    moved, y = options.short(options.moved([texts[i] for i in order]), labels[order])
    x = options.limited(moved)
    held = int(len(x) * (1 - test_split))
    return (x[:held], y[:held]), (x[held:], y[held:])


def get_word_index(path: str = "reuters_word_index.json") -> dict[str, int]:
    """Returns the number of each word; `load_data` adds `index_from` to these.

    Args:
        path: the name of the file in the cache folder (`~/.kgraph/datasets`), or a full path.

    Raises:
        DataError: if the file cannot be had.
    """
    return read_word_index(replace(WORDS, name=path))


def get_label_names() -> tuple[str, ...]:
    """Returns the names of the topics by their numbers.

    Source: the order of the file, found by M. Thoma, https://martin-thoma.com/nlp-reuters/.

    >>> get_label_names()[3]
    'earn'
    """
    return LABELS
