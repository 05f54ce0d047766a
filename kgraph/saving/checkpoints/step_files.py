"""Steps as folders: written aside, synced and renamed; read back with every byte accounted for."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kgraph.distribution.notices import Notices
from kgraph.errors import ProcessError
from kgraph.saving.checkpoints.host_arrays import NamedTree
from kgraph.saving.checkpoints.orbax_arrays import ArraysWriter
from kgraph.saving.checkpoints.plain_meta import decode_meta
from kgraph.saving.checkpoints.step_arrays import StepArrays
from kgraph.saving.checkpoints.step_error import damaged, reading, unwritten
from kgraph.saving.checkpoints.step_manifest import MANIFEST, Shard, StepManifest, decode_manifest
from kgraph.saving.files.atomic import WORKSHOPS, sync, workshop
from kgraph.saving.files.digests import array_digests

META, ARRAYS = "meta.json", "arrays"
_STEP = re.compile(r"step_(\d{9,18})(?:\.(\d{1,9}))?")
_SMALL = 2**16
_BLOCK = 2**20


# --- what is there -------------------------------------------------------------------------------


def step_folders(folder: Path) -> dict[int, Path]:
    """Returns the folder of each complete step, by number in rising order.

    A step that was written again is there as `step_000000040.1` as well, until the older one has
    been removed; the last one counts.
    """
    found: dict[int, tuple[int, Path]] = {}
    for entry in os.scandir(folder) if folder.is_dir() else ():
        match = _STEP.fullmatch(entry.name)
        if match is None or not entry.is_dir(follow_symlinks=False):
            continue
        step, version = int(match[1]), int(match[2] or 0)
        found[step] = max(found.get(step, (-1, folder)), (version, Path(entry.path)))
    return {step: path for step, (_, path) in sorted(found.items())}


def remove_leftovers(folder: Path) -> None:
    """Removes what a killed writer left. Only the one who holds the lock may do so."""
    for path in folder.glob(WORKSHOPS):
        shutil.rmtree(path, ignore_errors=True)
    for path in outdated_folders(folder):
        remove_folder(path)


def outdated_folders(folder: Path) -> list[Path]:
    """Returns the folders of steps that have been written again since."""
    current = set(step_folders(folder).values())
    return [p for p in folder.iterdir() if _STEP.fullmatch(p.name) and p not in current]


def _new_folder(folder: Path, step: int) -> Path:
    name = f"step_{step:09d}"
    if (known := step_folders(folder).get(step)) is None:
        return folder / name
    return folder / f"{name}.{int(known.name.partition('.')[2] or 0) + 1}"


# --- writing -------------------------------------------------------------------------------------


class StepWriter:
    """A step on its way to the disk. All processes make one, at the same place of their programs.

    When this returns, the arrays may be changed or donated; `finish` does the rest, in any thread.

    Args:
        folder: the checkpoint.
        step: the number.
        tree: what this process has of the arrays.
        meta: as bytes.
        metrics: numbers by name.
        notices: how the processes meet.

    Raises:
        OSError: the step cannot be written.
        ProcessError: another process could not.
    """

    def __init__(
        self,
        folder: Path,
        step: int,
        tree: NamedTree,
        meta: bytes,
        metrics: Mapping[str, float],
        notices: Notices,
    ) -> None:
        self._folder, self._step, self._tree, self._notices = folder, step, tree, notices
        self._meta, self._metrics = meta, metrics
        self._target, self._stack = _new_folder(folder, step), contextlib.ExitStack()
        self._shards: list[Any] = []
        with contextlib.ExitStack() as stack, self._telling():
            self._shards = tree.shards(notices.leads)
            self._aside = self._meet_in(stack)
            notices.meet("begin")
            nested = tree.nested()
            arrays = self._aside / "step" / ARRAYS
            self._arrays = ArraysWriter(arrays, nested, notices) if nested else None
            self._stack = stack.pop_all()

    def _meet_in(self, stack: contextlib.ExitStack) -> Path:
        """Returns the folder that the first process has made for all to write into."""
        if not self._notices.leads:
            return self._folder / self._notices.ask("workshop")
        aside = stack.enter_context(workshop(self._target))
        (aside / "step").mkdir()
        self._notices.tell("workshop", aside.name)
        return aside

    def finish(self, abandoned: Sequence[int], after: Callable[[], None]) -> None:
        """Returns when the step has its name, which it gets when all of it is on the disk.

        Abandoned steps go just before that: whatever happens, none of them is ever the newest step
        of a training that did not come from it.

        Args:
            abandoned: the numbers of those steps.
            after: is called by the first process when the step has its name.

        Raises:
            OSError: the step cannot be written.
            ProcessError: another process could not.
        """
        with self._stack, self._telling():  # told before the folder goes
            arrays = [array for _, _, array in self._shards]
            digests = array_digests(arrays, threads=1)  # training wants the other cores
            if self._arrays is not None:
                self._arrays.wait()
            own = [
                [list(path), list(start), list(array.shape), digest]
                for (path, start, array), digest in zip(self._shards, digests, strict=True)
            ]
            if not self._notices.leads:
                (self._aside / f"note-{self._notices.index}").write_text(json.dumps(own))
            self._notices.meet("written")
            if self._notices.leads:
                self._put_in_place(own, abandoned)
                after()
            self._notices.meet("done")

    def _put_in_place(self, own: list[Any], abandoned: Sequence[int]) -> None:
        new, known = self._aside / "step", step_folders(self._folder)
        shards: dict[tuple[str, ...], list[Shard]] = {}
        for path, start, shape, digest in [*own, *self._notes()]:
            shards.setdefault(tuple(path), []).append(Shard(tuple(start), tuple(shape), digest))
        (new / META).write_bytes(self._meta)
        manifest = StepManifest(
            self._step, self._metrics,
            {name: _facts(path) for name, path in _files(new).items()},
            self._tree.specs, [shards.get(spec.path, []) for spec in self._tree.specs],
            self._tree.hollow,
        )  # fmt: skip
        (new / MANIFEST).write_bytes(manifest.encode())
        written = read_manifest(self._folder, self._step, new)
        _check_files(self._folder, self._step, new, written)
        _sync_tree(new)
        for other in abandoned:
            remove_folder(known[other])
        os.rename(new, self._target)
        sync(self._folder)

    def _notes(self) -> Iterator[Any]:
        for index in range(1, self._notices.count):
            yield from json.loads((self._aside / f"note-{index}").read_text())

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Tells the other processes if this one fails, and names the step in the error."""
        try:
            yield
        except Exception as error:
            needed = sum(array.nbytes for _, _, array in self._shards)
            raise unwritten(self._folder, self._step, self._cause(error), needed or None) from error

    def _cause(self, error: Exception) -> Exception:
        """Returns the failure that came first: when one process gives up, files go from others."""
        if isinstance(error, ProcessError):
            return error
        try:
            self._notices.check()
        except ProcessError as first:
            return first
        self._notices.fail(f"{type(error).__name__}: {error}".partition("\n")[0])
        return error


