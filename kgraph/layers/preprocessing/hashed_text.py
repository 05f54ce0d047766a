"""What hash functions read: texts, on the host, or integers written out, in traced code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np

from kgraph.layers.preprocessing.words import Words
from kgraph.types import Array


class Readable(Protocol):
    """Many texts at once.

    Attributes:
        size: bytes of each text, as plain numbers.
        length: the same, for 64-bit arithmetic.
        longest: no text is longer.
    """

    size: Any
    length: Any
    longest: int

    def read(self, offset: Any, count: int = 8) -> Any:
        """Returns `count` bytes from `offset` as a number, the first lowest; past the end: 0."""
        ...

    def word(self, value: int) -> Any:
        """Returns one 64-bit number for each text."""
        ...


class Text:
    """Texts of equal length, on the host."""

    def __init__(self, texts: list[bytes]) -> None:
        self.size = self.longest = len(texts[0])
        self.length = np.full(len(texts), self.size, np.uint64)
        self._bytes = np.zeros((len(texts), self.size + 8), np.uint8)
        self._bytes[:, : self.size] = np.frombuffer(b"".join(texts), np.uint8).reshape(
            len(texts), self.size
        )

    def read(self, offset: int, count: int = 8) -> np.ndarray:
        chosen = np.zeros((len(self._bytes), 8), np.uint8)
        chosen[:, :count] = self._bytes[:, offset : offset + count]
        return chosen.view("<u8")[:, 0].astype(np.uint64)

    def word(self, value: int) -> np.ndarray:
        return np.full(len(self._bytes), value, np.uint64)


class Decimal:
    """Integers as the text of their decimal digits, in traced code; of different lengths."""

    def __init__(self, numbers: Array) -> None:
        if numbers.dtype.itemsize < 4:
            numbers = numbers.astype(jnp.int32)
        wide = numbers.dtype.itemsize == 8
        unsigned, digits = (jnp.uint64, 20) if wide else (jnp.uint32, 10)
        self._negative = numbers < 0
        plain = numbers.astype(unsigned)
        self._magnitude = jnp.where(self._negative, jnp.zeros_like(plain) - plain, plain)
        self._powers = np.array([10**i for i in range(digits)], unsigned)
        self.longest = digits + 1
        self.size = 1 + self._negative.astype(jnp.int32)
        for power in self._powers[1:]:
            self.size = self.size + (self._magnitude >= power).astype(jnp.int32)
        self.length = Words(jnp.zeros_like(self.size, jnp.uint32), self.size.astype(jnp.uint32))

    def read(self, offset: Any, count: int = 8) -> Words:
        halves = []
        for start in (4, 0):
            half = jnp.zeros_like(self.size, jnp.uint32)
            for i in range(start, min(start + 4, count)):
                half = half | (self._byte(offset + i) << (8 * (i - start)))
            halves.append(half)
        return Words(*halves)

    def word(self, value: int) -> Words:
        return Words.full(value, self.size)

    def _byte(self, offset: Any) -> Array:
        place = self.size - 1 - offset
        power = jnp.asarray(self._powers)[jnp.clip(place, 0, len(self._powers) - 1)]
        digit = (self._magnitude // power % 10).astype(jnp.uint32) + ord("0")
        sign = self._negative & (place == self.size - 1)
        byte = jnp.where(sign, jnp.uint32(ord("-")), digit)
        return jnp.where((place >= 0) & (place < self.size), byte, jnp.uint32(0))


def hash_on_host(values: np.ndarray, function: Callable[[Text], Any]) -> np.ndarray:
    """Returns a hash of each value as uint64: of texts in UTF-8, of integers written out."""
    different, places = np.unique(values.reshape(-1), return_inverse=True)
    encoded = [as_bytes(value) for value in different.tolist()]
    lengths = np.array([len(text) for text in encoded], np.int64)
    hashes = np.zeros(len(encoded), np.uint64)
    for length in np.unique(lengths):
        group = np.flatnonzero(lengths == length)
        hashes[group] = function(Text([encoded[i] for i in group]))
    return hashes[places.reshape(-1)].reshape(values.shape)


def as_bytes(value: object) -> bytes:
    """Returns a text in UTF-8, bytes as they are, and anything else as its text."""
    return value if isinstance(value, bytes) else str(value).encode()
