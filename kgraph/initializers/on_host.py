"""The generator of standard variates in NumPy, for keys that are known: nothing is compiled.

Numbers are made a piece at a time in buffers that are used again and again, so they stay in a
core's cache, and the system has no memory to find for them. NumPy works without Python's lock, so
several threads share the pieces. Small arrays share a piece: threads that work on few numbers at a
time wait for that lock more than they compute. (Two threads took 16 ns a number in pieces of 2**14,
9.5 in those of 2**15 and 7.3 in those of 2**16; one took 11.)
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Literal, TypeAlias

import numpy as np

from kgraph.initializers.erf_inv import erf_inv_in_place
from kgraph.initializers.regions import Region
from kgraph.types import AnyArray

Kind: TypeAlias = Literal["uniform", "normal", "truncated_normal"]
"""Uniform in [0, 1); standard normal; standard normal given that it lies in [-2, 2]."""

WITHIN_TWO = math.erf(math.sqrt(2))
"""The part of a normal within two deviations."""

PIECE = 2**16
"""Numbers made at a time."""

_MAX_THREADS = 8
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


@dataclass(frozen=True)
class Drawing:
    """Numbers to be drawn straight into an array, each from the variate of its place.

    Fields:
        kind: which variates.
        words: the key's two words.
        path: hash of the weight's path.
        transform: makes values of variates, number by number: from a flat array to a new one.
        target: where they go; contiguous, of any dtype.
        region: which part of an array the target is; None for all of it.
    """

    kind: Kind
    words: AnyArray
    path: int
    transform: Callable[[np.ndarray], AnyArray]
    target: np.ndarray
    region: Region | None = None


def draw_all(drawings: Sequence[Drawing]) -> None:
    """Fills the target of each drawing. How many threads there are decides no number."""
    pieces: SimpleQueue[Piece] = SimpleQueue()
    for piece in _cut(drawings):
        pieces.put(piece)

    most = min(PIECE, sum(drawing.target.size for drawing in drawings))

    def work(_: int) -> None:
        drawer = Drawer(most)
        with contextlib.suppress(Empty):
            while True:
                _fill(pieces.get_nowait(), drawer)

    threads = min(os.cpu_count() or 1, _MAX_THREADS, pieces.qsize())
    if threads <= 1:
        work(0)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(threads)))


Piece: TypeAlias = list[tuple[Drawing, int, int]]
"""Which numbers of which drawings (the first, and how many), with equal kind and key."""


def _cut(drawings: Sequence[Drawing]) -> list[Piece]:
    alike: dict[tuple[Kind, bytes], list[Drawing]] = {}
    for drawing in drawings:
        alike.setdefault((drawing.kind, drawing.words.tobytes()), []).append(drawing)
    pieces: list[Piece] = []
    for group in alike.values():
        room = 0
        for drawing in group:
            start, size = 0, drawing.target.size
            while start < size:
                if not room:
                    pieces.append([])
                    room = PIECE
                count = min(room, size - start)
                pieces[-1].append((drawing, start, count))
                start, room = start + count, room - count
    return pieces


def _fill(piece: Piece, drawer: Drawer) -> None:
    first = piece[0][0]
    z = drawer.draw(
        first.kind, first.words, [(d.path, d.region, start, n) for d, start, n in piece]
    )
    done = 0
    for drawing, start, count in piece:
        values = drawing.transform(z[done : done + count])
        drawing.target.reshape(-1)[start : start + count] = values
        done += count


class Drawer:
    """Makes pieces in buffers of its own, for one thread.

    Args:
        most: how many numbers a piece may have.
    """

    def __init__(self, most: int) -> None:
        self._places = np.arange(most, dtype=np.uint32)
        self._buffers = np.empty((4, most), np.uint32)

    def draw(
        self, kind: Kind, words: AnyArray, parts: Sequence[tuple[int, Region | None, int, int]]
    ) -> np.ndarray:
        """Returns variates, one part after the other. They are there until the next call.

        Args:
            kind: which.
            words: the key's two words.
            parts: hash of a path, the region of its array (None for all of it), number of the
                first variate in that, and how many of them.
        """
        total = sum(count for *_, count in parts)
        high, low, *spare = self._buffers[:, :total]
        done = 0
        for path, region, start, count in parts:
            high[done : done + count] = path
            if region is None:
                np.add(self._places[:count], np.uint32(start), out=low[done : done + count])
            else:
                low[done : done + count] = region.places(start, count)
            done += count
        encipher(words, high, low, spare[0])
        high ^= low
        high >>= np.uint32(9)  # 23 bits become the fraction of a float in [1, 2)
        high |= np.uint32(0x3F800000)
        z = high.view(np.float32)
        z -= 1
        if kind == "uniform":
            return z
        z *= 2  # odd multiples of 2**-23: symmetric, exact in float32, and never -1 or 1
        z -= 1
        z += 2**-23
        if kind == "truncated_normal":
            z *= WITHIN_TWO
        erf_inv_in_place(z, *(buffer.view(np.float32) for buffer in (low, *spare)))
        z *= math.sqrt(2)
        return z if kind == "normal" else np.clip(z, -2, 2, out=z)  # rounding may pass 2


def encipher(words: AnyArray, high: np.ndarray, low: np.ndarray, spare: np.ndarray) -> None:
    """Enciphers blocks [n], [n] by Threefry-2x32 under a key of two words, in place, in 20 rounds.

    Args:
        words: the key.
        high, low: the blocks; replaced by what they are enciphered as.
        spare: a buffer of their length.
    """
    schedule = [int(words[0]), int(words[1])]
    schedule.append(schedule[0] ^ schedule[1] ^ 0x1BD11BDA)
    a, b = high, low
    a += words[0]
    b += words[1]
    for i in range(5):
        for bits in _ROTATIONS[i % 2]:
            a += b
            np.left_shift(b, np.uint32(bits), out=spare)
            b >>= np.uint32(32 - bits)
            b |= spare
            b ^= a
        a += np.uint32(schedule[(i + 1) % 3])
        b += np.uint32((schedule[(i + 2) % 3] + i + 1) & 0xFFFFFFFF)
