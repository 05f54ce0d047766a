"""The manifest: what a file holds, with sizes and digests. It is read before anything else."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kgraph.initializers import KEY_VERSION
from kgraph.saving.files.misfit import Misfit, check, check_keys, is_count, is_name
from kgraph.saving.kgraph_format.array_entry import ArrayEntry, is_digest, parse_entry
from kgraph.versions import __version__

FORMAT = "kgraph"
FORMAT_VERSION = 2
"""Raised by a change that older readers would misread. (1, of development versions, used Orbax.)"""

KGRAPH_VERSION = __version__
MANIFEST = "manifest.json"
MODEL, TRAINING_OPTIONS, ARRAYS = "model.json", "training.json", "arrays.safetensors"
MEMBERS = (MODEL, TRAINING_OPTIONS, ARRAYS)
KINDS = ("model", "weights")

_PART = re.compile(r"arrays-\d{5}\.safetensors")


def arrays_member(number: int) -> str:
    """Returns the name of the part with the arrays of a writer; the first may be the only one.

    >>> arrays_member(0), arrays_member(12)
    ('arrays.safetensors', 'arrays-00012.safetensors')
    """
    return f"arrays-{number:05d}.safetensors" if number else ARRAYS


def is_arrays_member(name: str) -> bool:
    """Tells whether a part holds arrays."""
    return name == ARRAYS or _PART.fullmatch(name) is not None


@dataclass(frozen=True)
class Member:
    """Size in bytes and digest (hex) of one part of a file.

    The digest of a JSON part is its SHA-256. That of a part with arrays is the SHA-256 of its
    header followed by the digests of its arrays and shards (32 bytes each, in the order of the
    table), so that one pass over the data verifies both.
    """

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """All that can be known of a file without reading the rest of it.

    Fields:
        kind: "model" or "weights".
        members: the other parts by name.
        arrays: in the order in which they were given.
        graph_hash: `Graph.stored_hash` of the saved model; None without a graph.
        kgraph_version, key_version: of the writer. The key version decides random numbers.
    """

    kind: str
    members: Mapping[str, Member]
    arrays: Sequence[ArrayEntry]
    graph_hash: str | None = None
    kgraph_version: str = KGRAPH_VERSION
    key_version: int = KEY_VERSION

    def plain(self) -> dict[str, Any]:
        """Returns the manifest as JSON types. Its last entry is a digest of the others."""
        content = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "kind": self.kind,
            "kgraph_version": self.kgraph_version,
            "key_version": self.key_version,
            "graph_hash": self.graph_hash,
            "members": {name: [m.size, m.sha256] for name, m in self.members.items()},
            "arrays": [entry.plain() for entry in self.arrays],
        }
        return {**content, "sha256": manifest_digest(content)}


def manifest_digest(data: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of a manifest's entries, but for the digest itself, as compact JSON."""
    content = {key: value for key, value in data.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()


def parse_manifest(data: Any) -> Manifest:
    """Returns the manifest that `Manifest.plain` wrote. Every value is checked.

    Raises:
        Misfit: it is not one that this version reads.
    """
    check("the manifest", data, lambda d: isinstance(d, dict), "an object")
    check("format", data.get("format"), lambda f: f == FORMAT, repr(FORMAT))
    version = data.get("format_version")
    check("format_version", version, lambda v: v == FORMAT_VERSION, str(FORMAT_VERSION))
    check_keys("keys", data, set(Manifest("", {}, ()).plain()))
    check("kind", data["kind"], lambda k: k in KINDS, " or ".join(KINDS))
    check("kgraph_version", data["kgraph_version"], is_name, "a version")
    check("key_version", data["key_version"], is_count, "a number")
    check("graph_hash", data["graph_hash"], lambda h: h is None or is_digest(h), "a SHA-256")
    check("members", data["members"], lambda m: isinstance(m, dict), "an object")
    check("arrays", data["arrays"], lambda a: isinstance(a, list), "a list")
    members = {name: _member(name, m) for name, m in data["members"].items()}
    arrays = [parse_entry(f"arrays[{i}]", a) for i, a in enumerate(data["arrays"])]
    stored = [shard.name for entry in arrays for shard in entry.stored()]
    if len({a.path for a in arrays}) != len(arrays) or len(set(stored)) != len(stored):
        raise Misfit("arrays", "distinct paths", "a path twice")
    used = {arrays_member(p.part) for entry in arrays for p in entry.shards}
    wanted = {ARRAYS} | used | ({MODEL} if data["kind"] == "model" else set())
    optional = {TRAINING_OPTIONS} if data["kind"] == "model" else set()
    if not wanted <= set(members) <= wanted | optional:
        raise Misfit("members", ", ".join(sorted(wanted)), ", ".join(sorted(members)))
    check("sha256", data["sha256"], lambda d: d == manifest_digest(data), "its own digest")
    return Manifest(
        data["kind"], members, arrays, data["graph_hash"], data["kgraph_version"],
        data["key_version"],
    )  # fmt: skip


def _member(name: str, data: Any) -> Member:
    known = name in MEMBERS or is_arrays_member(name)
    check("members", name, lambda _: known, "the name of a member")
    place = f"members[{name!r}]"
    check(place, data, lambda d: isinstance(d, list) and len(d) == 2, "size and SHA-256")
    check(place, data[0], is_count, "a size")
    check(place, data[1], is_digest, "a SHA-256")
    return Member(*data)
