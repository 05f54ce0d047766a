"""StringLookup: categories to numbers and back, on the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Unpack

import numpy as np

from kgraph.errors import ConfigError
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import OptionsButName
from kgraph.layers.text.host import _HostLayer
from kgraph.layers.text.index import TextIndex
from kgraph.layers.text.lookup import _Lookup
from kgraph.layers.text.rows import Rows, integers, read_rows, texts
from kgraph.types import ArrayLike


class _TextLookup(_HostLayer, _Lookup):
    """Base of the layers whose vocabulary is text."""

    make_index = TextIndex
    encoding: str = "utf-8"

    def plain(self, value: object) -> str:
        if isinstance(value, bytes):
            return value.decode(self.encoding)
        if not isinstance(value, str):
            raise ConfigError(
                f"{type(self).__name__} takes text as tokens",
                expected="str",
                received=f"{value!r} ({type(value).__name__})",
            )
        return str(value)


class StringLookup(_TextLookup):
    """Gives each text of a vocabulary a number, or the other way round.

    Works on the host, on NumPy arrays of text (of any text dtype, objects or bytes), pandas series
    and nested lists; so it is applied to data before `fit`, not inside a model.

    Shapes: "int" keeps the shape. "one_hot" appends an axis for the vocabulary (in the place of a
    last axis of size 1). "multi_hot", "count" and "tf_idf" have it in the place of the last axis,
    and take lists of different lengths.
    Dtype: int64 for "int"; `invert` gives an array of str objects; else the compute dtype.

    Args:
        max_tokens: size of the vocabulary at most, with its special tokens.
        num_oov_indices: places for unknown texts. With several a text goes to one of them by its
            hash (FarmHash, or SipHash with `salt`); with 0 an unknown text is an error.
        mask_token: the text of padding. "int" gives it 0; the other outputs leave it out.
        oov_token: stands for unknown texts in the vocabulary and in what `invert` gives.
        vocabulary: texts, or a path to a UTF-8 file with one in each line, read at once.
        idf_weights: for "tf_idf" with a vocabulary: one number for each text.
        invert: whether numbers come in and texts go out.
        output_mode: "int", "one_hot", "multi_hot", "count" or "tf_idf".
        pad_to_max_tokens: makes vectors `max_tokens` wide.
        sparse: only False.
        encoding: of bytes.
        salt: one or two numbers for the hash.

    Raises:
        ConfigError: options do not fit each other, or the vocabulary does not fit them.
        DataError: (in a call) something is no text, or unknown while there is no place for it.
        StateError: (in a call) there is no vocabulary yet.
        GraphError: (in a call) the layer is called on a symbolic tensor.

    >>> tags = StringLookup(output_mode="multi_hot")
    >>> tags.adapt([["printer", "office"], ["printer"]])
    >>> tags.get_vocabulary()
    ['[UNK]', 'printer', 'office']
    >>> tags([["office", "printer"], ["window"]])
    array([[0., 1., 1.],
           [1., 0., 0.]], dtype=float32)
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: str | None = None,
        oov_token: str | None = "[UNK]",
        vocabulary: ArrayLike | None = None,
        idf_weights: ArrayLike | None = None,
        invert: bool = False,
        output_mode: str = "int",
        pad_to_max_tokens: bool = False,
        sparse: bool = False,
        encoding: str = "utf-8",
        name: str | None = None,
        salt: int | Sequence[int] | None = None,
        **options: Unpack[OptionsButName],
    ) -> None:
        self.encoding = encoding
        super().__init__(
            max_tokens=max_tokens, num_oov_indices=num_oov_indices, mask_token=mask_token,
            oov_token=oov_token, vocabulary=vocabulary, idf_weights=idf_weights, invert=invert,
            output_mode=output_mode, pad_to_max_tokens=pad_to_max_tokens, sparse=sparse, salt=salt,
            name=name, **options,
        )  # fmt: skip

    def read(self, inputs: Any) -> Rows:
        rows = read_rows(label_of(self), inputs)
        return replace(rows, values=texts(label_of(self), rows.values, self.encoding))

    def call(self, inputs: Any) -> np.ndarray:
        self.refuse_traced(inputs)
        if self.invert:
            rows = read_rows(label_of(self), inputs).rectangular(label_of(self))
            return self.values_of(integers(label_of(self), rows.values)).reshape(rows.shape)
        rows = self.read(inputs)
        if self.output_mode != "int":
            return self.encoded(rows)
        return self.numbers(rows.rectangular(label_of(self)).values).reshape(rows.shape)
