"""The manifest of one step: what it holds, with sizes and digests, and a digest of itself."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kgraph.saving.checkpoints.spec import DTYPES, KEY_KINDS, Path, Spec
from kgraph.saving.files import strict_json
from kgraph.saving.kgraph_format.manifest import KGRAPH_VERSION
from kgraph.saving.kgraph_format.shards import grid

FORMAT = "kgraph checkpoint"
FORMAT_VERSION = 2
"""Raised by a change that older readers would misread. (1 had whole arrays, as `a0`, `a1`, ...)"""

MANIFEST, META, ARRAYS = "manifest.json", "meta.json", "arrays"


@dataclass(frozen=True)
class Shard:
    """Where a part of an array begins, its shape, and its digest (see `array_digests`)."""

    start: tuple[int, ...]
    shape: tuple[int, ...]
    sha256: str


@dataclass(frozen=True)
class StepManifest:
    """All about a step but its arrays and `meta`.

    Fields:
        step: its number.
        metrics: by name; they decide which step is the best.
        files: size of each other file by its path within the step, with its SHA-256; large files
            have None instead, since the digests of the arrays cover what is in them. In a bucket
            these have no size either.
        specs, shards: of each array, in the order of the tree. Shards make up the array, as the
            cells of a grid; an array without elements has none.
        hollow: the empty dicts ("dict") and Nones ("none") of the tree by path.
    """

    step: int
    metrics: Mapping[str, float]
    files: Mapping[str, tuple[int | None, str | None]]
    specs: Sequence[Spec]
    shards: Sequence[Sequence[Shard]]
    hollow: Mapping[Path, str]
    version: int = FORMAT_VERSION

    def stored_name(self, number: int) -> str:
        """Returns what an array is called in the folder of the arrays."""
        return f"a{number}" if self.version == 1 else ".".join(self.specs[number].path)

    def encode(self) -> bytes:
        """Returns the manifest as JSON bytes."""
        plain = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "kgraph_version": KGRAPH_VERSION,
            "step": self.step,
            "metrics": {name: repr(float(value)) for name, value in self.metrics.items()},
            "files": {name: list(fact) for name, fact in self.files.items()},
            "arrays": [
                [list(spec.path), list(spec.shape), spec.dtype, spec.key_kind, _plain(own)]
                for spec, own in zip(self.specs, self.shards, strict=True)
            ],
            "hollow": [[list(path), kind] for path, kind in self.hollow.items()],
        }
        return strict_json.encode({"sha256": _digest(plain), "manifest": plain}, "The manifest")


def decode_manifest(data: bytes) -> StepManifest:
    """Returns the manifest that `StepManifest.encode` wrote.

    Raises:
        ValueError: it is damaged, or of another version. (Data made to deceive may raise any
            exception; nothing but this object comes of them.)
    """
    whole = strict_json.decode(data)
    plain = whole["manifest"]
    if whole["sha256"] != _digest(plain):
        raise ValueError("its digest is another one")
    version = plain["format_version"]
    if plain["format"] != FORMAT or version not in (1, FORMAT_VERSION):
        raise ValueError(f"{plain['format']!r} {version} is nothing that this kgraph reads")
    specs = [_spec(*row[:4]) for row in plain["arrays"]]
    return StepManifest(
        int(plain["step"]),
        {name: float(value) for name, value in plain["metrics"].items()},
        {name: (size and int(size), digest) for name, (size, digest) in plain["files"].items()},
        specs,
        [_shards(spec, row[4]) for spec, row in zip(specs, plain["arrays"], strict=True)],
        {tuple(map(str, path)): str(kind) for path, kind in plain["hollow"]},
        version,
    )


def _spec(path: list[str], shape: list[int], dtype: str, key_kind: str | None) -> Spec:
    fits = (
        dtype in DTYPES
        and (key_kind is None or key_kind in KEY_KINDS)
        and all(type(size) is int and size >= 0 for size in shape)
        and math.prod(shape) < 2**48
        and len(path) > 0
    )
    if not fits:
        raise ValueError(f"{path} is no array: {shape} {dtype}")
    return Spec(tuple(map(str, path)), tuple(shape), dtype, key_kind)


def _plain(shards: Sequence[Shard]) -> list[Any]:
    return [[list(shard.start), list(shard.shape), shard.sha256] for shard in shards]


def _shards(spec: Spec, stored: Any) -> list[Shard]:
    """Returns the shards of an array, of which the first version has the digest of the whole."""
    if 0 in spec.shape:
        return []
    if isinstance(stored, str):
        return [Shard((0,) * len(spec.shape), spec.shape, stored)]
    shards = [Shard(tuple(start), tuple(shape), str(digest)) for start, shape, digest in stored]
    if not grid([(shard.start, shard.shape) for shard in shards], spec.shape):
        raise ValueError(f"the shards of {spec.name!r} do not make up the array")
    return shards


def _digest(plain: Any) -> str:
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
