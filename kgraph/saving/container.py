"""The file itself: a zip whose members are stored as they are, with a manifest."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import stat
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from kgraph.errors import ModelFileError
from kgraph.saving import strict_json
from kgraph.saving.file_error import file_error, refusing
from kgraph.saving.manifest import MANIFEST, Manifest, ManifestError, Member, parse_manifest

_BLOCK = 2**20
_MAX_MEMBERS = 100_000
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same content gives the same bytes, whenever it is written
_DAMAGED = "is damaged"
_COPY = "the file was damaged or cut after it was saved: use another copy"


# --- writing -------------------------------------------------------------------------------------


def pack(new: Path, manifest: Manifest, documents: Mapping[str, bytes], arrays: Path) -> None:
    """Writes a file of documents and of everything in the folder `arrays` (which may not exist).

    Args:
        new: where to write.
        manifest: without members, which are filled in here.
        documents: JSON bytes by member name.
        arrays: the checkpoint.
    """
    found = sorted(path for path in arrays.rglob("*") if path.is_file())
    files = {f"arrays/{path.relative_to(arrays).as_posix()}": path for path in found}
    members = {
        name: Member(len(data), hashlib.sha256(data).hexdigest())
        for name, data in documents.items()
    }
    for name, path in files.items():
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        members[name] = Member(path.stat().st_size, digest)
    plain = replace(manifest, members=members).plain()
    parse_manifest(plain)  # what would be refused when read is not written
    head = strict_json.encode(plain, "The manifest")
    with zipfile.ZipFile(new, "x", zipfile.ZIP_STORED) as archive:
        for name, data in {MANIFEST: head, **documents}.items():
            archive.writestr(_entry(name), data)
        for name, path in files.items():
            large = members[name].size >= 2**31 - 1
            with (
                open(path, "rb") as source,
                archive.open(_entry(name), "w", force_zip64=large) as sink,
            ):
                shutil.copyfileobj(source, sink, _BLOCK)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.external_attr = 0o644 << 16
    return entry


# --- reading -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Container:
    """An open file whose manifest has been checked against the members that are there."""

    path: Path
    manifest: Manifest
    archive: zipfile.ZipFile

    def read(self, name: str) -> Any:
        """Returns what a JSON member says, its digest verified."""
        member = self.manifest.members.get(name)
        if member is None:
            raise file_error(self.path, f"has no {name}", expected=name)
        _check_document_size(self.path, name, member.size)
        return _decode(self.path, name, b"".join(self._blocks(name, member)))

    def extract_arrays(self, folder: Path) -> Path:
        """Writes the checkpoint into a private folder, digests verified, and returns its path.

        Orbax reads folders only. The names were checked to be plain (`arrays/state/d/3e83f5`), are
        created anew and never overwrite or follow anything.
        """
        for name, member in self.manifest.members.items():
            if not name.startswith("arrays/"):
                continue
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "xb") as file:
                for block in self._blocks(name, member):
                    file.write(block)
        return folder / "arrays"

    def _blocks(self, name: str, member: Member) -> Iterator[bytes]:
        digest = hashlib.sha256()
        with refusing(self.path, _DAMAGED, member=name, hint=_COPY):
            with self.archive.open(name) as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
                    yield block
            if digest.hexdigest() != member.sha256:
                raise file_error(
                    self.path, _DAMAGED, member=name, expected=f"SHA-256 {member.sha256}",
                    received=digest.hexdigest(), hint=_COPY,
                )  # fmt: skip


@contextlib.contextmanager
def open_container(path: Path) -> Iterator[Container]:
    """Opens a file for reading.

    Raises:
        ModelFileError: it is missing, no such file, cut, or written by another version.
    """
    with contextlib.ExitStack() as stack:
        with refusing(path, "cannot be opened"):
            file = stack.enter_context(_open(path))
        size = path.stat().st_size
        with refusing(path, "is damaged or cut", hint=_COPY):
            archive = stack.enter_context(zipfile.ZipFile(file))
            sizes = _member_sizes(path, archive, size)
        yield Container(path, _manifest(path, archive, sizes), archive)


def _open(path: Path) -> IO[bytes]:
    if not path.exists():
        raise file_error(path, "does not exist")
    if not stat.S_ISREG(path.stat().st_mode):
        raise file_error(path, "is no regular file", expected="a file that model.save wrote")
    file = open(path, "rb")  # noqa: SIM115 - the caller closes it
    start = file.read(8)
    file.seek(0)
    if not start.startswith(b"PK\x03\x04"):
        file.close()
        kind = "an HDF5 file" if start.startswith(b"\x89HDF") else repr(start) if start else "empty"
        raise file_error(
            path, "is not a kgraph file", expected="a file that model.save wrote", received=kind
        )
    return file


def _member_sizes(path: Path, archive: zipfile.ZipFile, size: int) -> dict[str, int]:
    """Returns the size of each member, when together they can be as large as they say."""
    infos = archive.infolist()
    if len(infos) > _MAX_MEMBERS:
        raise file_error(path, "has too many members", expected=_MAX_MEMBERS, received=len(infos))
    for info in infos:
        stored = info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size
        if not stored or info.flag_bits & 1:
            raise file_error(
                path, "is not a kgraph file", member=info.filename,
                expected="members stored as they are", received="a packed or encrypted one",
            )  # fmt: skip
    sizes = {info.filename: info.file_size for info in infos}
    if len(sizes) != len(infos):
        raise file_error(path, _DAMAGED, expected="each member once", received="one twice")
    if sum(sizes.values()) > size:
        raise file_error(
            path, _DAMAGED, expected=f"{size} bytes", received=f"{sum(sizes.values())} in members"
        )
    return sizes


def _manifest(path: Path, archive: zipfile.ZipFile, sizes: Mapping[str, int]) -> Manifest:
    if MANIFEST not in sizes:
        keras = {"config.json", "metadata.json"} <= set(sizes)
        raise file_error(
            path, "is not a kgraph file", expected=MANIFEST,
            received="a Keras file, which this version does not read" if keras else sorted(sizes),
        )  # fmt: skip
    _check_document_size(path, MANIFEST, sizes[MANIFEST])
    with refusing(path, _DAMAGED, member=MANIFEST, hint=_COPY):
        data = _decode(path, MANIFEST, archive.read(MANIFEST))
    try:
        manifest = parse_manifest(data)
    except ManifestError as error:
        raise _not_ours(path, error) from None
    declared = {name: member.size for name, member in manifest.members.items()}
    found = {name: size for name, size in sizes.items() if name != MANIFEST}
    if declared != found:
        odd = sorted(set(declared.items()) ^ set(found.items()))[0][0]
        raise file_error(
            path, _DAMAGED, member=odd, expected=f"{declared.get(odd, 'no such member')} (bytes)",
            received=f"{found.get(odd, 'no such member')}", hint=_COPY,
        )  # fmt: skip
    total = sum(entry.nbytes for entry in manifest.arrays)
    if total > 2**48:
        raise file_error(path, _DAMAGED, member=MANIFEST, received=f"arrays of {total} bytes")
    return manifest


def _not_ours(path: Path, error: ManifestError) -> ModelFileError:
    hint = "read it with the kgraph that wrote it" if error.place == "format_version" else None
    return file_error(
        path, "cannot be read by this version of kgraph", member=MANIFEST, at=error.place,
        expected=error.expected, received=error.received, hint=hint,
    )  # fmt: skip


def _check_document_size(path: Path, name: str, size: int) -> None:
    if size > strict_json.MAX_BYTES:
        raise file_error(
            path, "holds JSON that is not accepted", member=name,
            expected=f"at most {strict_json.MAX_BYTES} bytes", received=size,
        )  # fmt: skip


def _decode(path: Path, name: str, data: bytes) -> Any:
    with refusing(path, "holds JSON that is not accepted", member=name):
        return strict_json.decode(data)
