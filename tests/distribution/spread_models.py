"""Tiny models that are trained on one device and on eight, for tests of distributions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import kgraph
from kgraph import distribution as dist
from kgraph import layers as L

ROWS = 37
"""Divided neither by batches of 16 or 12 nor by 8 devices."""

_random = np.random.default_rng(3)
X = _random.normal(size=(ROWS, 8)).astype("float32")
Y = _random.integers(0, 3, ROWS)
WEIGHTS = _random.uniform(0.5, 1.5, ROWS).astype("float32")
IMAGES = _random.normal(size=(ROWS, 6, 6, 2)).astype("float32")
WORDS = np.where(np.arange(5) < _random.integers(1, 6, (ROWS, 1)), 1 + Y[:, None], 0)


def mlp(*hidden: L.Layer) -> Any:
    x = inputs = kgraph.Input((8,), name="x")
    x = L.Dense(16, activation="tanh", name="up")(x)
    for layer in hidden:
        x = layer(x)
    return kgraph.Model(inputs, L.Dense(3, activation="softmax", name="head")(x))


def dropping() -> Any:
    return mlp(L.Dropout(0.4))


def normalized() -> Any:
    return mlp(L.BatchNormalization())


def convolutional() -> Any:
    inputs = kgraph.Input((6, 6, 2), name="x")
    x = L.MaxPooling2D()(L.Conv2D(4, 3, activation="relu", padding="same")(inputs))
    # A bias would have no gradient here but for rounding, of which Adam makes whole steps.
    x = L.BatchNormalization()(L.SeparableConv2D(3, 2, use_bias=False)(x))
    return kgraph.Model(inputs, L.Dense(3, activation="softmax")(L.Flatten()(x)))


def recurrent() -> Any:
    inputs = kgraph.Input((5,), dtype="int32", name="x")
    x = L.LSTM(4)(L.Embedding(5, 3, mask_zero=True)(inputs))
    return kgraph.Model(inputs, L.Dense(3, activation="softmax")(x))


def blocks(count: int = 4) -> Any:
    """Returns a model of residual blocks, whose layers are `up0`, `down0`, `up1`, ..."""
    inputs = x = kgraph.Input((8,), name="x")
    for n in range(count):
        h = L.Dense(16, activation="tanh", name=f"up{n}")(L.LayerNormalization(name=f"norm{n}")(x))
        x = L.Add(name=f"add{n}")([x, L.Dropout(0.2)(L.Dense(8, name=f"down{n}")(h))])
    return kgraph.Model(inputs, L.Dense(3, activation="softmax", name="head")(x))


def compiled(build: Callable[[], Any], distribution: Any, optimizer: Any = "adam", **options: Any):
    """Returns a new model with always the same weights, compiled for labels of three classes."""
    kgraph.utils.set_random_seed(7)
    model = build()
    loss = {} if "loss_fn" in options else {"loss": "sparse_categorical_crossentropy"}
    options = {"metrics": ["accuracy"], "weighted_metrics": ["accuracy"], **loss, **options}
    model.compile(optimizer, distribution=distribution, **options)
    return model


def tensor_parallel(devices: Any = None, shape: tuple[int, int] = (2, 4)) -> dist.ModelParallel:
    """Returns rules by which the blocks are cut along `model`, and batches along `batch`."""
    layouts = dist.LayoutMap(dist.DeviceMesh(shape, ("batch", "model"), devices))
    layouts["up.*/kernel"] = (None, "model")
    layouts["up.*/bias"] = ("model",)
    layouts["down.*/kernel"] = ("model", None)
    layouts["up.*/output"] = ("batch", "model")
    return dist.ModelParallel(layout_map=layouts)


def assert_close(one: Any, other: Any, tolerance: float = 2e-6) -> None:
    """Compares trees of numbers. Sums over rows are rounded in another order on eight devices."""
    first, second = jax.tree.leaves(one), jax.tree.leaves(other)
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def assert_bitwise(one: Any, other: Any) -> None:
    """Compares trees of arrays bit for bit."""
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
