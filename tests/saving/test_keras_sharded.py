"""Weights in several files with an index, both ways with Keras."""

from __future__ import annotations

import json
from typing import Any

import keras
import numpy as np
import pytest

import kgraph
from kgraph.errors import ConfigError, ModelFileError
from kgraph.saving.keras_format.hdf5 import write_arrays

SMALL = 300 / 1024**3
"""Gigabytes: room for some arrays of the models, and not for all."""


def _pair() -> tuple[Any, Any]:
    def make(K: Any) -> Any:
        inputs = K.Input((8,))
        x = K.layers.Dense(8, activation="relu")(inputs)
        outputs = K.layers.Dense(3)(K.layers.BatchNormalization()(x))
        model = K.Model(inputs, outputs)
        model.compile("adam", "mse")
        return model

    ours, theirs = make(kgraph), make(keras)
    ours.fit(np.ones((4, 8)), np.ones((4, 3)), verbose=0)
    theirs.optimizer.build(theirs.trainable_variables)
    return ours, theirs


def _assert_same(one: Any, two: Any) -> None:
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_both_ways_with_keras(tmp_path):
    ours, theirs = _pair()
    theirs.save_weights(tmp_path / "theirs.weights.json", max_shard_size=SMALL)
    ours.load_weights(tmp_path / "theirs.weights.json")
    _assert_same(ours, theirs)
    assert len(list(tmp_path.glob("theirs_*.weights.h5"))) > 2

    ours.fit(np.ones((4, 8)), np.ones((4, 3)), verbose=0)
    ours.save_weights(tmp_path / "ours.weights.json", max_shard_size=SMALL)
    theirs.load_weights(tmp_path / "ours.weights.json")
    _assert_same(ours, theirs)
    assert int(theirs.optimizer.iterations) == int(ours.optimizer.iterations) == 1
    sizes = [path.stat().st_size for path in tmp_path.glob("ours_*.weights.h5")]
    assert len(sizes) > 2
    index = json.loads((tmp_path / "ours.weights.json").read_text())
    assert index["weight_map"]["/layers/dense/vars"] == ["ours_00000.weights.h5"]


@pytest.mark.parametrize(
    ("name", "size"),
    [("w.weights.json", None), ("w.weights.h5", 5), ("w.kgraph", 5), ("w.weights.json", 0)],
)
def test_names_and_sizes_go_together(tmp_path, name, size):
    model = kgraph.Sequential([kgraph.Input((2,)), kgraph.layers.Dense(1)])
    with pytest.raises(ConfigError, match="max_shard_size"):
        model.save_weights(tmp_path / name, max_shard_size=size)
    assert not list(tmp_path.iterdir())


def test_an_index_reaches_no_other_folder_and_needs_all_of_its_files(tmp_path):
    model = kgraph.Sequential([kgraph.Input((2,)), kgraph.layers.Dense(1)])
    index = tmp_path / "w.weights.json"
    model.save_weights(index, max_shard_size=1)
    model.load_weights(index)
    text = index.read_text()
    index.write_text(text.replace('"w_00000', '"../w_00000'))
    with pytest.raises(ModelFileError, match=r"not beside it[\s\S]*\.\./w"):
        model.load_weights(index)
    index.write_text(text)
    next(tmp_path.glob("w_00000*")).unlink()
    with pytest.raises(ModelFileError, match="w_00000"):
        model.load_weights(index)
    for nonsense in ("[]", "{}", '{"weight_map": {"a": 3}}', '{"weight_map": {"a": [["b"]]}}'):
        index.write_text(nonsense)
        with pytest.raises(ModelFileError, match="no index"):
            model.load_weights(index)


def test_a_save_that_fails_leaves_the_one_before_and_one_that_does_not_takes_it_away(
    tmp_path, monkeypatch
):
    inputs = kgraph.Input((2,))
    model = kgraph.Model(inputs, kgraph.layers.Dense(1)(kgraph.layers.Dense(9)(inputs)))
    (tmp_path / "w_notes.weights.h5").write_text("the user's")
    index = tmp_path / "w.weights.json"
    model.save_weights(index, max_shard_size=SMALL / 4)
    before, files = model.get_weights(), sorted(path.name for path in tmp_path.iterdir())
    assert len(files) > 3
    model.set_weights([array + 1 for array in before])
    written = []

    def fail(arrays: Any, names: Any) -> bytes:
        if written:
            raise OSError("full")
        written.append(write_arrays(arrays, names))
        return written[0]

    with monkeypatch.context() as patch:
        patch.setattr("kgraph.saving.keras_format.sharded.write_arrays", fail)
        with pytest.raises(OSError, match="full"):
            model.save_weights(index, max_shard_size=SMALL / 4)
    model.load_weights(index)
    for found, wanted in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, wanted)

    assert sorted(path.name for path in tmp_path.iterdir()) == files

    model.save_weights(index, max_shard_size=1)  # one file in the place of several
    after = sorted(path.name for path in tmp_path.iterdir())
    assert after == ["w.weights.json", "w_00000.weights.h5", "w_notes.weights.h5"]
    model.load_weights(index)
