"""Files from the network, kept in a cache folder and known by their SHA-256."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kgraph.errors import DataError, message

TIMEOUT = 30.0
"""Seconds that a server may be silent before a download is given up."""


@dataclass(frozen=True)
class RemoteFile:
    """A file that never changes.

    Args:
        name: its path below the cache folder.
        url: where it comes from.
        sha256: what it must hash to, in hexadecimal.
    """

    name: str
    url: str
    sha256: str


def cache_folder() -> Path:
    """Returns the folder of downloaded data: `$KGRAPH_HOME/datasets`, or `~/.kgraph/datasets`."""
    return Path(os.environ.get("KGRAPH_HOME") or "~/.kgraph").expanduser() / "datasets"


def fetch(file: RemoteFile, timeout: float | None = None) -> Path:
    """Returns the path of a file whose contents are right, downloading it if need be.

    A cached file is hashed each time; one that does not match is downloaded again. A download goes
    to a temporary name and is renamed when its hash is right, so a final name is never half a file.

    Args:
        file: what to fetch.
        timeout: seconds that the server may be silent; None is `TIMEOUT`.

    Raises:
        DataError: if the file cannot be had or is not the one expected; says where to put it by
            hand.
    """
    target = (cache_folder() / file.name).absolute()
    if target.is_file() and _sha256(target) == file.sha256:
        return target
    _download(file, target, TIMEOUT if timeout is None else timeout)
    return target


def _download(file: RemoteFile, target: Path, timeout: float) -> None:
    import pooch
    import requests  # what pooch itself downloads with

    over_http = pooch.HTTPDownloader(progressbar=True, chunk_size=2**16, timeout=timeout)

    def download(url: str, temporary: Any, pooch_object: Any) -> None:
        over_http(url, temporary, pooch_object)
        received = _sha256(Path(temporary))
        if received != file.sha256:  # pooch removes the temporary file
            raise _problem(
                file,
                target,
                "has the wrong contents and was removed",
                expected=f"sha256 {file.sha256}",
                received=f"sha256 {received}",
            )

    checked: Any = download  # pooch's type for it names the arguments of another kind of function
    try:
        known_hash = f"sha256:{file.sha256}"
        pooch.retrieve(file.url, known_hash, target.name, target.parent, downloader=checked)
    except requests.exceptions.HTTPError as error:
        raise _problem(file, target, "was refused by the server", received=error) from error
    except requests.exceptions.ChunkedEncodingError as error:
        raise _problem(file, target, "ended before it was complete", received=error) from error
    except requests.exceptions.RequestException as error:
        host = urlsplit(file.url).hostname
        what = f"failed: {host} cannot be reached"
        # A silence in the middle of the body arrives as a ConnectionError.
        if isinstance(error, requests.exceptions.Timeout) or "timed out" in str(error):
            what = f"failed: {host} was silent for {timeout:g} s"
        raise _problem(file, target, what, received=error) from error


def _problem(file: RemoteFile, target: Path, what: str, **facts: object) -> DataError:
    return DataError(
        message(
            f"The download of {file.name!r} {what}",
            at=file.url,
            **facts,
            hint=[
                f"put the file there by hand: {target}",
                f"its sha256 must be {file.sha256}",
                "the environment variable KGRAPH_HOME moves the folder",
            ],
        )
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
