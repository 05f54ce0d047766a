"""enable_lora of Dense, EinsumDense, Embedding and convolutions: Keras' numbers, and its files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import pytest

import kgraph
from kgraph.errors import ConfigError, StateError

MAKERS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "dense": (lambda K: K.layers.Dense(4, "tanh"), (2, 3)),
    "einsum": (
        lambda K: K.layers.EinsumDense("abc,cde->abde", (None, 2, 4), bias_axes="de"),
        (2, 5, 3),
    ),
    "convolution": (lambda K: K.layers.Conv2D(4, 3, groups=2), (2, 6, 6, 4)),
    "series": (lambda K: K.layers.Conv1D(4, 3, use_bias=False), (2, 6, 4)),
    "embedding": (lambda K: K.layers.Embedding(7, 4), (2, 3)),
}
RNG = np.random.default_rng(0)


def relaxed(function: Callable[[], Any]) -> Any:
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return function()


def data(name: str, shape: tuple[int, ...]) -> Any:
    return RNG.integers(0, 7, shape) if name == "embedding" else RNG.normal(size=shape).astype("f4")


@pytest.mark.parametrize(("make", "shape"), MAKERS.values(), ids=MAKERS)
def test_a_layer_computes_and_trains_what_it_does_in_keras(
    make: Callable[[Any], Any], shape: tuple[int, ...], request: pytest.FixtureRequest
) -> None:
    x = data(request.node.callspec.id, shape)
    ours, theirs = make(kgraph), make(keras)
    before = np.asarray(ours(x))
    relaxed(lambda: theirs(x))
    ours.enable_lora(2, lora_alpha=3)
    relaxed(lambda: theirs.enable_lora(2, lora_alpha=3))
    np.testing.assert_array_equal(before, ours(x))  # one of the two is zero
    names = [weight.name for weight in ours.trainable_weights]
    assert names == [weight.name for weight in theirs.trainable_weights]
    values = {w.name: RNG.normal(size=w.shape).astype("f4") for w in theirs.weights}
    for layer in (ours, theirs):
        for weight in layer.weights:
            weight.assign(values[weight.name])
    expected = relaxed(lambda: np.asarray(theirs(x)))
    np.testing.assert_allclose(ours(x), expected, rtol=1e-5, atol=1e-5)
    config = ours.get_config()
    assert (config["lora_rank"], config["lora_alpha"]) == (2, 3)
    again = type(ours).from_config(config)
    again(x)
    assert [weight.name for weight in again.trainable_weights] == names


def small(K: Any) -> Any:
    ids = K.Input((3,), dtype="int32")
    y = K.layers.Embedding(7, 4, name="words")(ids)
    y = K.layers.Dense(4, name="head")(K.layers.GlobalAveragePooling1D()(y))
    return K.Model(ids, K.layers.BatchNormalization()(y))


def tuned(K: Any) -> Any:
    model = small(K)
    for name in ("words", "head"):
        model.get_layer(name).enable_lora(2)
        for weight in model.get_layer(name).weights:
            weight.assign(np.full(weight.shape, 0.5, "float32"))
    return model


def test_a_model_trains_the_small_weights_alone_and_is_saved_whole(tmp_path: Path) -> None:
    x, y = RNG.integers(0, 7, (8, 3)), np.ones((8, 4), "float32")
    model = small(kgraph)
    model.compile("adam", "mse")
    model.fit(x, y, verbose=0)
    for name in ("words", "head"):
        model.get_layer(name).enable_lora(2)
    model.compile("adam", "mse")
    resting = np.asarray(model.get_layer("head").kernel)
    model.fit(x, y, epochs=2, verbose=0)
    np.testing.assert_array_equal(resting, model.get_layer("head").kernel)
    assert np.asarray(model.get_layer("head").lora_kernel_b).any()
    expected = model.predict(x, verbose=0)
    np.testing.assert_allclose(expected, model(x, training=False), atol=1e-6)  # nothing is folded
    model.save(tmp_path / "m.kgraph")
    loaded = kgraph.models.load_model(tmp_path / "m.kgraph")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), expected, atol=1e-6)
    assert [w.name for w in loaded.trainable_weights] == [w.name for w in model.trainable_weights]


def test_files_of_keras_hold_the_sum_as_in_keras(tmp_path: Path) -> None:
    x = RNG.integers(0, 7, (8, 3))

    def through_file(model: Any, load: Any) -> None:
        model.save(tmp_path / "m.keras")
        loaded = load(tmp_path / "m.keras")
        np.testing.assert_allclose(loaded.predict(x, verbose=0), expected, rtol=1e-5)
        assert loaded.get_layer("head").lora_rank == 2

    ours = tuned(kgraph)
    expected = ours.predict(x, verbose=0)
    relaxed(lambda: through_file(ours, keras.models.load_model))
    relaxed(lambda: through_file(tuned(keras), kgraph.models.load_model))


def test_weights_for_keras_hold_the_sum_and_start_anew(tmp_path: Path) -> None:
    x = RNG.integers(0, 7, (8, 3))
    model = tuned(kgraph)
    expected = model.predict(x, verbose=0)
    model.save_weights(tmp_path / "m.weights.h5")
    for other in (model, small(kgraph), tuned(kgraph)):
        other.load_weights(tmp_path / "m.weights.h5")
        np.testing.assert_allclose(other.predict(x, verbose=0), expected, atol=1e-6)


def test_what_cannot_be_adapted_says_why() -> None:
    layer = kgraph.layers.Dense(3)
    with pytest.raises(StateError, match=r"must be built before enable_lora"):
        layer.enable_lora(2)
    layer.build((None, 4))
    with pytest.raises(ConfigError, match=r"`rank`[\s\S]*at least 1"):
        layer.enable_lora(0)
    layer.enable_lora(2)
    with pytest.raises(StateError, match="has LoRA already"):
        layer.enable_lora(2)
    bounded = kgraph.layers.Dense(3, kernel_constraint="non_neg")
    bounded.build((None, 4))
    with pytest.raises(ConfigError, match=r"beside a constraint[\s\S]*kernel_constraint"):
        bounded.enable_lora(2)
    told = kgraph.layers.Dense(3, lora_rank=2)
    told.build((None, 4))
    assert told.lora_enabled


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5", ".kgraph"])
def test_a_weight_that_comes_after_the_small_ones_is_kept(suffix: str, tmp_path: Path) -> None:
    class Grown(kgraph.layers.Dense):
        def build(self, input_shape: Any) -> None:
            super().build(input_shape)
            self.late = self.add_weight((2,), "zeros", name="late")

        def call(self, inputs: Any) -> Any:
            return super().call(inputs) + self.late.sum()

    def model() -> Any:
        return kgraph.Sequential([kgraph.Input((3,)), Grown(4, lora_rank=2, name="grown")])

    x, made = RNG.normal(size=(2, 3)).astype("f4"), model()
    made.layers[-1].late.assign([1.0, 2.0])
    made.layers[-1].lora_kernel_b.assign(np.ones((2, 4)))
    with kgraph.saving.custom_object_scope({"Grown": Grown}):
        if suffix == ".weights.h5":
            made.save_weights(tmp_path / f"m{suffix}")
            again = model()
            again.load_weights(tmp_path / f"m{suffix}")
        else:
            made.save(tmp_path / f"m{suffix}")
            again = kgraph.saving.load_model(tmp_path / f"m{suffix}")
    np.testing.assert_allclose(again(x), made(x), rtol=1e-5)
    np.testing.assert_array_equal(again.layers[-1].late, [1.0, 2.0])
