"""Weights from Keras' files: whole, in part, by number and by name, each with a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras_models import MODELS, relaxed

import kgraph
from kgraph.errors import ModelFileError


def net(K: Any, features: int = 3, head: str = "head", extra: bool = False) -> Any:
    """Returns a model of two layers, or one more between them, with names that are given."""
    L, x = K.layers, K.Input((features,), name="in")
    y = L.Dense(4, name="base")(x)
    if extra:
        y = L.Dense(4, name="extra")(y)
    return K.Model(x, L.Dense(2, name=head)(y))


def random_weights(model: Any, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    arrays = [rng.uniform(1, 2, w.shape).astype("float32") for w in model.get_weights()]
    model.set_weights(arrays)
    return arrays


@pytest.fixture(params=["m.weights.h5", "m.keras", "m.h5"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, list[np.ndarray]]:
    """A file of Keras' net in each of the three forms, and its arrays."""
    path = tmp_path / request.param
    with relaxed():
        theirs = net(keras)
        arrays = random_weights(theirs)
        if path.suffix == ".keras":
            theirs.save(path)
        elif path.name == "m.weights.h5":
            theirs.save_weights(path)
        else:
            with h5py.File(path, "w") as file:
                keras.src.legacy.saving.legacy_h5_format.save_weights_to_hdf5_group(file, theirs)
    return path, arrays


def test_each_form_is_loaded_with_a_report(stored: tuple[Path, list[np.ndarray]]):
    path, arrays = stored
    ours = net(kgraph)
    report = ours.load_weights(path)
    assert report.complete
    assert report.loaded == ("base/kernel", "base/bias", "head/kernel", "head/bias")
    for one, two in zip(ours.get_weights(), arrays, strict=True):
        np.testing.assert_array_equal(one, two)
    other = net(kgraph, features=5)
    before = other.get_weights()
    with pytest.raises(ModelFileError, match=r"base/kernel +\[5, 4\] float32 +\[3, 4\] float32"):
        other.load_weights(path)
    for one, two in zip(other.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, two)
    with pytest.raises(ModelFileError, match="other weights than the model"):
        other.load_weights(path, strict=False)  # a shape is a fault still
    with pytest.warns(UserWarning, match="base/kernel"):
        report = other.load_weights(path, skip_mismatch=True)
    assert report.mismatched == {"base/kernel": ("[5, 4] float32", "[3, 4] float32")}
    assert report.loaded == ("base/bias", "head/kernel", "head/bias")
    np.testing.assert_array_equal(other.get_weights()[0], before[0])
    np.testing.assert_array_equal(other.get_weights()[1], arrays[1])


def test_a_part_is_found_by_the_names_of_layers(stored: tuple[Path, list[np.ndarray]]):
    path, arrays = stored
    ours = net(kgraph, head="classes", extra=True)
    with pytest.raises(ModelFileError, match="other weights than the model"):
        ours.load_weights(path)
    report = ours.load_weights(path, strict=False)
    assert report.loaded == ("base/kernel", "base/bias")
    assert set(report.missing) == {
        f"{name}/{weight}" for name in ("extra", "classes") for weight in ("kernel", "bias")
    }
    assert len(report.unexpected) == 2
    assert all("head" in name for name in report.unexpected)
    np.testing.assert_array_equal(ours.get_weights()[0], arrays[0])
    x = kgraph.Input((3,))
    renamed = kgraph.Model(x, kgraph.layers.Dense(4, name="other")(x))
    with pytest.raises(ModelFileError, match="other weights"):  # not one name in common
        renamed.load_weights(path, strict=False)


def test_names_count_inside_models_too(tmp_path: Path):
    path = tmp_path / "m.weights.h5"
    with relaxed():
        theirs = MODELS["nested_twice"](keras)
        arrays = random_weights(theirs)
        theirs.save_weights(path)
    ours = MODELS["nested_twice"](kgraph)
    report = ours.load_weights(path, strict=False)
    assert report.complete
    for one, two in zip(ours.get_weights(), arrays, strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_file_without_names_says_so(tmp_path: Path):
    path, ours = tmp_path / "m.weights.h5", net(kgraph)
    ours.save_weights(path)
    with h5py.File(path, "r+") as file:
        file.visititems(lambda _, item: item.attrs.clear())
    assert ours.load_weights(path).complete
    with pytest.raises(ModelFileError, match="the names of its layers"):
        ours.load_weights(path, strict=False)


def test_no_flipped_bit_changes_a_weight_in_silence(tmp_path: Path):
    model = kgraph.Sequential(
        [kgraph.Input((4,)), kgraph.layers.Dense(8), kgraph.layers.PReLU(), kgraph.layers.Dense(2)]
    )
    path = tmp_path / "whole.weights.h5"
    model.save_weights(path)
    wanted, whole = model.get_weights(), path.read_bytes()
    damaged, refused = tmp_path / "damaged.weights.h5", 0
    for place in np.random.default_rng(0).choice(len(whole), 60, replace=False):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << (place % 8)
        damaged.write_bytes(flipped)
        try:
            model.load_weights(damaged)
        except ModelFileError:
            refused += 1
        for one, two in zip(wanted, model.get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)
    assert refused > 2  # most of a small file is unused room


def test_keras_notices_a_flipped_bit_as_well(tmp_path: Path):
    path = tmp_path / "m.weights.h5"
    ours, theirs = (
        lib.Sequential([lib.Input((4,)), lib.layers.Dense(64, name="d")]) for lib in (kgraph, keras)
    )
    ours.save_weights(path)
    theirs.load_weights(path)
    np.testing.assert_array_equal(theirs.get_weights()[0], ours.get_weights()[0])
    data = bytearray(path.read_bytes())
    data[data.find(ours.get_weights()[0].tobytes()[:32]) + 9] ^= 1
    path.write_bytes(data)
    with pytest.raises(Exception, match="filter returned failure"):
        theirs.load_weights(path)
