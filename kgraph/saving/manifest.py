"""The manifest: what a file holds, with sizes and digests. It is read before anything else."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from kgraph.initializers import KEY_VERSION
from kgraph.types import Shape
from kgraph.version import __version__

FORMAT = "kgraph"
FORMAT_VERSION = 1
"""Raised by a change that older readers would misread."""

KGRAPH_VERSION = __version__
MANIFEST = "manifest.json"
KINDS = ("model", "weights")

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MEMBER = re.compile(r"(model|training)\.json|arrays(/[A-Za-z0-9_][A-Za-z0-9._-]{0,127}){1,6}")
_DTYPES = re.compile(r"bool|bfloat16|(u?int|float)(2|4|8|16|32|64)|complex(64|128)|float8_\w{1,16}")
_MAX_NAME, _MAX_RANK, _MAX_SIZE = 1024, 32, 2**31


@dataclass(frozen=True)
class Member:
    """Size in bytes and SHA-256 (hex) of one part of a file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class ArrayEntry:
    """One array: its path (`"weights/dense/kernel"`), exact shape, dtype, SHA-256 of its bytes.

    The bytes are those of the array in C order, little endian.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    sha256: str

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * jnp.dtype(self.dtype).itemsize

    def __str__(self) -> str:
        return f"{list(self.shape)} {self.dtype}"


@dataclass(frozen=True)
class Manifest:
    """All that can be known of a file without reading the rest of it.

    Fields:
        kind: "model" or "weights".
        members: the other parts by name.
        arrays: in the order of the keys under which the checkpoint holds them.
        graph_hash: `Graph.content_hash` of the saved model; None without a graph.
        kgraph_version, key_version: of the writer. The key version decides random numbers.
    """

    kind: str
    members: Mapping[str, Member]
    arrays: Sequence[ArrayEntry]
    graph_hash: str | None = None
    kgraph_version: str = KGRAPH_VERSION
    key_version: int = KEY_VERSION

    def plain(self) -> dict[str, Any]:
        """Returns the manifest as JSON types."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "kind": self.kind,
            "kgraph_version": self.kgraph_version,
            "key_version": self.key_version,
            "graph_hash": self.graph_hash,
            "members": {name: [m.size, m.sha256] for name, m in self.members.items()},
            "arrays": [[a.path, list(a.shape), a.dtype, a.sha256] for a in self.arrays],
        }


class ManifestError(ValueError):
    """The data are no manifest: `place`, what was `expected` there, and what was `received`."""

    def __init__(self, place: str, expected: str, received: Any) -> None:
        super().__init__(f"{place} is not {expected}")
        self.place, self.expected, self.received = place, expected, received


def parse_manifest(data: Any) -> Manifest:
    """Returns the manifest that `Manifest.plain` wrote. Every value is checked.

    Raises:
        ManifestError: it is not one that this version reads.
    """
    check = _Check()
    check("the manifest", data, lambda d: isinstance(d, dict), "an object")
    check("format", data.get("format"), lambda f: f == FORMAT, repr(FORMAT))
    version = data.get("format_version")
    check("format_version", version, lambda v: v == FORMAT_VERSION, str(FORMAT_VERSION))
    keys = sorted(Manifest("", {}, ()).plain())
    check("keys", sorted(data), lambda found: found == keys, ", ".join(keys))
    check("kind", data["kind"], lambda k: k in KINDS, " or ".join(KINDS))
    check("kgraph_version", data["kgraph_version"], _is_name, "a version")
    check("key_version", data["key_version"], _is_size, "a number")
    check("graph_hash", data["graph_hash"], lambda h: h is None or _is_digest(h), "a SHA-256")
    check("members", data["members"], lambda m: isinstance(m, dict), "an object")
    check("arrays", data["arrays"], lambda a: isinstance(a, list), "a list")
    members = {name: _member(check, name, m) for name, m in data["members"].items()}
    arrays = [_array(check, f"arrays[{i}]", a) for i, a in enumerate(data["arrays"])]
    distinct = len({a.path for a in arrays}) == len(arrays)
    check("arrays", "a path twice", lambda _: distinct, "distinct paths")
    return Manifest(
        data["kind"], members, arrays, data["graph_hash"], data["kgraph_version"],
        data["key_version"],
    )  # fmt: skip


class _Check:
    def __call__(self, place: str, value: Any, fits: Callable[[Any], bool], expected: str) -> None:
        if not fits(value):
            raise ManifestError(place, expected, value)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_NAME and value.isprintable()


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _is_shape(value: Any) -> bool:
    small = isinstance(value, list) and len(value) <= _MAX_RANK
    return small and all(_is_size(size) and size < _MAX_SIZE for size in value)


def _member(check: _Check, name: str, data: Any) -> Member:
    check("members", name, lambda n: _MEMBER.fullmatch(n) is not None, "the name of a member")
    place = f"members[{name!r}]"
    check(place, data, lambda d: isinstance(d, list) and len(d) == 2, "size and SHA-256")
    check(place, data[0], _is_size, "a size")
    check(place, data[1], _is_digest, "a SHA-256")
    return Member(*data)


def _array(check: _Check, place: str, data: Any) -> ArrayEntry:
    check(place, data, lambda d: isinstance(d, list) and len(d) == 4, "[path, shape, dtype, sha]")
    path, shape, dtype, digest = data
    check(f"{place}.path", path, _is_name, "a path")
    check(f"{place}.shape", shape, _is_shape, "a shape")
    known = isinstance(dtype, str) and _DTYPES.fullmatch(dtype) is not None
    check(f"{place}.dtype", dtype, lambda _: known, "a dtype")
    check(f"{place}.sha256", digest, _is_digest, "a SHA-256")
    return ArrayEntry(path, tuple(shape), dtype, digest)


__all__ = [
    "FORMAT_VERSION", "KGRAPH_VERSION", "MANIFEST", "ArrayEntry", "Manifest", "ManifestError",
    "Member", "Shape", "parse_manifest",
]  # fmt: skip
