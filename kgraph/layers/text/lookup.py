"""What StringLookup, IntegerLookup and TextVectorization share: a vocabulary, and its numbers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import islice
from typing import Any, ClassVar, Unpack

import numpy as np

from kgraph.checks import check_count
from kgraph.errors import ConfigError, DataError, NotYetError, StateError, check_choice
from kgraph.layers.base import Layer
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.preprocessing.adapting import items, not_adapted
from kgraph.layers.preprocessing.fingerprint import fingerprint, keyed_hash
from kgraph.layers.preprocessing.hashed_text import Readable, hash_on_host
from kgraph.layers.text.counting import Counts
from kgraph.layers.text.encode import bags, one_hot
from kgraph.layers.text.rows import Rows
from kgraph.layers.text.vocabulary import Vocabulary, make_vocabulary, read_vocabulary_file
from kgraph.types import ArrayLike, Config

_MODES = ("int", "one_hot", "multi_hot", "count", "tf_idf")
_OLD_MODES = {"binary": "multi_hot", "tf-idf": "tf_idf"}

_MOST_PLACES = 2**20


class _Lookup(Layer):
    """Base of layers with a vocabulary.

    The numbers of values: with output "int" the mask is 0 (if there is one); then come the places
    for unknown values, then the vocabulary. In the other outputs the mask has no place.

    A subclass writes `read` (what users pass, as flat values), `plain` (one value of a vocabulary,
    checked), `make_index` and `value_dtype`.
    """

    autocast = False
    make_index: ClassVar[type]
    value_dtype: ClassVar[type] = object

    def __init__(
        self,
        *,
        max_tokens: int | None,
        num_oov_indices: int,
        mask_token: Any,
        oov_token: Any,
        vocabulary: ArrayLike | None,
        idf_weights: ArrayLike | None,
        output_mode: str,
        sparse: bool,
        pad_to_max_tokens: bool,
        invert: bool = False,
        salt: int | Sequence[int] | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**{"autocast": False, **options})
        name = type(self).__name__
        self.output_mode = _OLD_MODES.get(output_mode, output_mode)
        check_choice(name, "output_mode", self.output_mode, _MODES)
        self.num_oov_indices = check_count(
            name, "num_oov_indices", num_oov_indices, least=0, most=_MOST_PLACES
        )
        self.mask_token = None if mask_token is None else self.plain(mask_token)
        self.oov_token = None if oov_token is None else self.plain(oov_token)
        self.invert, self.pad_to_max_tokens = bool(invert), bool(pad_to_max_tokens)
        self.max_tokens = max_tokens
        self.salt = _salt(name, salt)
        if max_tokens is not None:
            check_count(name, "max_tokens", max_tokens, least=len(self._special) + 1)
        self._check_options(name, sparse, vocabulary, idf_weights)
        self._vocabulary: Vocabulary | None = None
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)

    def _check_options(self, name: str, sparse: bool, vocabulary: Any, idf_weights: Any) -> None:
        wrong = None
        if sparse:
            wrong = "sparse=True", "JAX has no sparse tensors that layers take; leave it False"
        elif self.pad_to_max_tokens and self.max_tokens is None:
            wrong = "pad_to_max_tokens=True without `max_tokens`", "say how wide: max_tokens=..."
        elif self.invert and self.output_mode != "int":
            wrong = f"invert=True with output_mode={self.output_mode!r}", 'use output_mode="int"'
        elif idf_weights is not None and (self.output_mode != "tf_idf" or vocabulary is None):
            wrong = (
                "`idf_weights` without a vocabulary and output_mode 'tf_idf'",
                "weights belong to the values of a vocabulary; `adapt` learns both",
            )
        if wrong is not None:
            raise ConfigError(f"{name} cannot have {wrong[0]}", hint=wrong[1])

    # --- what a subclass writes ------------------------------------------------------------------

    def read(self, inputs: Any) -> Rows:
        """Returns what a user passes as rows of values."""
        raise TypeError(f"{type(self).__name__} has to define read")

    def plain(self, value: object) -> Any:
        """Returns a value of a vocabulary as str or int."""
        raise TypeError(f"{type(self).__name__} has to define plain")

    def bucket(self, values: np.ndarray) -> np.ndarray:
        """Returns a number below `num_oov_indices` for each unknown value."""
        return (hash_on_host(values, self.hash) % np.uint64(self.num_oov_indices)).astype(np.int64)

    def hash(self, text: Readable) -> Any:
        """Returns the hash by which unknown values share several places: that of Keras."""
        return fingerprint(text) if self.salt is None else keyed_hash(text, self.salt)

    # --- vocabulary ------------------------------------------------------------------------------

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Learns the vocabulary from data: the most frequent values, in place of those before.

        Equally frequent values are ordered from the largest to the smallest. For "tf_idf" the
        weights are learned as well; a row (a single value, where rows are none) is a document.

        Args:
            data: an array, nested lists, or a dataset of batches; of batches (x, y) x is read.
            steps: how many batches to read at most; needed for datasets without end.

        Raises:
            DataError: there is no value in the data, or something that cannot be read.
            StateError: the layer is part of a graph.
        """
        counts = Counts(by_document=self.output_mode == "tf_idf")
        for item in islice(items(label_of(self), data, steps), steps):
            x = item[0] if isinstance(item, tuple) and item is not data else item
            counts.add(_as_documents(self.read(x)))
        limit = None if self.max_tokens is None else self.max_tokens - len(self._special)
        tokens = counts.ranked({self.mask_token, self.oov_token}, limit)
        if not tokens:
            raise DataError(
                f"{label_of(self)} found no value to learn in the data",
                expected="at least one, besides the special tokens",
                hint="a generator that was used before has nothing left; make a new one",
            )
        weights = counts.idf_weights(tokens) if counts.containing is not None else None
        self._use(tokens, weights)

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Sets the vocabulary, in place of the one before.

        Args:
            vocabulary: the values, with or without the special tokens first; or a path to a UTF-8
                file with one in each line, which is read now.
            idf_weights: one number for each value given; with output_mode "tf_idf" only.

        Raises:
            ConfigError: the values are not of one kind, not different, or too many.
            StateError: the layer is part of a graph.
        """
        if (idf_weights is not None) != (self.output_mode == "tf_idf"):
            raise ConfigError(
                f"{label_of(self)} takes `idf_weights` with output_mode 'tf_idf', and only then",
                received=f"output_mode={self.output_mode!r} and "
                f"{'no ' if idf_weights is None else ''}idf_weights",
            )
        if isinstance(vocabulary, (str, os.PathLike)):
            vocabulary = read_vocabulary_file(label_of(self), vocabulary)
        self._use([self.plain(value) for value in _listed(vocabulary)], idf_weights)

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        """Returns the vocabulary as a list, in which a value's place is its number."""
        if self._vocabulary is None:
            return list(self._special) if include_special_tokens else []
        return self._vocabulary.all if include_special_tokens else list(self._vocabulary.tokens)

    def vocabulary_size(self) -> int:
        """Returns the length of the vocabulary with its special tokens."""
        return len(self.get_vocabulary())

    @property
    def _special(self) -> tuple[Any, ...]:
        mask = self.mask_token is not None and self.output_mode == "int"
        return ((self.mask_token,) if mask else ()) + (self.oov_token,) * self.num_oov_indices

    @property
    def first_unknown(self) -> int:
        """The first number of unknown values."""
        return len(self._special) - self.num_oov_indices

    @property
    def mask_number(self) -> int:
        """The number of the mask; -1 where it has no place."""
        return 0 if self.first_unknown else -1

    @property
    def known(self) -> Vocabulary:
        """The vocabulary; a StateError says so if there is none yet."""
        if self._vocabulary is None:
            raise not_adapted(label_of(self), "call adapt(data), or pass vocabulary=[...]")
        return self._vocabulary

    @property
    def depth(self) -> int:
        """Size of the vectors that the layer gives, in all outputs but "int"."""
        padded = self.max_tokens if self.pad_to_max_tokens else None
        return padded or self.known.size

    def _use(self, tokens: list[Any], idf_weights: Any) -> None:
        if self._kgraph.call() is not None:
            raise StateError(
                f"{label_of(self)} is part of a graph, so its vocabulary cannot change",
                hint="adapt the layer first, and then call it on the Input",
            )
        self._vocabulary = self._made(tokens, idf_weights)

    def restore_vocabulary(self, lines: Sequence[str]) -> None:
        """Sets the vocabulary that Keras' files keep beside a layer, one value in each line."""
        self._vocabulary = self._made([self.plain(line) for line in lines])

    def _made(self, tokens: list[Any], idf_weights: Any = None) -> Vocabulary:
        made = make_vocabulary(
            label_of(self), tokens, self._special, self.mask_token, self.make_index, idf_weights
        )
        if self.invert and self.oov_token in made.tokens:
            raise ConfigError(
                f"{label_of(self)} has its oov_token among the values",
                received=repr(self.oov_token),
            )
        if self.max_tokens is not None and made.size > self.max_tokens:
            raise ConfigError(
                f"{label_of(self)} has room for {self.max_tokens} tokens",
                expected=f"at most max_tokens={self.max_tokens}, special tokens included",
                received=made.size,
            )
        return made

    # --- numbers ---------------------------------------------------------------------------------

    def numbers(self, values: Any) -> np.ndarray:
        """Returns the number of each value on the host; -1 for a mask that has no place.

        Raises:
            DataError: a value is unknown, and there is no place for unknown ones.
        """
        known = self.known
        places = known.index.find(values)
        unknown = places < 0
        found = np.where(unknown, self.first_unknown, places + len(known.special))
        found[places == len(known.tokens)] = self.mask_number
        if unknown.any() and self.num_oov_indices != 1:
            strange = np.array(values, self.value_dtype)[unknown]
            if not self.num_oov_indices:
                raise self.no_place_for(strange.tolist())
            found[unknown] += self.bucket(strange)
        return found

    def no_place_for(self, values: Sequence[object]) -> DataError:
        """Returns the error for unknown values that have no place."""
        shown = ", ".join(repr(value) for value in list(dict.fromkeys(values))[:5])
        return DataError(
            f"{label_of(self)} does not know {len(values)} of the values",
            expected="values of the vocabulary, since num_oov_indices=0",
            received=shown,
            hint="num_oov_indices=1 gives unknown values a place",
        )

    def encoded(self, rows: Rows) -> np.ndarray:
        """Returns what the layer gives for these values, in all outputs but "int"."""
        ids, dtype = self.numbers(rows.values), np.dtype(self.compute_dtype)
        if self.output_mode == "one_hot":
            return one_hot(rows, ids, self.depth, dtype)
        made = bags(rows, ids, self.depth, count=self.output_mode != "multi_hot")
        if self.output_mode == "tf_idf":
            made *= self.idf_weights
        return made.astype(dtype, copy=False)

    def values_of(self, ids: np.ndarray) -> np.ndarray:
        """Returns the values that have these numbers; those of no value give the oov_token."""
        table = np.array([*self.known.all, self.oov_token], self.value_dtype)
        return table[np.where((ids >= 0) & (ids < len(table)), ids, -1)]

    @property
    def idf_weights(self) -> np.ndarray:
        """The weights of "tf_idf", one for each place of the output; padding has 0."""
        weights = self.known.idf_weights
        if weights is None:
            raise NotYetError(
                f"{label_of(self)} has no idf_weights", hint='they belong to "tf_idf"'
            )
        return np.pad(weights, (0, self.depth - len(weights)))

    # --- config ----------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Returns the options, with the vocabulary as it is now (never as a path)."""
        config, known = super().get_config(), self._vocabulary
        weights = None if known is None else known.idf_weights
        config["vocabulary"] = None if known is None else known.all
        config["idf_weights"] = None if weights is None else weights.tolist()
        return config

    @classmethod
    def from_config(cls, config: Config) -> Any:
        """Makes a layer from `get_config`'s result. Reads no file, whatever the config says."""
        if isinstance(config.get("vocabulary"), str):
            raise ConfigError(
                f"A config of {cls.__name__} holds its vocabulary itself, never a path to it",
                received=repr(config["vocabulary"]),
            )
        return super().from_config(config)


def _salt(name: str, salt: Any) -> tuple[int, int] | None:
    if salt is None:
        return None
    parts = tuple(salt) if isinstance(salt, (list, tuple)) else (salt, salt)
    if len(parts) != 2:
        raise ConfigError(f"{name} takes one or two numbers as `salt`", received=repr(salt))
    return check_count(name, "salt", parts[0], 0), check_count(name, "salt", parts[1], 0)


def _listed(vocabulary: Any) -> list[Any]:
    return vocabulary.tolist() if hasattr(vocabulary, "tolist") else list(vocabulary)


def _as_documents(rows: Rows) -> Rows:
    """Returns rows in which the values of a plain list are rows of their own."""
    return Rows(rows.values, (*rows.shape, 1)) if len(rows.shape) == 1 else rows
