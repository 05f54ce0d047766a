"""Unpacking of archives that may be hostile: into a folder that appears when all is well.

Members are written one by one, as regular files and folders below a new folder. No link is ever
made there, so no name can lead out of it by way of one; the filters of the standard library have
let such names through (CVE-2025-4517). A link to a file of the archive becomes a copy of it.
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from kgraph.errors import ConfigError, DataError
from kgraph.writing import naming

MOST_MEMBERS = 10_000_000
MOST_FOR_EACH_BYTE = 200
"""How many bytes each byte of an archive may become, once it has become `SMALL` bytes."""
SMALL = 2**30


@dataclass(frozen=True)
class _Member:
    """A file or (without `open`) a folder of an archive."""

    name: str
    size: int
    open: Callable[[], IO[bytes] | None] | None


def extract_archive(
    archive: Path, folder: Path, archive_format: str | Sequence[str] | None = "auto"
) -> None:
    """Unpacks a tar or zip file into a folder of its own, in the place of an older one.

    Args:
        archive: the file.
        folder: becomes what is in it; appears when it is complete.
        archive_format: `"auto"`, `"tar"`, `"zip"`, or a list of these.

    Raises:
        ConfigError: the format is unknown.
        DataError: the file is no archive, is damaged, is a bomb, does not fit on the disk, or has a
            member that leads out of the folder, a device, or a link to anything but a file in it.
    """
    formats = ("tar", "zip") if archive_format == "auto" else archive_format or ()
    formats = [formats] if isinstance(formats, str) else list(formats)
    if unknown := [name for name in formats if name not in ("tar", "zip")]:
        raise ConfigError(f"Archives are 'tar' or 'zip', not {unknown[0]!r}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        if "tar" in formats and tarfile.is_tarfile(archive):
            with tarfile.open(archive) as tar:
                _write(archive, temporary, _of_tar(archive, tar))
        elif "zip" in formats and zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                _write(archive, temporary, _of_zip(archive, zipped))
        else:
            raise DataError("This is no archive", at=archive, expected=" or ".join(formats))
        temporary.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.replace(folder)
    except DataError:
        raise
    except Exception as error:  # hostile bytes may raise nearly anything
        raise DataError(
            "This archive cannot be unpacked",
            at=archive,
            expected=f"room for it, and names that can be files, in {folder.parent}",
            received=f"{type(error).__name__}: {error}",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _of_tar(archive: Path, tar: tarfile.TarFile) -> Iterator[_Member]:
    for info in tar:
        if not (info.isfile() or info.isdir() or info.islnk() or info.issym()):
            raise _refused(archive, info.name, "is neither a file nor a folder")
        opener = None if info.isdir() else lambda info=info: tar.extractfile(info)
        yield _Member(info.name, info.size, opener)


def _of_zip(archive: Path, zipped: zipfile.ZipFile) -> Iterator[_Member]:
    for info in zipped.infolist():
        opener = None if info.is_dir() else lambda info=info: zipped.open(info)
        yield _Member(info.filename, info.file_size, opener)


def _write(archive: Path, folder: Path, members: Iterator[_Member]) -> None:
    most = max(SMALL, MOST_FOR_EACH_BYTE * archive.stat().st_size)
    left = most = min(most, shutil.disk_usage(folder).free)
    for number, member in enumerate(members):
        name = PurePosixPath(member.name.lstrip("/"))
        if ".." in name.parts or "\\" in member.name or Path(name).drive:
            raise _refused(archive, member.name, "lies outside of its folder")
        if number >= MOST_MEMBERS:
            raise _too_large(archive, member.name, most)
        path = folder / name
        if member.open is None:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        source = member.open()
        if source is None:
            raise _refused(archive, member.name, "is a link to something that is no file in it")
        with source, naming(name, member.size), path.open("wb") as target:
            while chunk := source.read(2**20):
                left -= len(chunk)
                if left < 0:
                    raise _too_large(archive, member.name, most)
                target.write(chunk)


def _too_large(archive: Path, name: str, most: int) -> DataError:
    return DataError(
        "This archive becomes too large",
        at=archive,
        expected=f"at most {most:,} bytes, all of them free, and {MOST_MEMBERS:,} members",
        received=f"more, at the member {name!r}",
        hint="make room, or unpack it by hand if you trust it",
    )


def _refused(archive: Path, name: str, why: str) -> DataError:
    return DataError(
        f"This archive has a member that {why}",
        at=archive,
        received=repr(name),
        hint="unpack it by hand if you trust it",
    )
