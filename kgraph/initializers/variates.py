"""A counter-based generator of standard variates: element i depends on key, path and i alone.

The bits are those of Threefry-2x32 with the key's two words as key and the block (hash of the
weight's path, i) as counter. Cutting an array into pieces, padding it, or drawing other arrays
before it therefore changes nothing. There are two engines with equal bits:

- in a trace, JAX's own primitive;
- for concrete keys, NumPy (`on_host.py`). It needs no compilation, so a model starts at once:
  measured on CPU, a compiled generator took 0.13 s for each array size and kind before its first
  number and then 2.6-3.5 ms for 2**18 numbers; NumPy took 2.7 ms for their bits, by one thread.

Source: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011. The two
words of an enciphered block are combined by exclusive or into the 32 bits of one element.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from kgraph.errors import ConfigError
from kgraph.initializers.erf_inv import erf_inv
from kgraph.initializers.on_host import PIECE, WITHIN_TWO, Drawer, Kind, encipher
from kgraph.types import AnyArray

KEY_VERSION = 1
"""Part of every path's hash. It changes only if the derivation of keys does."""

_ROW = 2**10  # elements of one path that `many_variates` makes in a row
_LAST = np.uint32(2**32 - 1)  # the counter of derived keys; no weight has this many elements


def path_hash(path: str) -> int:
    """Returns 32 bits that stand for a path, the same in every process.

    >>> path_hash("dense/kernel")
    3914616491
    """
    digest = hashlib.blake2b(f"kgraph-keys-{KEY_VERSION}:{path}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")


def key_words(key: AnyArray) -> AnyArray:
    """Returns the two uint32 words of a key: a NumPy array, or a tracer if the key is traced.

    Args:
        key: a typed key (`jax.random.key`) of any implementation or a raw one (`[n]` uint32). Wide
            keys are mixed down to two words.

    Raises:
        ConfigError: if `key` is not a single key.
    """
    words = key
    if isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        words = jax.random.key_data(key)
    traced = isinstance(words, Tracer)
    words = words if traced else np.asarray(words)
    if words.dtype != np.uint32 or words.ndim != 1 or words.size < 2 or words.size % 2:
        raise ConfigError(
            "Initial values need one random key",
            expected="jax.random.key(seed)",
            received=f"{words.dtype}{list(words.shape)}",
        )
    mixed = words[:2]
    for i in range(2, words.size, 2):
        mixed = derived_words(mixed, words[i], words[i + 1], xp=jnp if traced else np)
    return mixed


def seed_words(seed: int) -> np.ndarray:
    """Returns the two words of a seed: its lower and upper 32 bits."""
    return np.array([seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF], np.uint32)


def derived_words(words: AnyArray, high: Any, low: Any = _LAST, xp: ModuleType = jnp) -> AnyArray:
    """Returns the words of a key derived from `words`; with one argument, that of a path."""
    first, second = (xp.array([word], np.uint32) for word in (high, low))
    if xp is np:
        encipher(words, first, second, np.empty(1, np.uint32))
        return np.concatenate([first, second])
    return jnp.concatenate(_threefry(words, first, second))


def variates(
    kind: Kind, words: AnyArray, path: int, count: int, start: int = 0, xp: ModuleType = jnp
) -> AnyArray:
    """Returns standard variates number `start` to `start + count` of a path.

    Shapes: `[count]`. Dtype: float32. Resolution: 23 bits. Traceable in `words` for `xp=jnp`.

    Args:
        kind: which distribution.
        words: the key's two uint32 words.
        path: what `path_hash` returned.
        count: how many; static.
        start: number of the first.
        xp: `jax.numpy`, or `numpy` for concrete words.
    """
    if xp is jnp:
        counters = jnp.arange(count, dtype=np.uint32) + np.uint32(start)
        return _at(kind, words, jnp.full(count, path, np.uint32), counters)
    values, drawer = np.empty(count, np.float32), Drawer(min(count, PIECE))
    for i in range(0, count, PIECE):
        piece = values[i : i + PIECE]
        piece[:] = drawer.draw(kind, words, [(path, None, start + i, piece.size)])
    return values


def many_variates(
    kind: Kind, words: AnyArray, paths: Sequence[int], counts: Sequence[int]
) -> list[AnyArray]:
    """Returns `variates(kind, words, path, count)` for each path, in a trace.

    One generator makes all of them in rows, so the compiled code grows by a slice for each path and
    not by a generator (compile time on CPU: about 0.02 s in the place of 0.16 s).
    """
    rows = [-(-count // _ROW) for count in counts]
    owners = np.repeat(np.array(paths, np.uint32), rows)
    starts = np.concatenate([np.arange(n, dtype=np.uint32) * np.uint32(_ROW) for n in rows])
    shape = (len(owners), _ROW)
    counters = jnp.asarray(starts)[:, None] + jnp.arange(_ROW, dtype=np.uint32)[None, :]
    values = _at(kind, words, jnp.broadcast_to(owners[:, None], shape), counters)
    values = jax.lax.optimization_barrier(values)  # else XLA copies the generator into each slice
    ends = np.cumsum(rows)
    return [
        values[end - n : end].reshape(-1)[:count]
        for end, n, count in zip(ends.tolist(), rows, counts)
    ]


def _at(kind: Kind, words: AnyArray, paths: AnyArray, counters: AnyArray) -> AnyArray:
    high, low = _threefry(words, paths, counters)
    bits = high ^ low
    # 23 bits become the fraction of a float in [1, 2).
    unit = ((bits >> 9) | np.uint32(0x3F800000)).view(np.float32) - 1
    if kind == "uniform":
        return unit
    # Odd multiples of 2**-23: symmetric, exact in float32, and never -1 or 1.
    signed = 2 * unit - 1 + 2**-23
    root = math.sqrt(2)
    if kind == "normal":
        return root * erf_inv(signed, jnp)
    return jnp.clip(root * erf_inv(signed * WITHIN_TWO, jnp), -2, 2)  # rounding may pass 2


def _threefry(words: AnyArray, high: Any, low: Any) -> tuple[AnyArray, AnyArray]:
    from jax.extend.random import threefry2x32_p  # late: it brings Pallas along (13 ms)

    keys = (jnp.broadcast_to(jnp.asarray(word), high.shape) for word in words)
    first, second = threefry2x32_p.bind(*keys, jnp.asarray(high), jnp.asarray(low))
    return first, second
