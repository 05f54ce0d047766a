"""Steps in a bucket, which has no rename: a step is whole when an object of it says so.

The objects of a step are written under its final name, and one of them, the mark, says that it is a
draft. When all are there the mark is written anew, on the condition that it is still the same. A
step of which it does not say that it is whole is torn, and none. Who takes the lock removes what is
torn, marks first: so neither a writer that comes back after it has lost the lock, nor a request
that arrives late, makes a step of what is left.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from kgraph.errors import ConfigError, StateError
from kgraph.interrupts import held
from kgraph.saving.checkpoints.places import Place, is_step, newest, next_name, write_checked
from kgraph.saving.checkpoints.step_manifest import ARRAYS, MANIFEST
from kgraph.saving.files.bucket import BucketPath, system_error
from kgraph.saving.files.lease import BucketLock

_MARK, _WHOLE, _DRAFT = "whole", b"whole", b"draft"
_READERS = 16
_DATA = "d"
"""The folder in which Orbax' storage format has the content of arrays, in objects of any size."""
_INSTALL = "pip install 'kgraph-jax[gcs]', which brings gcsfs"
_TURNS, _TURN_SECONDS = 20, 0.05


class StepBucket:
    """The steps below a name in a bucket: what `StepFolder` is for a file system.

    Args:
        path: where; nothing need be there.
    """

    def __init__(self, path: BucketPath) -> None:
        self.path = path
        self.lock = BucketLock(path)
        self._draft: bytes | None = None

    def steps(self) -> dict[int, Place]:
        """Returns the place of each whole step, by number in rising order."""
        return newest(self.path / name for name, is_whole in self._all().items() if is_whole)

    def outdated(self) -> list[Place]:
        """Returns where steps are that are torn, or have been written again since."""
        found = self._all()
        current = set(
            newest(self.path / name for name, is_whole in found.items() if is_whole).values()
        )
        return [path for name in found if (path := self.path / name) not in current]

    def _all(self) -> dict[str, bool]:
        """Returns what is called like a step, and whether it is whole."""
        found: dict[str, bool] = {}
        for _ in range(_TURNS):
            names = self.path.below()
            if not names and self.lock.object.exists():
                # TensorStore takes a list that is refused for an empty one.
                raise PermissionError(errno.EACCES, "The objects cannot be listed", self.path.url)
            found = dict.fromkeys((n for x in names if is_step(n := x.partition("/")[0])), False)
            marked = [name for name in found if f"{name}/{_MARK}" in names]
            with ThreadPoolExecutor(_READERS) as pool:
                marks = list(pool.map(lambda name: (self.path / name / _MARK).look(), marked))
            found.update((name, _says_whole(mark)) for name, mark in zip(marked, marks))
            if None not in marks:
                break  # else one went meanwhile: a writer may have made others
        return found

    # --- for the one who holds the lock ----------------------------------------------------------

    def take(self) -> None:
        """Takes the lock, and removes what a killed writer left.

        Raises:
            ConfigError: what Orbax needs for buckets is not installed.
            StateError: another writer has the lock.
            OSError: the bucket does not let us.
        """
        _check_orbax_can_write(self.path.url)
        self.lock.acquire()
        for path in self.outdated():
            self.remove(path)

    def remove(self, step: Place) -> None:
        """Deletes a step, or what is left of one."""
        path = BucketPath(step.__fspath__())
        (path / _MARK).unlink()
        path.remove_below()

    def dissolve(self) -> None:
        """Deletes all steps and the lock."""
        self.lock.confirm()
        for step in self.steps().values():
            self.remove(step)
        self.lock.remove()

    # --- writing ---------------------------------------------------------------------------------

    @contextlib.contextmanager
    def draft(self, number: int) -> Iterator[Place]:
        """Yields where a step is written; whatever fails, nothing but a whole step stays there."""
        path = self.path / next_name(number, self._all())
        mark = path / _MARK
        self._draft = mark.replace(_DRAFT + self.lock.text.encode(), None)
        try:
            yield path
        except BaseException:
            with contextlib.suppress(OSError):  # then it is torn, and goes when the lock is taken
                if not _says_whole(mark.look()):
                    mark.unlink()
                    _outlast_writers(path)
            raise

    def content(self, draft: Place) -> Place:
        """Returns where what will be the step lies in a draft."""
        return draft

    def commit(
        self, draft: Place, number: int, manifest: bytes, abandoned: Sequence[Place]
    ) -> None:
        """Makes a draft a step; see `StepFolder.commit`."""
        write_checked(draft / MANIFEST, manifest)
        self.lock.confirm()
        for step in abandoned:
            self.remove(step)
        mark = self.path / draft.name / _MARK
        whole = _WHOLE + hashlib.sha256(manifest).hexdigest().encode()
        if self._draft is None or mark.replace(whole, self._draft) is None:
            raise StateError("Another writer has removed what was written, or writes there as well")

    # --- what is in a step -----------------------------------------------------------------------

    def files(self, step: Place) -> dict[str, BucketPath]:
        """Returns the objects of a step but manifest and mark, by their names within it."""
        path = BucketPath(step.__fspath__())
        return {name: path / name for name in path.below() if name not in (MANIFEST, _MARK)}

    def facts(self, file: Place) -> tuple[int | None, str | None]:
        """Returns size and digest of an object, unless it is one of arrays' content.

        To learn the size of an object means to read it, here.
        """
        inside = file.__fspath__().removeprefix(f"{self.path.url}/").split("/")
        if inside[1] == ARRAYS and inside[-2] == _DATA:
            return None, None
        content = file.read_bytes()
        return len(content), hashlib.sha256(content).hexdigest()


def _check_orbax_can_write(url: str) -> None:
    """Makes sure of what Orbax writes its own small files with: gcsfs, or TensorFlow."""
    try:
        with held():
            from etils import epath

            epath.Path(url).exists()
    except ImportError as error:
        raise ConfigError(
            "To save into a bucket takes gcsfs, which is not installed", hint=_INSTALL
        ) from error
    except Exception as error:
        raise system_error(error, url) from error


def _says_whole(mark: tuple[bytes, bytes] | None) -> bool:
    return mark is not None and mark[0].startswith(_WHOLE)


def _outlast_writers(path: BucketPath) -> None:
    """Deletes what is below until it stays away: after a failure Orbax' threads go on a moment."""
    absent = 0
    for _ in range(_TURNS):
        absent = 0 if path.below() else absent + 1
        if absent == 3:
            return
        path.remove_below()
        time.sleep(_TURN_SECONDS)
