"""The four networks of the step benchmark, once for kgraph and Keras alike.

Both have the same functional API, so one builder serves both: `api` is `kgraph` or `keras`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Data = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


def tiny(api: Any) -> Any:
    """20-32-32-10."""
    return _mlp(api, 20, 32)


def guide_mlp(api: Any) -> Any:
    """The guide's first model, 784-64-64-10."""
    return _mlp(api, 784, 64)


def _mlp(api: Any, width: int, units: int) -> Any:
    inputs = api.Input((width,), name="x")
    x = api.layers.Dense(units, activation="relu")(inputs)
    x = api.layers.Dense(units, activation="relu")(x)
    model = api.Model(inputs, api.layers.Dense(10, name="y")(x))
    loss = api.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(api.optimizers.RMSprop(1e-3), loss)
    return model


def resnet(api: Any) -> Any:
    """The guide's toy ResNet for 32 x 32 images."""
    layers = api.layers
    inputs = api.Input((32, 32, 3), name="x")
    x = layers.Conv2D(32, 3, activation="relu")(inputs)
    x = layers.Conv2D(64, 3, activation="relu")(x)
    x = layers.MaxPooling2D(3)(x)
    for _ in range(2):
        block = layers.Conv2D(64, 3, activation="relu", padding="same")(x)
        block = layers.Conv2D(64, 3, activation="relu", padding="same")(block)
        x = layers.add([block, x])
    x = layers.Conv2D(64, 3, activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(256, activation="relu")(x)
    x = layers.Dropout(0.5)(x)
    model = api.Model(inputs, layers.Dense(10, name="y")(x))
    loss = api.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(api.optimizers.RMSprop(1e-3), loss)
    return model


def ticket(api: Any) -> Any:
    """The guide's ticket model: two texts and tags in, priority and department out."""
    layers = api.layers
    title = api.Input((None,), name="title", dtype="int32")
    body = api.Input((None,), name="body", dtype="int32")
    tags = api.Input((12,), name="tags")
    a = layers.LSTM(128)(layers.Embedding(10000, 64)(title))
    b = layers.LSTM(32)(layers.Embedding(10000, 64)(body))
    x = layers.concatenate([a, b, tags])
    outputs = [layers.Dense(1, name="priority")(x), layers.Dense(4, name="department")(x)]
    model = api.Model([title, body, tags], outputs)
    model.compile(
        api.optimizers.RMSprop(1e-3),
        loss={
            "priority": api.losses.BinaryCrossentropy(from_logits=True),
            "department": api.losses.CategoricalCrossentropy(from_logits=True),
        },
        loss_weights={"priority": 1.0, "department": 0.2},
    )
    return model


def data(name: str, rows: int) -> Data:
    """Returns random inputs and targets by name, with fixed seed."""
    random = np.random.default_rng(0)
    if name == "ticket":
        inputs = {
            "title": random.integers(0, 10000, (rows, 10), dtype=np.int32),
            "body": random.integers(0, 10000, (rows, 100), dtype=np.int32),
            "tags": random.integers(0, 2, (rows, 12)).astype("float32"),
        }
        targets = {
            "priority": random.random((rows, 1), dtype=np.float32),
            "department": random.integers(0, 2, (rows, 4)).astype("float32"),
        }
        return inputs, targets
    shape = {"tiny": (20,), "guide_mlp": (784,), "resnet": (32, 32, 3)}[name]
    inputs = {"x": random.random((rows, *shape), dtype=np.float32)}
    return inputs, {"y": random.integers(0, 10, rows)}


def for_fit(arrays: dict[str, np.ndarray]) -> Any:
    """Returns arrays as `fit` takes them: a single one without its name (Keras wants it so)."""
    return arrays if len(arrays) > 1 else next(iter(arrays.values()))


BUILDERS = {"tiny": tiny, "guide_mlp": guide_mlp, "resnet": resnet, "ticket": ticket}
