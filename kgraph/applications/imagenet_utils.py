"""Images as the published weights want them, and their classes by name."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from kgraph.applications.pretrained import remote
from kgraph.config import image_data_format
from kgraph.datasets.download import fetch
from kgraph.errors import DataError, check_choice
from kgraph.graph import SymbolicTensor
from kgraph.types import AnyArray

MEAN = (0.485, 0.456, 0.406)
"""Of ImageNet's pixels in [0, 1]: red, green, blue."""
STD = (0.229, 0.224, 0.225)
_CAFFE_MEAN = (103.939, 116.779, 123.68)  # blue, green, red; pixels in [0, 255]

_CLASSES = remote(
    "https://storage.googleapis.com/download.tensorflow.org/data/imagenet_class_index.json",
    "c2c37ea517e94d9795004a39431a14cb",
)


def preprocess_input(x: AnyArray, data_format: str | None = None, mode: str = "caffe") -> Any:
    """Returns images as networks trained on ImageNet want them.

    Shapes: `[..., height, width, 3]`, or channels first; pixels in [0, 255] in, float out.

    Args:
        x: arrays or a symbolic tensor; never changed in place.
        data_format: "channels_last", "channels_first", or None for the one of the configuration.
        mode: "caffe" swaps red and blue and takes off ImageNet's mean; "tf" scales to [-1, 1];
            "torch" scales to [0, 1] and normalizes each channel.

    >>> preprocess_input([[[0.0, 127.5, 255.0]]], mode="tf")
    array([[[-1.,  0.,  1.]]], dtype=float32)
    """
    check_choice("preprocess_input", "mode", mode, ("caffe", "tf", "torch"))
    data_format = data_format or image_data_format()
    check_choice(
        "preprocess_input", "data_format", data_format, ("channels_last", "channels_first")
    )
    first = data_format == "channels_first"
    x = _floats(x)
    if mode == "tf":
        return x / 127.5 - 1.0
    if mode == "torch":
        return (x / 255.0 - _channels(MEAN, first, x)) / _channels(STD, first, x)
    swapped = x[..., ::-1, :, :] if first else x[..., ::-1]
    return swapped - _channels(_CAFFE_MEAN, first, x)


def tf_input(x: AnyArray, data_format: str | None = None) -> Any:
    """Returns images in [0, 255] scaled to [-1, 1]. See `imagenet_utils.preprocess_input`."""
    return preprocess_input(x, data_format, mode="tf")


def torch_input(x: AnyArray, data_format: str | None = None) -> Any:
    """Returns normalized images. See `imagenet_utils.preprocess_input`, mode "torch"."""
    return preprocess_input(x, data_format, mode="torch")


def caffe_input(x: AnyArray, data_format: str | None = None) -> Any:
    """Returns images without ImageNet's mean, as blue, green, red.

    See `imagenet_utils.preprocess_input`, mode "caffe".
    """
    return preprocess_input(x, data_format, mode="caffe")


def same_input(x: AnyArray, data_format: str | None = None) -> Any:
    """Returns images as they are: these networks begin with their own normalization."""
    return x


def decode_predictions(preds: AnyArray, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """Returns for each image the likeliest classes of ImageNet, as (WordNet id, name, probability).

    Args:
        preds: probabilities, `[batch, 1000]`.
        top: how many classes.

    Raises:
        DataError: another shape; or the list of names cannot be downloaded.
    """
    probabilities = np.asarray(preds)
    if probabilities.ndim != 2 or probabilities.shape[1] != 1000:
        raise DataError(
            "decode_predictions knows the 1000 classes of ImageNet",
            expected="shape (batch, 1000)",
            received=f"shape {probabilities.shape}",
            hint="a model with other classes has names of its own",
        )
    names = json.loads(fetch(_CLASSES).read_text(encoding="utf-8"))
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    return [
        [(*names[str(i)], float(row[i])) for i in order]
        for row, order in zip(probabilities, best, strict=True)
    ]


def _floats(x: AnyArray) -> Any:
    if isinstance(x, SymbolicTensor):
        return x
    if not hasattr(x, "dtype"):
        x = np.asarray(x, "float32")
    return x if np.issubdtype(x.dtype, np.floating) else x.astype("float32")


def _channels(values: tuple[float, ...], first: bool, like: Any) -> Any:
    """Returns a value for each channel, with as many axes as the images have."""
    axes = [1] * like.ndim
    axes[-3 if first else -1] = 3
    return np.asarray(values, "float32").astype(like.dtype).reshape(axes)
