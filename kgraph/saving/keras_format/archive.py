"""The `.keras` file as a zip: its members read into memory after checks, and written alike."""

from __future__ import annotations

import re
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kgraph.saving import strict_json
from kgraph.saving.file_error import file_error, refusing

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
MAX_MEMBERS = 10_000
MAX_EXPANSION = 100
FREE_BYTES = 64 * 2**20
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same content gives the same bytes, whenever it is written
_ENCRYPTED = 1
_COPY = "the file was damaged or cut after it was saved: use another copy"


@dataclass(frozen=True)
class KerasArchive:
    """What a `.keras` file holds: the config as plain data, and the weights as HDF5 bytes."""

    path: Path
    config: Any
    weights: bytes


def read_archive(path: Path) -> KerasArchive:
    """Returns the config and the weights of a `.keras` file, in memory. Nothing is extracted.

    Raises:
        ModelFileError: it is missing, damaged, or no such file.
    """
    with refusing(path, "cannot be opened"):
        size = file_size(path)
    unreadable = refusing(path, "is no zip file that can be read", hint=_COPY)
    with unreadable, zipfile.ZipFile(path) as archive:
        members = _members(path, archive, size)
        config = _read_config(path, archive, members)
        weights = _read(path, archive, members[WEIGHTS])
    return KerasArchive(path, config, weights)


def file_size(path: Path) -> int:
    """Returns the size of a regular file; raises ModelFileError for anything else."""
    if not path.exists():
        raise file_error(path, "does not exist")
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise file_error(path, "is no regular file")
    return status.st_size


def _members(path: Path, archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise file_error(path, "has too many members", expected=MAX_MEMBERS, received=len(infos))
    for info in infos:
        _check_member(path, info)
    members = {info.filename: info for info in infos}
    if len(members) != len(infos):
        raise file_error(path, "is damaged", expected="each member once", received="one twice")
    for name in (CONFIG, WEIGHTS):
        if name not in members:
            raise file_error(
                path, "is no Keras file", expected=name, received=", ".join(sorted(members)) or None
            )
    packed = sum(info.compress_size for info in infos)
    total = sum(info.file_size for info in infos)
    if packed > size or total > max(FREE_BYTES, MAX_EXPANSION * size):
        raise file_error(
            path, "expands to more than it can hold", expected=f"{size} bytes", received=total
        )
    return members


def _check_member(path: Path, info: zipfile.ZipInfo) -> None:
    """Refuses names that are no plain paths, links, and members packed in unusual ways."""
    name = info.filename
    plain = re.fullmatch(r"[\w.\- /]{1,1024}", name) and not name.startswith("/")
    if not plain or any(part in ("..", ".") for part in name.split("/")):
        raise file_error(path, "has a member with an unsafe name", received=repr(name))
    if stat.S_ISLNK(info.external_attr >> 16):
        raise file_error(path, "has a member that is a link", member=name)
    if info.flag_bits & _ENCRYPTED:
        raise file_error(path, "has an encrypted member", member=name)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise file_error(
            path, "has a member packed in a way not known", member=name,
            expected="stored or deflated", received=info.compress_type,
        )  # fmt: skip
    if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
        raise file_error(
            path, "is damaged", member=name, expected=info.compress_size, received=info.file_size
        )


def _read_config(
    path: Path, archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo]
) -> Any:
    info = members[CONFIG]
    if info.file_size > strict_json.MAX_BYTES:
        raise file_error(
            path, "holds JSON that is not accepted", member=CONFIG,
            expected=f"at most {strict_json.MAX_BYTES} bytes", received=info.file_size,
        )  # fmt: skip
    data = _read(path, archive, info)
    with refusing(path, "holds JSON that is not accepted", member=CONFIG):
        return strict_json.decode(data)


def _read(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Returns a whole member. Reading to its end also verifies its checksum."""
    with refusing(path, "is damaged", member=info.filename, hint=_COPY):
        with archive.open(info) as file:
            data = file.read(info.file_size + 1)
        if len(data) != info.file_size:
            raise ValueError(f"{len(data)} bytes instead of {info.file_size}")
    return data


def write_archive(new: Path, members: Mapping[str, bytes]) -> None:
    """Writes members as they are, the same bytes for the same content."""
    with zipfile.ZipFile(new, "x", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
