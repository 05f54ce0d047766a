"""MobileNet: depthwise convolutions, each followed by one of 1 x 1."""

from __future__ import annotations

from functools import partial
from typing import Any

from kgraph import layers
from kgraph.applications.imagenet_utils import decode_predictions
from kgraph.applications.imagenet_utils import tf_input as preprocess_input
from kgraph.applications.mobile import relu6
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

__all__ = ["MobileNet", "decode_predictions", "preprocess_input"]

_SOURCE = """Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
    Applications", arXiv:1704.04861, table 1."""
_BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip
"""Filters and strides."""
_WIDTHS = {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}
_MORE = """
        alpha: factor of the number of filters of all layers.
        depth_multiplier: filters of the depthwise convolutions for each channel.
        dropout: rate before the classifier."""


def MobileNet(
    input_shape: Shape | None = None,
    alpha: float = 1.0,
    depth_multiplier: int = 1,
    dropout: float = 0.001,
    include_top: bool = True,
    weights: Weights = "imagenet",
    input_tensor: SymbolicTensor | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: ActivationLike | None = "softmax",
    name: str | None = None,
) -> Model:
    size = trained_size(input_shape)
    design = Design(
        "MobileNet", f"mobilenet_{alpha:.2f}_{size}",
        partial(_body, alpha=alpha, depth_multiplier=depth_multiplier), _SOURCE,
        _files(alpha, size) if alpha in _WIDTHS and depth_multiplier == 1 else None,
        top=partial(_top, dropout=dropout),
    )  # fmt: skip
    request = Request(
        include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation,
        name or design.name,
    )  # fmt: skip
    return assemble(design, request)


def _body(x: Any, alpha: float, depth_multiplier: int) -> Any:
    x = layers.Conv2D(int(32 * alpha), 3, 2, padding="same", use_bias=False, name="conv1")(x)
    x = _norm(x, "conv1")
    for i, (filters, strides) in enumerate(_BLOCKS, start=1):
        if strides == 2:
            x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"conv_pad_{i}")(x)
        x = layers.DepthwiseConv2D(
            3, strides, "same" if strides == 1 else "valid", depth_multiplier=depth_multiplier,
            use_bias=False, name=f"conv_dw_{i}",
        )(x)  # fmt: skip
        x = _norm(x, f"conv_dw_{i}")
        pointwise = layers.Conv2D(
            int(filters * alpha), 1, padding="same", use_bias=False, name=f"conv_pw_{i}"
        )
        x = _norm(pointwise(x), f"conv_pw_{i}")
    return x


def _norm(x: Any, name: str) -> Any:
    return relu6(layers.BatchNormalization(name=f"{name}_bn")(x), f"{name}_relu")


def _top(x: Any, classes: int, activation: ActivationLike | None, dropout: float) -> Any:
    x = layers.GlobalAveragePooling2D(keepdims=True, name="avg_pool")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Conv2D(classes, 1, padding="same", name="conv_preds")(x)
    x = layers.Reshape((classes,), name="reshape_2")(x)
    return layers.Activation(activation or "linear", name="predictions")(x)


def _files(alpha: float, size: int) -> Pretrained:
    """Returns the files, whose digests nobody published: what they hold is checked, not whose."""
    file = f"mobilenet_{_WIDTHS[alpha]}_{size}_tf"
    return published(f"{KERAS}/mobilenet", (f"{file}.h5", ""), (f"{file}_no_top.h5", ""))


MobileNet.__doc__ = document("MobileNet", _SOURCE, more=_MORE)
