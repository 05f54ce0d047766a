"""MobileNetV2: each block widens, convolves by channel, and narrows again."""

from __future__ import annotations

from functools import partial
from typing import Any

from kgraph import layers
from kgraph.applications.imagenet_utils import decode_predictions
from kgraph.applications.imagenet_utils import tf_input as preprocess_input
from kgraph.applications.mobile import padding_for_stride, relu6, width_in_eights
from kgraph.applications.network import (
    Design,
    Request,
    Shape,
    Weights,
    assemble,
    document,
    trained_size,
)
from kgraph.applications.pretrained import KERAS, Pretrained, published
from kgraph.graph import SymbolicTensor
from kgraph.models import Model
from kgraph.types import ActivationLike

__all__ = ["MobileNetV2", "decode_predictions", "preprocess_input"]

_SOURCE = """Sandler, Howard, Zhu, Zhmoginov and Chen, "MobileNetV2: Inverted Residuals and Linear
    Bottlenecks", arXiv:1801.04381, table 2."""
_STAGES = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
)  # fmt: skip
"""Factor of the widening, filters, blocks, and strides of the first block."""
_PUBLISHED = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
_MORE = """
        alpha: factor of the number of filters of all layers."""


def MobileNetV2(
    input_shape: Shape | None = None,
    alpha: float = 1.0,
    include_top: bool = True,
    weights: Weights = "imagenet",
    input_tensor: SymbolicTensor | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: ActivationLike | None = "softmax",
    name: str | None = None,
) -> Model:
    size = trained_size(input_shape, (96, 128, 160, 192, 224))
    design = Design(
        "MobileNetV2", f"mobilenetv2_{alpha:.2f}_{size}", partial(_body, alpha=alpha), _SOURCE,
        _files(alpha, size) if alpha in _PUBLISHED else None,
    )  # fmt: skip
    request = Request(
        include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation,
        name or design.name,
    )  # fmt: skip
    return assemble(design, request)


def _body(x: Any, alpha: float) -> Any:
    first = width_in_eights(32 * alpha)
    x = layers.Conv2D(first, 3, 2, padding="same", use_bias=False, name="Conv1")(x)
    x = relu6(_norm(x, "bn_Conv1"), "Conv1_relu")
    number = 0
    for widening, filters, depth, strides in _STAGES:
        for i in range(depth):
            name = f"block_{number}" if number else "expanded_conv"
            width = width_in_eights(filters * alpha)
            x = _block(x, widening, width, 1 if i else strides, name)
            number += 1
    last = width_in_eights(1280 * max(alpha, 1.0))
    x = layers.Conv2D(last, 1, use_bias=False, name="Conv_1")(x)
    return relu6(_norm(x, "Conv_1_bn"), "out_relu")


def _block(x: Any, widening: int, filters: int, strides: int, name: str) -> Any:
    entered, channels = x, x.shape[-1]
    if widening > 1:
        x = layers.Conv2D(
            widening * channels, 1, padding="same", use_bias=False, name=f"{name}_expand"
        )(x)
        x = relu6(_norm(x, f"{name}_expand_BN"), f"{name}_expand_relu")
    if strides == 2:
        x = layers.ZeroPadding2D(padding_for_stride(x, 3), name=f"{name}_pad")(x)
    x = layers.DepthwiseConv2D(
        3, strides, "same" if strides == 1 else "valid", use_bias=False, name=f"{name}_depthwise"
    )(x)
    x = relu6(_norm(x, f"{name}_depthwise_BN"), f"{name}_depthwise_relu")
    x = layers.Conv2D(filters, 1, padding="same", use_bias=False, name=f"{name}_project")(x)
    x = _norm(x, f"{name}_project_BN")
    if strides == 1 and channels == filters:
        x = layers.Add(name=f"{name}_add")([entered, x])
    return x


def _norm(x: Any, name: str) -> Any:
    return layers.BatchNormalization(momentum=0.999, epsilon=1e-3, name=name)(x)


def _files(alpha: float, size: int) -> Pretrained:
    """Returns the files, whose digests nobody published: what they hold is checked, not whose."""
    file = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{float(alpha)}_{size}"
    return published(f"{KERAS}/mobilenet_v2", (f"{file}.h5", ""), (f"{file}_no_top.h5", ""))


MobileNetV2.__doc__ = document("MobileNetV2", _SOURCE, more=_MORE)
