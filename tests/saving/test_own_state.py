"""Layers that say themselves what is stored of them: in all files, and as Keras does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import pytest

import kgraph
from kgraph.errors import ConfigError, StateError

pytestmark = pytest.mark.filterwarnings("ignore:.*registered:UserWarning")
X = np.arange(6, dtype="float32").reshape(2, 3)


@pytest.fixture(autouse=True)
def relaxed() -> Iterator[None]:
    """Runs as users run: with rank promotion."""
    with jax.numpy_rank_promotion("allow"):
        yield


def classes(api: Any) -> dict[str, Any]:
    """Layers as programs for Keras write them."""

    class Counted(api.layers.Dense):
        """Stores a number that is no weight, and not its bias."""

        def __init__(self, units, **options):
            super().__init__(units, **options)
            self.table = np.zeros(units, "float32")

        def save_own_variables(self, store):
            super().save_own_variables(store)
            del store["1"]
            store["table"] = self.table

        def load_own_variables(self, store):
            self.table = np.array(store["table"])
            self.kernel.assign(store["0"])

        def call(self, inputs):
            return super().call(inputs) + self.table

    class Worded(api.layers.Dense):
        """Writes files."""

        words = "none"

        def save_assets(self, dir_path):
            os.makedirs(os.path.join(dir_path, "deep"))
            Path(dir_path, "deep", "words.txt").write_text(self.words)

        def load_assets(self, dir_path):
            self.words = Path(dir_path, "deep", "words.txt").read_text()

    class Shaped(api.layers.Layer):
        """Is built from what it says itself."""

        def build(self, input_shape):
            self.seen = self.add_weight((input_shape[-1],), "ones", name="seen")
            super().build(input_shape)
            self.built_by = "build"

        def call(self, inputs):
            return inputs * self.seen

        def get_build_config(self):
            return {"sizes": [3, 4], **super().get_build_config()}

        def build_from_config(self, config):
            self.sizes = config["sizes"]
            super().build_from_config(config)
            self.built_by = "file"

    return {"Counted": Counted, "Worded": Worded, "Shaped": Shaped}


def model_of(api: Any, known: dict[str, Any]) -> Any:
    inputs = api.Input((3,))
    inner = api.Sequential([api.Input((3,)), known["Worded"](3, name="worded")], name="inner")
    x = known["Shaped"](name="shaped")(inner(inputs))
    return api.Model(inputs, known["Counted"](2, name="counted")(x))


def filled(api: Any, known: dict[str, Any]) -> Any:
    model = model_of(api, known)
    for i, weight in enumerate(model.weights):
        weight.assign(np.full(weight.shape, i + 1.0, "float32"))
    model.get_layer("inner").get_layer("worded").words = "one two"
    model.get_layer("counted").table = np.array([5.0, 7.0], "float32")
    return model


def said(model: Any) -> Any:
    counted, shaped = model.get_layer("counted"), model.get_layer("shaped")
    return {
        "outputs": model.predict(X, verbose=0).tolist(), "table": counted.table.tolist(),
        "bias": np.asarray(counted.bias).tolist(),
        "words": model.get_layer("inner").get_layer("worded").words, "by": shaped.built_by,
        "sizes": getattr(shaped, "sizes", None),
    }  # fmt: skip


WHOLE = {"table": [5.0, 7.0], "bias": [0.0, 0.0], "words": "one two", "by": "file", "sizes": [3, 4]}


@pytest.mark.parametrize("name", ["m.kgraph", "folder/", "m.keras"])
def test_what_layers_store_themselves_comes_back_in_files_of_models(name: str, tmp_path: Path):
    known = classes(kgraph)
    model = filled(kgraph, known)
    model.save(f"{tmp_path}/{name}")
    again = kgraph.models.load_model(f"{tmp_path}/{name}", custom_objects=known)
    found = said(again)
    assert {key: found[key] for key in WHOLE} == WHOLE
    model.get_layer("counted").bias.assign(np.zeros(2))
    assert found["outputs"] == said(model)["outputs"]


@pytest.mark.parametrize("writer", [kgraph, keras])
def test_files_of_keras_have_them_where_keras_has_them(writer: Any, tmp_path: Path):
    reader = keras if writer is kgraph else kgraph
    filled(writer, classes(writer)).save(tmp_path / "m.keras")
    loaded = [
        said(api.models.load_model(tmp_path / "m.keras", custom_objects=classes(api)))
        for api in (writer, reader)
    ]
    assert loaded[0] == loaded[1]
    assert {key: loaded[0][key] for key in WHOLE} == WHOLE


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("name", ["m.weights.kgraph", "m.safetensors", "m.weights.h5"])
def test_files_of_weights_have_arrays(name: str, strict: bool, tmp_path: Path):
    filled(kgraph, classes(kgraph)).save_weights(tmp_path / name)
    model = model_of(kgraph, classes(kgraph))
    report = model.load_weights(tmp_path / name, strict=strict)
    assert report.complete
    assert said(model)["table"] == [5.0, 7.0]
    assert said(model)["words"] == "none"  # as in Keras, where files of weights have no others
    np.testing.assert_array_equal(model.get_layer("shaped").seen, np.full(3, 3.0))


def test_weights_of_keras_both_ways(tmp_path: Path):
    for writer, reader in ((kgraph, keras), (keras, kgraph)):
        filled(writer, classes(writer)).save_weights(tmp_path / "m.weights.h5")
        model = model_of(reader, classes(reader))
        model.load_weights(tmp_path / "m.weights.h5")
        assert said(model)["table"] == [5.0, 7.0]


def test_a_name_that_is_none_and_variables_that_are_others(tmp_path: Path):
    class Deep(kgraph.layers.Dense):
        def save_own_variables(self, store):
            store["a/b"] = np.ones(2)

    class Fewer(kgraph.layers.Dense):
        def save_own_variables(self, store):
            store["0"] = np.ones((3, 2))

    model = kgraph.Sequential([kgraph.Input((3,)), Deep(2)])
    with pytest.raises(ConfigError, match=r"'deep' \(Deep\) stores a variable under a name"):
        model.save_weights(tmp_path / "m.weights.h5")
    model = kgraph.Sequential([kgraph.Input((3,)), Fewer(2)])
    model.save(tmp_path / "m.kgraph")
    with pytest.raises(StateError, match=r"'fewer'.* other variables than it has"):
        kgraph.models.load_model(tmp_path / "m.kgraph", custom_objects={"Fewer": Fewer})
