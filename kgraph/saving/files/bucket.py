"""Places in a bucket of Google Cloud Storage, by TensorStore, which Orbax brings.

An object appears whole or not at all, is seen by all as soon as it is written, and can be written
on the condition that it is still the one that was read. What fails for a moment is tried again.
"""

from __future__ import annotations

import errno
import functools
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import tensorstore

T = TypeVar("T")

_RETRIES = {"max_retries": 7, "initial_delay": "1s", "max_delay": "32s"}
"""About two minutes, as Orbax' own requests take."""
_SECONDS = 300.0
"""After which one request, with all retries, has failed: a server may be silent for ever."""
_NUMBERS = {
    "PERMISSION_DENIED": errno.EACCES, "UNAUTHENTICATED": errno.EACCES, "NOT_FOUND": errno.ENOENT,
    "DEADLINE_EXCEEDED": errno.ETIMEDOUT, "UNAVAILABLE": errno.EHOSTUNREACH,
}  # fmt: skip


class BucketPath:
    """An object, or all those whose names begin with this one and a slash.

    Args:
        url: `gs://bucket/name`.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def __repr__(self) -> str:
        return f"BucketPath({self.url!r})"

    def __str__(self) -> str:
        return self.url

    def __fspath__(self) -> str:
        return self.url

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BucketPath) and self.url == other.url

    def __hash__(self) -> int:
        return hash(self.url)

    def __truediv__(self, name: str, /) -> BucketPath:
        return BucketPath(f"{self.url}/{name}")

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    def exists(self) -> bool:
        """Tells whether there is an object of this name."""
        return self.look() is not None

    def read_bytes(self) -> bytes:
        """Returns what is in the object.

        Raises:
            FileNotFoundError: there is none.
            OSError: it cannot be read.
        """
        found = self.look()
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "No such object", self.url)
        return found[0]

    def write_bytes(self, data: bytes, /) -> None:
        """Writes the object, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        if not self._ask(lambda store, key: store.write(key, data)).generation:
            raise OSError(errno.EIO, "The bucket refused to write an object", self.url)

    def unlink(self) -> None:
        """Deletes the object; there need be none."""
        self._ask(lambda store, key: store.write(key, None))

    def look(self) -> tuple[bytes, bytes] | None:
        """Returns what is in the object, and its generation; None if there is none."""
        found = self._ask(lambda store, key: store.read(key))
        return (found.value, found.stamp.generation) if found.state == "value" else None

    def replace(self, data: bytes, generation: bytes | None) -> bytes | None:
        """Writes the object if it is still the one that was looked at.

        Args:
            data: what is to be in it: of this writer alone.
            generation: the one of the object that is replaced; None if there was none.

        Returns:
            the new generation; None if it was another one, and nothing happened.
        """
        before = _NO_OBJECT if generation is None else generation
        written = self._ask(lambda s, key: s.write(key, data, if_equal=before)).generation
        if written:
            return written
        # Where an answer is lost, the request is made again, and finds what it has written itself.
        found = self.look()
        return found[1] if found is not None and found[0] == data else None

    def below(self) -> list[str]:
        """Returns the names of all objects below, as they are called from here."""
        return [key.decode() for key in self._ask(lambda s, _: s.list(), inside=True)]

    def remove_below(self) -> None:
        """Deletes all objects below."""
        import tensorstore

        everything = tensorstore.KvStore.KeyRange()
        self._ask(lambda store, _: store.delete_range(everything), inside=True)

    def _ask(
        self,
        request: Callable[[tensorstore.KvStore, str], tensorstore.Future[T]],
        inside: bool = False,
    ) -> T:
        """Returns the answer to a request, for this object or for those below."""
        bucket, _, key = self.url.removeprefix("gs://").partition("/")
        try:
            store = _store(bucket, f"{key}/" if inside and key else "")
            return request(store, "" if inside else key).result(timeout=_SECONDS)
        except Exception as error:
            raise system_error(error, self.url) from error


# A server that says nothing for so long counts as gone, or a save would stand still. It has to be
# set before TensorStore's first request; Orbax, whose requests go there as well, has no option.
os.environ.setdefault("TENSORSTORE_CURL_LOW_SPEED_TIME_SECONDS", "60")
os.environ.setdefault("TENSORSTORE_CURL_LOW_SPEED_LIMIT_BYTES", "1")

_NO_OBJECT = b"\x02"
"""What TensorStore calls the generation of an object that is not there."""


@functools.lru_cache(8)
def _store(bucket: str, path: str) -> tensorstore.KvStore:
    import tensorstore

    context = tensorstore.Context({"gcs_request_retries": _RETRIES})
    spec = {"driver": "gcs", "bucket": bucket, "path": path}
    return tensorstore.KvStore.open(spec, context=context).result()


def system_error(error: Exception, url: str) -> OSError:
    """Returns the error for a bucket that did not answer as it should."""
    text = (str(error) or type(error).__name__).partition("\n")[0].partition(" [")[0]
    name = re.match(r"[A-Z_]+", text)
    number = _NUMBERS.get(name[0] if name else "", errno.EIO)
    return OSError(number, f"The bucket does not answer as it should: {text[:200]}", url)
