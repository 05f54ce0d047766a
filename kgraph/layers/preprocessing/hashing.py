"""Hashing: any category, by a hash, as one of a fixed number of bins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.checks import check_count
from kgraph.errors import ConfigError, GraphError
from kgraph.layers.base import Layer
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.preprocessing.encoding import INT, MODES, check_encoding, encode
from kgraph.layers.preprocessing.fingerprint import fingerprint, keyed_hash
from kgraph.layers.preprocessing.hashed_text import Decimal, Readable, hash_on_host
from kgraph.types import Array, PolicyLike

MOST_BINS = 2**31 - 1
"""Remainders are found in 32 bits."""


class _HashLayer(Layer):
    """Base of the layers that hash: text on the host, integers anywhere, with equal results.

    Args:
        num_bins: number of bins.
        output_mode: see `encoding.encode`.
        sparse: False.
        dtype: of the result; by default int32 in mode `"int"` (int64 where JAX has it switched on),
            the compute dtype in other modes.
        modes: the output modes that the layer has.
    """

    autocast = False

    def __init__(
        self,
        num_bins: int,
        output_mode: str,
        sparse: bool,
        dtype: PolicyLike | None,
        modes: tuple[str, ...],
        /,
        **options: Any,
    ) -> None:
        in_bins = output_mode == INT
        super().__init__(**{"autocast": False, "dtype": None if in_bins else dtype, **options})
        check_encoding(label_of(self), output_mode, sparse, modes)
        self.num_bins = check_count(label_of(self), "num_bins", num_bins)
        if self.num_bins > MOST_BINS:
            raise ConfigError(
                f"{label_of(self)} has too many bins", expected=f"at most {MOST_BINS}",
                received=num_bins,
            )  # fmt: skip
        self.output_mode = output_mode
        self.output_dtype = _integer_dtype(label_of(self), dtype) if in_bins else self.compute_dtype

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._kgraph.context is None and len(args) == 1 and not kwargs and is_on_host(args[0]):
            return self.encoded(jnp.asarray(self.bins_on_host(args[0])))
        return super().__call__(*args, **kwargs)

    def bins_on_host(self, inputs: Any) -> np.ndarray:
        """Returns the bins of NumPy arrays or lists, text or numbers, as integers."""
        raise ConfigError(f"{type(self).__name__} has to define bins_on_host(self, inputs)")

    def encoded(self, bins: Array) -> Array:
        """Returns bins in the output mode."""
        dtype = jax.dtypes.canonicalize_dtype(self.output_dtype)
        return encode(bins, self.output_mode, self.num_bins, dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {**config, "dtype": self.output_dtype} if self.output_mode == INT else config


class Hashing(_HashLayer):
    """Gives each category a bin by a stable hash: no vocabulary, at the price of collisions.

    Text (arrays or lists of it) is hashed on the host, when the layer is called on it. Integers are
    hashed as the text of their digits, also in graphs and compiled code, to the same bins; floats
    are cut to integers first.

    Shapes: `[*any]` in, the same out; other modes: see `encoding.encode`.

    Args:
        num_bins: number of bins, the one of `mask_value` included.
        mask_value: the category that gets bin 0 for itself.
        salt: a number, or two, that makes another hash function: without it the hash is FarmHash's
            Fingerprint64, with it SipHash-2-4 under the two numbers as key.
        output_mode: `"int"`, `"one_hot"`, `"multi_hot"` or `"count"`.
        sparse: False; kept for compatibility.
        **options: `name`, `trainable`, and `dtype` of the result: an integer type in mode `"int"`.

    Raises:
        ConfigError: an option has a value it cannot have.
        GraphError: the inputs are neither text nor numbers.

    Source: the bins are those of Keras with TensorFlow; see `fingerprint.py`.

    >>> layer = Hashing(num_bins=3)
    >>> layer([["A"], ["B"], ["E"]]).tolist()
    [[1], [0], [2]]
    >>> bool((layer(np.array([7, -12])) == layer(["7", "-12"])).all())
    True
    """

    def __init__(
        self,
        num_bins: int,
        mask_value: Any = None,
        salt: int | Sequence[int] | None = None,
        output_mode: str = INT,
        sparse: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        dtype = options.pop("dtype", None)
        super().__init__(num_bins, output_mode, sparse, dtype, MODES, **options)
        self.mask_value = mask_value
        self.salt = None if salt is None else _two_numbers(label_of(self), salt)

    def bins_on_host(self, inputs: Any) -> np.ndarray:
        values = host_values(label_of(self), inputs)
        bins = hash_on_host(values, self._hash) % np.uint64(self._free_bins)
        return self._masked(bins.astype(np.int64), values, np)

    def call(self, inputs: Array) -> Array:
        values = inputs if jnp.issubdtype(inputs.dtype, jnp.integer) else inputs.astype(jnp.int32)
        bins = (self._hash(Decimal(values)) % self._free_bins).astype(jnp.int32)
        return self.encoded(self._masked(bins, values, jnp))

    def _hash(self, text: Readable) -> Any:
        return fingerprint(text) if self.salt is None else keyed_hash(text, self.salt)

    @property
    def _free_bins(self) -> int:
        return self.num_bins - 1 if self._has_mask else self.num_bins

    @property
    def _has_mask(self) -> bool:
        return self.mask_value is not None and self.num_bins > 1

    def _masked(self, bins: Any, values: Any, xp: Any) -> Any:
        if not self._has_mask:
            return bins
        if isinstance(self.mask_value, (str, bytes)) != (values.dtype.kind in "US"):
            raise GraphError(
                f"{label_of(self)} cannot compare its inputs with `mask_value`",
                expected=f"inputs of the kind of {self.mask_value!r}",
                received=f"dtype {values.dtype}",
            )
        return xp.where(values == self.mask_value, xp.zeros_like(bins), bins + 1)


def is_on_host(inputs: Any) -> bool:
    """Tells whether inputs are plain data: text, numbers, NumPy arrays, or lists of them."""
    if isinstance(inputs, (list, tuple)):
        return all(map(is_on_host, inputs))
    return isinstance(inputs, (str, bytes, int, float, np.ndarray, np.generic))


def host_values(owner: str, inputs: Any) -> np.ndarray:
    """Returns plain data as an array of text or of integers.

    Raises:
        GraphError: it is neither.
    """
    values = np.asarray(inputs)
    if values.dtype == object:
        values = np.asarray(values.tolist())
    if values.dtype.kind == "f" and np.isfinite(values).all():
        values = values.astype(np.int64)
    if values.dtype.kind not in "USiu":
        raise GraphError(
            f"{owner} hashes text and numbers", expected="text, integers or finite floats",
            received=f"dtype {values.dtype}",
        )  # fmt: skip
    return values


def _integer_dtype(owner: str, dtype: Any) -> str:
    name = "int64" if dtype is None else np.dtype(dtype).name if dtype != "bfloat16" else dtype
    if name not in ("int32", "int64"):
        raise ConfigError(
            f"{owner} returns numbers of bins", expected="dtype int32 or int64",
            received=f"dtype {name}", hint="choose another output_mode for vectors of floats",
        )  # fmt: skip
    return name


def _two_numbers(owner: str, salt: Any) -> tuple[int, int]:
    pair = tuple(salt) if isinstance(salt, (list, tuple)) else (salt, salt)
    if len(pair) != 2 or not all(isinstance(n, int) and 0 <= n < 2**64 for n in pair):
        raise ConfigError(
            f"{owner} cannot have this value of `salt`",
            expected="one number of at least 0, or two", received=repr(salt),
        )  # fmt: skip
    return pair
