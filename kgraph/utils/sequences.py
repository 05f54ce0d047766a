"""Sequences of different lengths as one array."""

from __future__ import annotations

from collections import abc
from typing import Any

import numpy as np

from kgraph.data import PyDataset
from kgraph.errors import ConfigError, DataError, check_choice
from kgraph.types import ArrayLike, DTypeLike

Sequence = PyDataset
"""The name that PyDataset once had in Keras."""

_SIDES = ("pre", "post")


def pad_sequences(
    sequences: abc.Sequence[Any],
    maxlen: int | None = None,
    dtype: DTypeLike = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: object = 0.0,
) -> np.ndarray:
    """Returns sequences as rows of one array, the short ones padded and the long ones cut.

    Shapes: n sequences of `[length, ...]` in, `[n, maxlen, ...]` out.

    Args:
        sequences: lists or arrays; the first axis of each may have any length.
        maxlen: length of the result, by default that of the longest sequence.
        dtype: of the result; `object` for strings.
        padding: which end of a short sequence is filled: `"pre"` or `"post"`.
        truncating: which end of a long sequence is cut off: `"pre"` or `"post"`.
        value: what is filled in.

    Raises:
        ConfigError: an option has another value, or `value` does not fit the dtype.
        DataError: something is not a sequence, or the items differ in shape.

    >>> pad_sequences([[1], [2, 3, 4]], maxlen=2).tolist()
    [[0, 1], [3, 4]]
    """
    check_choice("pad_sequences", "padding", padding, _SIDES)
    check_choice("pad_sequences", "truncating", truncating, _SIDES)
    if isinstance(value, str) and np.dtype(dtype).kind not in "OUS":
        raise ConfigError(
            "pad_sequences cannot fill in a text here",
            received=f"value={value!r}, dtype={np.dtype(dtype).name}",
            hint="dtype=object",
        )
    lengths = [_length(sequence, i) for i, sequence in enumerate(_checked(sequences))]
    longest = max(lengths, default=0) if maxlen is None else maxlen
    first = next((s for s, length in zip(sequences, lengths) if length), ())
    item_shape = np.asarray(first, dtype=dtype).shape[1:]
    padded = np.full((len(lengths), longest, *item_shape), value, dtype=dtype)
    for i, (sequence, length) in enumerate(zip(sequences, lengths)):
        kept = min(length, longest)
        if not kept:
            continue
        cut = sequence[length - kept :] if truncating == "pre" else sequence[:kept]
        items = np.asarray(cut, dtype=dtype)
        if items.shape[1:] != item_shape:
            raise DataError(
                f"Sequence {i} has items of another shape",
                expected=f"{item_shape}, as in the first one",
                received=items.shape[1:],
            )
        place = slice(kept) if padding == "post" else slice(longest - kept, None)
        padded[i, place] = items
    return padded


def _checked(sequences: ArrayLike) -> Any:
    if not hasattr(sequences, "__len__"):
        raise DataError(
            "pad_sequences takes a list of sequences", received=type(sequences).__name__
        )
    return sequences


def _length(sequence: Any, index: int) -> int:
    if not hasattr(sequence, "__len__"):
        raise DataError(
            f"Sequence {index} is no sequence",
            expected="a list or an array",
            received=repr(sequence)[:80],
        )
    return len(sequence)
