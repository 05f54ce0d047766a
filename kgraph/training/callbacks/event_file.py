"""Event files, as TensorBoard reads them: records of protocol buffers, written without a library.

Each record is its length, a checksum of the length, the bytes, and a checksum of the bytes. The
bytes are a message `Event`; the few fields that are used here are encoded by hand.

No library writes them here: tensorboardX brings protobuf with it, and `tensorboard` a whole
application; both keep a file open, and a thread with a queue, which a killed process loses. This is
one file, needs nothing, and the tests read its files with the messages that tensorboardX defines.
"""

from __future__ import annotations

import itertools
import os
import socket
import struct
import time
from pathlib import Path

import numpy as np

from kgraph.distribution.coordination import is_leader
from kgraph.writing import naming

_POLYNOMIAL = 0x82F63B78  # Castagnoli, reflected
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5
_STRING_TENSOR = 7
_numbers = itertools.count()


class EventFile:
    """A file of events in a folder, of the first process. It is open only while it is written to.

    So nothing is lost when the process dies, and there is no thread and nothing to close. (Writers
    with a queue keep a thread, and up to two minutes of events, in memory.)

    Args:
        folder: is made when the first event is written.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        host = socket.gethostname() or "localhost"
        name = f"{int(time.time()):010d}.{host}.{os.getpid()}.{next(_numbers)}"
        self.path = Path(folder) / f"events.out.tfevents.{name}"

    def write(self, step: int, values: list[bytes]) -> None:
        """Writes one event: values made by `scalar`, `histogram` and `text`, at a step."""
        if not is_leader():
            return
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._append(_double(1, time.time()) + _bytes(3, b"brain.Event:2"))
        summary = b"".join(_bytes(1, value) for value in values)
        self._append(_double(1, time.time()) + _varint(2, step) + _bytes(5, summary))

    def _append(self, event: bytes) -> None:
        length = struct.pack("<Q", len(event))
        record = length + _masked(length) + event + _masked(event)
        with naming(self.path, len(record)), open(self.path, "ab") as file:
            file.write(record)


def scalar(tag: str, value: float) -> bytes:
    """Returns a value of one number, rounded to float32."""
    with np.errstate(over="ignore"):
        return _tag(tag) + _key(2, _FLOAT) + np.float32(value).astype("<f4").tobytes()


def histogram(tag: str, values: np.ndarray, bins: int = 30) -> bytes:
    """Returns a value of the distribution of an array, of its finite numbers.

    TensorBoard draws 30 bins, so more would not be seen.
    """
    flat = np.asarray(values, np.float64).ravel()
    flat = flat[np.isfinite(flat)]
    counts, edges = np.histogram(flat, bins) if flat.size else (np.zeros(1), np.zeros(2))
    low, high = (flat.min(), flat.max()) if flat.size else (0.0, 0.0)
    facts = (low, high, flat.size, flat.sum(), np.square(flat).sum())
    message = b"".join(_double(field, fact) for field, fact in enumerate(facts, start=1))
    message += _bytes(6, edges[1:].astype("<f8").tobytes())
    message += _bytes(7, counts.astype("<f8").tobytes())
    return _tag(tag) + _bytes(5, message)


def text(tag: str, markdown: str) -> bytes:
    """Returns a value of text in Markdown."""
    metadata = _bytes(1, _bytes(1, b"text"))
    shape = _bytes(2, _varint(1, 1))
    tensor = _varint(1, _STRING_TENSOR) + _bytes(2, shape) + _bytes(8, markdown.encode())
    return _tag(tag) + _bytes(9, metadata) + _bytes(8, tensor)


def _tag(tag: str) -> bytes:
    return _bytes(1, tag.encode())


# --- protocol buffers: a field is its number and kind, then its value -----------------------------


def _key(field: int, kind: int) -> bytes:
    return _variable_length(field << 3 | kind)


def _varint(field: int, value: int) -> bytes:
    return _key(field, _VARINT) + _variable_length(value)


def _double(field: int, value: float) -> bytes:
    return _key(field, _DOUBLE) + struct.pack("<d", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _key(field, _BYTES) + _variable_length(len(value)) + value


def _variable_length(value: int) -> bytes:
    """Returns a whole number in groups of 7 bits, the lowest first; all but the last are marked."""
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


# --- checksums ------------------------------------------------------------------------------------


def _table_entry(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_TABLE = tuple(map(_table_entry, range(256)))


def _masked(data: bytes) -> bytes:
    """Returns the CRC-32C of some bytes, turned and shifted as the format wants it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
