"""The file of an export: a zip of a manifest, the function, and perhaps weights beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.errors import ModelFileError
from kgraph.export.signature import Signature, parse_signature
from kgraph.saving.files import strict_json
from kgraph.saving.files.atomic import replace_file
from kgraph.saving.files.file_error import file_error, refusing
from kgraph.saving.files.misfit import Misfit, check, check_keys, is_count, is_name
from kgraph.saving.files.stored_zip import Chunk, Extent, read_zip, write_zip
from kgraph.saving.kgraph_format.safetensors import (
    ArraySpec,
    header_length,
    make_layout,
    parse_layout,
)
from kgraph.versions import __version__

FORMAT, FORMAT_VERSION = "kgraph-export", 1
MANIFEST, FUNCTION, WEIGHTS = "manifest.json", "function.jax_export", "weights.safetensors"

_BLOCK = 2**20
_COPY = "the file was damaged or cut after it was written: use another copy"


@dataclass(frozen=True)
class Package:
    """What a file holds.

    Fields:
        name: of the model.
        signature: what it takes and returns.
        function: the serialized `jax.export.Exported`.
        weights: arrays by place, None if they are constants of the function.
        platforms: what it was lowered for.
        calling_convention_version: of `jax.export`.
        jax_version, kgraph_version: of the writer.
    """

    name: str
    signature: Signature
    function: bytes
    weights: Mapping[str, np.ndarray] | None
    platforms: tuple[str, ...]
    calling_convention_version: int
    jax_version: str = jax.__version__
    kgraph_version: str = __version__


def write_package(path: Path, package: Package) -> None:
    """Writes the file: the old one or the new one is there, whole, at every moment."""
    members: dict[str, list[Chunk]] = {FUNCTION: [package.function]}
    if package.weights is not None:
        members[WEIGHTS] = list(_weight_chunks(package.weights))
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "name": package.name,
        "kgraph_version": package.kgraph_version,
        "jax_version": package.jax_version,
        "calling_convention_version": package.calling_convention_version,
        "platforms": list(package.platforms),
        "signature": package.signature.plain(),
        "members": {name: _facts(chunks) for name, chunks in members.items()},
    }
    manifest = {**content, "sha256": _digest_of(content)}
    head = strict_json.encode(manifest, "The manifest")
    _check_manifest(manifest)  # what would be refused when read is not written
    sized = {name: (content["members"][name][0], chunks) for name, chunks in members.items()}
    parts: dict[str, tuple[int, Iterable[Chunk]]] = {MANIFEST: (len(head), [head]), **sized}
    size = sum(size for size, _ in parts.values())
    replace_file(path, size, lambda new: write_zip(new, parts), read_package)


def read_package(path: Path) -> Package:
    """Reads a file; all of its bytes are compared with their digests.

    Raises:
        ModelFileError: it is missing, damaged, or no export of this format.
    """
    if not path.is_file():
        raise file_error(path, "does not exist" if not path.exists() else "is no regular file")
    with refusing(path, "is damaged", hint=_COPY):  # hostile bytes may raise nearly anything
        try:
            with open(path, "rb") as file:
                return _read(file, path.stat().st_size)
        except Misfit as error:
            raise _refused(path, error) from None


def _refused(path: Path, error: Misfit) -> ModelFileError:
    foreign = error.place in ("the file", "format", "format_version")
    return file_error(
        path, "is not an export that this version reads" if foreign else "is damaged",
        at=error.place, expected=error.expected, received=error.received,
        hint="export the model again" if error.place == "format_version" else _COPY,
    )  # fmt: skip


def _read(file: IO[bytes], size: int) -> Package:
    extents = read_zip(file, size)
    check("the file", MANIFEST in extents, bool, f"a member {MANIFEST}")
    if extents[MANIFEST].size > strict_json.MAX_BYTES:
        raise Misfit(MANIFEST, f"at most {strict_json.MAX_BYTES} bytes", extents[MANIFEST].size)
    try:
        manifest = strict_json.decode(_bytes(file, extents[MANIFEST]))
    except ValueError as error:
        raise Misfit(MANIFEST, "strict JSON", str(error)) from None
    signature = _check_manifest(manifest)
    declared = manifest["members"]
    check("members", sorted(extents), lambda e: e == sorted([MANIFEST, *declared]), str(declared))
    found = {}
    for name, (length, digest) in declared.items():
        check(name, extents[name].size, lambda n, length=length: n == length, f"{length} bytes")
        found[name] = _bytes(file, extents[name])
        actual = hashlib.sha256(found[name]).hexdigest()
        check(name, actual, lambda a, digest=digest: a == digest, f"SHA-256 {digest}")
    return Package(
        manifest["name"],
        signature,
        found[FUNCTION],
        _parse_weights(found[WEIGHTS]) if WEIGHTS in found else None,
        tuple(manifest["platforms"]),
        manifest["calling_convention_version"],
        manifest["jax_version"],
        manifest["kgraph_version"],
    )


def _check_manifest(data: Any) -> Signature:
    check("format", data, lambda d: isinstance(d, dict) and d.get("format") == FORMAT, FORMAT)
    version = data.get("format_version")
    check("format_version", version, lambda v: v == FORMAT_VERSION, str(FORMAT_VERSION))
    keys = "name kgraph_version jax_version calling_convention_version platforms signature members"
    check_keys("the manifest", data, {"format", "format_version", "sha256", *keys.split()})
    content = {key: value for key, value in data.items() if key != "sha256"}
    check("sha256", data["sha256"], lambda d: d == _digest_of(content), "the manifest's digest")
    for key in ("name", "kgraph_version", "jax_version"):
        check(key, data[key], is_name, "a text")
    check("calling_convention_version", data["calling_convention_version"], is_count, "a number")
    platforms = data["platforms"]
    fits = isinstance(platforms, list) and all(map(is_name, platforms))
    check("platforms", platforms, lambda _: fits, "a list of names")
    check("members", data["members"], _are_members, f"{FUNCTION}, and {WEIGHTS} perhaps")
    return parse_signature(data["signature"])


def _are_members(data: Any) -> bool:
    known = isinstance(data, dict) and {FUNCTION} <= set(data) <= {FUNCTION, WEIGHTS}
    return known and all(
        isinstance(v, list) and len(v) == 2 and is_count(v[0]) and isinstance(v[1], str)
        for v in data.values()
    )


def _digest_of(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()


def _facts(chunks: Sequence[Chunk]) -> list[Any]:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return [sum(len(chunk) for chunk in chunks), digest.hexdigest()]


def _bytes(file: IO[bytes], extent: Extent) -> bytes:
    file.seek(extent.start)
    data = file.read(extent.size)
    if len(data) != extent.size:
        raise Misfit("a member", f"{extent.size} bytes", len(data))
    return data


# --- weights -------------------------------------------------------------------------------------


def _weight_chunks(weights: Mapping[str, np.ndarray]) -> Iterator[Chunk]:
    specs = [ArraySpec(name, array.shape, str(array.dtype)) for name, array in weights.items()]
    layout = make_layout(specs)
    yield layout.header
    for name in layout.specs:
        flat = np.ascontiguousarray(weights[name]).reshape(-1)
        if flat.size:
            yield flat.view(np.uint8).data


def _parse_weights(data: bytes) -> dict[str, np.ndarray]:
    layout = parse_layout(data[: header_length(data[:8], len(data))], len(data))
    found = {}
    for name, spec in layout.specs.items():
        dtype = jnp.dtype(spec.dtype)
        count = spec.nbytes // dtype.itemsize
        flat = np.frombuffer(data, dtype, count, layout.starts[name])
        found[name] = flat.reshape(spec.shape)
    return found
