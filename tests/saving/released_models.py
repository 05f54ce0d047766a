"""The models whose files stand in `released.zip`, and the script that wrote them.

It was run with the kgraph of November 2026, as `python tests/saving/released_models.py released`.
`test_released_files.py` reads what it wrote, with every later version.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from saved_models import Coded

import kgraph as keras
from kgraph import layers

ROWS = np.random.default_rng(5).normal(size=(12, 4)).astype("float32")
TARGETS = ROWS[:, :2] * 2 - 1


def functional() -> keras.Model:
    x = keras.Input((4,), name="x")
    h = layers.BatchNormalization(name="norm")(layers.Dense(3, activation="gelu", name="d")(x))
    return keras.Model(x, layers.Dense(2, name="out")(h), name="functional")


def sequential() -> keras.Model:
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, "tanh"), layers.Dropout(0.5), layers.Dense(2)]
    )


def shared() -> keras.Model:
    x = keras.Input((4,), name="x")
    twice = layers.Dense(4, activation="tanh", name="twice")
    return keras.Model(x, layers.Dense(2, name="out")(twice(twice(x)) + x), name="shared")


def stacked() -> keras.Model:
    x = h = keras.Input((4,), name="x")
    for _ in range(4):
        h = layers.add([h, layers.Dense(4, activation="relu")(layers.LayerNormalization()(h))])
    return keras.Model(x, layers.Dense(2)(h), name="stacked")


def subclassed() -> keras.Model:
    model = Coded(3, name="subclassed")
    model(inputs("subclassed"))
    return model


MODELS: dict[str, Callable[[], keras.Model]] = {
    "functional": functional,
    "sequential": sequential,
    "shared": shared,
    "stacked": stacked,
    "subclassed": subclassed,
}
OPTIMIZERS = {"functional": "adam", "sequential": "rmsprop", "shared": "sgd", "stacked": "adamw"}


def inputs(name: str) -> Any:
    return {"left": ROWS, "right": -ROWS} if name == "subclassed" else ROWS


def compiled(name: str, seed: int = 3) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = MODELS[name]()
    model.compile(OPTIMIZERS.get(name, "adam"), "mse", metrics=["mae"])
    return model


def train(model: keras.Model, epochs: int = 1, **options: Any) -> None:
    name = model.name if model.name in MODELS else "sequential"
    model.fit(inputs(name), TARGETS, batch_size=4, epochs=epochs, verbose=0, **options)


def spread() -> keras.Model:
    """A model whose kernels are cut over the devices, so that a folder holds shards of them."""
    mesh = keras.distribution.DeviceMesh((4,), ("model",), jax.devices()[:4])
    layouts = keras.distribution.LayoutMap(mesh)
    layouts["twice/kernel"] = (None, "model")
    keras.distribution.set_distribution(
        keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="model")
    )
    try:
        model = compiled("shared")
        train(model)
    finally:
        keras.distribution.set_distribution(None)
    return model


def checkpoint(folder: Path) -> keras.Checkpoint:
    return keras.Checkpoint(folder, keep=2)


def write(folder: Path) -> None:
    kept: dict[str, Any] = {}
    for name in MODELS:
        model = compiled(name)
        train(model)
        kept[f"{name} predictions"] = model.predict(inputs(name), verbose=0)
        model.save(folder / f"{name}.kgraph")
        model.save_weights(folder / f"{name}.weights.h5")
        model.save_weights(folder / f"{name}.safetensors")
        model.save_weights(folder / f"{name}.weights.kgraph")
        model.save(f"{folder / name}/")
        if name != "subclassed":
            model.save(folder / f"{name}.keras")
        train(model, shuffle=False)
        kept[f"{name} predictions after training on"] = model.predict(inputs(name), verbose=0)
    model = spread()
    kept["spread predictions"] = model.predict(ROWS, verbose=0)
    model.save(f"{folder / 'spread'}/")
    model = compiled("stacked")
    train(model, 2, checkpoint=checkpoint(folder / "checkpoint"))
    model = compiled("stacked")
    train(model, 4)
    kept["checkpoint predictions after training on"] = model.predict(ROWS, verbose=0)
    model = compiled("functional")
    train(model, 2, callbacks=[keras.callbacks.OrbaxCheckpoint(folder / "orbax", max_to_keep=1)])
    kept["orbax predictions"] = model.predict(ROWS, verbose=0)
    np.savez(folder / "expected.npz", **kept)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        shutil.make_archive(sys.argv[1], "zip", folder)
