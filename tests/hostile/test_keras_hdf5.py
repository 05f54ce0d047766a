"""HDF5 files that somebody else made: what is no plain array behind hard links is refused.

The corpus of `tests/saving/hostile_keras.py` has whole `.keras` files; here are the ways in which
the HDF5 library itself can be led astray.
"""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from watching import Calls

import kgraph
from kgraph.errors import ModelFileError
from kgraph.saving.keras_format import hdf5

KERNEL = "layers/dense/vars/0"
MEGA = 2**20


def model() -> Any:
    x = kgraph.Input((5,))
    return kgraph.Model(x, kgraph.layers.Dense(4, name="first")(x))


def put(**options: Any) -> Callable[[h5py.File], None]:
    """Returns a change that puts another array in the place of the kernel."""

    def change(file: h5py.File) -> None:
        del file[KERNEL]
        file.create_dataset(KERNEL, **options)

    return change


def one_chunk_of_many(file: h5py.File) -> None:
    """Three arrays of 60 MB each, of which a single compressed chunk is stored."""
    for i in range(3):
        array = file.create_dataset(
            f"x{i}", (15 * MEGA,), "f4", chunks=(1024,), compression="gzip", fillvalue=0
        )
        array[:1024] = 1


def deep(file: h5py.File) -> None:
    file.create_group("/".join(["g"] * 100))


def committed_type(file: h5py.File) -> None:
    file["kind"] = np.dtype("f4")


def soft_link_on_the_way(file: h5py.File) -> None:
    file.move("layers/dense", "layers/other")
    file["layers/dense"] = h5py.SoftLink("/layers/other")


def hard_link_on_the_way(file: h5py.File) -> None:
    file["layers/dense_1"] = file["layers/dense"]


def hard_link_upwards(file: h5py.File) -> None:
    file["layers/dense/up"] = file["/"]


def external_group(file: h5py.File) -> None:
    del file["layers/dense"]
    file["layers/dense"] = h5py.ExternalLink("/proc/self/environ", "/layers/dense")


def missing_external_link(file: h5py.File) -> None:
    file["beside"] = h5py.ExternalLink("nowhere.h5", "/")


def huge_piece(file: h5py.File) -> None:
    """An array of 80 bytes in a piece of 64 MB, of which 65 KB are stored."""
    del file[KERNEL]
    file.create_dataset(
        KERNEL, (5, 4), "f4", maxshape=(None, None), chunks=(2**12, 2**12), compression="gzip"
    )[...] = 1


def vlen(kind: Any) -> dict[str, Any]:
    return {"shape": (2,), "dtype": h5py.vlen_dtype(kind)}


