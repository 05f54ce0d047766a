"""Boxes as differences from anchors, which is what detectors learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from kgraph.config import epsilon
from kgraph.errors import ConfigError, check_choice
from kgraph.layers.image.bounding_boxes.formats import convert_format
from kgraph.types import Array, ArrayLike, Tree

_ENCODINGS = ("center_xywh", "center_yxhw")


def encode_box_to_deltas(
    anchors: Array,
    boxes: Array,
    anchor_format: str,
    box_format: str,
    encoding_format: str = "center_yxhw",
    variance: ArrayLike | None = None,
    image_shape: Sequence[int] | None = None,
) -> Array:
    """Returns how boxes differ from anchors: middles in sizes of the anchor, logs of sizes.

    Args:
        anchors: `[n, 4]`.
        boxes: `[n, 4]` or `[batch, n, 4]`.
        anchor_format, box_format: as in `convert_format`.
        encoding_format: order of the result: `"center_yxhw"` or `"center_xywh"`.
        variance: 4 numbers that the deltas are divided by.
        image_shape: height, width and channels; needed for relative formats.

    Raises:
        ConfigError: an option has another value.
    """
    check_choice("encode_box_to_deltas", "encoding_format", encoding_format, _ENCODINGS)
    scale = _variance(variance)
    height, width = (None, None) if image_shape is None else image_shape[:2]
    boxes = convert_format(boxes, box_format, encoding_format, height, width)
    anchors = _like(convert_format(anchors, anchor_format, encoding_format, height, width), boxes)
    base, size = (jnp.maximum(b[..., 2:], epsilon()) for b in (anchors, boxes))
    deltas = [(boxes[..., :2] - anchors[..., :2]) / base, jnp.log(size / base)]
    return jnp.concatenate(deltas, -1) / _like(scale, boxes)


def decode_deltas_to_boxes(
    anchors: Tree,
    boxes_delta: Tree,
    anchor_format: str,
    box_format: str,
    encoded_format: str = "center_yxhw",
    variance: ArrayLike | None = None,
    image_shape: Sequence[int] | None = None,
) -> Any:
    """Returns the boxes that `encode_box_to_deltas` made deltas of.

    Args:
        anchors: `[n, 4]`, or a dict of them by level.
        boxes_delta: `[n, 4]` or `[batch, n, 4]`, or a dict with the same keys.
        anchor_format, box_format: as in `convert_format`.
        encoded_format: order of the deltas: `"center_yxhw"` or `"center_xywh"`.
        variance: 4 numbers that the deltas are multiplied with.
        image_shape: height, width and channels; needed for relative formats.

    Raises:
        ConfigError: an option has another value.
    """
    check_choice("decode_deltas_to_boxes", "encoded_format", encoded_format, _ENCODINGS)
    if isinstance(anchors, Mapping) and isinstance(boxes_delta, Mapping):
        return {
            level: decode_deltas_to_boxes(
                level_anchors, boxes_delta[level], anchor_format, box_format, encoded_format,
                variance, image_shape,
            )
            for level, level_anchors in anchors.items()
        }  # fmt: skip
    height, width = (None, None) if image_shape is None else image_shape[:2]
    deltas = jnp.asarray(boxes_delta).astype("float32")
    deltas = deltas * _like(_variance(variance), deltas)
    base = _like(convert_format(anchors, anchor_format, encoded_format, height, width), deltas)
    middles = deltas[..., :2] * base[..., 2:] + base[..., :2]
    boxes = jnp.concatenate([middles, jnp.exp(deltas[..., 2:]) * base[..., 2:]], -1)
    return convert_format(boxes, encoded_format, box_format, height, width)


def _variance(variance: ArrayLike | None) -> Array:
    scale = jnp.ones(4) if variance is None else jnp.asarray(variance).astype("float32")
    if scale.shape != (4,):
        raise ConfigError("`variance` has 4 numbers", received=f"shape {scale.shape}")
    return scale


def _like(array: Array, boxes: Array) -> Array:
    """Returns an array with as many axes as the boxes, new ones in front."""
    return array.reshape((1,) * (boxes.ndim - array.ndim) + array.shape)
