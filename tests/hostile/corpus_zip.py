"""Hostile files: what is wrong lies in the zip file or in its JSON as text."""

from __future__ import annotations

import io
import struct
import zipfile

from drafts import ESCAPE, Draft, Table, zipped


def files() -> Table:
    yield "empty", lambda d: b""
    yield "text", lambda d: b"hello \x1b[31m"
    yield "HDF5", lambda d: b"\x89HDF\r\n\x1a\n" + bytes(600)
    yield "pickle", lambda d: b"\x80\x04cos\nsystem\n(S'true'\ntR."
    yield "only a mark", lambda d: b"PK\x03\x04"
    yield "only a directory", lambda d: b"PK\x05\x06" + bytes(18)
    yield "zeros", lambda d: bytes(1000)
    for part in (1, 2, 3):
        yield f"cut at {part}/4", lambda d, part=part: d.bytes()[: len(d.bytes()) * part // 4]
    yield "last byte cut", lambda d: d.bytes()[:-1]
    yield "a byte behind", lambda d: d.bytes() + b"\0"
    yield "a byte in front", lambda d: b"\0" + d.bytes()
    yield "twice in a row", lambda d: d.bytes() * 2
    yield "a script in front", lambda d: b"#!/bin/sh\ntrue\n" + d.bytes()


def zips() -> Table:
    yield "deflated", lambda d: zipped(d.members(), zipfile.ZIP_DEFLATED)
    yield "bzip2", lambda d: zipped(d.members(), zipfile.ZIP_BZIP2)
    yield "lzma", lambda d: zipped(d.members(), zipfile.ZIP_LZMA)
    yield "bomb", lambda d: zipped({**d.members(), "x": bytes(10**7)}, zipfile.ZIP_DEFLATED)
    for name in (
        "../evil",
        "/etc/evil",
        "..\\evil",
        "C:\\evil",
        "a\0b",
        ESCAPE,
        "é",
        "",
        "x" * 9000,
    ):
        yield f"member {name[:12]!r}", lambda d, name=name: zipped({**d.members(), name: b"x"})
    for name in ("manifest.json", "model.json", "training.json", "arrays.safetensors"):
        yield f"without {name}", lambda d, name=name: zipped(_without(d.members(), name))
        yield f"{name} twice", lambda d, name=name: _twice(d, name)
        yield f"{name} empty", lambda d, name=name: zipped({**d.members(), name: b""})
    yield "a pickle more", lambda d: zipped({**d.members(), "weights.pkl": b"\x80\x04."})
    yield "70,000 members", lambda d: _many(d, 70_000)
    yield "17 members", lambda d: zipped({**d.members(), **{f"m{i}": b"" for i in range(13)}})
    yield "a comment", lambda d: _commented(d)
    yield "a folder", lambda d: zipped({**d.members(), "arrays/": b""})
    fields = {
        "encrypted": (8, "<H", 1), "method 8": (10, "<H", 8), "crc": (16, "<L", 7),
        "packed size": (20, "<L", 5), "size": (24, "<L", 5), "size of 4 GB": (24, "<L", 0xFFFFFFFE),
        "64-bit size": (24, "<L", 0xFFFFFFFF), "longer name": (28, "<H", 200),
        "extra field": (30, "<H", 9), "comment": (32, "<H", 9), "other disk": (34, "<H", 1),
        "offset": (42, "<L", 1), "offset behind the end": (42, "<L", 0xFFFFFFF0),
    }  # fmt: skip
    for name, field in fields.items():
        yield f"directory: {name}", lambda d, f=field: _patched(d.bytes(), b"PK\x01\x02", *f)
    local = {
        "encrypted": (6, "<H", 1), "data descriptor": (6, "<H", 8), "method": (8, "<H", 8),
        "crc": (14, "<L", 7), "size": (22, "<L", 5), "name length": (26, "<H", 3),
        "extra length": (28, "<H", 4), "name": (30, "<L", 0x41414141),
    }  # fmt: skip
    for name, field in local.items():
        yield f"member's header: {name}", lambda d, f=field: _patched(d.bytes(), b"PK\x03\x04", *f)
    end = {
        "count": (10, "<H", 3), "count here": (8, "<H", 3), "size": (12, "<L", 10),
        "start": (16, "<L", 10), "start behind the end": (16, "<L", 0xFFFFFFF0),
        "disk": (4, "<H", 1), "comment": (20, "<H", 1),
    }  # fmt: skip
    for name, field in end.items():
        yield f"end: {name}", lambda d, f=field: _patched(d.bytes(), b"PK\x05\x06", *f)
    yield "members overlap", _overlapping
    yield "a gap between members", _with_gap


def _without(members: dict[str, bytes], name: str) -> dict[str, bytes]:
    return {key: data for key, data in members.items() if key != name}


def _twice(draft: Draft, name: str) -> bytes:
    members = draft.members()
    data = zipped({**members, "#" * len(name): members[name]})
    return data.replace(b"#" * len(name), name.encode())


def _many(draft: Draft, count: int) -> bytes:
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *[0] * 9, 1, *[0] * 6) + b"x"
    body = b"PK\x03\x04" + bytes(26)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count % 2**16, count % 2**16,
                      len(entry) * count, len(body), 0)  # fmt: skip
    return body + entry * count + end


