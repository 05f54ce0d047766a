"""NASNet: two kinds of cells that a search found, each of which reads the two cells before it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from kgraph import layers
from kgraph.applications.imagenet_utils import decode_predictions
from kgraph.applications.imagenet_utils import tf_input as preprocess_input
from kgraph.applications.mobile import padding_for_stride
from kgraph.applications.network import Design, Request, Shape, Weights, assemble, document
from kgraph.applications.pretrained import KERAS, published
from kgraph.graph import SymbolicTensor
from kgraph.models import Model
from kgraph.types import ActivationLike

__all__ = ["NASNetLarge", "NASNetMobile", "decode_predictions", "preprocess_input"]

_SOURCE = """Zoph, Vasudevan, Shlens and Le, "Learning Transferable Architectures for Scalable Image
    Recognition", arXiv:1707.07012, figure 4."""


def _relu(x: Any, name: str | None = None) -> Any:
    return layers.Activation("relu", name=name)(x)


def _conv(x: Any, filters: int, name: str) -> Any:
    return layers.Conv2D(
        filters, 1, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)


def _norm(x: Any, name: str) -> Any:
    return layers.BatchNormalization(momentum=0.9997, epsilon=1e-3, name=name)(x)


def _average(x: Any, name: str, strides: int = 1) -> Any:
    padding = "same" if strides == 1 else "valid"
    return layers.AveragePooling2D(3, strides, padding, name=name)(x)


def _maximum(x: Any, name: str) -> Any:
    return layers.MaxPooling2D(3, 2, name=name)(x)


def _add(x: Any, y: Any, name: str | None = None) -> Any:
    return layers.Add(name=name)([x, y])


def _separable(x: Any, filters: int, kernel: int, name: str, strides: int = 1) -> Any:
    """Two separable convolutions, each behind a cut at zero; the first may halve the size."""
    x, padding = _relu(x), "same"
    if strides == 2:
        pads = padding_for_stride(x, kernel)
        x, padding = layers.ZeroPadding2D(pads, name=f"separable_conv_1_pad_{name}")(x), "valid"
    for i in (1, 2):
        x = x if i == 1 else _relu(x)
        convolution = layers.SeparableConv2D(
            filters, kernel, strides, padding, use_bias=False, name=f"separable_conv_{i}_{name}"
        )
        x = _norm(convolution(x), f"separable_conv_{i}_bn_{name}")
        strides, padding = 1, "same"
    return x


