"""Models of every kind that can be saved, and how two of them are compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

import kgraph as keras
from kgraph import layers, ops
from kgraph.graph.structure import leaves
from kgraph.layers.base.tree import named_weights

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(5, 4)).astype("float32")
IDS = RANDOM.integers(0, 9, (5, 3)).astype("int32")


class Scaled(layers.Layer):
    """A custom layer without get_config."""

    def __init__(self, factor: float = 2.0, **options: Any) -> None:
        super().__init__(**options)
        self.factor = factor

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight((), "ones", name="scale")

    def call(self, inputs: Any) -> Any:
        return inputs * self.scale * self.factor


class Coded(keras.Model):
    """A model that is defined by code, with two inputs in a dict."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = units
        self.stack = [layers.Dense(units, activation="relu"), layers.Dense(2)]

    def call(self, inputs: Any) -> Any:
        x = jnp.concatenate([inputs["left"], inputs["right"]], axis=-1)
        for layer in self.stack:
            x = layer(x)
        return x


def dense() -> keras.Model:
    x = keras.Input((4,), name="x")
    return keras.Model(x, layers.Dense(2)(layers.Dense(3, activation="relu")(x)), name="plain")


def lifted() -> keras.Model:
    x = keras.Input((4,), name="x")
    h = ops.tanh(layers.Dense(6)(x)) * 2.0 + 1.0
    return keras.Model(x, h[:, ::2] / ops.sum(ops.abs(h), axis=-1, keepdims=True))


def shared() -> keras.Model:
    left, right = keras.Input((3,), dtype="int32", name="l"), keras.Input((3,), dtype="int32")
    embedding = layers.Embedding(9, 4)
    both = layers.concatenate([embedding(left), embedding(right)])
    return keras.Model([left, right], layers.GlobalAveragePooling1D()(both))


def nested() -> keras.Model:
    inner = dense()
    x = keras.Input((4,), name="outer_x")
    return keras.Model(x, layers.average([inner(x), inner(layers.Dense(4)(x))]))


def structured() -> keras.Model:
    inputs = {"left": keras.Input((4,), name="left"), "right": keras.Input((4,), name="right")}
    h = layers.add([layers.Dense(3)(inputs["left"]), layers.Dense(3)(inputs["right"])])
    return keras.Model(inputs, {"h": h, "more": [layers.Dense(1)(h), h]})


def sequential() -> keras.Model:
    return keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dropout(0.5)])


def late_sequential() -> keras.Model:
    model = keras.Sequential([layers.Dense(3, activation="tanh"), layers.Dense(1)])
    model(ROWS)
    return model


def normalized() -> keras.Model:
    x = keras.Input((6, 6, 2))
    h = layers.BatchNormalization()(layers.Conv2D(3, 3, padding="same")(x))
    frozen = layers.Dense(2, trainable=False)
    return keras.Model(x, frozen(layers.GlobalMaxPooling2D()(h)))


def recurrent() -> keras.Model:
    x = keras.Input((None,), dtype="int32")
    return keras.Model(x, layers.LSTM(3)(layers.Embedding(9, 4, mask_zero=True)(x)))


def empty() -> keras.Model:
    x = keras.Input((4,))
    return keras.Model(x, layers.ReLU()(x))


def custom() -> keras.Model:
    x = keras.Input((4,))
    return keras.Model(x, layers.Dense(2)(Scaled(3.0)(x)))


IMAGES = RANDOM.normal(size=(2, 6, 6, 2)).astype("float32")
MODELS: dict[str, tuple[Callable[[], keras.Model], Any]] = {
    "dense": (dense, ROWS),
    "lifted": (lifted, ROWS),
    "shared": (shared, [IDS, IDS[::-1].copy()]),
    "nested": (nested, ROWS),
    "structured": (structured, {"left": ROWS, "right": -ROWS}),
    "sequential": (sequential, ROWS),
    "late_sequential": (late_sequential, ROWS),
    "normalized": (normalized, IMAGES),
    "recurrent": (recurrent, IDS),
    "empty": (empty, ROWS),
}


def weights_of(model: Any) -> dict[str, np.ndarray]:
    return {path: weight.numpy() for path, weight in named_weights(model)}


def assert_same_weights(one: Any, other: Any) -> None:
    first, second = weights_of(one), weights_of(other)
    assert list(first) == list(second)
    for path, array in first.items():
        assert array.dtype == second[path].dtype
        np.testing.assert_array_equal(array, second[path], err_msg=path)


def flat(outputs: Any) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in leaves(outputs)]


def litter(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]
