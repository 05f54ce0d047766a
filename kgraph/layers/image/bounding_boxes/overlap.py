"""How much boxes overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax.numpy as jnp

from kgraph.config import epsilon
from kgraph.errors import ConfigError, DataError
from kgraph.layers.image.bounding_boxes.formats import convert_format, sides
from kgraph.types import Array, ArrayLike


def compute_iou(
    boxes1: ArrayLike,
    boxes2: ArrayLike,
    bounding_box_format: str,
    use_masking: bool = False,
    mask_val: float = -1,
    image_shape: Sequence[int] | None = None,
) -> Array:
    """Returns the overlap of each box with each other: intersection over union, from 0 to 1.

    Shapes: `[m, 4]` and `[n, 4]` in, `[m, n]` out; with `[batch, ...]` on one or both of them,
    `[batch, m, n]` out.

    Args:
        boxes1, boxes2: the boxes.
        bounding_box_format: as in `convert_format`.
        use_masking: whether boxes of negative numbers alone (which fill up a batch) get `mask_val`.
        mask_val: see there.
        image_shape: height, width and channels; needed for relative formats.

    Raises:
        DataError: boxes have another number of axes.
        ConfigError: `image_shape` is missing.
    """
    first, second = (_corners(b, bounding_box_format, image_shape) for b in (boxes1, boxes2))
    for boxes in (first, second):
        if boxes.ndim not in (2, 3):
            raise DataError(
                "compute_iou takes boxes of (boxes, 4) or (batch, boxes, 4)",
                received=f"shape {boxes.shape}",
            )
    rows, columns = first[..., :, None, :], second[..., None, :, :]
    rank = max(rows.ndim, columns.ndim)
    rows, columns = (
        boxes.reshape((1,) * (rank - boxes.ndim) + boxes.shape) for boxes in (rows, columns)
    )
    shared = _shared(rows, columns)
    overlap = shared / (_area(rows) + _area(columns) - shared + epsilon())
    if not use_masking:
        return overlap
    empty = (rows.max(-1) < 0) | (columns.max(-1) < 0)
    return jnp.where(empty, jnp.asarray(mask_val).astype(overlap.dtype), overlap)


def compute_ciou(
    boxes1: ArrayLike,
    boxes2: ArrayLike,
    bounding_box_format: str,
    image_shape: Sequence[int] | None = None,
) -> Array:
    """Returns the complete intersection over union of pairs of boxes, for losses.

    Beside the overlap it counts the distance of the middles and the difference in shape.

    Shapes: `[..., 4]` twice in, `[...]` out.

    Args:
        boxes1, boxes2: the boxes.
        bounding_box_format: as in `convert_format`.
        image_shape: height, width and channels; needed for relative formats.

    Source: Zheng et al., "Distance-IoU loss", arXiv:1911.08287, equations 8 to 11.
    """
    first, second = (_corners(b, bounding_box_format, image_shape) for b in (boxes1, boxes2))
    tiny = epsilon()
    size1, size2 = (boxes[..., 2:] - boxes[..., :2] for boxes in (first, second))
    wide1, wide2, high1, high2 = size1[..., 0], size2[..., 0], size1[..., 1], size2[..., 1]
    high1, high2 = high1 + tiny, high2 + tiny
    shared = _shared(first, second)
    overlap = shared / (wide1 * high1 + wide2 * high2 - shared + 2 * tiny)
    around = jnp.maximum(first[..., 2:], second[..., 2:]) - jnp.minimum(
        first[..., :2], second[..., :2]
    )
    diagonal = (around**2).sum(-1) + tiny
    middles = (first[..., :2] + first[..., 2:] - second[..., :2] - second[..., 2:]) / 2
    shape = 4 / math.pi**2 * (jnp.arctan(wide2 / high2) - jnp.arctan(wide1 / high1)) ** 2
    weight = shape / (shape - overlap + (1 + tiny))
    return overlap - (middles**2).sum(-1) / diagonal - shape * weight


def _corners(boxes: ArrayLike, form: str, image_shape: Sequence[int] | None) -> Array:
    if form.lower().startswith("rel_") and image_shape is None:
        raise ConfigError(f"{form!r} takes the size of the image", expected="image_shape")
    height, width = (None, None) if image_shape is None else image_shape[:2]
    return convert_format(boxes, form, "xyxy", height, width)


def _area(boxes: Array) -> Array:
    left, top, right, bottom = sides(boxes)
    return (right - left) * (bottom - top)


def _shared(first: Array, second: Array) -> Array:
    """Returns the area that boxes share, axis by axis."""
    start = jnp.maximum(first[..., :2], second[..., :2])
    stop = jnp.minimum(first[..., 2:], second[..., 2:])
    return jnp.maximum(stop - start, 0).prod(-1)
