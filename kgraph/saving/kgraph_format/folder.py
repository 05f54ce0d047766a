"""Saving into a folder: each process writes the arrays that its devices hold, one decides.

Orbax is not used here (it is in `kgraph.Checkpoint`): a folder may come from anybody, and Orbax
believes what it reads; a digest of a shard has to be checked whatever the shardings of a load are;
and the same model gives the same bytes.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np

from kgraph.saving.files import strict_json
from kgraph.saving.files.atomic import make_folder, put_in_place, reading_back, workshop
from kgraph.saving.files.digests import array_digests
from kgraph.saving.files.lock import FolderLock
from kgraph.saving.files.misfit import Misfit
from kgraph.saving.kgraph_format.array_entry import ArrayEntry, entry_of, shard_name
from kgraph.saving.kgraph_format.array_reader import arrays_digest
from kgraph.saving.kgraph_format.content import (
    Content,
    array_chunks,
    check_dtypes,
    make_manifest,
)
from kgraph.saving.kgraph_format.manifest import MANIFEST, Member, arrays_member, parse_manifest
from kgraph.saving.kgraph_format.parts import is_ours, name_in_folder
from kgraph.saving.kgraph_format.processes import Processes, meet
from kgraph.saving.kgraph_format.safetensors import ArraySpec, make_layout
from kgraph.saving.kgraph_format.shards import Start, Stored
from kgraph.writing import naming

_Item = tuple[str, Start | None, np.ndarray]  # path, where a shard begins, what is stored


class FolderWriter:
    """A folder that is about to be saved into. From now on other writers are refused.

    Every process of a computation on several of them makes one, at the same place of its program.

    Args:
        path: the folder; made if there is none.

    Raises:
        OSError: it cannot be written to.
        StateError: another process is saving into it.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, FolderLock(path)
        ready = False
        try:
            self._open_first()
            ready = True
        finally:
            self._processes = meet(ready)

    def _open_first(self) -> None:
        if jax.process_index():
            return
        with naming(self._path):
            make_folder(self._path)
            self._lock.acquire()

    def write(self, content: Content) -> None:
        """Writes a save. `manifest.json`, replaced at the end, makes its parts the saved model.

        Raises:
            OSError: it cannot be written; names the path. The old save is as it was.
        """
        try:
            with naming(self._path, _size(content)):
                check_dtypes(content.arrays)
                work = _contribute if self._processes.index else self._write
                work(self._path, content, self._processes)
        finally:
            self._lock.release()

    def _write(self, path: Path, content: Content, processes: Processes) -> None:
        with workshop(path / MANIFEST, processes.token) as aside:
            notes = [_write_part(aside, content, 0), *processes.notes(aside)]
            entries = _entries(content.arrays, notes)
            members = {
                arrays_member(i): Member(note["size"], note["sha256"])
                for i, note in enumerate(notes)
                if note["stored"] or not i
            }
            manifest, head = make_manifest(content, entries, members)
            names = {name: name_in_folder(name, m.sha256) for name, m in manifest.members.items()}
            for name, data in content.documents.items():
                (aside / name).write_bytes(data)
            for name in manifest.members:
                put_in_place(aside / name, path / names[name])
            (aside / "new").write_bytes(head)
            with reading_back():
                _check(
                    aside / "new", {path / names[n]: m.size for n, m in manifest.members.items()}
                )
            put_in_place(aside / "new", path / MANIFEST)
        for entry in os.listdir(path):
            if is_ours(entry) and entry not in names.values():
                os.unlink(path / entry)
        self._lock.remove()


def _check(manifest: Path, sizes: Mapping[Path, int]) -> None:
    """Raises something if a manifest, or the parts that it names, were not written whole."""
    parse_manifest(strict_json.decode(manifest.read_bytes()))
    for part, size in sizes.items():
        if (found := part.stat().st_size) != size:
            raise Misfit(part.name, f"{size} bytes", found)


def _contribute(path: Path, content: Content, processes: Processes) -> None:
    """Writes the part of a process that is not the first one."""
    aside = processes.workshop(path)
    try:
        note = _write_part(aside, content, processes.index)
    except Exception as error:
        processes.report(aside, f"{type(error).__name__}: {error}"[:300])
        raise
    processes.report(aside, note)
    processes.until_gone(aside)
    manifest = parse_manifest(strict_json.decode((path / MANIFEST).read_bytes()))
    written = manifest.members.get(arrays_member(processes.index))
    if note["stored"] and (written is None or written.sha256 != note["sha256"]):
        raise OSError(errno.EIO, "process 0 could not put the parts in place")


def _write_part(aside: Path, content: Content, index: int) -> dict[str, Any]:
    """Writes the arrays of one process, durably, and returns what another needs to know of them."""
    items = list(_items(content.arrays, index))
    arrays = {p if start is None else shard_name(p, start, a.shape): a for p, start, a in items}
    layout = make_layout([ArraySpec(n, a.shape, a.dtype.name) for n, a in arrays.items()])
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(array_digests, list(arrays.values()))
        with open(aside / arrays_member(index), "wb") as file:
            for chunk in array_chunks(layout.header, [arrays[name] for name in layout.starts]):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        digests = found.result()
    stored = [
        [path, None if start is None else list(start), list(array.shape), digest]
        for (path, start, array), digest in zip(items, digests, strict=True)
    ]
    return {"stored": stored, "size": layout.size, "sha256": arrays_digest(layout.header, digests)}


def _size(content: Content) -> int:
    arrays = (array for _, _, array in _items(content.arrays, jax.process_index()))
    return sum(array.nbytes for array in arrays) + sum(map(len, content.documents.values()))


def _items(arrays: Mapping[str, Stored], index: int) -> Iterator[_Item]:
    """Yields what a process has to write: its shards, and if it is the first one, whole arrays."""
    for path, stored in arrays.items():
        if not isinstance(stored, np.ndarray):
            for start, shard in stored.shards:
                yield path, start, shard
        elif index == 0:
            yield path, None, stored


def _entries(arrays: Mapping[str, Stored], notes: Sequence[Any]) -> list[ArrayEntry]:
    """Returns the table of all arrays, from what each process wrote."""
    whole: dict[str, str] = {}
    shards: dict[str, list[tuple[Any, Any, str, int]]] = {}
    for part, note in enumerate(notes):
        for path, start, shape, digest in note["stored"]:
            if start is None:
                whole[path] = digest
            else:
                shards.setdefault(path, []).append((start, shape, digest, part))
    return [
        ArrayEntry(path, stored.shape, stored.dtype.name, whole[path])
        if isinstance(stored, np.ndarray)
        else entry_of(path, stored.shape, stored.dtype.name, sorted(shards.get(path, [])))
        for path, stored in arrays.items()
    ]
