"""A reader of event files for tests: records by the book, messages by the wire format."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any


def crc32c(data: bytes) -> int:
    """Returns the checksum bit by bit, as the polynomial says (not by a table, as the writer)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 * (crc & 1))
    return crc ^ 0xFFFFFFFF


def unmask(masked: int) -> int:
    turned = (masked - 0xA282EAD8) % 2**32
    return (turned << 15 | turned >> 17) % 2**32


def records(path: Path) -> list[bytes]:
    """Returns the messages of a file; fails where a checksum does."""
    data, found = path.read_bytes(), []
    while data:
        (size,) = struct.unpack_from("<Q", data)
        (of_size,) = struct.unpack_from("<I", data, 8)
        body = data[12 : 12 + size]
        (of_body,) = struct.unpack_from("<I", data, 12 + size)
        assert unmask(of_size) == crc32c(data[:8])
        assert unmask(of_body) == crc32c(body)
        found.append(body)
        data = data[16 + size :]
    return found


def fields(message: bytes) -> dict[int, list[Any]]:
    """Returns the values of each field: whole numbers, floats, or bytes."""
    found: dict[int, list[Any]] = {}
    i = 0

    def varint() -> int:
        nonlocal i
        value, shift = 0, 0
        while True:
            byte = message[i]
            i += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while i < len(message):
        key = varint()
        kind = key & 7
        if kind == 0:
            value: Any = varint()
        elif kind == 2:
            size = varint()
            value, i = message[i : i + size], i + size
        else:
            size, form = {1: (8, "<d"), 5: (4, "<f")}[kind]
            (value,), i = struct.unpack_from(form, message, i), i + size
        found.setdefault(key >> 3, []).append(value)
    return found


def events(folder: Path) -> list[tuple[int, dict[str, dict[int, list[Any]]]]]:
    """Returns step and values by tag of each event in the files of a folder, in order."""
    found = []
    for path in sorted(folder.iterdir()):
        first, *rest = map(fields, records(path))
        assert first[3] == [b"brain.Event:2"]
        for event in rest:
            values = [fields(value) for value in fields(event[5][0]).get(1, [])]
            step = event.get(2, [0])[0]
            found.append((step, {value[1][0].decode(): value for value in values}))
    return found


def scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    """Returns step and number of each value with a tag."""
    return [(step, values[tag][2][0]) for step, values in events(folder) if tag in values]
