"""EfficientNet: inverted bottlenecks with squeeze-and-excitation, scaled in width and depth."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from kgraph import layers
from kgraph.applications.imagenet_utils import MEAN, STD, decode_predictions
from kgraph.applications.imagenet_utils import same_input as preprocess_input
from kgraph.applications.mobile import padding_for_stride, width_in_eights
from kgraph.applications.network import Design, network
from kgraph.applications.pretrained import OLDER, published
from kgraph.initializers import VarianceScaling
from kgraph.models import Model
from kgraph.types import ActivationLike

if TYPE_CHECKING:
    pass


__all__ = [
    "EfficientNetB0", "EfficientNetB1", "EfficientNetB2", "EfficientNetB3", "EfficientNetB4",
    "EfficientNetB5", "EfficientNetB6", "EfficientNetB7", "decode_predictions", "preprocess_input",
]  # fmt: skip

_SOURCE = """Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
    arXiv:1905.11946, table 1."""
_STAGES = (
    (3, 16, 1, 1, 1), (3, 24, 6, 2, 2), (5, 40, 6, 2, 2), (3, 80, 6, 2, 3), (5, 112, 6, 1, 3),
    (5, 192, 6, 2, 4), (3, 320, 6, 1, 1),
)  # fmt: skip
"""Kernel, filters, factor of the widening, strides of the first block, and blocks."""
_DROPPED_BLOCKS = 0.2
"""Rate at which the last block is dropped in training; earlier ones less, in proportion."""


def imagenet_normalized(x: Any) -> Any:
    """Scales pixels of 0 to 255 to the spread that ImageNet's have."""
    x = layers.Rescaling(1 / 255)(x)
    return layers.Normalization(mean=MEAN, variance=[std**2 for std in STD])(x)


def convolution(filters: int, kernel: int, strides: int = 1, **options: Any) -> Any:
    """Returns a convolution whose values start for what comes out of it."""
    options = {"padding": "same", "use_bias": False} | options
    start = VarianceScaling(2.0, "fan_out", "truncated_normal")
    return layers.Conv2D(filters, kernel, strides, kernel_initializer=start, **options)


def norm_silu(x: Any, name: str, momentum: float = 0.99) -> Any:
    """Normalizes, and multiplies by a sigmoid."""
    x = layers.BatchNormalization(momentum=momentum, name=f"{name}_bn")(x)
    return layers.Activation("silu", name=f"{name}_activation")(x)


def excited(x: Any, channels: int, name: str) -> Any:
    """Weighs the channels of a feature map by what the whole image shows."""
    width = x.shape[-1]
    options = {"use_bias": True}
    y = layers.GlobalAveragePooling2D(name=f"{name}_squeeze")(x)
    y = layers.Reshape((1, 1, width), name=f"{name}_reshape")(y)
    y = convolution(channels, 1, activation="silu", name=f"{name}_reduce", **options)(y)
    y = convolution(width, 1, activation="sigmoid", name=f"{name}_expand", **options)(y)
    return layers.Multiply(name=f"{name}_excite")([x, y])


