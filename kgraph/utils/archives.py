"""Unpacking of archives that may be hostile: into a folder that appears when all is well."""

from __future__ import annotations

import lzma
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from kgraph.errors import ConfigError, DataError


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
        DataError: the file is no archive, is damaged, or has a member or a link that leads out of
            the folder, or a device.
    """
    formats = ("tar", "zip") if archive_format == "auto" else archive_format or ()
    formats = [formats] if isinstance(formats, str) else list(formats)
    if unknown := [name for name in formats if name not in ("tar", "zip")]:
        raise ConfigError(f"Archives are 'tar' or 'zip', not {unknown[0]!r}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        if "tar" in formats and tarfile.is_tarfile(archive):
            _untar(archive, temporary)
        elif "zip" in formats and zipfile.is_zipfile(archive):
            _unzip(archive, temporary)
        else:
            raise DataError("This is no archive", at=archive, expected=" or ".join(formats))
        temporary.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.replace(folder)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        raise DataError(
            "This archive cannot be unpacked",
            at=archive,
            received=f"{type(error).__name__}: {error}",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _untar(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")  # raises for what leads out of it, and for devices


def _unzip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as zipped:
        root = os.path.realpath(folder)
        for name in zipped.namelist():
            path = os.path.realpath(os.path.join(root, name))
            if os.path.commonpath([path, root]) != root:
                raise DataError(
                    "This archive writes outside of its folder", at=archive, received=name
                )
        zipped.extractall(folder)  # never makes links
