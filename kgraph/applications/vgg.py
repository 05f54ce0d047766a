"""VGG: stacks of 3 x 3 convolutions and pooling, then three dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kgraph import layers
from kgraph.errors import ConfigError, check_choice
from kgraph.graph import SymbolicTensor
from kgraph.models import Model

_WIDTHS = (64, 128, 256, 512, 512)


def VGG16(
    include_top: bool = True,
    weights: str | None = None,
    input_tensor: SymbolicTensor | None = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "vgg16",
) -> Model:
    """Returns the 16-layer network. See `VGG19`."""
    return _vgg(
        (2, 2, 3, 3, 3), include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip


def VGG19(
    include_top: bool = True,
    weights: str | None = None,
    input_tensor: SymbolicTensor | None = None,
    input_shape: Sequence[int | None] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "vgg19",
) -> Model:
    """Returns the 19-layer network, with random weights.

    Shapes: images `[batch, 224, 224, 3]` in, `[batch, classes]` out.

    Args:
        include_top: whether the three dense layers are there.
        weights: None for random weights; or the path of a file for `load_weights`. (Pretrained
            weights are not published for kgraph yet, so "imagenet" is refused; Keras' default.)
        input_tensor: a symbolic tensor to start from.
        input_shape: of an image, without the batch axis.
        pooling: without the top: None, "avg" or "max" over the last feature map.
        classes: size of the output.
        classifier_activation: activation of the output.

    Raises:
        ConfigError: pretrained weights are asked for.

    Source: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
    Recognition", arXiv:1409.1556, table 1, columns D and E.
    """
    return _vgg(
        (2, 2, 4, 4, 4), include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name,
    )  # fmt: skip


def _vgg(
    depths: Sequence[int],
    include_top: bool,
    weights: str | None,
    input_tensor: SymbolicTensor | None,
    input_shape: Sequence[int | None] | None,
    pooling: str | None,
    classes: int,
    classifier_activation: str | None,
    name: str,
) -> Model:
    check_choice(name, "pooling", pooling, (None, "avg", "max"))
    if weights == "imagenet":
        raise ConfigError(
            f"{name} has no pretrained weights to download",
            hint="weights=None for random ones, or the path of a weights file",
        )
    shape = input_shape or ((224, 224, 3) if include_top else (None, None, 3))
    inputs = layers.Input(shape) if input_tensor is None else input_tensor
    x = inputs
    for block, (depth, width) in enumerate(zip(depths, _WIDTHS), start=1):
        for i in range(1, depth + 1):
            conv = layers.Conv2D(
                width, 3, padding="same", activation="relu", name=f"block{block}_conv{i}"
            )
            x = conv(x)
        x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    if include_top:
        x = layers.Flatten(name="flatten")(x)
        x = layers.Dense(4096, "relu", name="fc1")(x)
        x = layers.Dense(4096, "relu", name="fc2")(x)
        x = layers.Dense(classes, classifier_activation, name="predictions")(x)
    elif pooling is not None:
        pool: Any = {
            "avg": layers.GlobalAveragePooling2D,
            "max": layers.GlobalMaxPooling2D,
        }[pooling]
        x = pool()(x)
    model = Model(inputs, x, name=name)
    if weights is not None:
        model.load_weights(weights)
    return model
