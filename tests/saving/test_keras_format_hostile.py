"""Files that somebody else made: each fault is one clear error, and nothing is run or written."""

from __future__ import annotations

import hashlib
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hostile_keras import CHANGES, parts, put_together

import kgraph
from kgraph.errors import ModelFileError
from kgraph.saving.keras_format import archive, functional_in


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "good.keras"
    x = kgraph.Input((5,), name="in")
    y = kgraph.layers.Dense(4, "relu", name="dense")(x)
    model = kgraph.Model(x, kgraph.layers.Dense(2, name="head")(y), name="good")
    model.compile("adam", "mse")
    model.train_on_batch(np.ones((2, 5), "float32"), np.ones((2, 2), "float32"))
    model.save(path)
    return path


def refused(path: Path) -> str:
    before = sorted(path.parent.rglob("*"))
    with pytest.raises(ModelFileError) as caught:
        kgraph.models.load_model(path)
    text = str(caught.value)
    assert len(text) <= 500 + len(str(path))
    assert all(line.isprintable() for line in text.split("\n"))
    assert path.name in text
    assert sorted(path.parent.rglob("*")) == before
    return text


def test_the_good_file_loads(good: Path):
    assert kgraph.models.load_model(good).get_layer("head").count_params() == 10


@pytest.mark.parametrize("name", CHANGES)
def test_is_refused(name: str, good: Path, tmp_path: Path):
    change, expected = CHANGES[name]
    members = parts(good)
    change(members)
    path = tmp_path / "bad.keras"
    put_together(path, members)
    assert expected in refused(path)


def test_an_operation_without_tensors_is_not_even_computed(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    members, path = parts(good), tmp_path / "bad.keras"
    CHANGES["an operation that only allocates"][0](members)
    put_together(path, members)
    monkeypatch.setattr(functional_in, "_run_function", lambda *_: pytest.fail("8 GB are made"))
    assert "a call on no tensors" in refused(path)


def test_where_the_fault_is_stands_in_the_message(good: Path, tmp_path: Path):
    members = parts(good)
    CHANGES["unknown activation"][0](members)
    put_together(tmp_path / "bad.keras", members)
    text = refused(tmp_path / "bad.keras")
    assert "config.json" in text
    assert "config.layers[1]" in text
    assert "system" in text


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_damaged_zips_are_refused(good: Path, tmp_path: Path):
    data, path = good.read_bytes(), tmp_path / "bad.keras"
    for cut in (0, 3, 40, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:cut])
        refused(path)
    middle = data.index(b"\x89HDF") + 600
    path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    assert "damaged" in refused(path)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts(good).items():
            archive.writestr(name, content)
        archive.writestr("config.json", "{}")
    assert "each member once" in refused(path)
    bomb = parts(good) | {"assets/zeros": bytes(100 * 2**20)}
    put_together(path, bomb, zipfile.ZIP_DEFLATED)
    assert "expands to more" in refused(path)
    put_together(path, parts(good), zipfile.ZIP_BZIP2)
    assert "packed in a way not known" in refused(path)
    (tmp_path / "folder.keras").mkdir()
    refused(tmp_path / "folder.keras")
    with pytest.raises(ModelFileError, match="does not exist"):
        kgraph.models.load_model(tmp_path / "nothing.keras")


def zip_bytes(members: dict[str, bytes], flags: int = 0) -> bytearray:
    """Returns a zip of stored members, each with 12 bytes behind it if the flags say so."""
    data, directory = bytearray(), bytearray()
    for name, content in members.items():
        raw, crc, size = name.encode(), zlib.crc32(content), len(content)
        facts = struct.pack("<5H3L2H", 20, flags, 0, 0, 33, crc, size, size, len(raw), 0)
        directory += b"PK\1\2\x14\0" + facts + struct.pack("<3H2L", 0, 0, 0, 0, len(data)) + raw
        data += b"PK\3\4" + facts + raw + content
        data += struct.pack("<3L", crc, size, size) if flags else b""
    count, start = len(members), len(data)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), start, 0)
    return data + directory + end


TRICKS: dict[str, Callable[[bytearray], bytes]] = {
    "something before it": lambda b: b"MZ" + bytes(b),
    "another zip before it": lambda b: bytes(b) * 2,
    "something behind it": lambda b: bytes(b) + b"\n",
    "a comment": lambda b: bytes(b[:-2]) + b"\4\0note",
    "a comment that is a zip": lambda b: bytes(b[:-2]) + struct.pack("<H", len(b)) + bytes(b),
    "another size at the member": lambda b: bytes(b[:22]) + b"\1\0\0\0" + bytes(b[26:]),
    "another checksum at the member": lambda b: bytes(b[:14]) + b"\1\0\0\0" + bytes(b[18:]),
    "another method at the member": lambda b: bytes(b[:8]) + b"\x08\0" + bytes(b[10:]),
    "another name at the member": lambda b: bytes(b).replace(b"metadata.json", b"Metadata.json", 1),
    "a NUL in a name": lambda b: bytes(b).replace(b"metadata.json", b"metadat\0.json"),
    "a flipped bit where nobody reads": lambda b: bytes(b).replace(b"3.15.1", b"3.15.2"),
}  # fmt: skip


@pytest.mark.parametrize("trick", TRICKS)
def test_what_other_readers_could_read_otherwise_is_refused(trick: str, good: Path, tmp_path: Path):
    members, path = parts(good), tmp_path / "bad.keras"
    path.write_bytes(zip_bytes(members, flags=8))
    kgraph.models.load_model(path)  # sizes behind the members are as other programs write them
    whole = zip_bytes(members)
    path.write_bytes(whole)
    kgraph.models.load_model(path)
    path.write_bytes(TRICKS[trick](whole))
    assert "damaged" in refused(path) or "NUL" in trick


def test_a_directory_of_many_entries_is_not_read(good: Path, tmp_path: Path):
    path, empty = tmp_path / "bad.keras", {f"assets/{i}": b"" for i in range(20_000)}
    path.write_bytes(zip_bytes(parts(good) | empty))
    start = time.perf_counter()
    assert "too many members" in refused(path)
    assert time.perf_counter() - start < 0.2


def test_the_file_that_was_digested_is_the_one_that_is_read(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "m.keras"
    path.write_bytes(good.read_bytes())
    digest = hashlib.sha256(good.read_bytes()).hexdigest()
    check = archive.check_sha256

    def replaced(*facts: str) -> None:
        check(*facts)
        path.unlink()
        path.write_bytes(b"another file")

    monkeypatch.setattr(archive, "check_sha256", replaced)
    assert kgraph.models.load_model(path, expect_sha256=digest).name == "good"
    with pytest.raises(ModelFileError, match="another file than expected"):
        kgraph.models.load_model(path, expect_sha256=digest)


def test_deflated_members_load(good: Path, tmp_path: Path):
    put_together(tmp_path / "small.keras", parts(good), zipfile.ZIP_DEFLATED)
    one, two = (kgraph.models.load_model(p) for p in (good, tmp_path / "small.keras"))
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_models_in_hdf5_are_refused(tmp_path: Path):
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["model_config"] = "{}"
    assert "weights only" in refused(tmp_path / "old.h5")
