"""What happens to boxes when their image is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from kgraph.errors import ConfigError, check_choice
from kgraph.layers.image.bounding_boxes.formats import as_boxes, sides
from kgraph.types import Array, ArrayLike


def clip_to_image_size(
    bounding_boxes: Mapping[str, Any],
    height: ArrayLike | None = None,
    width: ArrayLike | None = None,
    bounding_box_format: str = "xyxy",
) -> Any:
    """Returns boxes cut off at the borders of the image; those with nothing left are labelled -1.

    Args:
        bounding_boxes: a dict with `"boxes"`, and maybe `"labels"` of `[boxes]` or
            `[batch, boxes]`; other entries stay.
        height, width: of the image; not needed for `"rel_xyxy"`.
        bounding_box_format: `"xyxy"` or `"rel_xyxy"`.

    Raises:
        ConfigError: another format, or the size of the image is missing.
    """
    relative = bounding_box_format == "rel_xyxy"
    owner = "clip_to_image_size"
    check_choice(owner, "bounding_box_format", bounding_box_format, ("xyxy", "rel_xyxy"))
    if not relative and (height is None or width is None):
        raise ConfigError(f"{owner} needs height and width of the image")
    boxes = as_boxes(bounding_boxes["boxes"])
    clipped = _clipped(boxes, 1 if relative else height, 1 if relative else width)
    result = {**bounding_boxes, "boxes": clipped}
    if bounding_boxes.get("labels") is not None:
        left, top, right, bottom = sides(clipped)
        labels = jnp.asarray(bounding_boxes["labels"])
        there = (right - left) * (bottom - top) > 0
        result["labels"] = jnp.where(there, labels, jnp.asarray(-1).astype(labels.dtype))
    return result


def crop(
    boxes: ArrayLike,
    top: float | Array,
    left: float | Array,
    height: ArrayLike,
    width: ArrayLike,
    bounding_box_format: str = "xyxy",
) -> Array:
    """Returns the boxes of an image of which a window is cut out.

    Args:
        boxes: `[..., 4]`, left, top, right and bottom.
        top, left, height, width: of the window.
        bounding_box_format: `"xyxy"`.
    """
    return _clipped(_moved("crop", boxes, -left, -top, bounding_box_format), height, width)


def pad(
    boxes: ArrayLike,
    top: float | Array,
    left: float | Array,
    height: ArrayLike | None = None,
    width: ArrayLike | None = None,
    bounding_box_format: str = "xyxy",
) -> Array:
    """Returns the boxes of an image that has got borders.

    Args:
        boxes: `[..., 4]`, left, top, right and bottom.
        top, left: widths of the borders there; those of the other sides change no box.
        height, width: not needed; here as in Keras.
        bounding_box_format: `"xyxy"`.
    """
    return _moved("pad", boxes, left, top, bounding_box_format)


def affine_transform(
    boxes: ArrayLike,
    angle: ArrayLike,
    translate_x: ArrayLike,
    translate_y: ArrayLike,
    scale: ArrayLike,
    shear_x: ArrayLike,
    shear_y: ArrayLike,
    height: ArrayLike,
    width: ArrayLike,
    center_x: ArrayLike | None = None,
    center_y: ArrayLike | None = None,
    bounding_box_format: str = "xyxy",
) -> Array:
    """Returns the smallest upright boxes around turned, moved, scaled and sheared ones.

    Shapes: boxes `[batch, boxes, 4]`; each other argument is a number, or `[batch]`.

    Args:
        boxes: left, top, right and bottom.
        angle: of the rotation, in degrees.
        translate_x, translate_y: in parts of the width and the height.
        scale: 2 is twice as large.
        shear_x, shear_y: in degrees.
        height, width: of the image.
        center_x, center_y: the point that stays, in parts of the image; its middle by default.
        bounding_box_format: `"xyxy"`.

    Source: the matrix with which torchvision warps images.
    """
    check_choice("affine_transform", "bounding_box_format", bounding_box_format, ("xyxy",))
    boxes = as_boxes(boxes, "float32")

    def per_image(value: object) -> Array:
        return jnp.broadcast_to(jnp.asarray(value).astype(boxes.dtype), boxes.shape[:1])

    wide, high = (per_image(size) - 1 for size in (width, height))
    turn, shear_x, shear_y = (-jnp.deg2rad(per_image(a)) for a in (angle, shear_x, shear_y))
    middle_x = per_image(0.5 if center_x is None else center_x) * wide
    middle_y = per_image(0.5 if center_y is None else center_y) * high
    from_x = middle_x - per_image(translate_x) * wide
    from_y = middle_y - per_image(translate_y) * high
    a = jnp.cos(turn - shear_y) / jnp.cos(shear_y)
    b = a * jnp.tan(shear_x) + jnp.sin(turn)
    c = -jnp.sin(turn - shear_y) / jnp.cos(shear_y)
    d = jnp.cos(turn) - c * jnp.tan(shear_x)
    size = per_image(scale)
    linear = jnp.stack([d, -b, -c, a], -1).reshape(-1, 2, 2) * size[:, None, None]
    moved = jnp.stack([middle_x, middle_y], -1) - jnp.einsum(
        "bij,bj->bi", linear, jnp.stack([from_x, from_y], -1)
    )
    left, top, right, bottom = sides(boxes)
    corners = jnp.stack([left, top, right, top, right, bottom, left, bottom], -1)
    corners = corners.reshape(*boxes.shape[:-1], 4, 2)
    placed = jnp.einsum("bnci,bji->bncj", corners, linear) + moved[:, None, None, :]
    return jnp.concatenate([placed.min(-2), placed.max(-2)], -1)


def _moved(owner: str, boxes: ArrayLike, x: ArrayLike, y: ArrayLike, form: str) -> Array:
    check_choice(owner, "bounding_box_format", form, ("xyxy",))
    boxes = as_boxes(boxes)
    x, y = (jnp.asarray(step).astype(boxes.dtype) for step in (x, y))
    left, top, right, bottom = sides(boxes)
    return jnp.stack([left + x, top + y, right + x, bottom + y], -1)


def _clipped(boxes: Array, height: ArrayLike | None, width: ArrayLike | None) -> Array:
    high, wide = (jnp.asarray(size).astype(boxes.dtype) for size in (height, width))
    zero = jnp.zeros((), boxes.dtype)
    left, top, right, bottom = sides(boxes)
    pairs = ((left, wide), (top, high), (right, wide), (bottom, high))
    return jnp.stack([jnp.clip(side, zero, most) for side, most in pairs], -1)