def remove_folder(path: Path) -> None:
    """Deletes the folder of a step: it loses its name first, so that no half of it is a step."""
    with workshop(path) as aside:
        os.rename(path, aside / "gone")


def _sync_tree(folder: Path) -> None:
    """Has the system write out all files below a folder, and then the folders."""
    for root, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync(os.path.join(root, name))
        sync(root)


def _files(step: Path) -> dict[str, Path]:
    files = {p.relative_to(step).as_posix(): p for p in step.rglob("*") if not p.is_dir()}
    files.pop(MANIFEST, None)
    return files


def _facts(path: Path) -> tuple[int, str | None]:
    size = path.stat().st_size
    if size > _SMALL and path.name != META:
        return size, None
    with open(path, "rb") as file:
        return size, hashlib.file_digest(file, "sha256").hexdigest()


# --- reading -------------------------------------------------------------------------------------


def read_manifest(folder: Path, step: int, path: Path) -> StepManifest:
    """Returns the manifest of a step, its digest and its number verified."""
    with reading(folder, step, MANIFEST):
        manifest = decode_manifest((path / MANIFEST).read_bytes())
    if manifest.step != step:
        raise damaged(
            folder, step, member=MANIFEST, expected=f"step {step}", received=f"step {manifest.step}"
        )
    return manifest


def read_meta(folder: Path, step: int, path: Path, manifest: StepManifest) -> Any:
    """Returns the `meta` of a step, its digest verified."""
    with reading(folder, step, META):
        data = (path / META).read_bytes()
        expected, received = manifest.files[META][1], hashlib.sha256(data).hexdigest()
        if expected != received:
            raise damaged(folder, step, member=META, expected=expected, received=received)
        return decode_meta(data)


def open_step(folder: Path, step: int, path: Path, manifest: StepManifest) -> StepArrays:
    """Returns the arrays of a step, none of them read, when all files are there."""
    _check_files(folder, step, path, manifest)
    return StepArrays(folder, step, path / ARRAYS, manifest)


def _check_files(folder: Path, step: int, path: Path, manifest: StepManifest) -> None:
    """Compares the files that are there, their sizes and the digests of small ones."""
    with reading(folder, step, "files"):
        found = {name: (p, p.lstat().st_size) for name, p in _files(path).items()}
        for name in sorted({*found, *manifest.files}):
            expected = manifest.files.get(name)
            if expected is None or name not in found or found[name][1] != expected[0]:
                raise damaged(
                    folder, step, member=name,
                    expected="no such file" if expected is None else f"{expected[0]} bytes",
                    received=f"{found[name][1]} bytes" if name in found else "no such file",
                )  # fmt: skip
            if expected[1] is not None and (digest := _facts(found[name][0])[1]) != expected[1]:
                raise damaged(
                    folder, step, member=name, expected=f"SHA-256 {expected[1]}",
                    received=f"SHA-256 {digest}",
                )  # fmt: skip