def _block(
    x: Any,
    kernel: int,
    filters: int,
    widening: int,
    strides: int,
    rate: float,
    name: str,
) -> Any:
    entered, channels = x, x.shape[-1]
    if widening > 1:
        x = convolution(widening * channels, 1, name=f"{name}_expand_conv")(x)
        x = norm_silu(x, f"{name}_expand")
    if strides == 2:
        x = layers.ZeroPadding2D(padding_for_stride(x, kernel), name=f"{name}_dwconv_pad")(x)
    x = layers.DepthwiseConv2D(
        kernel, strides, "same" if strides == 1 else "valid", use_bias=False,
        depthwise_initializer=VarianceScaling(2.0, "fan_out", "truncated_normal"),
        name=f"{name}_dwconv",
    )(x)  # fmt: skip
    x = excited(norm_silu(x, name), max(1, channels // 4), f"{name}_se")
    x = convolution(filters, 1, name=f"{name}_project_conv")(x)
    x = layers.BatchNormalization(name=f"{name}_project_bn")(x)
    if strides == 1 and channels == filters:
        x = residual(x, entered, rate, name)
    return x


def _body(x: Any, width: float, depth: float) -> Any:
    x = imagenet_normalized(x)
    x = layers.ZeroPadding2D(padding_for_stride(x, 3), name="stem_conv_pad")(x)
    stem = convolution(width_in_eights(32 * width), 3, 2, padding="valid", name="stem_conv")
    x = norm_silu(stem(x), "stem")
    depths = [math.ceil(depth * stage[-1]) for stage in _STAGES]
    number = 0
    for stage, (kernel, filters, widening, strides, _) in enumerate(_STAGES):
        for i in range(depths[stage]):
            rate = _DROPPED_BLOCKS * number / sum(depths)
            name = f"block{stage + 1}{chr(ord('a') + i)}"
            filters_here = width_in_eights(filters * width)
            x = _block(x, kernel, filters_here, widening, 1 if i else strides, rate, name)
            number += 1
    return norm_silu(convolution(width_in_eights(1280 * width), 1, name="top_conv")(x), "top")


def residual(x: Any, entered: Any, rate: float, name: str) -> Any:
    """Adds what entered a block to its branch, which whole rows go without in training."""
    if rate > 0:
        x = layers.Dropout(rate, (None, 1, 1, 1), name=f"{name}_drop")(x)
    return layers.Add(name=f"{name}_add")([x, entered])


def dropped_classifier(
    x: Any, classes: int, activation: ActivationLike | None, dropout: float
) -> Any:
    """Averages, drops features in training, and classifies."""
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dropout(dropout, name="top_dropout")(x)
    start = VarianceScaling(1 / 3, "fan_out", "uniform")
    return layers.Dense(classes, activation, kernel_initializer=start, name="predictions")(x)


def _efficientnet(
    number: int, width: float, depth: float, size: int, dropout: float, top: str, body: str
) -> Callable[..., Model]:
    name = f"efficientnetb{number}"
    files = published(OLDER, (f"{name}.h5", top), (f"{name}_notop.h5", body))
    return network(
        Design(
            f"EfficientNetB{number}", name, partial(_body, width=width, depth=depth), _SOURCE,
            files, top=partial(dropped_classifier, dropout=dropout), size=size,
        )
    )  # fmt: skip


EfficientNetB0 = _efficientnet(
    0, 1.0, 1.0, 224, 0.2, "902e53a9f72be733fc0bcb005b3ebbac", "50bc09e76180e00e4465e1a485ddc09d"
)
EfficientNetB1 = _efficientnet(
    1, 1.0, 1.1, 240, 0.2, "1d254153d4ab51201f1646940f018540", "74c4e6b3e1f6a1eea24c589628592432"
)
EfficientNetB2 = _efficientnet(
    2, 1.1, 1.2, 260, 0.3, "b15cce36ff4dcbd00b6dd88e7857a6ad", "111f8e2ac8aa800a7a99e3239f7bfb39"
)
EfficientNetB3 = _efficientnet(
    3, 1.2, 1.4, 300, 0.3, "ffd1fdc53d0ce67064dc6a9c7960ede0", "af6d107764bb5b1abb91932881670226"
)
EfficientNetB4 = _efficientnet(
    4, 1.4, 1.8, 380, 0.4, "18c95ad55216b8f92d7e70b3a046e2fc", "ebc24e6d6c33eaebbd558eafbeedf1ba"
)
EfficientNetB5 = _efficientnet(
    5, 1.6, 2.2, 456, 0.4, "ace28f2a6363774853a83a0b21b9421a", "38879255a25d3c92d5e44e04ae6cec6f"
)
EfficientNetB6 = _efficientnet(
    6, 1.8, 2.6, 528, 0.5, "165f6e37dce68623721b423839de8be5", "9ecce42647a20130c1f39a5d4cb75743"
)
EfficientNetB7 = _efficientnet(
    7, 2.0, 3.1, 600, 0.5, "8c03f828fec3ef71311cd463b6759d99", "cbcfe4450ddf6f3ad90b1b398090fe4a"
)