def _commented(draft: Draft) -> bytes:
    buffer = io.BytesIO(draft.bytes())
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = b"PK\x05\x06" + bytes(18)
    return buffer.getvalue()


def _patched(data: bytes, mark: bytes, offset: int, form: str, value: int) -> bytes:
    """Returns the file with one field changed, in the last header of its kind."""
    at = data.rindex(mark) + offset
    raw = struct.pack(form, value)
    return data[:at] + raw + data[at + len(raw) :]


def _overlapping(draft: Draft) -> bytes:
    data = draft.bytes()
    first = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", first + 1)
    return data[: second + 42] + data[first + 42 : first + 46] + data[second + 46 :]


def _with_gap(draft: Draft) -> bytes:
    """Puts bytes between two members, and shifts what follows."""
    data = draft.bytes()
    at = data.index(b"PK\x03\x04", 4)
    new = bytearray(data[:at] + b"evil" + data[at:])
    place = new.index(b"PK\x01\x02")
    while place >= 0:
        offset = struct.unpack_from("<L", new, place + 42)[0]
        struct.pack_into("<L", new, place + 42, offset + (4 if offset else 0))
        place = new.find(b"PK\x01\x02", place + 1)
    end = new.rindex(b"PK\x05\x06")
    struct.pack_into("<L", new, end + 16, struct.unpack_from("<L", new, end + 16)[0] + 4)
    return bytes(new)


# --- JSON ----------------------------------------------------------------------------------------


def texts() -> Table:
    raw = {
        "nothing": b"", "half": b'{"model": {"ki', "an escape": b"\x1b[31m", "a list": b"[]",
        "null": b"null", "a number": b"1", "a text": b'"x"', "not UTF-8": b'{"a": "\xff"}',
        "UTF-16": '{"a": 1}'.encode("utf-16"), "byte order mark": b"\xef\xbb\xbf{}",
        "two values": b"{} {}", "a key twice": b'{"model": 1, "model": 2}', "NaN": b'{"a": NaN}',
        "infinity": b'{"a": -Infinity}', "a float too large": b'{"a": 1e999}',
        "a number too large": b'{"a": 9007199254740992}',
        "5000 digits": b'{"a": ' + b"9" * 5000 + b"}",
        "deep": b'{"a":' * 65 + b"1" + b"}" * 65, "very deep": b"[" * 10**6,
        "a comment": b"{} // x", "single quotes": b"{'a': 1}", "a trailing comma": b'{"a": 1,}',
        "a lone surrogate as a key": b'{"\\ud800": 1}', "a control character": b'{"a\n": 1}',
    }  # fmt: skip
    for member in ("model.json", "manifest.json"):
        for name, text in raw.items():
            yield f"{member}: {name}", lambda d, m=member, t=text: _with_text(d, m, t)
    yield "training.json: very deep", lambda d: _with_text(d, "training.json", b"[" * 10**6)
    yield (
        "a key twice in the manifest",
        lambda d: _with_text(
            d, "manifest.json", d.members()["manifest.json"][:-1] + b',"kind":"model"}'
        ),
    )


def _with_text(draft: Draft, member: str, text: bytes) -> bytes:
    draft.texts[member] = text
    return draft.bytes()
