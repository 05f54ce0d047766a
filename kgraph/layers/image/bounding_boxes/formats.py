"""The formats of boxes, and from one to the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from kgraph.errors import ConfigError, DataError, check_choice
from kgraph.types import Array, ArrayLike, DTypeLike

FORMATS = (
    "xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw",
    "rel_xyxy", "rel_yxyx", "rel_xywh", "rel_center_xywh",
)  # fmt: skip


def convert_format(
    boxes: Any,
    source: str,
    target: str,
    height: ArrayLike | None = None,
    width: ArrayLike | None = None,
    dtype: DTypeLike = "float32",
) -> Any:
    """Returns boxes in another format.

    `x` is the left, `y` the top; a second pair is the right and the bottom, or width and height.
    `"center_..."` has the middle in the place of the corner; `"rel_..."` counts in parts of the
    image.

    Args:
        boxes: `[..., 4]`, or a dict with them under `"boxes"`, whose other entries stay.
        source, target: `"xyxy"`, `"yxyx"`, `"xywh"`, `"center_xywh"`, `"center_yxhw"`, or
            `"rel_xyxy"`, `"rel_yxyx"`, `"rel_xywh"`, `"rel_center_xywh"`; in any case.
        height, width: of the image, where one format is relative.
        dtype: of the result.

    Raises:
        ConfigError: a format is not known, or the size of the image is missing.
        DataError: the last axis is not 4.

    >>> convert_format([[10, 20, 30, 60]], "xyxy", "center_xywh").tolist()
    [[20.0, 40.0, 20.0, 40.0]]
    """
    source, target = source.lower(), target.lower()
    check_choice("convert_format", "source", source, FORMATS)
    check_choice("convert_format", "target", target, FORMATS)
    if isinstance(boxes, Mapping):
        made = convert_format(boxes["boxes"], source, target, height, width, dtype)
        return {**boxes, "boxes": made}
    from_relative, to_relative = source.startswith("rel_"), target.startswith("rel_")
    if (from_relative or to_relative) and (height is None or width is None):
        raise ConfigError(
            f"From {source!r} to {target!r} takes the size of the image",
            expected="height and width",
            received=f"height={height}, width={width}",
        )
    boxes = as_boxes(boxes, dtype)
    if source == target:
        return boxes
    left, top, right, bottom = _corners(boxes, source.removeprefix("rel_"))
    if from_relative != to_relative:
        wide, high = (jnp.asarray(size).astype(dtype) for size in (width, height))
        if from_relative:
            left, top, right, bottom = left * wide, top * high, right * wide, bottom * high
        else:
            left, top, right, bottom = left / wide, top / high, right / wide, bottom / high
    return jnp.stack(_in_format(left, top, right, bottom, target.removeprefix("rel_")), axis=-1)


def as_boxes(boxes: ArrayLike, dtype: DTypeLike | None = None) -> Array:
    """Returns boxes as a JAX array, in `dtype` or their own.

    Raises:
        DataError: the last axis is not 4.
    """
    boxes = jnp.asarray(boxes)
    if boxes.ndim < 1 or boxes.shape[-1] != 4:
        raise DataError("Boxes have 4 numbers each", received=f"shape {boxes.shape}")
    return boxes if dtype is None else boxes.astype(dtype)


def sides(boxes: Array) -> tuple[Array, Array, Array, Array]:
    """Returns the four numbers of each box."""
    return boxes[..., 0], boxes[..., 1], boxes[..., 2], boxes[..., 3]


def _corners(boxes: Array, form: str) -> tuple[Array, Array, Array, Array]:
    """Returns left, top, right and bottom."""
    a, b, c, d = sides(boxes)
    match form:
        case "xyxy":
            return a, b, c, d
        case "yxyx":
            return b, a, d, c
        case "xywh":
            return a, b, a + c, b + d
        case "center_yxhw":
            a, b, c, d = b, a, d, c
    return a - c / 2, b - d / 2, a + c / 2, b + d / 2


def _in_format(
    left: Array, top: Array, right: Array, bottom: Array, form: str
) -> tuple[Array, ...]:
    wide, high = right - left, bottom - top
    x, y = left + wide / 2, top + high / 2
    return {
        "xyxy": (left, top, right, bottom),
        "yxyx": (top, left, bottom, right),
        "xywh": (left, top, wide, high),
        "center_xywh": (x, y, wide, high),
        "center_yxhw": (y, x, high, wide),
    }[form]
