"""The table of arrays in a manifest: what is stored of each, and its digest."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from kgraph.saving.files.misfit import check, is_count, is_name, is_shape
from kgraph.saving.kgraph_format.safetensors import DTYPES
from kgraph.saving.kgraph_format.shards import grid

MAX_PARTS = 100_000
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Shard:
    """A block of an array that was spread over devices: where it begins, and in which part it is.

    `name` is what it is called in that part.
    """

    name: str
    start: tuple[int, ...]
    shape: tuple[int, ...]
    sha256: str
    part: int = 0


@dataclass(frozen=True)
class ArrayEntry:
    """One array: its path (`"weights/dense/kernel"`), exact shape, dtype, digest of its bytes.

    The bytes are those of the array in C order, little endian; the digest is that of
    `array_digests`. An array in shards has instead the SHA-256 of the digests of its shards.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    sha256: str
    shards: tuple[Shard, ...] = ()

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * jnp.dtype(self.dtype).itemsize

    def __str__(self) -> str:
        return f"{list(self.shape)} {self.dtype}"

    def stored(self) -> tuple[Shard, ...]:
        """Returns what is stored of it: its shards, or the whole as one."""
        whole = Shard(self.path, (0,) * len(self.shape), self.shape, self.sha256)
        return self.shards or (whole,)

    def plain(self) -> list[Any]:
        """Returns the entry as JSON types."""
        row = [self.path, list(self.shape), self.dtype, self.sha256]
        shards = [[list(p.start), list(p.shape), p.sha256, p.part] for p in self.shards]
        return [*row, shards] if shards else row


def entry_of(
    path: str, shape: Sequence[int], dtype: str, shards: Iterable[tuple[Any, Any, str, int]]
) -> ArrayEntry:
    """Returns the entry of an array in shards, given as start, shape, digest and part."""
    made = tuple(
        Shard(shard_name(path, start, size), tuple(start), tuple(size), digest, part)
        for start, size, digest, part in shards
    )
    return ArrayEntry(path, tuple(shape), dtype, shards_digest(made), made)


def shards_digest(shards: Iterable[Shard]) -> str:
    """Returns the digest of an array in shards."""
    return hashlib.sha256(b"".join(bytes.fromhex(p.sha256) for p in shards)).hexdigest()


def shard_name(path: str, start: Sequence[int], shape: Sequence[int]) -> str:
    """Returns what a shard is called in its part.

    >>> shard_name("weights/dense/kernel", (0, 4), (8, 4))
    'weights/dense/kernel[0:8,4:8]'
    """
    slices = [f"{first}:{first + size}" for first, size in zip(start, shape, strict=True)]
    return f"{path}[{','.join(slices)}]"


def is_digest(value: object) -> bool:
    """Tells whether a value is a SHA-256 in hexadecimal."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def parse_entry(place: str, data: Any) -> ArrayEntry:
    """Returns the entry that `ArrayEntry.plain` wrote. Every value is checked.

    Raises:
        Misfit: it is not one; names the place.
    """
    whole = isinstance(data, list) and len(data) in (4, 5)
    check(place, data, lambda _: whole, "[path, shape, dtype, sha]")
    path, shape, dtype, digest, *more = data
    check(f"{place}.path", path, is_name, "a path")
    check(f"{place}.shape", shape, is_shape, "a shape")
    check(f"{place}.dtype", dtype, lambda d: isinstance(d, str) and d in DTYPES, "a dtype")
    check(f"{place}.sha256", digest, is_digest, "a SHA-256")
    if not more:
        return ArrayEntry(path, tuple(shape), dtype, digest)
    check(f"{place}.shards", more[0], lambda found: isinstance(found, list), "a list")
    for i, row in enumerate(more[0]):
        check(f"{place}.shards[{i}]", row, _is_shard, "[start, shape, sha, part]")
    fits = more[0] and grid([(row[0], row[1]) for row in more[0]], shape)
    check(f"{place}.shards", more[0], lambda _: fits, "shards that make up the array")
    entry = entry_of(path, shape, dtype, more[0])
    check(f"{place}.sha256", digest, lambda d: d == entry.sha256, "the digest of its shards")
    return entry


def _is_shard(row: Any) -> bool:
    if not isinstance(row, list) or len(row) != 4:
        return False
    start, shape, digest, part = row
    fits = is_shape(start) and is_shape(shape) and len(start) == len(shape) > 0
    return fits and is_digest(digest) and is_count(part) and part < MAX_PARTS
