"""The bytes that are written: the same for the same model, and readable by others."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from saved_models import MODELS, assert_same_weights, dense

import kgraph as keras
from kgraph import layers, saving
from kgraph.errors import ModelFileError
from kgraph.layers.base.tree import named_weights
from kgraph.saving.files.misfit import Misfit
from kgraph.saving.kgraph_format import safetensors
from kgraph.saving.kgraph_format.container import open_container
from kgraph.saving.kgraph_format.content import Content, write_file
from kgraph.saving.kgraph_format.safetensors import ArraySpec

MAKE = """
import sys, numpy as np, kgraph
kgraph.utils.set_random_seed(3)
x = kgraph.Input((4,), name="x")
h = kgraph.layers.Dropout(0.5)(kgraph.layers.Dense(5)(x))
model = kgraph.Model(x, kgraph.layers.Dense(2)(h))
model.compile("adam", "mse", metrics=["mae"])
rows = np.ones((4, 4), "float32")
model.fit(rows, rows[:, :2], epochs=2, batch_size=2, verbose=0)
model.save(sys.argv[1])
model.save(sys.argv[1] + "-folder/")
model.save_weights(sys.argv[1] + ".safetensors")
"""


def test_saving_again_and_saving_what_was_loaded_gives_the_same_bytes(tmp_path: Path):
    model = MODELS["normalized"][0]()
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    model.train_on_batch(np.ones((2, 6, 6, 2), "float32"), np.ones((2, 2), "float32"))
    for name in "ab":
        model.save(tmp_path / name)
    saving.load_model(tmp_path / "a").save(tmp_path / "c")
    first, *others = [(tmp_path / name).read_bytes() for name in "abc"]
    assert all(other == first for other in others)
    model.save(f"{tmp_path}/d/")
    saving.load_model(f"{tmp_path}/d/").save(tmp_path / "e")
    assert (tmp_path / "e").read_bytes() == first


@pytest.mark.slow
def test_two_processes_write_the_same_bytes_and_so_does_a_loaded_model(tmp_path: Path):
    running = [
        subprocess.Popen(
            [sys.executable, "-c", MAKE, str(tmp_path / name)],
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        for name, seed in (("a", "1"), ("b", "2"))
    ]
    try:
        assert [process.wait(120) for process in running] == [0, 0]
    finally:
        for process in running:
            process.kill()
    whole = [(tmp_path / name).read_bytes() for name in "ab"]
    assert whole[0] == whole[1]
    weights = [(tmp_path / f"{name}.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]
    folders = [
        {path.name: path.read_bytes() for path in (tmp_path / f"{name}-folder").iterdir()}
        for name in "ab"
    ]
    assert folders[0] == folders[1]
    loaded = saving.load_model(tmp_path / "a")
    loaded.save(tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == whole[0]
    saving.load_model(tmp_path / "a-folder").save(tmp_path / "d")
    print("SHA-256", hashlib.sha256(whole[0]).hexdigest())
    assert (tmp_path / "d").read_bytes() == whole[0]


def test_any_zip_program_reads_it_and_the_table_is_true(tmp_path: Path):
    model = MODELS["normalized"][0]()
    model.save(tmp_path / "m.kgraph")
    with zipfile.ZipFile(tmp_path / "m.kgraph") as archive:
        assert archive.testzip() is None
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
        assert archive.namelist() == ["model.json", "arrays.safetensors", "manifest.json"]
        manifest = json.loads(archive.read("manifest.json"))
        sizes = {name: len(archive.read(name)) for name in archive.namelist()[:-1]}
        data = archive.read("arrays.safetensors")
        digest = hashlib.sha256(archive.read("model.json")).hexdigest()
    assert {name: member[0] for name, member in manifest["members"].items()} == sizes
    assert manifest["members"]["model.json"][1] == digest
    assert manifest["graph_hash"] == model.graph.content_hash
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    for (path, weight), entry in zip(named_weights(model), manifest["arrays"], strict=True):
        assert entry[:3] == [f"weights/{path}", list(weight.shape), weight.dtype]
        start, stop = header[f"weights/{path}"]["data_offsets"]
        raw = data[8 + length + start : 8 + length + stop]
        assert raw == weight.numpy().tobytes()
        assert entry[3] == hashlib.sha256(hashlib.sha256(raw).digest()).hexdigest()


def test_each_dtype_comes_back_bit_for_bit(tmp_path: Path):
    arrays = {}
    for name in sorted(safetensors.DTYPES):
        dtype = jnp.dtype(name)
        raw = np.arange(6, dtype=np.uint8) % 2
        arrays[f"weights/{name}"] = raw.astype(dtype).reshape(2, 3)
        arrays[f"weights/{name} scalar"] = np.ones((), dtype)
        arrays[f"weights/{name} empty"] = np.ones((0, 3), dtype)
    write_file(tmp_path / "w", Content("weights", {}, arrays))
    with open_container(tmp_path / "w") as container:
        found = dict(container.read_arrays(set(arrays)))
    assert found.keys() == arrays.keys()
    for path, array in arrays.items():
        assert found[path].dtype == array.dtype
        assert found[path].shape == array.shape
        assert found[path].tobytes() == array.tobytes()
    assert ml_dtypes.int4 in {array.dtype.type for array in found.values()}


def test_an_array_in_another_order_in_memory_is_written_row_by_row(tmp_path: Path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    write_file(tmp_path / "w", Content("weights", {}, {"weights/w": array}))
    with open_container(tmp_path / "w") as container:
        ((_, found),) = container.read_arrays({"weights/w"})
    np.testing.assert_array_equal(found, array)


# --- folders -------------------------------------------------------------------------------------


def test_a_folder_holds_the_same(tmp_path: Path):
    model = dense()
    folder = f"{tmp_path}/model/"
    model.save(folder)
    assert_same_weights(model, saving.load_model(folder))
    assert_same_weights(model, saving.load_model(folder.rstrip("/")))
    other = dense()
    other.load_weights(folder)
    assert_same_weights(model, other)
    dense().save(folder)  # other weights: other names beside the old, which then go
    names = sorted(name.partition("-")[0] for name in os.listdir(folder))
    assert names == ["arrays", "manifest.json", "model"]
    with pytest.raises(ModelFileError, match="exists already"):
        model.save(folder, overwrite=False)
    model.save(Path(folder))  # a path object has no slash at its end, but there is a model
    assert_same_weights(model, saving.load_model(folder))


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ModelFileError, match=r"holds other things[\s\S]*notes\.txt"):
        dense().save(f"{tmp_path}/")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ModelFileError, match="it is no folder"):
        dense().save(f"{tmp_path}/file/")
    with pytest.raises(ModelFileError, match="its folder does not exist"):
        dense().save(f"{tmp_path}/no/model/")
    assert sorted(os.listdir(tmp_path)) == ["file", "notes.txt"]


def test_links_in_a_folder_are_not_followed(tmp_path: Path):
    folder = tmp_path / "model"
    dense().save(f"{folder}/")
    arrays = next(folder.glob("arrays-*"))
    arrays.rename(tmp_path / "elsewhere")
    with pytest.raises(ModelFileError, match="does not exist") as caught:
        saving.load_model(folder)
    assert caught.value.member == arrays.name
    arrays.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelFileError, match="is no regular file"):
        saving.load_model(folder)


# --- safetensors ---------------------------------------------------------------------------------


def foreign(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes a file as another program would: no digests, names in its own order."""
    specs = [ArraySpec(name, a.shape, a.dtype.name) for name, a in arrays.items()]
    layout = safetensors.make_layout(specs)
    data = b"".join(arrays[name].tobytes() for name in layout.starts)
    path.write_bytes(layout.header + data)


