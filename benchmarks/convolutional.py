"""Convolutional networks: training steps of the guide's, forward passes of large ones.

Against Keras on JAX and, where it is installed, PyTorch (float32, channels last).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks import networks
from benchmarks.measure import Result, race

ROWS, STEPS = 64, 4


def run(rounds: int = 5) -> Iterator[list[Result]]:
    """Yields steps of the toy ResNet and the autoencoder, then VGG19 and a ResNet50 forward."""
    import keras

    import kgraph

    for name, build, shape in (
        ("toy ResNet", networks.resnet, (32, 32, 3)),
        ("autoencoder", autoencoder, (28, 28, 1)),
    ):
        random = np.random.default_rng(0)
        x = random.random((ROWS * STEPS, *shape), dtype=np.float32)
        y = x if name == "autoencoder" else random.integers(0, 10, ROWS * STEPS)
        contenders = {"Keras": _fit(build(keras), x, y), "kgraph": _fit(build(kgraph), x, y)}
        if name == "toy ResNet":
            contenders |= _torch(x, y)
        yield _warm(f"step, {name}", contenders, rounds, STEPS, "step")
    for name, build in (("VGG19", _vgg19), ("ResNet50", _resnet50)):
        x = np.random.default_rng(0).random((8, 112, 112, 3), dtype=np.float32)
        contenders = {"Keras": _predict(build(keras), x), "kgraph": _predict(build(kgraph), x)}
        yield _warm(f"forward, {name}, 8 images of 112 x 112", contenders, rounds, 1, "batch")


def autoencoder(api: Any) -> Any:
    """The guide's autoencoder for 28 x 28 images."""
    layers = api.layers
    inputs = x = api.Input((28, 28, 1), name="x")
    for filters in (16, 32):
        x = layers.Conv2D(filters, 3, activation="relu")(x)
    x = layers.MaxPooling2D(3)(x)
    for filters in (32, 16):
        x = layers.Conv2D(filters, 3, activation="relu")(x)
    x = layers.Reshape((4, 4, 1))(layers.GlobalMaxPooling2D()(x))
    for filters in (16, 32):
        x = layers.Conv2DTranspose(filters, 3, activation="relu")(x)
    x = layers.Conv2DTranspose(16, 3, activation="relu")(layers.UpSampling2D(3)(x))
    model = api.Model(inputs, layers.Conv2DTranspose(1, 3, activation="relu")(x))
    model.compile("adam", "mse")
    return model


def _vgg19(api: Any) -> Any:
    layers = api.layers
    inputs = x = api.Input((112, 112, 3))
    for filters, count in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
        for _ in range(count):
            x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(2)(x)
    return api.Model(inputs, layers.GlobalAveragePooling2D()(x))


def _resnet50(api: Any) -> Any:
    layers = api.layers

    def convolve(x: Any, filters: int, size: int, strides: int = 1, relu: bool = True) -> Any:
        x = layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        return layers.ReLU()(x) if relu else x

    inputs = api.Input((112, 112, 3))
    x = layers.MaxPooling2D(3, 2, padding="same")(convolve(inputs, 64, 7, 2))
    for stage, (filters, count) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for i in range(count):
            strides = 2 if stage and not i else 1
            short = x if i else convolve(x, 4 * filters, 1, strides, relu=False)
            inner = convolve(convolve(x, filters, 1, strides), filters, 3)
            x = layers.ReLU()(layers.Add()([short, convolve(inner, 4 * filters, 1, relu=False)]))
    return api.Model(inputs, layers.GlobalAveragePooling2D()(x))


def _fit(model: Any, x: Any, y: Any) -> Callable[[], object]:
    return lambda: model.fit(x, y, batch_size=ROWS, epochs=1, shuffle=False, verbose=0)


def _predict(model: Any, x: Any) -> Callable[[], object]:
    return lambda: model.predict(x, batch_size=8, verbose=0)


def _torch(x: np.ndarray, y: np.ndarray) -> dict[str, Callable[[], object]]:
    """Returns the same steps of the toy ResNet in PyTorch; nothing if it is not installed."""
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed and is left out")
        return {}
    from torch import nn
    from torch.nn import functional as f

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 32, 3), nn.Conv2d(32, 64, 3)
            self.blocks = nn.ModuleList(nn.Conv2d(64, 64, 3, padding=1) for _ in range(4))
            self.last = nn.Conv2d(64, 64, 3)
            self.dense, self.head = nn.Linear(64, 256), nn.Linear(256, 10)

        def forward(self, x: Any) -> Any:
            x = f.max_pool2d(f.relu(self.second(f.relu(self.first(x)))), 3)
            for i in (0, 2):
                x = f.relu(self.blocks[i + 1](f.relu(self.blocks[i](x)))) + x
            x = f.relu(self.last(x)).mean((2, 3))
            return self.head(f.dropout(f.relu(self.dense(x)), 0.5))

    network = Network().to(memory_format=torch.channels_last)
    optimizer = torch.optim.RMSprop(network.parameters(), 1e-3, alpha=0.9, eps=1e-7)
    images = torch.tensor(x).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    labels = torch.tensor(y)

    def steps() -> None:
        for i in range(0, len(x), ROWS):
            optimizer.zero_grad()
            f.cross_entropy(network(images[i : i + ROWS]), labels[i : i + ROWS]).backward()
            optimizer.step()

    return {"PyTorch": steps}


def _warm(
    title: str, contenders: dict[str, Callable[[], object]], rounds: int, units: int, unit: str
) -> list[Result]:
    for contender in contenders.values():
        contender()
    return race(title, contenders, units, unit, rounds)
