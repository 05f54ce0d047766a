"""Three published networks for images, once for kgraph and Keras alike; `api` is one of the two."""

from __future__ import annotations

from typing import Any

SIZE = 64
"""Height and width of the images: small, since building and compiling are measured."""

_MBCONV = (
    (3, 16, 1, 1, 1), (3, 24, 6, 2, 2), (5, 40, 6, 2, 2), (3, 80, 6, 2, 3), (5, 112, 6, 1, 3),
    (5, 192, 6, 2, 4), (3, 320, 6, 1, 1),
)  # fmt: skip
"""Kernel, filters, expansion, stride and repeats of EfficientNetB0's stages."""


def vgg19(api: Any) -> Any:
    """16 convolutions and 3 dense layers."""
    layers = api.layers
    x = inputs = api.Input((SIZE, SIZE, 3))
    for depth, width in ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512)):
        for _ in range(depth):
            x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    for _ in range(2):
        x = layers.Dense(4096, activation="relu")(x)
    return api.Model(inputs, layers.Dense(1000, activation="softmax")(x))


def resnet50(api: Any, size: int = SIZE, last: str | None = "softmax") -> Any:
    """Bottlenecks of three convolutions beside a shortcut; `last` is the activation of the end."""
    layers = api.layers

    def normed(x: Any, filters: int, kernel: int, strides: int = 1) -> Any:
        x = layers.Conv2D(filters, kernel, strides, padding="same")(x)
        return layers.BatchNormalization()(x)

    inputs = api.Input((size, size, 3))
    x = layers.Activation("relu")(normed(inputs, 64, 7, 2))
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    for depth, width, strides in ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2)):
        for i in range(depth):
            step = strides if i == 0 else 1
            y = layers.Activation("relu")(normed(x, width, 1, step))
            y = normed(layers.Activation("relu")(normed(y, width, 3)), 4 * width, 1)
            x = x if i else normed(x, 4 * width, 1, step)
            x = layers.Activation("relu")(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    return api.Model(inputs, layers.Dense(1000, activation=last)(x))


def efficientnet_b0(api: Any) -> Any:
    """Inverted bottlenecks with depthwise convolutions and squeeze-and-excitation."""
    layers = api.layers

    def normed(x: Any, convolution: Any, active: bool = True) -> Any:
        x = layers.BatchNormalization()(convolution(x))
        return layers.Activation("swish")(x) if active else x

    def pointwise(filters: int) -> Any:
        return layers.Conv2D(filters, 1, padding="same", use_bias=False)

    def block(x: Any, kernel: int, filters: int, expansion: int, strides: int) -> Any:
        entered, width = x, x.shape[-1]
        if expansion > 1:
            x = normed(x, pointwise(width * expansion))
        depthwise = layers.DepthwiseConv2D(kernel, strides, padding="same", use_bias=False)
        x = normed(x, depthwise)
        squeezed = layers.GlobalAveragePooling2D()(x)
        squeezed = layers.Reshape((1, 1, x.shape[-1]))(squeezed)
        squeezed = layers.Conv2D(max(1, width // 4), 1, activation="swish")(squeezed)
        squeezed = layers.Conv2D(x.shape[-1], 1, activation="sigmoid")(squeezed)
        x = normed(layers.Multiply()([x, squeezed]), pointwise(filters), active=False)
        if strides == 1 and filters == width:
            x = layers.Add()([layers.Dropout(0.1)(x), entered])
        return x

    inputs = api.Input((SIZE, SIZE, 3))
    stem = layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False)
    x = normed(layers.Rescaling(1 / 255)(inputs), stem)
    for kernel, filters, expansion, strides, repeats in _MBCONV:
        for i in range(repeats):
            x = block(x, kernel, filters, expansion, 1 if i else strides)
    x = layers.GlobalAveragePooling2D()(normed(x, pointwise(1280)))
    outputs = layers.Dense(1000, activation="softmax")(layers.Dropout(0.2)(x))
    return api.Model(inputs, outputs)


BUILDERS = {"vgg19": vgg19, "resnet50": resnet50, "efficientnet_b0": efficientnet_b0}