def test_safetensors_go_out_and_come_back(tmp_path: Path):
    model, other = dense(), dense()
    model.save_weights(tmp_path / "w.safetensors")
    report = other.load_weights(tmp_path / "w.safetensors")
    assert report.complete
    assert_same_weights(model, other)
    data = bytearray((tmp_path / "w.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "w.safetensors").write_bytes(data)
    with pytest.raises(ModelFileError, match=r"is damaged[\s\S]*SHA-256"):
        other.load_weights(tmp_path / "w.safetensors")


def test_safetensors_of_another_program_load_by_name(tmp_path: Path):
    model = dense()
    values = {path: np.full(w.shape, 2, w.dtype) for path, w in named_weights(model)}
    foreign(tmp_path / "w.safetensors", values)
    assert model.load_weights(tmp_path / "w.safetensors").complete
    assert all((w.numpy() == 2).all() for w in model.weights)


def test_a_dtype_that_safetensors_lacks_is_named(tmp_path: Path):
    class Wide(layers.Layer):
        def build(self, input_shape):
            self.w = self.add_weight((2,), "zeros", dtype="float8_e4m3fnuz", name="w")

        def call(self, inputs):
            return inputs

    x = keras.Input((4,))
    model = keras.Model(x, Wide()(x))
    with pytest.raises(ValueError, match=r"'wide/w' cannot be kept[\s\S]*save it as \.kgraph"):
        model.save_weights(tmp_path / "w.safetensors")
    model.save_weights(tmp_path / "w.kgraph")
    assert os.listdir(tmp_path) == ["w.kgraph"]


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
HEADERS = {
    "no JSON": (b"{", "strict JSON"),
    "a list": (b"[]", "an object"),
    "a key twice": (b'{"a": 1, "a": 1}', "twice"),
    "no entry": (json.dumps({"a": 1}).encode(), "an object"),
    "another key": (json.dumps({"a": {**F32, "evil": 1}}).encode(), "the keys"),
    "unknown dtype": (json.dumps({"a": {**F32, "dtype": "PY"}}).encode(), "one of"),
    "dtype a list": (json.dumps({"a": {**F32, "dtype": ["F32"]}}).encode(), "one of"),
    "negative size": (json.dumps({"a": {**F32, "shape": [-2]}}).encode(), "a shape"),
    "a huge shape": (json.dumps({"a": {**F32, "shape": [2**30] * 3}}).encode(), "data_offsets"),
    "a gap": (json.dumps({"a": {**F32, "data_offsets": [4, 12]}}).encode(), "data_offsets"),
    "turned": (json.dumps({"a": {**F32, "data_offsets": [8, 0]}}).encode(), "data_offsets"),
    "one offset": (json.dumps({"a": {**F32, "data_offsets": [8]}}).encode(), "two whole"),
    "an overlap": (json.dumps({"a": F32, "b": F32}).encode(), "data_offsets"),
    "too short": (json.dumps({}).encode(), "the data"),
    "metadata": (json.dumps({"__metadata__": {"a": 1}, "a": F32}).encode(), "texts by name"),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_a_bad_header_is_refused(name: str, tmp_path: Path):
    text, expected = HEADERS[name]
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    with pytest.raises(ModelFileError, match="is no safetensors file, or damaged") as caught:
        dense().load_weights(path)
    assert expected in str(caught.value)
    assert len(str(caught.value)) <= 500
    for length in (0, 2**40, 2**64 - 1):
        with pytest.raises(Misfit, match="the length"):
            safetensors.header_length(length.to_bytes(8, "little"), 100)


def test_a_boolean_is_0_or_1(tmp_path: Path):
    header = safetensors.make_layout([ArraySpec("flag", (2,), "bool")]).header
    (tmp_path / "w.safetensors").write_bytes(header + b"\1\2")

    class Flagged(layers.Layer):
        def build(self, input_shape):
            self.flag = self.add_weight((2,), "zeros", dtype="bool", name="flag", trainable=False)

        def call(self, inputs):
            return inputs

    layer = Flagged(name="f")
    x = keras.Input((4,))
    keras.Model(x, layer(x))
    header = safetensors.make_layout([ArraySpec("f/flag", (2,), "bool")]).header
    (tmp_path / "w.safetensors").write_bytes(header + b"\1\2")
    with pytest.raises(ModelFileError, match="is damaged"):
        keras.Model(x, layer(x)).load_weights(tmp_path / "w.safetensors")
