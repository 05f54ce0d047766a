"""EfficientNetV2: in its first stages one whole convolution widens, not two thin ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from kgraph import layers
from kgraph.applications.efficientnet import (
    convolution,
    dropped_classifier,
    excited,
    imagenet_normalized,
    norm_silu,
    residual,
)
from kgraph.applications.imagenet_utils import decode_predictions
from kgraph.applications.imagenet_utils import same_input as preprocess_input
from kgraph.applications.network import Design, Request, Shape, Weights, assemble, document
from kgraph.applications.pretrained import KERAS, published
from kgraph.graph import SymbolicTensor
from kgraph.initializers import VarianceScaling
from kgraph.models import Model
from kgraph.types import ActivationLike

__all__ = [
    "EfficientNetV2B0", "EfficientNetV2B1", "EfficientNetV2B2", "EfficientNetV2B3",
    "EfficientNetV2L", "EfficientNetV2M", "EfficientNetV2S", "decode_predictions",
    "preprocess_input",
]  # fmt: skip

_SOURCE = """Tan and Le, "EfficientNetV2: Smaller Models and Faster Training", arXiv:2104.00298,
    table 4."""
_FUSED = 3
"""Stages whose blocks are fused; the others weigh their channels."""
_MOMENTUM = 0.9
_DROPPED_BLOCKS = 0.2
_MORE = """
        include_preprocessing: whether images of 0 to 255 are taken, not normalized ones."""


class _Stage(NamedTuple):
    filters: int
    widening: int
    strides: int
    repeats: int


_B = (
    _Stage(16, 1, 1, 1), _Stage(32, 4, 2, 2), _Stage(48, 4, 2, 2), _Stage(96, 4, 2, 3),
    _Stage(112, 6, 1, 5), _Stage(192, 6, 2, 8),
)  # fmt: skip
_S = (
    _Stage(24, 1, 1, 2), _Stage(48, 4, 2, 4), _Stage(64, 4, 2, 4), _Stage(128, 4, 2, 6),
    _Stage(160, 6, 1, 9), _Stage(256, 6, 2, 15),
)  # fmt: skip
_M = (
    _Stage(24, 1, 1, 3), _Stage(48, 4, 2, 5), _Stage(80, 4, 2, 5), _Stage(160, 4, 2, 7),
    _Stage(176, 6, 1, 14), _Stage(304, 6, 2, 18), _Stage(512, 6, 1, 5),
)  # fmt: skip
_L = (
    _Stage(32, 1, 1, 4), _Stage(64, 4, 2, 7), _Stage(96, 4, 2, 7), _Stage(192, 4, 2, 10),
    _Stage(224, 6, 1, 19), _Stage(384, 6, 2, 25), _Stage(640, 6, 1, 7),
)  # fmt: skip


def _fused_block(x: Any, stage: _Stage, name: str) -> Any:
    if stage.widening == 1:
        x = convolution(stage.filters, 3, stage.strides, name=f"{name}_project_conv")(x)
        return norm_silu(x, f"{name}_project", _MOMENTUM)
    width = stage.widening * x.shape[-1]
    x = convolution(width, 3, stage.strides, name=f"{name}_expand_conv")(x)
    return _projected(norm_silu(x, f"{name}_expand", _MOMENTUM), stage.filters, name)


def _block(x: Any, stage: _Stage, name: str) -> Any:
    channels = x.shape[-1]
    x = convolution(stage.widening * channels, 1, name=f"{name}_expand_conv")(x)
    x = norm_silu(x, f"{name}_expand", _MOMENTUM)
    x = layers.DepthwiseConv2D(
        3, stage.strides, "same", use_bias=False, name=f"{name}_dwconv2",
        depthwise_initializer=VarianceScaling(2.0, "fan_out", "truncated_normal"),
    )(x)  # fmt: skip
    x = excited(norm_silu(x, name, _MOMENTUM), max(1, channels // 4), f"{name}_se")
    return _projected(x, stage.filters, name)


def _projected(x: Any, filters: int, name: str) -> Any:
    x = convolution(filters, 1, name=f"{name}_project_conv")(x)
    return layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_project_bn")(x)


def _width(filters: float) -> int:
    """Returns the nearest multiple of 8, at least 8."""
    return max(8, int(filters + 4) // 8 * 8)


def _body(
    x: Any, stages: tuple[_Stage, ...], stem: int, width: float, depth: float, like_b0: bool,
    scaled: bool,
) -> Any:  # fmt: skip
    if scaled and like_b0 and x.shape[-1] == 3:
        x = imagenet_normalized(x)
    elif scaled:
        x = layers.Rescaling(1 / 128, offset=-1)(x)
    x = norm_silu(convolution(_width(stem * width), 3, 2, name="stem_conv")(x), "stem", _MOMENTUM)
    number, planned = 0, sum(stage.repeats for stage in stages)
    for i, stage in enumerate(stages):
        stage = stage._replace(filters=_width(stage.filters * width))
        for j in range(math.ceil(stage.repeats * depth)):
            stage = stage._replace(strides=1 if j else stage.strides)
            name = f"block{i + 1}{chr(ord('a') + j)}"
            y = (_fused_block if i < _FUSED else _block)(x, stage, name)
            if stage.strides == 1 and x.shape[-1] == stage.filters:
                y = residual(y, x, _DROPPED_BLOCKS * number / planned, name)
            x, number = y, number + 1
    top = convolution(_width(1280 * width), 1, name="top_conv")
    return norm_silu(top(x), "top", _MOMENTUM)


def _efficientnet(
    kind: str, stages: tuple[_Stage, ...], stem: int, size: int, top: str, body: str,
    width: float = 1.0, depth: float = 1.0,
) -> Callable[..., Model]:  # fmt: skip
    title, own_name = f"EfficientNetV2{kind}", f"efficientnetv2-{kind.lower()}"
    files = published(
        f"{KERAS}/efficientnet_v2", (f"{own_name}.h5", top), (f"{own_name}_notop.h5", body)
    )
    build = partial(_body, stages=stages, stem=stem, width=width, depth=depth, like_b0=stages is _B)

    def create(
        include_top: bool = True,
        weights: Weights = "imagenet",
        input_tensor: SymbolicTensor | None = None,
        input_shape: Shape | None = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: ActivationLike | None = "softmax",
        include_preprocessing: bool = True,
        name: str = own_name,
    ) -> Model:
        design = Design(
            title, name, partial(build, scaled=include_preprocessing), _SOURCE, files,
            top=partial(dropped_classifier, dropout=0.2), size=size,
        )  # fmt: skip
        request = Request(
            include_top, weights, input_tensor, input_shape, pooling, classes,
            classifier_activation, name,
        )  # fmt: skip
        return assemble(design, request)

    create.__name__ = create.__qualname__ = title
    create.__doc__ = document(title, _SOURCE, size, more=_MORE)
    return create


EfficientNetV2B0 = _efficientnet(
    "B0", _B, 32, 224, "21ecbf6da12460d5c40bb2f29ceb2188", "893217f2bb855e2983157299931e43ff"
)
EfficientNetV2B1 = _efficientnet(
    "B1", _B, 32, 240, "069f0534ff22adf035c89e2d9547a9dc", "0e80663031ca32d657f9caa404b6ec37",
    depth=1.1,
)  # fmt: skip
EfficientNetV2B2 = _efficientnet(
    "B2", _B, 32, 260, "424e49f28180edbde1e94797771950a7", "1dfe2e7a5d45b6632553a8961ea609eb",
    width=1.1, depth=1.2,
)  # fmt: skip
EfficientNetV2B3 = _efficientnet(
    "B3", _B, 32, 300, "1f1fc43bd98a6e4fd8fdfd551e02c7a0", "f6abf7b5849ac99a89b50dd3fd532856",
    width=1.2, depth=1.4,
)  # fmt: skip
EfficientNetV2S = _efficientnet(
    "S", _S, 24, 384, "e1d88a8495beba45748fedd0cecbe016", "af0682fb74e8c54910f2d4393339c070"
)
EfficientNetV2M = _efficientnet(
    "M", _M, 24, 480, "a3bf6aa3276309f4fc6a34aa114c95cd", "1b8dc055df72dde80d614482840fe342"
)
EfficientNetV2L = _efficientnet(
    "L", _L, 32, 480, "27e6d408b53c7ebc868fefa357689935", "b0b66b5c863aef5b46e8608fe1711615"
)
