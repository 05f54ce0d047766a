"""Files that somebody else made: each fault is one clear error, and nothing is run or written."""

from __future__ import annotations

import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hostile_keras import CHANGES, parts, put_together

import kgraph
from kgraph.errors import ModelFileError


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


def test_deflated_members_load(good: Path, tmp_path: Path):
    put_together(tmp_path / "small.keras", parts(good), zipfile.ZIP_DEFLATED)
    one, two = (kgraph.models.load_model(p) for p in (good, tmp_path / "small.keras"))
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_models_in_hdf5_are_refused(tmp_path: Path):
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["model_config"] = "{}"
    assert "weights only" in refused(tmp_path / "old.h5")
