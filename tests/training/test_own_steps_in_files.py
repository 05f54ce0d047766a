"""What a model that writes its steps leaves in Keras' files: the state of all of its optimizers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from own_step_models import X, Y, gan, relaxed, spread_weights, values

import kgraph
from kgraph.errors import ConfigError, ModelFileError

NOISE = np.random.default_rng(5).normal(size=(20, 2)).astype("float32")
LIBRARIES = pytest.mark.parametrize(("writes", "reads"), [(keras, kgraph), (kgraph, keras)])


def trained(api: Any, model: Any, y: Any = NOISE) -> Any:
    first, second = relaxed()
    with first, second:
        model.fit(X, y, batch_size=10, shuffle=False, verbose=0)
    return model


def alike(one: Any, other: Any) -> None:
    for ours, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-6)


def plain(api: Any, optimizer: str = "Adam", **options: Any) -> Any:
    inputs = api.Input((4,))
    model = api.Model(inputs, api.layers.Dense(1, name="head")(inputs))
    spread_weights(model)
    model.compile(getattr(api.optimizers, optimizer)(0.05, **options), "mse")
    return model


@LIBRARIES
def test_two_optimizers_go_on_where_the_other_library_has_left_them(
    writes: Any, reads: Any, tmp_path: Path
):
    path = tmp_path / "gan.weights.h5"
    wrote, read = trained(writes, gan(writes)), gan(reads)
    wrote.save_weights(path)
    read.load_weights(path)
    for one, other in ((wrote.optimizer, read.optimizer), (wrote.g_optimizer, read.g_optimizer)):
        for ours, theirs in zip(values(one.variables), values(other.variables), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-6)
    alike(trained(writes, wrote), trained(reads, read))


@LIBRARIES
@pytest.mark.parametrize("optimizer", ["Adam", "RMSprop"])
def test_the_state_that_fit_has_left_goes_both_ways(
    optimizer: str, writes: Any, reads: Any, tmp_path: Path
):
    options: dict[str, Any] = {"momentum": 0.9} if optimizer == "RMSprop" else {}
    path = tmp_path / "m.weights.h5"
    wrote, read = plain(writes, optimizer, **options), plain(reads, optimizer, **options)
    trained(writes, wrote, Y).save_weights(path)
    trained(reads, read, Y)  # so that it has a state
    trained(reads, read, Y)
    read.load_weights(path)
    assert int(read.optimizer.iterations) == 2
    alike(trained(writes, wrote, Y), trained(reads, read, Y))


def test_a_model_that_is_not_compiled_passes_optimizers_by(tmp_path: Path):
    wrote = trained(kgraph, plain(kgraph), Y)
    wrote.save_weights(tmp_path / "m.weights.h5")
    inputs = kgraph.Input((4,))
    read = kgraph.Model(inputs, kgraph.layers.Dense(1, name="head")(inputs))
    assert read.load_weights(tmp_path / "m.weights.h5").complete
    alike(wrote, read)
    other = trained(kgraph, plain(kgraph, "SGD", momentum=0.9), Y)
    with pytest.warns(UserWarning, match="another state at 'optimizer'"):
        other.load_weights(tmp_path / "m.weights.h5")
    alike(wrote, other)


def test_a_count_that_is_none_is_refused(tmp_path: Path):
    path = tmp_path / "m.weights.h5"
    model = trained(kgraph, plain(kgraph), Y)
    model.save_weights(path)
    with h5py.File(path, "r+") as file:
        del file["optimizer/vars/0"]
        file["optimizer/vars/0"] = np.int64(-1)
    before = model.get_weights()
    with pytest.raises(ModelFileError, match="another optimizer state"):
        model.load_weights(path)
    for one, other in zip(before, model.get_weights()):
        np.testing.assert_array_equal(one, other)


def whole_gan(api: Any, hooks: bool = True) -> Any:
    """A GAN whose class says how it is compiled again."""
    keeps, makes = api.saving.serialize_keras_object, api.saving.deserialize_keras_object

    class Whole(type(gan(api))):
        def __init__(self, **options):
            super().__init__()

        if hooks:

            def get_compile_config(self):
                found = {"d_optimizer": self.optimizer, "g_optimizer": self.g_optimizer}
                return {k: keeps(v) for k, v in {**found, "loss_fn": self.loss_fn}.items()}

            def compile_from_config(self, config):
                self.compile(**{name: makes(value) for name, value in config.items()})

    made = Whole()
    spread_weights(made)
    loss = api.losses.BinaryCrossentropy(from_logits=True)
    made.compile(api.optimizers.Adam(0.02), api.optimizers.RMSprop(0.01), loss)
    return made


@pytest.mark.filterwarnings("ignore:.*registered:UserWarning")
@pytest.mark.parametrize("name", ["m.keras", "m.kgraph"])
def test_a_class_says_how_it_is_compiled_again(name: str, tmp_path: Path):
    model = trained(kgraph, whole_gan(kgraph))
    model.save(tmp_path / name)
    own = {"Whole": type(model)}
    again = kgraph.models.load_model(tmp_path / name, custom_objects=own)
    assert int(again.g_optimizer.iterations) == int(again.optimizer.iterations) == 2
    if name == "m.keras":
        theirs = {"Whole": type(whole_gan(keras))}
        loaded: Any = keras.models.load_model(tmp_path / name, custom_objects=theirs)
        loaded.save(tmp_path / "back.keras")
        back = kgraph.models.load_model(tmp_path / "back.keras", custom_objects=own)
        alike(trained(keras, loaded), trained(kgraph, back))
        alike(loaded, trained(kgraph, model))
    alike(trained(kgraph, again), model if name == "m.keras" else trained(kgraph, model))


@pytest.mark.filterwarnings("ignore:.*registered:UserWarning")
def test_a_compile_of_its_own_without_that_is_not_called(tmp_path: Path):
    class Mine(kgraph.Model):
        def __init__(self, **options):
            super().__init__(**options)
            self.net = kgraph.Sequential([kgraph.layers.Dense(3), kgraph.layers.Dense(1)])

        def call(self, inputs, training=None, mask=None):
            return self.net(inputs)

        def compile(self, rate):
            super().compile(kgraph.optimizers.SGD(rate), "mse")

    model = Mine()
    model.compile(0.1)
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "m.keras")
    with pytest.warns(UserWarning, match="'mine' \\(Mine\\) is loaded without being compiled"):
        again = kgraph.models.load_model(tmp_path / "m.keras", custom_objects={"Mine": Mine})
    assert not again.compiled
    np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))
    with pytest.raises(ConfigError, match="cannot be compiled again"):
        model.save(tmp_path / "m.kgraph")