CHANGES: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    # what an array may hold
    "records": (put(data=np.zeros(3, [("a", "f4"), ("b", "f4")])), "no numbers"),
    "arrays of arrays": (put(shape=(5,), dtype=np.dtype(("f4", (4,)))), "does not hold|no numbers"),
    "numbers of any length": (put(**vlen("f4")), "no numbers"),
    "texts of any length": (put(shape=(2,), dtype=h5py.string_dtype()), "no numbers"),
    "bytes": (put(data=np.zeros(20, "V4")), "no numbers"),
    "long doubles": (put(data=np.zeros((5, 4), np.longdouble)), "no numbers|holds HDF5 data"),
    "references to regions": (put(shape=(2,), dtype=h5py.regionref_dtype), "no numbers"),
    "two bytes without a mark": (put(data=np.zeros((5, 4), "V2")), "no numbers"),
    "no shape": (put(data=h5py.Empty("f4")), "no known shape"),
    "whole numbers": (put(data=np.zeros((5, 4), "i8")), "other weights"),
    "truth values": (put(data=np.zeros((5, 4), bool)), "other weights"),
    "one number": (put(data=np.float32(1)), "other weights"),
    "no numbers at all": (put(data=np.zeros((0, 4), "f4")), "other weights"),
    "an axis more": (put(data=np.zeros((1, 5, 4), "f4")), "other weights"),
    # sizes
    "an empty terabyte": (put(shape=(2**19, 2**19), dtype="f4", chunks=(1, 1024)), "not hold"),
    "more than any memory": (put(shape=(2**31, 2**31), dtype="f4", chunks=(1, 64)), "too large"),
    "growing without end": (
        put(shape=(2**22, 2**10), maxshape=(None, None), dtype="f4", chunks=(1, 1024)), "not hold",
    ),
    "a huge piece": (huge_piece, "small array in huge pieces"),
    "many small bombs": (one_chunk_of_many, "more than it can hold"),
    "lzf as a filter": (put(data=np.zeros((5, 4), "f4"), compression="lzf"), "in a way not"),
    "offsets as a filter": (put(data=np.zeros((5, 4), "f4"), scaleoffset=3), "in a way not"),
    # ways through the file
    "100 groups deep": (deep, "too deep"),
    "a type with a name": (committed_type, "what is no array"),
    "a soft link on the way": (soft_link_on_the_way, "holds a link"),
    "a hard link on the way": (hard_link_on_the_way, "two names"),
    "a hard link upwards": (hard_link_upwards, "two names|too deep"),
    "a group in another file": (external_group, "holds a link"),
    "a link to nowhere": (missing_external_link, "holds a link"),
    # names
    "a name of 60,000 characters": (
        lambda file: file.create_dataset("n" * 60_000, data=np.zeros(2, "f4")), "other weights",
    ),
    "a name that clears the screen": (
        lambda file: file.create_dataset("\x1b[2J\r\n", data=np.zeros(2, "f4")), "other weights",
    ),
    "a name that points upwards": (
        lambda file: file.create_dataset("layers/..evil", data=np.zeros(2, "f4")), "other weights",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_is_refused(name: str, tmp_path: Path):
    change, expected = CHANGES[name]
    path, ours = tmp_path / "m.weights.h5", model()
    before = ours.get_weights()
    ours.save_weights(path)
    with h5py.File(path, "r+") as file:
        change(file)
    files, calls = sorted(tmp_path.iterdir()), Calls()
    tracemalloc.start()
    try:
        with calls, pytest.raises(ModelFileError, match=expected) as caught:
            ours.load_weights(path)
        used = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    text = str(caught.value)
    assert len(text) <= 500
    assert all(line.isprintable() for line in text.split("\n"))
    assert used < path.stat().st_size + 16 * MEGA
    assert calls.count < 10**6
    assert sorted(tmp_path.iterdir()) == files
    for one, two in zip(ours.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_limit_of_objects(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    path, ours = tmp_path / "m.weights.h5", model()
    ours.save_weights(path)
    with h5py.File(path) as file:
        objects: list[str] = []
        file.visit(objects.append)
    monkeypatch.setattr(hdf5, "MAX_OBJECTS", len(objects))
    assert ours.load_weights(path).complete
    with h5py.File(path, "r+") as file:
        file.create_group("one_more")
    with pytest.raises(ModelFileError, match="too many objects"):
        ours.load_weights(path)


# --- what the library believes -------------------------------------------------------------------


def tree_of_one_leaf(data: bytearray, kind: int, key: int, width: int, levels: int) -> None:
    """Makes an index a tree that leads to its first leaf over and over, `width ** levels` times.

    Args:
        data: the file, changed in place.
        kind: of the tree: 0 for names in a group, 1 for pieces of an array.
        key: bytes of a key.
        width: how many children each node has.
        levels: how deep.
    """
    mark, nodes, at = b"TREE" + bytes([kind]), [], data.find(b"TREE" + bytes([kind]))
    while at >= 0:
        nodes.append((data[at + 5], at))
        at = data.find(mark, at + 1)
    leaves = [at for level, at in nodes if level == 0][-levels:]
    first = bytes(data[leaves[0] + 24 : leaves[0] + 24 + key])
    child = data[leaves[0] + 24 + key : leaves[0] + 32 + key]
    for level, at in enumerate([*leaves[1:], max(nodes)[1]]):
        data[at + 5 : at + 8] = bytes([level]) + width.to_bytes(2, "little")
        data[at + 8 : at + 24] = b"\xff" * 16
        for i in range(width):
            start = at + 24 + (key + 8) * i
            data[start : start + key + 8] = first + child
        child = at.to_bytes(8, "little")


def refused(data: bytes, path: Path, expected: str) -> None:
    path.write_bytes(data)
    ours = model()
    with Calls() as calls, pytest.raises(ModelFileError, match=expected):
        ours.load_weights(path)
    assert calls.count < 10**7


def test_a_group_whose_index_never_ends(tmp_path: Path):
    """A billion names in a file of 300 KB: the library would list them all."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        many = file.create_group("many")
        for i in range(3000):
            many[f"n{i:04d}"] = h5py.SoftLink("/")
    data = bytearray(buffer.getvalue())
    tree_of_one_leaf(data, 0, 8, 32, 6)
    refused(data, tmp_path / "m.weights.h5", "too many objects")


def test_an_array_whose_index_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The library would add up the sizes of a billion pieces, all of which are one."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("x", data=np.ones((4000, 4), "f4"), chunks=(4, 4), compression="gzip")
    data = bytearray(buffer.getvalue())
    tree_of_one_leaf(data, 1, 32, 64, 5)
    monkeypatch.setattr(hdf5, "MAX_PIECES", 10_000)
    refused(data, tmp_path / "m.weights.h5", "too many pieces")


def test_pieces_that_are_one_place(tmp_path: Path):
    """Pieces that claim much more than the file has."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("x", data=np.ones((2**20, 1), "f4"), chunks=(2**10, 1))
        size = len(buffer.getvalue())
    data = bytearray(buffer.getvalue())
    tree_of_one_leaf(data, 1, 32, 64, 3)
    assert size > 2**22
    refused(data, tmp_path / "m.weights.h5", "more than it can hold")


def test_texts_that_are_one_place(tmp_path: Path):
    """A list of 3,000 texts of 4 MB each in a file of 4 MB."""
    length, buffer = 4 * MEGA, io.BytesIO()
    texts = np.array(["x" * length, *["y"] * 2999], object)
    with h5py.File(buffer, "w") as file:
        file.attrs.create("layer_names", texts, dtype=h5py.string_dtype())
    data = bytearray(buffer.getvalue())
    long, short = length.to_bytes(4, "little"), (1).to_bytes(4, "little")
    at = data.find(long)
    while data[at + 16 : at + 20] != short:
        at = data.find(long, at + 1)
    data[at : at + 16 * 3000] = data[at : at + 16] * 3000
    refused(data, tmp_path / "old.h5", "more text than the file can hold")


ATTRIBUTES: dict[str, Any] = {
    "a number": np.float64(3), "many numbers": np.zeros(15_000, "f4"),
    "bytes that are no text": np.bytes_(b"\xff\xfe"), "nothing": h5py.Empty("S1"),
    "a reference": "reference", "a long text": "n" * 60_000,
}  # fmt: skip


@pytest.mark.parametrize("kind", ATTRIBUTES)
def test_notes_of_any_kind_do_no_harm(kind: str, tmp_path: Path):
    """Names of layers are read only where they are wanted, and only if they are texts."""
    path, ours = tmp_path / "m.weights.h5", model()
    ours.save_weights(path)
    with h5py.File(path, "r+") as file:
        group = file["layers/dense/vars"]
        value = group.ref if kind == "a reference" else ATTRIBUTES[kind]
        del group.attrs["name"]
        group.attrs.create("name", value)
        file["vars"].attrs["name"] = "whole"
    assert ours.load_weights(path).complete
    with pytest.raises(ModelFileError, match="other weights"):
        ours.load_weights(path, strict=False)


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ({"layer_names": [b"nobody"]}, "a layer that it does not hold"),
        ({"layer_names": [b".."]}, "a layer that it does not hold"),
        ({"layer_names": np.arange(3)}, "no texts"),
        ({"layer_names": [b"a"], "weight_names": [b"../../x"]}, "an array that it does not hold"),
        ({"layer_names": [b"a"] * 3000}, "lists a layer twice"),
        ({"layer_names": [b"\xff\xfe"]}, "a layer that it does not hold"),
        ({"layer_names": h5py.Empty("S1")}, "cannot be read|other weights|does not hold"),
    ],
)
def test_lists_of_older_files_are_not_trusted(lists: dict[str, Any], expected: str, tmp_path: Path):
    path, ours = tmp_path / "old.h5", model()
    with h5py.File(path, "w") as file:
        group = file.create_group("a")
        group.attrs["weight_names"] = lists.get("weight_names", [b"kernel:0"])
        group.create_dataset("kernel:0", data=np.zeros(3, "f4"))
        file.attrs["layer_names"] = lists["layer_names"]
    with pytest.raises(ModelFileError, match=expected) as caught:
        ours.load_weights(path)
    assert len(str(caught.value)) <= 500
