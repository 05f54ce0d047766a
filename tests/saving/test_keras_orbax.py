"""Folders of Keras' own OrbaxCheckpoint, read by load_model and load_weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import pytest
import tensorstore

import kgraph
from kgraph.errors import ConfigError, ModelFileError


def _functional(K: Any) -> Any:
    inputs = K.Input((3,))
    x = K.layers.BatchNormalization(name="norm")(K.layers.Dense(4, name="first")(inputs))
    return K.Model(inputs, K.layers.Dense(2, name="last")(x), name="net")


def _sequential(K: Any) -> Any:
    return K.Sequential([K.Input((3,)), K.layers.Dense(2, name="first")], name="net")


def _saved(folder: Path, make: Any, weights_only: bool = False) -> Any:
    """Returns a model of Keras' that has saved two steps; the second has other weights."""
    theirs = make(keras)
    theirs.compile("sgd", "mse")
    saver = keras.callbacks.OrbaxCheckpoint(
        folder, save_weights_only=weights_only, save_on_background=False, max_to_keep=2
    )
    with jax.numpy_rank_promotion("allow"):
        theirs.fit(np.ones((8, 3)), np.ones((8, 2)), epochs=2, verbose=0, callbacks=[saver])
    return theirs


def _assert_same(one: Any, two: Any) -> None:
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


pytestmark = pytest.mark.filterwarnings("ignore::Warning:orbax")


@pytest.mark.parametrize("make", [_functional, _sequential])
def test_the_newest_step_gives_weights_and_model(make, tmp_path):
    theirs = _saved(tmp_path / "steps", make)
    ours = make(kgraph)
    ours.load_weights(tmp_path / "steps")
    _assert_same(ours, theirs)
    with pytest.warns(UserWarning, match="its optimizer begins anew"):
        loaded = kgraph.models.load_model(tmp_path / "steps")
    _assert_same(loaded, theirs)
    assert loaded.compiled
    assert not kgraph.models.load_model(tmp_path / "steps", compile=False).compiled
    with pytest.raises(ConfigError, match="expect_sha256"):
        kgraph.models.load_model(tmp_path / "steps", expect_sha256="0" * 64)
    first = make(kgraph)
    first.load_weights(tmp_path / "steps" / "0")
    assert np.abs(first.get_weights()[0] - ours.get_weights()[0]).max() > 0


def test_weights_alone_are_no_model_and_fit_no_other_one(tmp_path):
    _saved(tmp_path / "steps", _functional, weights_only=True)
    with pytest.raises(ModelFileError, match=r"weights only[\s\S]*load_weights"):
        kgraph.models.load_model(tmp_path / "steps")
    with pytest.raises(ModelFileError, match="last/kernel"):
        _sequential(kgraph).load_weights(tmp_path / "steps")


def test_an_array_that_the_model_does_not_expect_is_refused_by_its_header(tmp_path):
    """The header of one array says 4 TB, as a hostile folder can in few bytes."""
    _saved(tmp_path / "steps", _sequential, weights_only=True)
    base = f"file://{tmp_path / 'steps' / '1' / 'pytree'}/"
    name = "trainable_variables.net.first.kernel/zarr.json"
    store = tensorstore.KvStore.open({"driver": "ocdbt", "base": base}).result()
    header = json.loads(store[name])
    header["shape"] = [10**6, 10**6]
    store[name] = json.dumps(header)
    with pytest.raises(ModelFileError, match=r"first/kernel[\s\S]*1000000, 1000000"):
        _sequential(kgraph).load_weights(tmp_path / "steps")
