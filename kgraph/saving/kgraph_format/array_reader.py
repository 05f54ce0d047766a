"""Reading arrays back, whole or for some devices, each byte verified before anybody sees it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.saving.files.file_error import file_error, refusing
from kgraph.saving.kgraph_format.array_entry import ArrayEntry, Shard
from kgraph.saving.kgraph_format.manifest import Manifest, arrays_member, is_arrays_member
from kgraph.saving.kgraph_format.parts import COPY, Part
from kgraph.saving.kgraph_format.safetensors import ArraySpec, Layout, make_layout
from kgraph.saving.kgraph_format.shards import put_together

DAMAGED = "is damaged"
ShardingOf = Callable[[str, tuple[int, ...]], jax.sharding.Sharding | None]


class ArrayReader:
    """The arrays of an opened file or folder.

    Args:
        path: what was opened, for messages.
        manifest: what it should hold.
        parts: its parts by name.

    Raises:
        ModelFileError: a part has another size than its arrays.
    """

    def __init__(self, path: Path, manifest: Manifest, parts: Mapping[str, Part]) -> None:
        self._path, self._manifest, self._parts = path, manifest, parts
        self._layouts = {m: layout_of(manifest.arrays, m) for m in members_of(manifest)}
        for member, layout in self._layouts.items():
            if layout.size != manifest.members[member].size:
                raise file_error(
                    path, "holds other arrays than its manifest lists", member=member,
                    expected=f"{layout.size} bytes", received=manifest.members[member].size,
                    hint=COPY,
                )  # fmt: skip

    def check_headers(self) -> None:
        """Compares the header of each part with the one that the table gives, and their digests."""
        for member, layout in self._layouts.items():
            with refusing(self._path, DAMAGED, member=member, hint=COPY):
                header = self._parts[member].read(0, len(layout.header))
                if header != layout.header:
                    raise file_error(
                        self._path, "holds other arrays than its manifest lists", member=member,
                        at="header", hint=COPY,
                    )  # fmt: skip
                received = arrays_digest(header, digests_in(self._manifest.arrays, member))
                compare_digests(
                    self._path, member, self._manifest.members[member].sha256, received, "the table"
                )

    def in_file_order(self, wanted: Iterable[str]) -> list[ArrayEntry]:
        """Returns the entries of arrays, in the order in which they are read fastest."""
        names = set(wanted)

        def place(entry: ArrayEntry) -> tuple[int, int]:
            first = entry.stored()[0]
            return first.part, self._layouts[arrays_member(first.part)].starts[first.name]

        return sorted((e for e in self._manifest.arrays if e.path in names), key=place)

    def whole(self, entry: ArrayEntry) -> np.ndarray:
        """Returns an array on the host."""
        if not entry.shards:
            return self._read(entry, entry.stored()[0])
        return self._region(entry, tuple(map(slice, entry.shape)), {})

    def placed(self, entry: ArrayEntry, sharding: jax.sharding.Sharding | None) -> jax.Array:
        """Returns an array on devices; this process reads the shards that its own devices need."""
        if sharding is None:
            return jax.device_put(self.whole(entry))
        read: dict[str, np.ndarray] = {}
        return jax.make_array_from_callback(
            entry.shape, sharding, lambda index: self._region(entry, index or (), read)
        )

    def _region(
        self, entry: ArrayEntry, index: Sequence[slice], read: dict[str, np.ndarray]
    ) -> np.ndarray:
        """Returns a region of an array; `read` keeps the shards that were read for others."""
        bounds = [part.indices(size)[:2] for part, size in zip(index, entry.shape, strict=True)]
        target = np.empty([stop - start for start, stop in bounds], jnp.dtype(entry.dtype))

        def content(shard: Shard) -> np.ndarray:
            if shard.name not in read:
                read[shard.name] = self._read(entry, shard)
            return read[shard.name]

        return put_together(target, bounds, entry.stored(), content)

    def _read(self, entry: ArrayEntry, shard: Shard) -> np.ndarray:
        member = arrays_member(shard.part)
        layout = self._layouts[member]
        with refusing(self._path, DAMAGED, member=member, at=shard.name, hint=COPY):
            array, digest = self._parts[member].read_array(
                layout.starts[shard.name], layout.specs[shard.name]
            )
            compare_digests(self._path, member, shard.sha256, digest, shard.name)
        return array


def compare_digests(
    path: Path, member: str, expected: str, received: str, at: str | None = None
) -> None:
    """Raises ModelFileError unless two digests are the same."""
    if received != expected:
        raise file_error(
            path, DAMAGED, member=member, at=at, expected=f"SHA-256 {expected}",
            received=received, hint=COPY,
        )  # fmt: skip


def members_of(manifest: Manifest) -> list[str]:
    """Returns the names of the parts with arrays."""
    return [name for name in manifest.members if is_arrays_member(name)]


def layout_of(entries: Iterable[ArrayEntry], member: str) -> Layout:
    """Returns where the arrays and shards in one part are."""
    return make_layout(
        [ArraySpec(p.name, p.shape, e.dtype) for e in entries for p in _stored_in(e, member)]
    )


def digests_in(entries: Iterable[ArrayEntry], member: str) -> list[str]:
    """Returns the digests of the arrays and shards in one part, in the order of the table."""
    return [p.sha256 for e in entries for p in _stored_in(e, member)]


def arrays_digest(header: bytes, digests: Sequence[str]) -> str:
    """Returns the digest of a part with arrays: see `Member`."""
    return hashlib.sha256(header + b"".join(map(bytes.fromhex, digests))).hexdigest()


def _stored_in(entry: ArrayEntry, member: str) -> list[Shard]:
    return [shard for shard in entry.stored() if arrays_member(shard.part) == member]
