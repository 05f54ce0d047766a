"""A vocabulary: special tokens, then the known values, with a weight for each if there are any."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kgraph.errors import ConfigError

_FILE_LIMIT = 64 * 2**20


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """What a lookup layer knows; never changed, only replaced.

    Attributes:
        special: the tokens at the start that stand for no value of their own: mask, then unknown.
        tokens: the values, all different.
        index: finds values among `tokens`; the mask token, if there is one, is at the place after.
        idf_weights: float32, one for each of `special` and `tokens`; or None.
    """

    special: tuple[Any, ...]
    tokens: tuple[Any, ...]
    index: Any
    idf_weights: np.ndarray | None = None

    @property
    def all(self) -> list[Any]:
        return [*self.special, *self.tokens]

    @property
    def size(self) -> int:
        return len(self.special) + len(self.tokens)


def make_vocabulary(
    owner: str,
    given: Sequence[Any],
    special: tuple[Any, ...],
    mask_token: Any,
    make_index: Callable[[Sequence[Any]], Any],
    idf_weights: Any = None,
) -> Vocabulary:
    """Returns the vocabulary of values that a user gives, with or without the special tokens.

    Args:
        owner: whom errors speak of.
        given: the values; those of `special` may come first.
        special: the special tokens that the layer has.
        mask_token: may not be among the values; None if there is none.
        make_index: makes the index of the values.
        idf_weights: one for each of `given`; special tokens that were not given get the mean.

    Raises:
        ConfigError: no values, one of them twice or reserved, or another number of weights.
    """
    has_special = tuple(given[: len(special)]) == special
    tokens = tuple(given[len(special) :]) if has_special else tuple(given)
    if not given:
        raise ConfigError(f"{owner} cannot have an empty vocabulary")
    twice = [token for token, count in Counter(tokens).items() if count > 1]
    if twice:
        raise ConfigError(
            f"{owner} was given values twice", received=", ".join(map(repr, twice[:5]))
        )
    if mask_token is not None and mask_token in tokens:
        raise ConfigError(
            f"{owner} has a special token among the values of its vocabulary",
            expected=f"no special tokens, or first of all exactly {list(special)}",
            received=f"{mask_token!r} at place {list(given).index(mask_token)}",
        )
    weights = None if idf_weights is None else _weights(owner, idf_weights, len(given))
    if weights is not None and not has_special:
        weights = np.concatenate([np.full(len(special), weights.mean(), np.float32), weights])
    searched = tokens if mask_token is None else (*tokens, mask_token)
    return Vocabulary(special, tokens, make_index(searched), weights)


def _weights(owner: str, given: object, count: int) -> np.ndarray:
    weights = np.asarray(given, np.float32)
    if weights.shape != (count,):
        raise ConfigError(
            f"{owner} needs one number in `idf_weights` for each value of the vocabulary",
            expected=f"shape ({count},)",
            received=f"shape {weights.shape}",
        )
    return weights


def read_vocabulary_file(owner: str, path: str | os.PathLike[str]) -> list[str]:
    """Returns the lines of a UTF-8 file of at most 64 MiB.

    Raises:
        ConfigError: it cannot be read, is larger, or has other bytes in it.
    """
    file = Path(path)
    try:
        with file.open("rb") as opened:
            content = opened.read(_FILE_LIMIT + 1)
    except OSError as error:
        raise ConfigError(
            f"{owner} cannot read the file of its vocabulary", received=str(error),
            hint="a vocabulary is a list of values, or a file with one in each line",
        ) from error  # fmt: skip
    if len(content) > _FILE_LIMIT:
        raise ConfigError(
            f"{owner} reads vocabularies of at most {_FILE_LIMIT >> 20} MiB", received=str(file)
        )
    try:
        lines = content.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{owner} reads vocabularies in UTF-8", received=f"{file}: {error}"
        ) from error
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]
