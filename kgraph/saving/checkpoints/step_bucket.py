"""Steps in a bucket, which has no rename: a step is whole when its manifest is there.

The objects of a step are written under its final name, the manifest last; what has none is torn,
and no step. A step loses its manifest first. The manifest is written while the lock is known to be
ours, and taken back if it was lost meanwhile: who has it now removes what is torn.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import time
from collections.abc import Iterator, Sequence

from kgraph.errors import ConfigError, StateError
from kgraph.interrupts import held
from kgraph.saving.checkpoints.places import Place, is_step, newest, next_name, write_checked
from kgraph.saving.checkpoints.step_manifest import ARRAYS, MANIFEST
from kgraph.saving.files.bucket import BucketPath, system_error
from kgraph.saving.files.lease import BucketLock

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

    def steps(self) -> dict[int, Place]:
        """Returns the place of each whole step, by number in rising order."""
        return newest(self.path / name for name, is_whole in self._all().items() if is_whole)

    def outdated(self) -> list[Place]:
        """Returns where steps are that are torn, or have been written again since."""
        current = set(self.steps().values())
        return [path for name in self._all() if (path := self.path / name) not in current]

    def _all(self) -> dict[str, bool]:
        """Returns what is called like a step, and whether it is whole."""
        names = self.path.below()
        if not names and self.lock.object.exists():
            # TensorStore takes a list that is refused for an empty one.
            raise PermissionError(errno.EACCES, "The objects cannot be listed", self.path.url)
        parts = [name.partition("/") for name in names]
        found = {first: False for first, _, rest in parts if rest and is_step(first)}
        found.update(
            (first, True) for first, _, rest in parts if rest == MANIFEST and first in found
        )
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
        (path / MANIFEST).unlink()
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
        try:
            yield path
        except BaseException:
            with contextlib.suppress(OSError):  # then it is torn, and goes when the lock is taken
                if not (path / MANIFEST).exists():
                    _outlast_writers(path)
            raise

    def content(self, draft: Place) -> Place:
        """Returns where what will be the step lies in a draft."""
        return draft

    def commit(
        self, draft: Place, number: int, manifest: bytes, abandoned: Sequence[Place]
    ) -> None:
        """Makes a draft a step; see `StepFolder.commit`."""
        self.lock.confirm()
        for step in abandoned:
            self.remove(step)
        path = BucketPath(draft.__fspath__()) / MANIFEST
        write_checked(path, manifest)
        try:
            self.lock.confirm()
        except StateError:
            path.unlink()
            raise

    # --- what is in a step -----------------------------------------------------------------------

    def files(self, step: Place) -> dict[str, BucketPath]:
        """Returns all objects of a step but its manifest, by their names within it."""
        path = BucketPath(step.__fspath__())
        return {name: path / name for name in path.below() if name != MANIFEST}

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


def _outlast_writers(path: BucketPath) -> None:
    """Deletes what is below until it stays away: after a failure Orbax' threads go on a moment."""
    absent = 0
    for _ in range(_TURNS):
        absent = 0 if path.below() else absent + 1
        if absent == 3:
            return
        path.remove_below()
        time.sleep(_TURN_SECONDS)
