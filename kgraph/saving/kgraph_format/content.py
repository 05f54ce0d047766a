"""Writing: what a save consists of, and how it becomes one file; always the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import numpy as np

from kgraph.errors import ConfigError
from kgraph.saving.files import strict_json
from kgraph.saving.files.atomic import replace_file
from kgraph.saving.files.digests import array_digests
from kgraph.saving.files.misfit import Misfit
from kgraph.saving.files.stored_zip import write_zip
from kgraph.saving.kgraph_format.array_entry import ArrayEntry
from kgraph.saving.kgraph_format.array_reader import arrays_digest
from kgraph.saving.kgraph_format.container import open_container
from kgraph.saving.kgraph_format.manifest import ARRAYS, MANIFEST, Manifest, Member, parse_manifest
from kgraph.saving.kgraph_format.safetensors import DTYPES, ArraySpec, make_layout
from kgraph.saving.kgraph_format.shards import Stored

_BLOCK = 2**19  # still in the cache of the processor when it is written, after its checksum
Chunk = bytes | memoryview


@dataclass(frozen=True)
class Content:
    """What is saved.

    Fields:
        kind: "model" or "weights".
        documents: JSON bytes by name of the part.
        arrays: by path; in a folder an array may be in shards.
        graph_hash: of the model, if it has a graph.
    """

    kind: str
    documents: Mapping[str, bytes]
    arrays: Mapping[str, Stored]
    graph_hash: str | None = None


def write_file(path: Path, content: Content) -> None:
    """Writes one file, so that the old or the new one is there, whole. Its arrays are whole ones.

    Raises:
        OSError: it cannot be written; names the path.
    """
    check_dtypes(content.arrays)
    arrays = {name: array for name, array in content.arrays.items() if _is_whole(array)}
    assert len(arrays) == len(content.arrays)
    layout = make_layout([ArraySpec(n, a.shape, a.dtype.name) for n, a in arrays.items()])
    with ThreadPoolExecutor(1) as pool:
        digests = pool.submit(array_digests, list(arrays.values()))

        def head() -> Iterator[Chunk]:  # the last member: by then the digests are there
            found = digests.result()
            entries = [
                ArrayEntry(name, array.shape, array.dtype.name, digest)
                for (name, array), digest in zip(arrays.items(), found, strict=True)
            ]
            member = Member(layout.size, arrays_digest(layout.header, found))
            yield make_manifest(content, entries, {ARRAYS: member})[1]

        members: dict[str, tuple[int, Iterable[Chunk]]] = {
            name: (len(data), [data]) for name, data in content.documents.items()
        }
        chunks = array_chunks(layout.header, [arrays[name] for name in layout.starts])
        members[ARRAYS] = (layout.size, chunks)
        members[MANIFEST] = (0, head())
        size = sum(size for size, _ in members.values())
        replace_file(path, size, lambda new: write_zip(new, members), _read_back)


def _read_back(path: Path) -> None:
    with open_container(path):
        pass


def _is_whole(array: Stored) -> TypeGuard[np.ndarray]:
    return isinstance(array, np.ndarray)


def make_manifest(
    content: Content, entries: Sequence[ArrayEntry], members: Mapping[str, Member]
) -> tuple[Manifest, bytes]:
    """Returns the manifest of a save, also as JSON, given what describes its arrays.

    Raises:
        ConfigError: it would be refused when read.
    """
    documents = {
        name: Member(len(data), hashlib.sha256(data).hexdigest())
        for name, data in content.documents.items()
    }
    manifest = Manifest(content.kind, {**documents, **members}, entries, content.graph_hash)
    head = strict_json.encode(manifest.plain(), "The manifest")
    try:
        parse_manifest(strict_json.decode(head))
    except Misfit as misfit:
        raise ConfigError(
            "The model cannot be written to a file", at=misfit.place, expected=misfit.expected,
            received=repr(misfit.received)[:80],
        ) from None  # fmt: skip
    return manifest, head


def check_dtypes(arrays: Mapping[str, Stored]) -> None:
    """Raises ConfigError for an array of a dtype that cannot be stored."""
    for name, array in arrays.items():
        if array.dtype.name not in DTYPES:
            raise ConfigError(
                f"{name!r} has a dtype that cannot be stored", expected=", ".join(sorted(DTYPES)),
                received=array.dtype.name,
            )  # fmt: skip


def array_chunks(header: bytes, arrays: Sequence[np.ndarray]) -> Iterator[Chunk]:
    """Yields a header and the bytes of arrays (C order), a block at a time, without copies."""
    yield header
    for array in arrays:
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        for start in range(0, len(data), _BLOCK):
            yield data[start : start + _BLOCK]