def _fitted(p: Any, x: Any, filters: int, name: str) -> Any:
    """Brings the cell before the last one to the size of the last, and to so many channels."""
    if p is x:  # there is no cell before the first
        return x
    if p.symbolic_shape[2] != x.symbolic_shape[2]:
        p = _relu(p, f"adjust_relu_1_{name}")
        shifted = layers.ZeroPadding2D(((0, 1), (0, 1)))(p)
        shifted = layers.Cropping2D(((1, 0), (1, 0)))(shifted)
        halves = []
        for i, half in enumerate((p, shifted), start=1):
            half = layers.AveragePooling2D(1, 2, name=f"adjust_avg_pool_{i}_{name}")(half)
            halves.append(_conv(half, filters // 2, f"adjust_conv_{i}_{name}"))
        return _norm(layers.Concatenate()(halves), f"adjust_bn_{name}")
    if p.shape[-1] != filters:
        p = _conv(_relu(p), filters, f"adjust_conv_projection_{name}")
        return _norm(p, f"adjust_bn_{name}")
    return p


def _normal(x: Any, p: Any, filters: int, cell: str) -> Any:
    p = _fitted(p, x, filters, cell)
    h = _norm(_conv(_relu(x), filters, f"normal_conv_1_{cell}"), f"normal_bn_1_{cell}")

    def separable(y: Any, kernel: int, place: str) -> Any:
        return _separable(y, filters, kernel, f"normal_{place}_{cell}")

    sums = [
        _add(separable(h, 5, "left1"), separable(p, 3, "right1"), f"normal_add_1_{cell}"),
        _add(separable(p, 5, "left2"), separable(p, 3, "right2"), f"normal_add_2_{cell}"),
        _add(_average(h, f"normal_left3_{cell}"), p, f"normal_add_3_{cell}"),
        _add(
            _average(p, f"normal_left4_{cell}"), _average(p, f"normal_right4_{cell}"),
            f"normal_add_4_{cell}",
        ),
        _add(separable(h, 3, "left5"), h, f"normal_add_5_{cell}"),
    ]  # fmt: skip
    return layers.Concatenate(name=f"normal_concat_{cell}")([p, *sums])


def _reduction(x: Any, p: Any, filters: int, cell: str) -> Any:
    p = _fitted(p, x, filters, cell)
    h = _norm(_conv(_relu(x), filters, f"reduction_conv_1_{cell}"), f"reduction_bn_1_{cell}")
    padded = layers.ZeroPadding2D(padding_for_stride(h, 3), name=f"reduction_pad_1_{cell}")(h)

    def separable(y: Any, kernel: int, place: str, strides: int = 2) -> Any:
        return _separable(y, filters, kernel, f"reduction_{place}_{cell}", strides)

    one = _add(separable(h, 5, "left1"), separable(p, 7, "right1"), f"reduction_add_1_{cell}")
    two = _add(
        _maximum(padded, f"reduction_left2_{cell}"), separable(p, 7, "right2"),
        f"reduction_add_2_{cell}",
    )  # fmt: skip
    three = _add(
        _average(padded, f"reduction_left3_{cell}", 2), separable(p, 5, "right3"),
        f"reduction_add3_{cell}",
    )  # fmt: skip
    four = _add(two, _average(one, f"reduction_left4_{cell}"))
    five = _add(
        separable(one, 3, "left4", 1), _maximum(padded, f"reduction_right5_{cell}"),
        f"reduction_add4_{cell}",
    )  # fmt: skip
    return layers.Concatenate(name=f"reduction_concat_{cell}")([two, three, four, five])


def _body(x: Any, filters: int, blocks: int, stem: int, skips: bool) -> Any:
    """Stacks the cells: behind a reduction, `skips` says whether the cell before it is read on."""
    x = layers.Conv2D(
        stem, 3, 2, use_bias=False, kernel_initializer="he_normal", name="stem_conv1"
    )(x)
    x = _norm(x, "stem_bn1")
    x, p = _reduction(x, x, filters // 4, "stem_1"), x
    x, p = _reduction(x, p, filters // 2, "stem_2"), x
    for stage in range(3):
        if stage:
            reduced = _reduction(x, p, filters << stage, f"reduce_{stage * blocks}")
            x, p = reduced, p if skips else x
        for i in range(blocks):
            cell = str(stage * blocks + i + bool(stage))
            x, p = _normal(x, p, filters << stage, cell), x
    return _relu(x)


def _nasnet(
    kind: str, last: int, blocks: int, stem: int, skips: bool, size: int, top: str, body: str
) -> Callable[..., Model]:
    title, own_name = f"NASNet{kind}", f"nasnet_{kind.lower()}"
    file = f"NASNet-{kind.lower()}"
    files = published(f"{KERAS}/nasnet", (f"{file}.h5", top), (f"{file}-no-top.h5", body))
    build = partial(_body, filters=last // 24, blocks=blocks, stem=stem, skips=skips)

    def create(
        input_shape: Shape | None = None,
        include_top: bool = True,
        weights: Weights = "imagenet",
        input_tensor: SymbolicTensor | None = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: ActivationLike | None = "softmax",
        name: str = own_name,
    ) -> Model:
        if input_shape is None and input_tensor is None:
            input_shape = (size, size, 3)  # paddings differ for odd sizes, so none may be open
        request = Request(
            include_top, weights, input_tensor, input_shape, pooling, classes,
            classifier_activation, name,
        )  # fmt: skip
        return assemble(Design(title, name, build, _SOURCE, files, size=size), request)

    create.__name__ = create.__qualname__ = title
    create.__doc__ = document(title, _SOURCE, size)
    return create


NASNetMobile = _nasnet(
    "Mobile", 1056, 4, 32, False, 224,
    "020fb642bf7360b370c678b08e0adf61", "1ed92395b5b598bdda52abe5c0dbfd63",
)  # fmt: skip
NASNetLarge = _nasnet(
    "Large", 4032, 6, 96, True, 331,
    "11577c9a518f0070763c2b964a382f17", "d81d89dc07e6e56530c4e77faddd61b5",
)  # fmt: skip
