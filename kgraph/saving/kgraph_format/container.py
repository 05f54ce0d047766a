"""A saved model as a whole: manifest, JSON and arrays, read with every byte verified."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from kgraph.errors import ModelFileError
from kgraph.saving.files import strict_json
from kgraph.saving.files.file_error import file_error, refusing
from kgraph.saving.files.misfit import Misfit
from kgraph.saving.kgraph_format.array_reader import (
    DAMAGED,
    ArrayReader,
    ShardingOf,
    compare_digests,
)
from kgraph.saving.kgraph_format.manifest import MANIFEST, Manifest, parse_manifest
from kgraph.saving.kgraph_format.parts import (
    COPY,
    Part,
    file_parts,
    folder_parts,
    open_manifest,
    open_regular,
    sha256_of,
)

_RETRIES = 5


@dataclass(frozen=True)
class Container:
    """A saved model, open for reading, whose manifest agrees with the sizes of its parts."""

    path: Path
    manifest: Manifest
    parts: dict[str, Part]
    arrays: ArrayReader

    def read(self, name: str) -> Any:
        """Returns what a JSON part says, its digest verified."""
        member = self.manifest.members[name]
        if member.size > strict_json.MAX_BYTES:
            raise file_error(
                self.path, "holds JSON that is not accepted", member=name,
                expected=f"at most {strict_json.MAX_BYTES} bytes", received=member.size,
            )  # fmt: skip
        with refusing(self.path, DAMAGED, member=name, hint=COPY):
            data = self.parts[name].read(0, member.size)
            compare_digests(self.path, name, member.sha256, hashlib.sha256(data).hexdigest())
        return _decode(self.path, name, data)

    def read_arrays(self, wanted: Collection[str]) -> Iterator[tuple[str, np.ndarray]]:
        """Yields the wanted arrays with their paths, one at a time, each digest verified.

        The caller has compared their shapes with those of a model: only these take memory.
        """
        for entry in self.arrays.in_file_order(wanted):
            yield entry.path, self.arrays.whole(entry)

    def load_arrays(
        self, wanted: Collection[str], shardings: ShardingOf | None = None
    ) -> Iterator[tuple[str, jax.Array]]:
        """Yields the wanted arrays like `read_arrays`, but on devices.

        Args:
            wanted: their paths.
            shardings: returns, for a path and a shape, how that array is spread over devices; None
                for the first device.
        """
        for entry in self.arrays.in_file_order(wanted):
            sharding = None if shardings is None else shardings(entry.path, entry.shape)
            yield entry.path, self.arrays.placed(entry, sharding)


@contextlib.contextmanager
def open_container(path: Path, expect_sha256: str | None = None) -> Iterator[Container]:
    """Opens a saved file or folder for reading.

    Args:
        path: the file or folder.
        expect_sha256: SHA-256 of the file, or of the `manifest.json` in the folder.

    Raises:
        ModelFileError: it is missing, no such file, cut, another than expected, or written by
            another version.
    """
    with contextlib.ExitStack() as stack:
        found = _folder if path.is_dir() else _file
        with refusing(path, DAMAGED):
            container = found(path, expect_sha256, stack)
            container.arrays.check_headers()
        yield container


def _file(path: Path, expected: str | None, stack: contextlib.ExitStack) -> Container:
    file = stack.enter_context(open_regular(path))
    if expected is not None:
        check_sha256(path, expected, sha256_of(file))
    parts = file_parts(path, file)
    manifest = _manifest(path, parts.pop(MANIFEST))
    return _container(path, manifest, parts)


def _folder(path: Path, expected: str | None, stack: contextlib.ExitStack) -> Container:
    """Opens a folder; once more if a save has replaced the parts since the manifest was read."""
    for _ in range(_RETRIES):
        part = open_manifest(path, stack)
        data = part.read(0, part.size)
        if expected is not None:
            check_sha256(path, expected, hashlib.sha256(data).hexdigest())
        manifest = _manifest(path, part)
        digests = {name: member.sha256 for name, member in manifest.members.items()}
        try:
            return _container(path, manifest, folder_parts(path, digests, stack))
        except ModelFileError:
            again = open_manifest(path, stack)
            if again.read(0, again.size) == data:
                raise
    raise file_error(path, "is being replaced again and again", hint="load it when that is over")


def check_sha256(path: Path, expected: str, received: str) -> None:
    """Raises ModelFileError unless a file is the one that the caller wants."""
    if received != expected:
        raise file_error(
            path, "is another file than expected", expected=f"SHA-256 {expected}",
            received=received, hint="ask whoever gave you the digest",
        )  # fmt: skip


def _manifest(path: Path, part: Part) -> Manifest:
    if part.size > strict_json.MAX_BYTES:
        raise file_error(
            path, "holds JSON that is not accepted", member=MANIFEST,
            expected=f"at most {strict_json.MAX_BYTES} bytes", received=part.size,
        )  # fmt: skip
    with refusing(path, DAMAGED, member=MANIFEST, hint=COPY):
        data = part.read(0, part.size)
    try:
        return parse_manifest(_decode(path, MANIFEST, data))
    except Misfit as misfit:
        version = misfit.place == "format_version"
        raise file_error(
            path, "cannot be read by this version of kgraph", member=MANIFEST, at=misfit.place,
            expected=misfit.expected, received=misfit.received,
            hint="load it with the kgraph that wrote it, and save it again" if version else None,
        ) from None  # fmt: skip


def _container(path: Path, manifest: Manifest, parts: dict[str, Part]) -> Container:
    declared = {name: member.size for name, member in manifest.members.items()}
    found = {name: part.size for name, part in parts.items()}
    if declared != found:
        odd = sorted(set(declared.items()) ^ set(found.items()))[0][0]
        raise file_error(
            path, DAMAGED, member=odd, expected=f"{declared.get(odd, 'no such member')} (bytes)",
            received=f"{found.get(odd, 'no such member')}", hint=COPY,
        )  # fmt: skip
    return Container(path, manifest, parts, ArrayReader(path, manifest, parts))


def _decode(path: Path, name: str, data: bytes) -> Any:
    with refusing(path, "holds JSON that is not accepted", member=name):
        return strict_json.decode(data)
