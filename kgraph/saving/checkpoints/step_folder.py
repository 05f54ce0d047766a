"""Steps in a folder of a file system: written aside, synced, and renamed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from kgraph.saving.checkpoints.places import Place, is_step, newest, next_name, write_checked
from kgraph.saving.checkpoints.step_manifest import MANIFEST, META
from kgraph.saving.files.atomic import WORKSHOPS, make_folder, sync, workshop
from kgraph.saving.files.lock import FolderLock

_SMALL = 2**16


class StepFolder:
    """The steps in a folder, of which one that is visible is complete.

    Args:
        path: the folder; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = FolderLock(path)

    def steps(self) -> dict[int, Place]:
        """Returns the folder of each complete step, by number in rising order."""
        return newest(self._all())

    def outdated(self) -> list[Place]:
        """Returns the folders of steps that have been written again since."""
        current = set(self.steps().values())
        return [path for path in self._all() if path not in current]

    def _all(self) -> list[Path]:
        if not self.path.is_dir():
            return []
        found = [e for e in os.scandir(self.path) if e.is_dir(follow_symlinks=False)]
        return [self.path / entry.name for entry in found if is_step(entry.name)]

    # --- for the one who holds the lock ----------------------------------------------------------

    def take(self) -> None:
        """Makes the folder, takes its lock, and removes what a killed writer left."""
        make_folder(self.path)
        self.lock.acquire()
        for path in self.path.glob(WORKSHOPS):
            shutil.rmtree(path, ignore_errors=True)
        for path in self.outdated():
            self.remove(path)

    def remove(self, step: Place) -> None:
        """Deletes a step: it loses its name first, so that no half of it is a step."""
        with workshop(Path(step)) as aside:
            os.rename(step, aside / "gone")

    def dissolve(self) -> None:
        """Deletes all steps and the lock; the folder as well, unless there is more in it."""
        for step in self.steps().values():
            self.remove(step)
        self.lock.remove()
        with contextlib.suppress(OSError):
            self.path.rmdir()

    # --- writing ---------------------------------------------------------------------------------

    @contextlib.contextmanager
    def draft(self, number: int) -> Iterator[Place]:
        """Makes the place where a step is written, and takes it away again whatever happens."""
        with workshop(self.path / f"step_{number:09d}") as aside:
            (aside / "step").mkdir()
            yield aside

    def content(self, draft: Place) -> Place:
        """Returns where what will be the step lies in a draft; beside it is room for notes."""
        return draft / "step"

    def commit(
        self, draft: Place, number: int, manifest: bytes, abandoned: Sequence[Place]
    ) -> None:
        """Makes a draft a step. Abandoned steps go just before that.

        Whatever happens, none of them is then ever the newest step of a training that did not come
        from it.
        """
        new = draft / "step"
        write_checked(new / MANIFEST, manifest)
        _sync_tree(new)
        target = self.path / next_name(number, [path.name for path in self._all()])
        for step in abandoned:
            self.remove(step)
        os.rename(new, target)
        sync(self.path)

    # --- what is in a step -----------------------------------------------------------------------

    def files(self, step: Place) -> dict[str, Path]:
        """Returns all files of a step but its manifest, by their names within it."""
        root = Path(step)
        found = {p.relative_to(root).as_posix(): p for p in root.rglob("*") if not p.is_dir()}
        found.pop(MANIFEST, None)
        return found

    def facts(self, file: Place) -> tuple[int, str | None]:
        """Returns the size of a file, and its digest unless it is large: see `StepManifest`."""
        size = os.lstat(file).st_size
        if size > _SMALL and file.name != META:
            return size, None
        with open(file, "rb") as content:
            return size, hashlib.file_digest(content, "sha256").hexdigest()


def _sync_tree(folder: Place) -> None:
    """Has the system write out all files below a folder, and then the folders."""
    for root, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync(os.path.join(root, name))
        sync(root)
