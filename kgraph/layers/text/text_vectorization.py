"""TextVectorization: texts to rows of word numbers, on the host."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from kgraph.checks import check_count
from kgraph.errors import ConfigError, DataError
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import OptionsButName
from kgraph.layers.text.rows import Rows, concatenated, read_rows, texts
from kgraph.layers.text.string_lookup import _TextLookup
from kgraph.layers.text.words import SPLITTERS, STANDARDIZERS, check_function, ngrams_of
from kgraph.types import ArrayLike


class TextVectorization(_TextLookup):
    """Turns each text into the numbers of its words: standardizes, splits, joins n-grams, looks up.

    Works on the host, on NumPy arrays and lists of text; so it is applied to data before `fit`.
    The built-in rules know ASCII alone (as TensorFlow's do): letters like É keep their case, and
    only ASCII punctuation and white space count. Pass a function for more.

    Shapes: texts `[n]` or `[n, 1]` in. "int" gives `[n, length]`, filled with 0 to the longest text
    or to `output_sequence_length`. "multi_hot", "count" and "tf_idf" give `[n, vocabulary]`, and
    "one_hot" `[n, length, vocabulary]`. With `split=None` the last axis holds ready words.
    Dtype: int64 for "int", else the compute dtype.

    Args:
        max_tokens: size of the vocabulary at most, with the padding and the unknown word.
        standardize: "lower_and_strip_punctuation", "lower", "strip_punctuation", None, or a
            function from a flat NumPy array of texts to one of the same length.
        split: "whitespace", "character", None, or a function from a flat NumPy array of n texts to
            n lists of words.
        ngrams: also joins neighbours: up to this many words, or exactly these numbers of words.
        output_mode: "int", "multi_hot", "count", "tf_idf" or "one_hot".
        output_sequence_length: fills or cuts rows to this length; for "int" only.
        pad_to_max_tokens: makes vectors `max_tokens` wide.
        vocabulary: words, or a path to a UTF-8 file with one in each line, read at once.
        idf_weights: for "tf_idf" with a vocabulary: one number for each word.
        sparse, ragged: only False.
        encoding: of bytes.

    Raises:
        ConfigError: options do not fit each other, or the vocabulary does not fit them.
        DataError: (in a call) something is no text, or has too many axes.
        StateError: (in a call) there is no vocabulary yet.
        GraphError: (in a call) the layer is called on a symbolic tensor.

    >>> words = TextVectorization(output_sequence_length=4)
    >>> words.adapt(["The printer is on fire!", "The printer is fine."])
    >>> words.get_vocabulary()
    ['', '[UNK]', 'the', 'printer', 'is', 'on', 'fire', 'fine']
    >>> words(["Is the printer fine?", "Good."])
    array([[4, 2, 3, 7],
           [1, 0, 0, 0]])
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        standardize: Any = "lower_and_strip_punctuation",
        split: Any = "whitespace",
        ngrams: Any = None,
        output_mode: str = "int",
        output_sequence_length: int | None = None,
        pad_to_max_tokens: bool = False,
        vocabulary: ArrayLike | None = None,
        idf_weights: ArrayLike | None = None,
        sparse: bool = False,
        ragged: bool = False,
        encoding: str = "utf-8",
        name: str | None = None,
        **options: Unpack[OptionsButName],
    ) -> None:
        owner = type(self).__name__
        self.standardize = check_function(owner, "standardize", standardize, STANDARDIZERS)
        self.split = check_function(owner, "split", split, SPLITTERS)
        self.ngrams = _widths(owner, ngrams)
        self.encoding = encoding
        self.output_sequence_length = output_sequence_length
        if ragged:
            raise ConfigError(
                f"{owner} cannot have ragged=True",
                hint="rows are filled with 0; output_sequence_length says how wide they are",
            )
        super().__init__(
            max_tokens=max_tokens, num_oov_indices=1, mask_token="", oov_token="[UNK]",
            vocabulary=vocabulary, idf_weights=idf_weights, output_mode=output_mode,
            pad_to_max_tokens=pad_to_max_tokens, sparse=sparse, name=name, **options,
        )  # fmt: skip
        if output_sequence_length is not None:
            check_count(owner, "output_sequence_length", output_sequence_length)
            if self.output_mode != "int":
                raise ConfigError(
                    f'{owner} takes `output_sequence_length` with output_mode="int" only',
                    received=f"output_mode={output_mode!r}",
                )

    def adapt(  # type: ignore[override]  # Keras' order of parameters
        self, data: Any, batch_size: int | None = None, steps: int | None = None
    ) -> None:
        """Learns the vocabulary from texts; see `StringLookup.adapt`.

        Args:
            data: texts, or a dataset of batches of texts.
            batch_size: has no effect; Keras has the parameter here.
            steps: how many batches to read at most.
        """
        super().adapt(data, steps)

    def read(self, inputs: Any) -> Rows:
        rows = read_rows(label_of(self), inputs)
        values = texts(label_of(self), rows.values, self.encoding)
        if isinstance(self.standardize, str):
            values = STANDARDIZERS[self.standardize](values)
        elif self.standardize is not None:
            values = texts(label_of(self), np.asarray(self.standardize(_array(values))).ravel())
            self._check_number("standardize", len(values), len(rows.values))
        rows = Rows(values, rows.shape, rows.lengths)
        if self.split is not None:
            rows = self._split_rows(rows)
        if self.ngrams is None:
            return rows
        joined = concatenated([ngrams_of(row, self.ngrams) for row in rows.split()])
        lengths = None if rows.lengths is None else joined.lengths
        return Rows(joined.values, (*rows.shape[:-1], *joined.shape[1:]), lengths)

    def _split_rows(self, rows: Rows) -> Rows:
        if len(rows.shape) > 2 or (len(rows.shape) == 2 and rows.shape[1] != 1):
            raise DataError(
                f"{label_of(self)} splits texts, one in each row",
                expected="shape [n] or [n, 1]",
                received=list(rows.shape),
                hint="words that are split already need split=None",
            )
        if isinstance(self.split, str):
            made = SPLITTERS[self.split](rows.values)
        else:
            made = [texts(label_of(self), words) for words in self.split(_array(rows.values))]
            self._check_number("split", len(made), len(rows.values))
        found = concatenated(made)
        return Rows(found.values, found.shape[1:]) if rows.shape == () else found

    def _check_number(self, option: str, given: int, wanted: int) -> None:
        if given != wanted:
            raise DataError(
                f"The function `{option}` of {label_of(self)} gave another number of items",
                expected=wanted,
                received=given,
            )

    def call(self, inputs: Any) -> np.ndarray:
        self.refuse_traced(inputs)
        rows = self.read(inputs)
        if self.output_mode != "int":
            return self.encoded(rows)
        return rows.padded(self.numbers(rows.values), self.output_sequence_length)


def _array(values: list[str]) -> np.ndarray:
    """Returns texts as functions of `np.strings` take them."""
    return np.array(values, dtype=np.str_)


def _widths(owner: str, ngrams: Any) -> tuple[int, ...] | None:
    if ngrams is None:
        return None
    if isinstance(ngrams, (list, tuple)):
        return tuple(check_count(owner, "ngrams", width) for width in ngrams)
    return tuple(range(1, check_count(owner, "ngrams", ngrams) + 1))
