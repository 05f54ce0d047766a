"""Files from the network, kept in a cache folder and known by their SHA-256."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from kgraph.config import is_interactive_logging_enabled
from kgraph.errors import DataError
from kgraph.writing import DRAFT, naming

TIMEOUT = 30.0
"""Seconds that a server may be silent before a download is given up."""


@dataclass(frozen=True)
class RemoteFile:
    """A file that never changes.

    Args:
        name: its path below the cache folder.
        url: where it comes from.
        sha256: what it must hash to, in hexadecimal.
        md5: the same, where no SHA-256 is published. Without both, any contents will do.
        folder: of the cache.
    """

    name: str
    url: str
    sha256: str = ""
    md5: str = ""
    folder: str = "datasets"

    @property
    def wanted(self) -> str | None:
        """The hash, as `"algorithm:digest"`."""
        if self.sha256:
            return f"sha256:{self.sha256}"
        return f"md5:{self.md5}" if self.md5 else None


def home() -> Path:
    """Returns the folder of what kgraph keeps for the user: `$KGRAPH_HOME`, or `~/.kgraph`."""
    return Path(os.environ.get("KGRAPH_HOME") or "~/.kgraph").expanduser()


def fetch(file: RemoteFile, timeout: float | None = None) -> Path:
    """Returns the path of a file whose contents are right, downloading it if need be.

    A cached file is hashed each time; one that does not match is downloaded again.

    Args:
        file: what to fetch.
        timeout: seconds that the server may be silent; None is `TIMEOUT`.

    Raises:
        DataError: if the file cannot be had or is not the one expected; says where to put it by
            hand.
    """
    target = (home() / file.folder / file.name).absolute()
    if not (target.is_file() and (file.wanted is None or has_hash(target, file.wanted))):
        download(file.url, target, file.wanted, file.name, timeout)
    return target


def download(
    url: str, target: Path, wanted: str | None, name: str, timeout: float | None = None
) -> None:
    """Downloads a file to a temporary name, and renames it when it is complete and right.

    So a final name is never half a file, and one that is there stays if the download fails.

    Args:
        url: where it comes from: `http` or `https`.
        target: where it goes.
        wanted: what it must hash to, `"sha256:..."` or `"md5:..."`; None takes anything.
        name: what to call it in messages.
        timeout: seconds that the server may be silent; None is `TIMEOUT`.

    Raises:
        DataError: if the file cannot be had or has another hash.
        OSError: it cannot be written; names the path and, of a full disk, the bytes.
    """
    import pooch
    import requests  # what pooch itself downloads with

    timeout = TIMEOUT if timeout is None else timeout
    shows = is_interactive_logging_enabled()
    sizes = [0]  # as the server says them

    def listen(response: requests.Response, *_: object, **__: object) -> None:
        sizes.append(int(response.headers.get("content-length", 0)))

    over_http = pooch.HTTPDownloader(
        progressbar=shows, chunk_size=2**16, timeout=timeout, hooks={"response": listen}
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, text = tempfile.mkstemp(prefix=f"{DRAFT}{target.name}.", dir=target.parent)
    os.close(handle)
    temporary = Path(text)
    try:
        over_http(url, text, None)  # type: ignore[arg-type]
        _check(url, target, temporary, wanted, name)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except requests.exceptions.HTTPError as error:
        raise _problem(
            url, target, wanted, name, "was refused by the server", received=error
        ) from error
    except requests.exceptions.ChunkedEncodingError as error:
        raise _problem(
            url, target, wanted, name, "ended before it was complete", received=error
        ) from error
    except requests.exceptions.RequestException as error:
        host = urlsplit(url).hostname
        what = f"failed: {host} cannot be reached"
        # A silence in the middle of the body arrives as a ConnectionError.
        if isinstance(error, requests.exceptions.Timeout) or "timed out" in str(error):
            what = f"failed: {host} was silent for {timeout:g} s"
        raise _problem(url, target, wanted, name, what, received=error) from error
    except OSError as error:  # those above are of this kind as well
        with naming(target, sizes[-1] or None):
            raise error
    finally:
        temporary.unlink(missing_ok=True)


def has_hash(path: Path, wanted: str) -> bool:
    """Tells whether a file hashes to `"algorithm:digest"`."""
    algorithm, _, digest = wanted.partition(":")
    return _digest(path, algorithm) == digest.lower()


def _check(url: str, target: Path, temporary: Path, wanted: str | None, name: str) -> None:
    if wanted is not None and not has_hash(temporary, wanted):
        algorithm, _, digest = wanted.partition(":")
        raise _problem(
            url,
            target,
            wanted,
            name,
            "has the wrong contents and was removed",
            expected=f"{algorithm} {digest}",
            received=f"{algorithm} {_digest(temporary, algorithm)}",
        )


def _problem(
    url: str, target: Path, wanted: str | None, name: str, what: str, **facts: object
) -> DataError:
    must = [] if wanted is None else [f"its {wanted.replace(':', ' must be ')}"]
    return DataError(
        f"The download of {name!r} {what}",
        at=url,
        **facts,
        hint=[
            f"put the file there by hand: {target}",
            *must,
            "the environment variable KGRAPH_HOME moves the folder",
        ],
    )


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _umask() -> int:
    """Returns the mask of new files' permissions, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
