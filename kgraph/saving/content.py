"""Writing: what a save consists of, into one file or a folder, and always the same bytes."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kgraph.errors import ConfigError
from kgraph.saving import strict_json
from kgraph.saving.atomic import put_in_place, workshop
from kgraph.saving.checkpoints.digests import array_digests
from kgraph.saving.checkpoints.lock import FolderLock
from kgraph.saving.checkpoints.step_files import make_folder
from kgraph.saving.container import arrays_digest
from kgraph.saving.manifest import ARRAYS, MANIFEST, ArrayEntry, Manifest, Member, parse_manifest
from kgraph.saving.misfit import Misfit
from kgraph.saving.parts import is_ours, name_in_folder
from kgraph.saving.safetensors import DTYPES, ArraySpec, Layout, make_layout
from kgraph.saving.stored_zip import write_zip

_BLOCK = 2**19  # still in the cache of the processor when it is written, after its checksum
Chunk = bytes | memoryview


@dataclass(frozen=True)
class Content:
    """What is saved.

    Fields:
        kind: "model" or "weights".
        documents: JSON bytes by name of the part.
        arrays: by path.
        graph_hash: of the model, if it has a graph.
    """

    kind: str
    documents: Mapping[str, bytes]
    arrays: Mapping[str, np.ndarray]
    graph_hash: str | None = None


def write_file(path: Path, content: Content) -> None:
    """Writes one file, so that the old or the new one is there, whole.

    Raises:
        OSError: it cannot be written; names the path.
    """
    check_dtypes(content.arrays)
    layout = _layout(content)
    with ThreadPoolExecutor(1) as pool, naming(path), workshop(path) as folder:
        digests = pool.submit(array_digests, list(content.arrays.values()))

        def head() -> Iterator[Chunk]:  # the last member: by then the digests are there
            yield _manifest(content, layout, digests.result())[1]

        members: dict[str, tuple[int, Iterable[Chunk]]] = {
            name: (len(data), [data]) for name, data in content.documents.items()
        }
        members[ARRAYS] = (layout.size, _chunks(content, layout))
        members[MANIFEST] = (0, head())
        write_zip(folder / "new", members)
        put_in_place(folder / "new", path)


def write_folder(path: Path, content: Content) -> None:
    """Writes a folder of parts. `manifest.json`, replaced at the end, makes them the saved model.

    Raises:
        OSError: it cannot be written; names the path.
        StateError: another process is saving into the folder.
    """
    check_dtypes(content.arrays)
    layout = _layout(content)
    manifest, head = _manifest(content, layout, array_digests(list(content.arrays.values())))
    names = {name: name_in_folder(name, m.sha256) for name, m in manifest.members.items()}
    parts: dict[str, Iterable[Chunk]] = {name: [data] for name, data in content.documents.items()}
    parts[ARRAYS] = _chunks(content, layout)
    with naming(path):
        make_folder(path)
        lock = FolderLock(path)
        lock.acquire()
        try:
            with workshop(path / MANIFEST) as aside:
                for name, chunks in parts.items():
                    _write(aside / "new", chunks)
                    put_in_place(aside / "new", path / names[name])
                _write(aside / "new", [head])
                put_in_place(aside / "new", path / MANIFEST)
            for entry in os.listdir(path):
                if is_ours(entry) and entry not in names.values():
                    os.unlink(path / entry)
            lock.remove()
        finally:
            lock.release()


def _write(path: Path, chunks: Iterable[Chunk]) -> None:
    with open(path, "wb") as file:
        for chunk in chunks:
            file.write(chunk)


def _layout(content: Content) -> Layout:
    arrays = content.arrays.items()
    return make_layout([ArraySpec(name, a.shape, a.dtype.name) for name, a in arrays])


def _chunks(content: Content, layout: Layout) -> Iterator[Chunk]:
    return array_chunks(layout.header, [content.arrays[name] for name in layout.starts])


def _manifest(content: Content, layout: Layout, digests: list[str]) -> tuple[Manifest, bytes]:
    """Returns the manifest, also as JSON.

    Raises:
        ConfigError: it would be refused when read.
    """
    members = {
        name: Member(len(data), hashlib.sha256(data).hexdigest())
        for name, data in content.documents.items()
    }
    members[ARRAYS] = Member(layout.size, arrays_digest(layout.header, digests))
    entries = [
        ArrayEntry(name, array.shape, array.dtype.name, digest)
        for (name, array), digest in zip(content.arrays.items(), digests, strict=True)
    ]
    manifest = Manifest(content.kind, members, entries, content.graph_hash)
    head = strict_json.encode(manifest.plain(), "The manifest")
    try:
        parse_manifest(strict_json.decode(head))
    except Misfit as misfit:
        raise ConfigError(
            "The model cannot be written to a file", at=misfit.place, expected=misfit.expected,
            received=repr(misfit.received)[:80],
        ) from None  # fmt: skip
    return manifest, head


def check_dtypes(arrays: Mapping[str, np.ndarray]) -> None:
    """Raises ConfigError for an array of a dtype that cannot be stored."""
    for name, array in arrays.items():
        if array.dtype.name not in DTYPES:
            raise ConfigError(
                f"{name!r} has a dtype that cannot be stored", expected=", ".join(sorted(DTYPES)),
                received=array.dtype.name,
            )  # fmt: skip


def array_chunks(header: bytes, arrays: Sequence[np.ndarray]) -> Iterator[Chunk]:
    """Yields a header and the bytes of arrays (C order), in pieces, without copies."""
    yield header
    for array in arrays:
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        for start in range(0, len(data), _BLOCK):
            yield data[start : start + _BLOCK]


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Adds the path to errors of the system that lack it, such as a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
