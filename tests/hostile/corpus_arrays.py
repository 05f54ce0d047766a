"""Hostile files: what is wrong lies in the manifest, or in the arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drafts import ESCAPE, Draft, Table, digest_of, encode

from kgraph.saving.kgraph_format.safetensors import ArraySpec, make_layout

ZEROS = "0" * 64


def manifests() -> Table:
    values: dict[str, list[Any]] = {
        "format": ["other", None, 1, ["kgraph"]],
        "format_version": [0, 1, 3, 2.5, "2", True, None, -1, 2**53 - 1],
        "kind": ["weights", "x", ESCAPE, None, []],
        "kgraph_version": [None, "", ESCAPE, "x" * 2000, 1],
        "key_version": [-1, "1", None, 1.5, True],
        "graph_hash": [None, ZEROS, "0", 1, ZEROS.upper() + "A", []],
        "members": [None, [], {}, "x"],
        "arrays": [None, {}, [], "x", [1], [[]]],
    }
    for key, choices in values.items():
        for value in choices:
            label = f"{key} {str(value)[:9]!r} ({type(value).__name__})"
            yield label, lambda d, k=key, v=value: _manifest(d, lambda m: m.update({k: v}))
        yield f"without {key}", lambda d, k=key: _manifest(d, lambda m: m.pop(k))
    other = {"graph_hash": ZEROS, "kgraph_version": "9.0"}
    yield "another graph, of another version", lambda d: _manifest(d, lambda m: m.update(other))
    yield "another key", lambda d: _manifest(d, lambda m: m.update(extra=1))
    for name, size, digest in (
        ("../x", 0, ZEROS), ("/etc/x", 0, ZEROS), ("model.py", 0, ZEROS),
        (ESCAPE, 0, ZEROS), ("x" * 5000, 0, ZEROS),
    ):  # fmt: skip
        yield (
            f"a member {name[:8]!r}",
            lambda d, n=name, e=[size, digest]: _manifest(d, lambda m: m["members"].update({n: e})),
        )
    for entry in ([-1, ZEROS], [True, ZEROS], [2**52, ZEROS], [1, "0"], [1], 1, None, [1.5, ZEROS]):
        yield (
            f"member's entry {str(entry)[:14]}",
            lambda d, e=entry: _frozen(d, lambda m: m["members"].update({"model.json": e})),
        )
    yield "its own digest wrong", lambda d: _stale(d)
    yield "digests not repaired", lambda d: _frozen(d, lambda m: None, change=True)


def _manifest(draft: Draft, edit: Callable[[Any], Any]) -> bytes:
    edit(draft.manifest)
    return draft.bytes()


def _frozen(draft: Draft, edit: Callable[[Any], Any], change: bool = False) -> bytes:
    """Edits the manifest and keeps what it says of the members."""
    draft.members()
    edit(draft.manifest)
    if change:
        draft.options("head")["units"] = 3
    else:
        draft.manifest["sha256"] = digest_of(draft.manifest)
    draft.frozen = True
    return draft.bytes()


def _stale(draft: Draft) -> bytes:
    draft.members()
    draft.manifest["key_version"] += 1
    draft.frozen = True
    return draft.bytes()


def array_tables() -> Table:
    """The table of arrays, its digests repaired."""
    changes: dict[str, Callable[[list[Any]], Any]] = {
        "path empty": lambda a: a[0].__setitem__(0, ""),
        "path with an escape": lambda a: a[0].__setitem__(0, ESCAPE),
        "path too long": lambda a: a[0].__setitem__(0, "x" * 1025),
        "path a number": lambda a: a[0].__setitem__(0, 1),
        "path twice": lambda a: a[0].__setitem__(0, a[1][0]),
        "path of nothing": lambda a: a[0].__setitem__(0, "weights/nobody/kernel"),
        "shape null": lambda a: a[0].__setitem__(1, None),
        "shape a number": lambda a: a[0].__setitem__(1, 16),
        "shape with another product": lambda a: a[0].__setitem__(1, [5, 4]),
        "shape turned": lambda a: _swap_shape(a),
        "shape flat": lambda a: a[0].__setitem__(1, [16]),
        "shape of texts": lambda a: a[0].__setitem__(1, ["4", "4"]),
        "shape of booleans": lambda a: a[0].__setitem__(1, [True, 16]),
        "shape of floats": lambda a: a[0].__setitem__(1, [4.0, 4.0]),
        "negative size": lambda a: a[0].__setitem__(1, [-4, -4]),
        "size 2**31": lambda a: a[0].__setitem__(1, [2**31, 4]),
        "size 2**31 - 1": lambda a: a[0].__setitem__(1, [2**31 - 1, 2**31 - 1]),
        "product that overflows 64 bits": lambda a: a[0].__setitem__(1, [2**30] * 3),
        "product that overflows to 16": lambda a: a[0].__setitem__(1, [2**30, 2**30, 2**4, 1]),
        "rank 33": lambda a: a[0].__setitem__(1, [4, 4] + [1] * 31),
        "empty and huge": lambda a: a[0].__setitem__(1, [2**30, 2**30, 0]),
        "dtype object": lambda a: a[0].__setitem__(2, "object"),
        "dtype of a pickle": lambda a: a[0].__setitem__(2, "|O"),
        "dtype of bytes": lambda a: a[0].__setitem__(2, "S64"),
        "dtype null": lambda a: a[0].__setitem__(2, None),
        "dtype a list": lambda a: a[0].__setitem__(2, ["float32"]),
        "dtype of the same width": lambda a: a[0].__setitem__(2, "int32"),
        "dtype of another width": lambda a: a[0].__setitem__(2, "float64"),
        "dtype big endian": lambda a: a[0].__setitem__(2, ">f4"),
        "digest wrong": lambda a: a[0].__setitem__(3, ZEROS),
        "digest short": lambda a: a[0].__setitem__(3, "0"),
        "digest null": lambda a: a[0].__setitem__(3, None),
        "an array less": lambda a: a.pop(0),
        "an array more": lambda a: a.append(["weights/x", [0], "float32", ZEROS]),
        "a huge array more": lambda a: a.append(["training/x", [2**30], "float32", ZEROS]),
        "another order": lambda a: a.reverse(),
        "five columns": lambda a: a[0].append(1),
    }
    for name, change in changes.items():
        yield name, lambda d, c=change: _table(d, c)


def _swap_shape(arrays: list[Any]) -> None:
    entry = next(a for a in arrays if len(set(a[1])) == 2)
    entry[1] = entry[1][::-1]


def _table(draft: Draft, change: Callable[[list[Any]], Any]) -> bytes:
    """Changes the table, and writes the header that would follow from it, if there is one."""
    change(draft.manifest["arrays"])
    draft.set_header(_header_of(draft) or draft.header())
    return draft.bytes()


def _header_of(draft: Draft) -> bytes | None:
    try:
        specs = [ArraySpec(a[0], tuple(a[1]), a[2]) for a in draft.manifest["arrays"]]
        return make_layout(specs).header[8:]
    except (TypeError, ValueError, AttributeError):
        return None


def headers() -> Table:
    """The header of the arrays, its digest repaired."""

    def first(header: Any) -> Any:
        return next(entry for name, entry in header.items() if name != "__metadata__")

    changes: dict[str, Callable[[Any], Any]] = {
        "offsets overlap": lambda h: first(h).update(data_offsets=[4, 68]),
        "offsets turned": lambda h: first(h).update(data_offsets=[64, 0]),
        "offsets beyond the end": lambda h: first(h).update(data_offsets=[0, 2**40]),
        "offsets negative": lambda h: first(h).update(data_offsets=[-8, 56]),
        "another dtype": lambda h: first(h).update(dtype="I32"),
        "unknown dtype": lambda h: first(h).update(dtype="PICKLE"),
        "another shape": lambda h: first(h).update(shape=[16]),
        "huge shape": lambda h: first(h).update(shape=[2**40]),
        "more metadata": lambda h: h.update(__metadata__={"x": "y"}),
        "one entry less": lambda h: h.pop(next(iter(h))),
        "one entry more": lambda h: h.update(
            x={"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
        ),
    }
    for name, change in changes.items():
        yield name, lambda d, c=change: _header(d, c)
    yield "its length too large", lambda d: _length(d, 2**40)
    yield "its length 2**64 - 1", lambda d: _length(d, 2**64 - 1)
    yield "its length 0", lambda d: _length(d, 0)
    yield "shorter than 8 bytes", lambda d: _arrays(d, b"\1")
    yield "data cut", lambda d: _arrays(d, d.arrays[:-4])
    yield "data longer", lambda d: _arrays(d, d.arrays + bytes(4))
    yield "another byte in the data", lambda d: _arrays(d, d.arrays[:-1] + b"\x7f")
    yield "no JSON", lambda d: _raw_header(d, b"x" * 64)
    yield "spaces in front", lambda d: _raw_header(d, b" " + encode(d.header()))


def _header(draft: Draft, change: Callable[[Any], Any]) -> bytes:
    header = draft.header()
    change(header)
    draft.set_header(header)
    return draft.bytes()


def _raw_header(draft: Draft, text: bytes) -> bytes:
    draft.set_header(text)
    return draft.bytes()


def _length(draft: Draft, length: int) -> bytes:
    draft.arrays = length.to_bytes(8, "little") + draft.arrays[8:]
    return draft.bytes()


def _arrays(draft: Draft, data: bytes) -> bytes:
    draft.arrays = data
    return draft.bytes()
