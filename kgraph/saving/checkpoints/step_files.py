"""Steps as folders: written aside, synced and renamed; read back with every byte accounted for."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kgraph.saving.checkpoints.host_arrays import HostArrays
from kgraph.saving.checkpoints.orbax_adapter import read_arrays, write_arrays
from kgraph.saving.checkpoints.plain_meta import decode_meta
from kgraph.saving.checkpoints.step_error import damaged, reading
from kgraph.saving.checkpoints.step_manifest import MANIFEST, StepManifest, decode_manifest
from kgraph.saving.files.atomic import WORKSHOPS, sync, workshop
from kgraph.saving.files.digests import array_digests
from kgraph.saving.kgraph_format.array_entry import ArrayEntry

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


def write_step(
    folder: Path,
    step: int,
    stored: HostArrays,
    meta: bytes,
    metrics: Mapping[str, float],
    abandoned: Sequence[int] = (),
) -> None:
    """Writes a step. It has its name only when all of it is on the disk.

    Abandoned steps go just before that: whatever happens, none of them is ever the newest step of a
    training that did not come from it.
    """
    known, target = step_folders(folder), _new_folder(folder, step)
    with workshop(target) as aside:
        new = aside / "step"
        new.mkdir()
        write_arrays(new / ARRAYS, stored.arrays)
        (new / META).write_bytes(meta)
        files = {name: _facts(path) for name, path in _files(new).items()}
        digests = array_digests(stored.arrays, threads=1)  # training wants the other cores
        manifest = StepManifest(step, metrics, files, stored.specs, digests, stored.hollow)
        (new / MANIFEST).write_bytes(manifest.encode())
        _sync_tree(new)
        for other in abandoned:
            remove_folder(known[other])
        os.rename(new, target)
        sync(folder)


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


def read_step(
    folder: Path, step: int, path: Path, check: Callable[[StepManifest], None]
) -> tuple[HostArrays, Any]:
    """Returns the arrays and the `meta` of a step, every digest verified.

    Args:
        folder: the checkpoint.
        step: its number.
        path: its folder.
        check: is given the manifest before memory is taken for arrays.
    """
    manifest = read_manifest(folder, step, path)
    check(manifest)
    _check_files(folder, step, path, manifest)
    meta = read_meta(folder, step, path, manifest)
    entries = [
        ArrayEntry(spec.name, spec.shape, spec.dtype, digest)
        for spec, digest in zip(manifest.specs, manifest.digests, strict=True)
    ]
    with reading(folder, step, ARRAYS):
        wanted = {entry.path for entry in entries}
        found = read_arrays(path / ARRAYS, entries, wanted, on_host=True)
    arrays: list[np.ndarray] = [found[entry.path] for entry in entries]
    for entry, digest in zip(entries, array_digests(arrays), strict=True):
        if entry.sha256 != digest:
            raise damaged(
                folder, step, member=ARRAYS, array=entry.path,
                expected=f"SHA-256 {entry.sha256}", received=f"SHA-256 {digest}",
            )  # fmt: skip
    return HostArrays(manifest.specs, arrays, manifest.hollow), meta


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
