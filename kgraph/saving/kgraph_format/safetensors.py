"""The safetensors layout: 8 bytes of length, a JSON header, then arrays without gaps.

Written here rather than by the package of that name: the layout is this file, whereas the package
loads a compiled module, lacks some dtypes that weights can have, and takes the last of two equal
keys. No offset is believed before it has been compared with shape, dtype and size of the file.

Source: the format's description, github.com/huggingface/safetensors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from kgraph.saving.files import strict_json
from kgraph.saving.files.misfit import Misfit, check, check_keys, is_count, is_shape

SUFFIX = ".safetensors"

_CODES = {
    "bool": "BOOL", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64",
    "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64",
    "bfloat16": "BF16", "float16": "F16", "float32": "F32", "float64": "F64",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "complex64": "C64",
}  # fmt: skip
_NAMES = {code: name for name, code in _CODES.items()}

DTYPES = frozenset(_CODES) | frozenset(
    """
    int2 int4 uint2 uint4 complex128 float8_e3m4 float8_e4m3 float8_e4m3b11fnuz float8_e4m3fnuz
    float8_e5m2fnuz float8_e8m0fnu
    """.split()  # noqa: SIM905 - a table
)
"""What can be stored. Of the dtypes that safetensors has no name for, the bytes are."""

LENGTH_BYTES = 8
_METADATA = "__metadata__"
_ALIGNMENT = 8


@dataclass(frozen=True)
class ArraySpec:
    """Name, shape and dtype (by name) of an array."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * jnp.dtype(self.dtype).itemsize

    def __str__(self) -> str:
        return f"{list(self.shape)} {self.dtype}"


@dataclass(frozen=True)
class Layout:
    """Where the arrays of a file are.

    Fields:
        header: the first bytes of the file, those of the length included.
        starts: for each array by name, in the order of the file, where it begins.
        specs: the arrays by name.
        size: of the whole file.
        metadata: texts by name.
    """

    header: bytes
    starts: Mapping[str, int]
    specs: Mapping[str, ArraySpec]
    size: int
    metadata: Mapping[str, str]


def make_layout(arrays: Sequence[ArraySpec], metadata: Mapping[str, str] | None = None) -> Layout:
    """Returns the layout of a file of these arrays: wide dtypes first, so that each is aligned.

    The same arrays give the same bytes.
    """
    widths = {spec.name: jnp.dtype(spec.dtype).itemsize for spec in arrays}
    ordered = sorted(arrays, key=lambda spec: -widths[spec.name])  # stable
    plain: dict[str, Any] = {_METADATA: dict(metadata)} if metadata else {}
    ends = 0
    starts: dict[str, int] = {}
    for spec in ordered:
        starts[spec.name], ends = ends, ends + spec.nbytes
        code, shape = _CODES.get(spec.dtype), list(spec.shape)
        if code is None:
            code, shape = "U8", [*shape, widths[spec.name]]
        plain[spec.name] = {
            "dtype": code, "shape": shape, "data_offsets": [starts[spec.name], ends],
        }  # fmt: skip
    text = json.dumps(plain, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    header = len(text).to_bytes(LENGTH_BYTES, "little") + text
    begin = len(header)
    return Layout(
        header,
        {name: begin + start for name, start in starts.items()},
        {spec.name: spec for spec in ordered},
        begin + ends,
        metadata or {},
    )


def header_length(first: bytes, size: int) -> int:
    """Returns how many bytes the header of a file takes, from its first 8 bytes and its size.

    Raises:
        Misfit: more than there are, or than are accepted.
    """
    if len(first) < LENGTH_BYTES:
        raise Misfit("the header", f"{LENGTH_BYTES} bytes of length", f"{len(first)} bytes")
    length = int.from_bytes(first[:LENGTH_BYTES], "little")
    limit = min(strict_json.MAX_BYTES, size - LENGTH_BYTES)
    if not 0 < length <= limit:
        raise Misfit("the length of the header", f"from 1 to {limit}", length)
    return LENGTH_BYTES + length


def parse_layout(header: bytes, size: int) -> Layout:
    """Returns the layout that a header describes, when the arrays fill the file exactly.

    Args:
        header: as many bytes as `header_length` says.
        size: of the whole file.

    Raises:
        Misfit: it is none, or describes other data than there are.
    """
    text = header[LENGTH_BYTES:]
    check("the header", text[:1], lambda start: start == b"{", "an object")
    try:
        data = strict_json.decode(text)
    except ValueError as error:
        raise Misfit("the header", "strict JSON", str(error)) from None
    metadata = data.pop(_METADATA, {})
    texts = isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values())
    check(_METADATA, metadata, lambda _: texts, "texts by name")
    found = [(_offsets(name, entry), _spec(name, entry)) for name, entry in data.items()]
    found.sort(key=lambda item: item[0])
    end = 0
    for (start, stop), spec in found:
        if start != end or stop - start != spec.nbytes:
            place = f"{spec.name}.data_offsets"
            raise Misfit(place, f"[{end}, {end + spec.nbytes}]", [start, stop])
        end = stop
    if len(header) + end != size:
        raise Misfit("the data", f"{end} bytes", f"{size - len(header)} bytes")
    return Layout(
        header,
        {spec.name: len(header) + start for (start, _), spec in found},
        {spec.name: spec for _, spec in found},
        size,
        metadata,
    )


def _offsets(name: str, entry: Any) -> tuple[int, int]:
    check_keys(name, entry, {"dtype", "shape", "data_offsets"})
    offsets = entry["data_offsets"]
    pair = isinstance(offsets, list) and len(offsets) == 2 and all(map(is_count, offsets))
    check(f"{name}.data_offsets", offsets, lambda _: pair, "two whole numbers")
    return offsets[0], offsets[1]


def _spec(name: str, entry: Any) -> ArraySpec:
    code = entry["dtype"]
    known = isinstance(code, str) and code in _NAMES
    check(f"{name}.dtype", code, lambda _: known, f"one of {', '.join(sorted(_NAMES))}")
    check(f"{name}.shape", entry["shape"], is_shape, "a shape")
    return ArraySpec(name, tuple(entry["shape"]), _NAMES[code])
