"""What cannot be exchanged is named before anything is written; custom objects; old files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import optax
import pytest
from keras_models import OLDER, relaxed

import kgraph
from kgraph.errors import ConfigError, ModelFileError
from kgraph.keras_forms import INSIDE
from kgraph.registry import registered_names
from kgraph.saving.keras_format.names import is_exchanged
from kgraph.saving.keras_format.operations import PAIRS


def test_everything_that_keras_has_not_is_named_at_once_and_nothing_is_written(tmp_path: Path):
    x = kgraph.Input(("time", 4), name="x")
    y = kgraph.ops.standardize(kgraph.layers.Dense(3)(x))
    y = kgraph.layers.Activation(lambda z: z * 2, name="twice")(y)
    model = kgraph.Model(x, y)
    model.compile(optax.adam(1e-3), "mse")
    path = tmp_path / "m.keras"
    path.write_text("old")
    with pytest.raises(ConfigError) as caught:
        model.save(path)
    text = str(caught.value)
    for part in ("'time'", "standardize", "twice", "optax", ".kgraph"):
        assert part in text, part
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["m.keras"]


def test_an_optimizer_of_other_weights_is_left_out(tmp_path: Path):
    x = kgraph.Input((3,))
    model = kgraph.Model(x, kgraph.layers.Dense(1)(kgraph.layers.Dense(2, trainable=False)(x)))
    model.compile("adam", "mse")
    model.train_on_batch(np.ones((2, 3), "float32"), np.ones((2, 1), "float32"))
    model.trainable = True
    with pytest.warns(UserWarning, match="saved without its optimizer state"):
        model.save(tmp_path / "m.keras")
    again = kgraph.models.load_model(tmp_path / "m.keras")
    assert again.compiled
    assert again._kgraph.trainer.state() is None


def test_a_layer_in_two_models_is_refused(tmp_path: Path):
    core = kgraph.layers.Dense(3, name="core")
    inner = kgraph.Input((3,))
    x = kgraph.Input((3,))
    model = kgraph.Model(x, core(kgraph.Model(inner, core(inner))(x)))
    with pytest.raises(ConfigError, match=r"'core'.*shared between two models"):
        model.save(tmp_path / "m.keras")


def test_a_mask_through_an_operation_is_refused(tmp_path: Path):
    x = kgraph.Input((4,), dtype="int32")
    y = kgraph.layers.Embedding(5, 3, mask_zero=True)(x) * 2.0
    model = kgraph.Model(x, kgraph.layers.LSTM(2, name="rnn")(y))
    with pytest.raises(ConfigError, match=r"rnn.*a mask that comes through 'multiply'"):
        model.save(tmp_path / "m.keras")


def test_masks_end_at_operations_of_keras_models(tmp_path: Path):
    path, words = tmp_path / "m.keras", np.array([[1, 2, 0, 0], [3, 0, 0, 0]], "int32")
    with relaxed():
        x = keras.Input((4,), dtype="int32")
        y = keras.layers.Embedding(5, 3, mask_zero=True)(x) * 2.0
        theirs = keras.Model(x, keras.layers.LSTM(2)(y))
        theirs.save(path)
        expected = np.asarray(theirs(words))
    ours = kgraph.models.load_model(path)
    np.testing.assert_allclose(ours(words), expected, atol=1e-6)


@kgraph.saving.register_keras_serializable("kf_tests")
class Scaled(kgraph.layers.Layer):
    def __init__(self, factor: float = 2.0, **options: Any):
        super().__init__(**options)
        self.factor = factor
        self.inner = kgraph.layers.Dense(3)

    def build(self, input_shape: Any) -> None:
        self.shift = self.add_weight((input_shape[-1],), "ones", name="shift")

    def call(self, inputs: Any) -> Any:
        return self.inner(inputs * self.factor + self.shift[None])


def keras_scaled() -> type:
    """Returns the same class for Keras. It needs the same name: by it the arrays are found."""

    @keras.saving.register_keras_serializable("kf_tests")
    class Scaled(keras.layers.Layer):
        def __init__(self, factor: float = 2.0, **options: Any):
            super().__init__(**options)
            self.factor = factor
            self.inner = keras.layers.Dense(3)

        def build(self, input_shape: Any) -> None:
            self.shift = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="shift")

        def call(self, inputs: Any) -> Any:
            return self.inner(inputs * self.factor + self.shift)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "factor": self.factor}

    return Scaled


def test_custom_layers_go_by_registered_name_both_ways(tmp_path: Path):
    first, second = tmp_path / "first.keras", tmp_path / "second.keras"
    data = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    with relaxed():
        x = keras.Input((4,))
        theirs = keras.Model(x, keras_scaled()(3.0)(x))
        theirs.save(first)
        expected = np.asarray(theirs(data))
    ours = kgraph.models.load_model(first)
    np.testing.assert_allclose(ours(data), expected, atol=1e-6)
    ours.save(second)
    with relaxed():
        again = np.asarray(keras.saving.load_model(second)(data))
    np.testing.assert_allclose(again, expected, atol=1e-6)


def classes_for(K: Any) -> dict[str, type]:
    """Returns a layer and a model that are defined by code, for kgraph or for Keras."""

    class Block(K.layers.Layer):
        def __init__(self, units: int, **options: Any):
            super().__init__(**options)
            self.units = units
            self.second = K.layers.Dense(units)
            self._first = K.layers.Dense(units)
            self.parts = [K.layers.Dense(units), K.layers.LayerNormalization(), self.second]

        def call(self, x: Any) -> Any:
            for part in self.parts:
                x = part(x)
            return x + self._first(x)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "units": self.units}

    class Net(K.Model):
        def __init__(self, units: int = 3, **options: Any):
            super().__init__(**options)
            self.units = units
            self.block, self.head = Block(units), K.layers.Dense(1)

        def call(self, x: Any) -> Any:
            return self.head(self.block(x))

        def get_config(self) -> dict[str, Any]:
            return {"units": self.units, "name": self.name}

    return {"Block": Block, "Net": Net}


@pytest.mark.filterwarnings("ignore:.*what nobody registered")
def test_models_defined_by_code_go_with_their_classes(tmp_path: Path):
    first, second = tmp_path / "first.keras", tmp_path / "second.keras"
    x = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    y = np.ones((3, 1), "float32")
    with relaxed():
        theirs = classes_for(keras)["Net"](4)
        theirs(x)
        theirs.compile("adam", "mse")
        theirs.train_on_batch(x, y)
        theirs.save(first)
    ours = kgraph.models.load_model(first, custom_objects=classes_for(kgraph))
    ours.save(second)
    with relaxed():
        again = keras.saving.load_model(second, custom_objects=classes_for(keras))
        for model in (theirs, again):
            model.reset_metrics()  # older releases return the mean since the last reset
        losses = [m.train_on_batch(x, y) for m in (theirs, ours, again)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    np.testing.assert_allclose(losses[2], losses[0], rtol=1e-6)
    with pytest.raises(ModelFileError, match=r"neither kgraph's nor given[\s\S]*custom_objects"):
        kgraph.models.load_model(first)


@pytest.mark.parametrize("renamed", [False, True])
def test_old_weight_files(renamed: bool, tmp_path: Path):
    """The layout of files of weights before Keras 3, which the pretrained nets come in."""
    rng, path = np.random.default_rng(1), tmp_path / "old_weights.h5"
    L = kgraph.layers
    model = kgraph.Sequential(
        [kgraph.Input((3,)), L.Dense(4, name="a"), L.BatchNormalization(name="n"), L.ReLU(name="r")]
    )
    arrays = {
        name: {w: rng.normal(size=s).astype("f4") for w, s in shapes.items()}
        for name, shapes in {
            "a": {"kernel:0": (3, 4), "bias:0": (4,)},
            "n": {"gamma:0": 4, "beta:0": 4, "moving_mean:0": 4, "moving_variance:0": 4},
            "r": {},
        }.items()
    }
    with h5py.File(path, "w") as file:
        names = [f"{n}_7" if renamed else n for n in arrays]
        file.attrs["layer_names"] = [n.encode() for n in names]
        for name, own in zip(names, arrays.values(), strict=True):
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{w}".encode() for w in own]
            for w, array in own.items():
                group.create_dataset(f"{name}/{w}", data=array)
    model.load_weights(path)
    expected = [array for own in arrays.values() for array in own.values()]
    for one, two in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.skipif(OLDER, reason="has fewer layers and operations")
def test_the_tables_name_what_both_sides_have():
    ours = {name for name in registered_names("layer") if name[0].isupper() and is_exchanged(name)}
    assert len(ours) > 80
    assert ours - set(dir(keras.layers)) == {"Sequential", *INSIDE}
    for kind, place in (("loss", keras.losses), ("metric", keras.metrics)):
        assert {n for n in registered_names(kind) if n[0].isupper()} & set(dir(place))
    for module, name in INSIDE.values():
        assert hasattr(__import__(module, fromlist=["x"]), name)
    modules = {module: __import__(module, fromlist=["x"]) for module in {p.module for p in PAIRS}}
    for pair in PAIRS:
        assert hasattr(modules[pair.module], pair.class_name), pair.class_name
        assert pair.function in kgraph.ops.names, pair.function


def test_lookups_keep_what_they_learned_and_hashes_the_dtype_of_their_bins(tmp_path):
    lookup = kgraph.layers.IntegerLookup()
    lookup.adapt(np.array([7, 7, 3]))
    inputs = kgraph.Input((1,), dtype="int32")
    model = kgraph.Model(inputs, [lookup(inputs), kgraph.layers.Hashing(5)(inputs)])
    model.save(tmp_path / "m.keras")
    back = kgraph.saving.load_model(tmp_path / "m.keras")
    values = np.array([[3], [7], [9]], "int32")
    for one, two in zip(model.predict(values), back.predict(values), strict=True):
        np.testing.assert_array_equal(one, two)
    assert model.predict(values)[0].tolist() == [[2], [1], [0]]


class Holds(kgraph.Model):
    """Makes a model inside, which its config does not name."""

    def __init__(self, **options):
        super().__init__(**options)
        self.inner = kgraph.Sequential([kgraph.layers.Dense(3), kgraph.layers.Dense(2)])

    def call(self, inputs):
        return self.inner(inputs)


@pytest.mark.filterwarnings("ignore:.*what nobody registered")
def test_a_weight_that_has_no_place_in_a_file_is_not_lost_in_silence(tmp_path, monkeypatch):
    model = Holds(name="outer")
    expected = model.predict(np.ones((2, 4)), verbose=0)
    model.save(tmp_path / "m.keras")
    back = kgraph.saving.load_model(tmp_path / "m.keras", custom_objects={"Holds": Holds})
    np.testing.assert_array_equal(back.predict(np.ones((2, 4)), verbose=0), expected)

    monkeypatch.setattr("kgraph.saving.keras_format.save.live_order", lambda model: {})
    with pytest.raises(ConfigError, match="has no place in a Keras file"):
        model.save(tmp_path / "lost.keras")
    assert not (tmp_path / "lost.keras").exists()
