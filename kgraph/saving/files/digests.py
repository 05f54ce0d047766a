"""Digests of arrays, on several cores: Orbax does not notice flipped bits in its data.

SHA-256 takes about 0.55 s for a gigabyte on one core (with the processor's own instructions for
it; BLAKE2b takes twice as long), so the blocks of an array are shared out to the cores.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

_BLOCK = 2**23
_MAX_THREADS = 8


def array_digests(arrays: Sequence[np.ndarray], threads: int | None = None) -> list[str]:
    """Returns, for each array, the SHA-256 of the SHA-256s of its blocks of 8 MiB.

    The bytes are those of the array in C order, as they are in memory (little endian on the
    machines that JAX runs on).

    Args:
        arrays: NumPy arrays.
        threads: how many to use; as many as there are cores, if None.
    """
    blocks = [_blocks(array) for array in arrays]
    flat = [block for own in blocks for block in own]
    threads = min(threads or os.cpu_count() or 1, _MAX_THREADS, max(len(flat), 1))
    if threads == 1 or sum(map(len, flat)) < _BLOCK:
        parts = iter([_sha256(block) for block in flat])
    else:
        with ThreadPoolExecutor(threads) as pool:
            parts = iter(list(pool.map(_sha256, flat)))
    return [hashlib.sha256(b"".join(next(parts) for _ in own)).hexdigest() for own in blocks]


def filled(array: np.ndarray, fill: Callable[[int, memoryview], None], threads: int | None) -> str:
    """Fills an array, a block at a time, and returns its digest: see `array_digests`.

    Each block is hashed by the core that filled it, while it is in that core's cache; several cores
    also share the work of the system, which has to find memory for the array.

    Args:
        array: in C order.
        fill: is given the place of a block (in bytes from the start) and the block to be filled.
        threads: how many to use; as many as there are cores, if None.
    """

    def work(job: tuple[int, memoryview]) -> bytes:
        fill(*job)
        return _sha256(job[1])

    blocks = _blocks(array)
    jobs = list(zip(range(0, array.nbytes, _BLOCK), blocks, strict=True))
    threads = min(threads or os.cpu_count() or 1, _MAX_THREADS, len(jobs))
    if threads <= 1:
        parts = list(map(work, jobs))
    else:
        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(work, jobs))
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _blocks(array: np.ndarray) -> list[memoryview]:
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    return [data[start : start + _BLOCK] for start in range(0, len(data), _BLOCK)]


def _sha256(block: memoryview) -> bytes:
    return hashlib.sha256(block).digest()
