"""IntegerLookup: any integers to small numbers and back, on the host and in graphs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from kgraph.data.arrays import is_jax_array
from kgraph.errors import ConfigError, DataError, GraphError, check_choice
from kgraph.graph.structure import leaves
from kgraph.graph.symbol import SymbolicTensor
from kgraph.layers.base.core import label_of
from kgraph.layers.base.on_tensorflow import has_tensors
from kgraph.layers.base.options import OptionsButName
from kgraph.layers.preprocessing.encoding import encode
from kgraph.layers.preprocessing.hashed_text import Decimal
from kgraph.layers.text.index import IntegerIndex
from kgraph.layers.text.lookup import _Lookup
from kgraph.layers.text.rows import Rows, integers, read_rows
from kgraph.types import Array, ArrayLike


class IntegerLookup(_Lookup):
    """Gives each integer of a vocabulary a small number, or the other way round.

    NumPy arrays and lists are looked up on the host, exactly (64 bits), and give NumPy arrays. JAX
    arrays and symbolic tensors are looked up by traced code, so the layer can be part of a model
    once its vocabulary is known; there integers have 32 bits, unless JAX is set to 64.

    Shapes: "int" keeps the shape. "one_hot" appends an axis for the vocabulary (in the place of a
    last axis of size 1). "multi_hot", "count" and "tf_idf" have it in the place of the last axis,
    and take (on the host) lists of different lengths.
    Dtype: integers for "int" and `invert`, else the compute dtype.

    In compiled code nothing can be raised: with `num_oov_indices=0` an unknown value there gets the
    number past the end, which an Embedding reads as NaN. Inputs of a model are checked before.

    Args:
        max_tokens: size of the vocabulary at most, with its special tokens.
        num_oov_indices: places for unknown values; with 0 an unknown value is an error.
        mask_token: the value of padding. "int" gives it 0; the other outputs leave it out.
        oov_token: stands for unknown values in the vocabulary and in what `invert` gives.
        vocabulary: integers, or a path to a file with one in each line, read at once.
        vocabulary_dtype: only "int64".
        idf_weights: for "tf_idf" with a vocabulary: one number for each value.
        invert: whether the small numbers come in and the values go out.
        output_mode: "int", "one_hot", "multi_hot", "count" or "tf_idf".
        sparse: only False.
        pad_to_max_tokens: makes vectors `max_tokens` wide.
        oov_method: which of several places an unknown value gets: "floormod", the rest of dividing
            by their number; or "farmhash", a hash of its digits.
        salt: one or two numbers for the hash, which then is SipHash.

    Raises:
        ConfigError: options do not fit each other, or the vocabulary does not fit them.
        DataError: (in a call) something is no integer, or unknown while there is no place for it.
        StateError: (in a call) there is no vocabulary yet.
        GraphError: (in a call) values of the vocabulary need more than 32 bits in a graph.

    >>> years = IntegerLookup(vocabulary=[1999, 2024])
    >>> years([[2024, 7], [1999, 1999]])
    array([[2, 0],
           [1, 1]])
    """

    make_index = IntegerIndex
    value_dtype = np.int64

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: int | None = None,
        oov_token: int = -1,
        vocabulary: ArrayLike | None = None,
        vocabulary_dtype: str = "int64",
        idf_weights: ArrayLike | None = None,
        invert: bool = False,
        output_mode: str = "int",
        sparse: bool = False,
        pad_to_max_tokens: bool = False,
        oov_method: str = "floormod",
        salt: int | Sequence[int] | None = None,
        name: str | None = None,
        **options: Unpack[OptionsButName],
    ) -> None:
        check_choice("IntegerLookup", "vocabulary_dtype", vocabulary_dtype, ["int64"])
        check_choice("IntegerLookup", "oov_method", oov_method, ["floormod", "farmhash"])
        if salt is not None and oov_method != "farmhash":
            raise ConfigError('IntegerLookup takes `salt` with oov_method="farmhash" only')
        self.oov_method = oov_method
        super().__init__(
            max_tokens=max_tokens, num_oov_indices=num_oov_indices, mask_token=mask_token,
            oov_token=oov_token, vocabulary=vocabulary, idf_weights=idf_weights, invert=invert,
            output_mode=output_mode, pad_to_max_tokens=pad_to_max_tokens, sparse=sparse, salt=salt,
            name=name, **options,
        )  # fmt: skip

    # --- vocabulary ------------------------------------------------------------------------------

    def read(self, inputs: Any) -> Rows:
        rows = read_rows(label_of(self), inputs)
        return replace(rows, values=integers(label_of(self), rows.values))

    def plain(self, value: Any) -> int:
        try:
            number = int(value)  # lines of a file are text
            whole = isinstance(value, str) or (number == value and -(2**63) <= number < 2**63)
        except (TypeError, ValueError):
            number, whole = 0, False
        if not whole:
            raise ConfigError(
                "IntegerLookup takes integers of 64 bits as values",
                received=f"{value!r} ({type(value).__name__})",
            )
        return number

    def bucket(self, values: np.ndarray) -> np.ndarray:
        floormod = self.oov_method == "floormod"
        return np.mod(values, self.num_oov_indices) if floormod else super().bucket(values)

    # --- calling ---------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = list(leaves([args, kwargs]))
        elsewhere = any(isinstance(item, SymbolicTensor) or is_jax_array(item) for item in given)
        if self._kgraph.context is not None or elsewhere or has_tensors(args, kwargs):
            return super().__call__(*args, **kwargs)
        return self._on_host(*args, **kwargs)

    def _on_host(self, inputs: Any) -> np.ndarray:
        rows = self.read(inputs)
        if self.output_mode != "int":
            return self.encoded(rows)
        rows = rows.rectangular(label_of(self))
        found = self.values_of(rows.values) if self.invert else self.numbers(rows.values)
        return found.reshape(rows.shape)

    def _kgraph_check_call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        inputs = args[0] if args else kwargs.get("inputs")
        limits = np.iinfo(_canonical())
        beyond = [
            value for value in (*self.known.tokens, self.mask_token, self.oov_token)
            if value is not None and not limits.min <= value <= limits.max
        ]  # fmt: skip
        if beyond:
            raise GraphError(
                f"{label_of(self)} cannot look these values up in a graph",
                expected=f"values that fit {_canonical()}",
                received=beyond[0],
                hint="apply the layer to NumPy arrays before fit: ids = lookup(values)",
            )
        if is_jax_array(inputs) and not isinstance(inputs, Tracer):
            self.check_ids(np.asarray(inputs))

    def check_ids(self, ids: np.ndarray) -> None:
        """Raises DataError if a value that is on its way to a graph would not be looked up there.

        That is one that is no integer, does not fit JAX's integers, or is unknown without a place.
        """
        values, limits = integers(label_of(self), np.asarray(ids).ravel()), np.iinfo(_canonical())
        beyond = (values < limits.min) | (values > limits.max)
        if beyond.any():
            raise DataError(
                f"{label_of(self)} cannot look up {int(beyond.sum())} of the values in a graph",
                expected=f"values that fit {limits.dtype}",
                received=int(values[beyond][0]),
                hint="apply the layer to NumPy arrays before fit: ids = lookup(values)",
            )
        if not self.num_oov_indices and not self.invert:
            self.numbers(values)

    def call(self, inputs: Array) -> Array:
        values = jnp.asarray(inputs).astype(_canonical())
        if self.invert:
            return self._inverted(values)
        ids = self._traced_numbers(values)
        if self.output_mode == "int":
            return ids
        if self.output_mode != "tf_idf":
            return encode(ids, self.output_mode, self.depth, self.compute_dtype)
        wide = jnp.float64 if self.compute_dtype == "float64" else jnp.float32
        counts = encode(ids, "count", self.depth, wide)
        weights = self.idf_weights.reshape((1,) * (counts.ndim - 1) + (self.depth,)).astype(wide)
        return (counts * weights).astype(self.compute_dtype)

    def _traced_numbers(self, values: Array) -> Array:
        known, count = self.known, self.num_oov_indices
        places = known.index.find(values, jnp)
        unknown = self.first_unknown if count else known.size
        if count > 1 and self.oov_method == "floormod":
            unknown = unknown + jnp.mod(values, count)
        elif count > 1:
            unknown = unknown + (self.hash(Decimal(values)) % count).astype(values.dtype)
        found = jnp.where(places < 0, unknown, places + len(known.special))
        if self.mask_token is None:
            return found
        return jnp.where(places == len(known.tokens), self.mask_number, found)

    def _inverted(self, ids: Array) -> Array:
        known = self.known.all
        table = jnp.asarray(np.array([*known, self.oov_token], np.int64), ids.dtype)
        return table[jnp.where((ids >= 0) & (ids < len(known)), ids, len(known))]


def _canonical() -> Any:
    """Returns the widest integer dtype that JAX is set to."""
    return jax.dtypes.canonicalize_dtype(np.int64)
