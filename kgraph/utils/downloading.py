"""Files from the network, under Keras' name."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from kgraph.datasets.download import download, has_hash, home
from kgraph.errors import ConfigError, check_choice
from kgraph.utils.archives import extract_archive

_LENGTHS = {32: "md5", 64: "sha256"}


def get_file(
    fname: str | os.PathLike[str] | None = None,
    origin: str | None = None,
    untar: bool = False,
    md5_hash: str | None = None,
    file_hash: str | None = None,
    cache_subdir: str | os.PathLike[str] = "datasets",
    hash_algorithm: str = "auto",
    extract: bool = False,
    archive_format: str | list[str] | None = "auto",
    cache_dir: str | os.PathLike[str] | None = None,
    force_download: bool = False,
) -> str:
    """Returns the path of a file from the network, which is downloaded once.

    Give the hash if you know it: what a server sends is what you train on. A file
    whose hash differs is downloaded again, and refused if it differs still.

    Args:
        fname: its name in the cache, by default the last part of the address. With `extract`, the
            name of the folder (without what follows the first dot).
        origin: its address: `http` or `https`.
        untar: as `extract`, for tar files alone.
        md5_hash: the MD5 hash; `file_hash` goes first.
        file_hash: the SHA-256 or MD5 hash, in hexadecimal.
        cache_subdir: folder below `cache_dir`; an absolute one stands for itself.
        hash_algorithm: `"sha256"`, `"md5"`, or `"auto"`, which goes by the length of the hash.
        extract: whether it is an archive whose folder is wanted.
        archive_format: `"auto"`, `"tar"`, `"zip"`, or a list of these.
        cache_dir: `$KGRAPH_HOME` or `~/.kgraph` by default.
        force_download: whether to download it in any case.

    Returns:
        The path of the file, or with `extract` of the folder.

    Raises:
        ConfigError: the arguments do not fit each other.
        DataError: the file cannot be had, has another hash, or is an archive that is damaged or
            writes outside of its folder (nothing is extracted then).
    """
    if not origin or urlsplit(origin).scheme not in ("http", "https"):
        raise ConfigError("get_file needs an address in `origin`", received=repr(origin))
    folder = Path(cache_dir or home()).expanduser() / cache_subdir
    name = _name(fname, origin)
    unpacked = None
    if extract or untar:
        short = name.partition(".")[0] if fname else name
        plain = fname and "." in name
        unpacked = folder / (f"{short}_extracted" if plain else short)
        name = name if plain else f"{name}_archive"
    target = (folder / name).absolute()
    wanted = _wanted(file_hash, md5_hash, hash_algorithm)
    fresh = force_download or not target.is_file()
    if fresh or (wanted is not None and not has_hash(target, wanted)):
        download(origin, target, wanted, name)
        fresh = True
    if unpacked is None:
        return str(target)
    if fresh or not unpacked.is_dir():
        extract_archive(target, unpacked.absolute(), "tar" if untar else archive_format)
    return str(unpacked.absolute())


def _name(fname: str | os.PathLike[str] | None, origin: str) -> str:
    name = os.fspath(fname) if fname else os.path.basename(urlsplit(origin).path)
    if not name or name in (".", "..") or re.search(r"[\\/]", name):
        raise ConfigError(
            "get_file needs a plain name for the file",
            expected="`fname` without folders",
            received=repr(name),
            hint="folders go into cache_dir and cache_subdir",
        )
    return name


def _wanted(file_hash: str | None, md5_hash: str | None, algorithm: str) -> str | None:
    """Returns the expected hash as `"algorithm:digest"`."""
    check_choice("get_file", "hash_algorithm", algorithm, ("auto", "md5", "sha256"))
    if file_hash is None:
        return None if md5_hash is None else f"md5:{md5_hash}"
    if algorithm == "auto" and len(file_hash) not in _LENGTHS:
        raise ConfigError(
            "This is no hash", expected="32 digits (MD5) or 64 (SHA-256)", received=file_hash
        )
    return f"{_LENGTHS[len(file_hash)] if algorithm == 'auto' else algorithm}:{file_hash}"
