"""Boxes and masks drawn on batches of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kgraph import config
from kgraph.errors import ConfigError, DataError, check_choice
from kgraph.layers.image.bounding_boxes import convert_format
from kgraph.types import ArrayLike

Color = Sequence[int]
"""Red, green and blue, 0 to 255."""


def draw_bounding_boxes(
    images: ArrayLike,
    bounding_boxes: Mapping[str, Any],
    bounding_box_format: str,
    class_mapping: Mapping[int, str] | None = None,
    color: Color = (128, 128, 128),
    line_thickness: int = 2,
    text_thickness: int | None = 1,
    font_scale: float = 1.0,
    data_format: str | None = None,
) -> np.ndarray:
    """Returns images with boxes, and the names of their classes, drawn on them. Needs Pillow.

    Shapes: images `[batch, height, width, channels]` with 1 or 3 channels; uint8 out, in the same
    layout.

    Args:
        images: floats of at most 1 count as 0 to 1, all others as 0 to 255.
        bounding_boxes: `"boxes"` of `[batch, boxes, 4]`, `"labels"` of `[batch, boxes]` (-1 is not
            drawn) and maybe `"confidences"` of `[batch, boxes]`.
        bounding_box_format: as in `utils.bounding_boxes.convert_format`.
        class_mapping: names by label; others have no text.
        color: of lines and text.
        line_thickness, text_thickness: in pixels.
        font_scale: 1 is 12 pixels.
        data_format: by default `config.image_data_format()`.

    Raises:
        DataError: the images or boxes have another form.
        ConfigError: Pillow is not installed.
    """
    pixels = batch_of_images(images, data_format)
    if not isinstance(bounding_boxes, Mapping) or not {"boxes", "labels"} <= set(bounding_boxes):
        raise DataError(
            "Bounding boxes are a dict with 'boxes' and 'labels'",
            received=repr(bounding_boxes)[:200],
        )
    height, width = pixels.shape[1:3]
    boxes = convert_format(bounding_boxes["boxes"], bounding_box_format, "xyxy", height, width)
    labels = np.asarray(bounding_boxes["labels"]).astype(int)
    sure = bounding_boxes.get("confidences")
    names = class_mapping or {}
    pen = _Pen(color, line_thickness, text_thickness or line_thickness, font_scale)
    drawn = []
    for i, image in enumerate(_as_bytes(pixels)):
        texts = [names.get(int(label)) for label in labels[i]]
        if sure is not None:
            marks = np.asarray(sure[i])
            texts = [t if t is None else f"{t} | {mark:.2f}" for t, mark in zip(texts, marks)]
        shown = labels[i] != -1
        corners = np.asarray(boxes[i]).astype(int)
        drawn.append(pen.draw(image, corners[shown], [t for t, s in zip(texts, shown) if s]))
    return in_layout(np.stack(drawn), data_format)


def draw_segmentation_masks(
    images: ArrayLike,
    segmentation_masks: ArrayLike,
    num_classes: int | None = None,
    color_mapping: Mapping[int, Color] | None = None,
    alpha: float = 0.8,
    blend: bool = True,
    ignore_index: int = -1,
    data_format: str | None = None,
) -> np.ndarray:
    """Returns images with the pixels of each class coloured.

    Shapes: images `[batch, height, width, 3]`, masks `[batch, height, width]` or with a last axis
    of 1; uint8 out, in the layout of the images.

    Args:
        images: from 0 to 255.
        segmentation_masks: whole numbers: the class of each pixel.
        num_classes: classes from this number on are not drawn; by default the largest one is not.
        color_mapping: the colour of each class; by default a fixed palette.
        alpha: how much the colour covers the image: 1 wholly.
        blend: False covers wholly in any case.
        ignore_index: pixels of this class stay as they are.
        data_format: by default `config.image_data_format()`.

    Raises:
        DataError: the images or masks have another form.
        ConfigError: `color_mapping` lacks a class.
    """
    pixels = batch_of_images(images, data_format).astype(np.float32)
    masks = np.asarray(segmentation_masks)
    if masks.dtype.kind not in "iu":
        raise DataError("Segmentation masks are whole numbers", received=f"dtype {masks.dtype}")
    if masks.ndim == 4:
        masks = masks[:, 0] if _is_first(data_format) else masks[..., 0]
    if masks.shape != pixels.shape[:3]:
        raise DataError(
            "Segmentation masks need the size of the images",
            expected=pixels.shape[:3],
            received=masks.shape,
        )
    count = int(masks.max()) if num_classes is None else num_classes
    if color_mapping is not None and (
        missing := [i for i in range(count) if i not in color_mapping]
    ):
        raise ConfigError("`color_mapping` lacks a class", expected=missing[0])
    covered = pixels.copy()
    for number in range(count):
        color = _palette(number) if color_mapping is None else color_mapping[number]
        covered[masks == number] = color
    if blend:
        covered = pixels * np.float32(1 - alpha) + covered * np.float32(alpha)
    covered = np.where((masks == ignore_index)[..., None], pixels, covered)
    return in_layout(covered.astype(np.uint8), data_format)


def batch_of_images(images: ArrayLike, data_format: str | None) -> np.ndarray:
    """Returns images as an array `[batch, height, width, channels]`.

    Raises:
        DataError: they have another number of axes.
    """
    array = np.asarray(images)
    if array.ndim != 4:
        raise DataError(
            "Images come in a batch",
            expected="(batch, height, width, channels)",
            received=f"shape {array.shape}",
        )
    return array.transpose(0, 2, 3, 1) if _is_first(data_format) else array


def in_layout(images: np.ndarray, data_format: str | None) -> np.ndarray:
    """Returns images `[batch, height, width, channels]` in the layout of an option."""
    return images.transpose(0, 3, 1, 2) if _is_first(data_format) else images


def _is_first(data_format: str | None) -> bool:
    layout = config.image_data_format() if data_format is None else data_format
    check_choice("images", "data_format", layout, ("channels_last", "channels_first"))
    return layout == "channels_first"


def _as_bytes(images: np.ndarray) -> np.ndarray:
    if images.dtype.kind == "f":
        small = images.size > 0 and images.max() <= 1
        images = np.clip(images * 255 if small else images, 0, 255)
    return images.astype(np.uint8)


def _palette(number: int) -> Color:
    """Returns a colour for a class: the same that Keras gives it."""
    return [number * step % 255 for step in (2**25 - 1, 2**15 - 1, 2**21 - 1)]


class _Pen:
    """Draws boxes and texts on one image."""

    def __init__(self, color: Color, line: int, text: int, scale: float) -> None:
        try:
            from PIL import Image, ImageDraw, ImageFont
        except ImportError as error:
            raise ConfigError(
                "Boxes are drawn with Pillow, which is not installed", hint="pip install pillow"
            ) from error
        self._image, self._draw = Image, ImageDraw.Draw
        self._color, self._line, self._stroke = tuple(color), line, max(text - 1, 0) / 2
        self._size = max(round(12 * scale), 1)
        self._font = ImageFont.load_default(self._size)

    def draw(self, image: np.ndarray, corners: np.ndarray, texts: list[str | None]) -> np.ndarray:
        gray = image.shape[-1] == 1
        canvas = self._image.fromarray(image[..., 0] if gray else image)
        ink: Any = round(sum(self._color) / 3) if gray else self._color
        brush = self._draw(canvas)
        for (left, top, right, bottom), text in zip(corners.tolist(), texts):
            if right < left or bottom < top:
                continue
            brush.rectangle((left, top, right, bottom), outline=ink, width=self._line)
            if text is not None:
                above = top - self._size - 4
                place = (left, above) if above >= 0 else (left + 3, top + self._line + 1)
                brush.text(place, text, fill=ink, font=self._font, stroke_width=self._stroke)
        return np.asarray(canvas).reshape(image.shape)
