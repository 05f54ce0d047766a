"""Many images in one picture, drawn by matplotlib."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kgraph.errors import ConfigError
from kgraph.types import ArrayLike, FilePath
from kgraph.visualization.annotations import (
    Color,
    batch_of_images,
    draw_bounding_boxes,
    draw_segmentation_masks,
)
from kgraph.visualization.figures import pyplot, write_figure

_LAST = "channels_last"


def plot_image_gallery(
    images: Any,
    y_true: ArrayLike | None = None,
    y_pred: ArrayLike | None = None,
    label_map: Mapping[int, str] | None = None,
    rows: int | None = None,
    cols: int | None = None,
    value_range: tuple[float, float] = (0, 255),
    scale: float = 2,
    path: FilePath | None = None,
    show: bool | None = None,
    transparent: bool = True,
    dpi: int = 60,
    legend_handles: Sequence[Any] | None = None,
    data_format: str | None = None,
) -> None:
    """Shows a batch of images in rows and columns, or writes that to a file. Needs matplotlib.

    Args:
        images: `[batch, height, width, channels]`.
        y_true, y_pred: class numbers, `[batch]`, whose names stand above the images.
        label_map: names of classes by number.
        rows, cols: by default about as many of both as all images need.
        value_range: the values of black and white.
        scale: size of an image in inches.
        path: the file to write; None shows the picture.
        show: whether to show it; not together with `path`.
        transparent, dpi: of the file.
        legend_handles: matplotlib's handles for a legend.
        data_format: by default `config.image_data_format()`.

    Raises:
        ConfigError: options do not fit each other, or matplotlib is not installed.
        DataError: the images are not a batch.
    """
    if path is not None and show:
        raise ConfigError("A gallery is written to `path` or shown, not both")
    if label_map is None and (y_true is not None or y_pred is not None):
        raise ConfigError("Labels above the images need their names", expected="label_map")
    pixels = _as_bytes(images, value_range, data_format)
    plt = pyplot()
    rows = rows or math.ceil(math.sqrt(len(pixels)) if cols is None else len(pixels) / cols)
    cols = cols or math.ceil(len(pixels) / rows)
    figure, axes = plt.subplots(
        nrows=rows, ncols=cols, figsize=(cols * scale, rows * scale), frameon=False,
        layout="tight", squeeze=False, sharex="row", sharey="col",
    )  # fmt: skip
    figure.subplots_adjust(wspace=0, hspace=0)
    if legend_handles is not None:
        figure.legend(handles=legend_handles, loc="lower center")
    for index, axis in enumerate(axes.flat):
        axis.axis("off")
        if index < len(pixels):
            axis.imshow(pixels[index].squeeze(-1) if pixels.shape[-1] == 1 else pixels[index],
                        cmap="gray", vmin=0, vmax=255)  # fmt: skip
            axis.margins(x=0, y=0)
            if title := _title(index, label_map or {}, y_true, y_pred):
                axis.set_title(title, fontsize=8)
    if path is None and (show is None or show):
        plt.show()
    plt.close(figure)
    if path is not None:
        look = {"pad_inches": 0, "bbox_inches": "tight", "transparent": transparent, "dpi": dpi}
        write_figure(figure, path, **look)


def plot_bounding_box_gallery(
    images: Any,
    bounding_box_format: str,
    y_true: Mapping[str, Any] | None = None,
    y_pred: Mapping[str, Any] | None = None,
    value_range: tuple[float, float] = (0, 255),
    true_color: Color = (0, 188, 212),
    pred_color: Color = (255, 235, 59),
    line_thickness: int = 2,
    font_scale: float = 1.0,
    text_thickness: int | None = None,
    class_mapping: Mapping[int, str] | None = None,
    ground_truth_mapping: Mapping[int, str] | None = None,
    prediction_mapping: Mapping[int, str] | None = None,
    legend: bool = False,
    legend_handles: Sequence[Any] | None = None,
    rows: int | None = None,
    cols: int | None = None,
    data_format: str | None = None,
    **kwargs: Any,
) -> None:
    """Shows images with true and predicted boxes, or writes that to a file.

    Args:
        images, value_range, rows, cols, data_format, **kwargs: as for `plot_image_gallery`.
        bounding_box_format, line_thickness, font_scale, text_thickness: as for
            `draw_bounding_boxes`.
        y_true, y_pred: boxes as for `draw_bounding_boxes`.
        true_color, pred_color: their colours.
        class_mapping: names of classes by label.
        ground_truth_mapping, prediction_mapping: the same for one of both.
        legend: whether a legend says which colour is which.
        legend_handles: handles of your own for it.

    Raises:
        ConfigError: options do not fit each other, or a package is not installed.
        DataError: images or boxes have another form.
    """
    if legend and legend_handles:
        raise ConfigError("A gallery takes `legend` or `legend_handles`, not both")
    pixels = _as_bytes(images, value_range, data_format)
    for boxes, color, names in (
        (y_true, true_color, ground_truth_mapping or class_mapping),
        (y_pred, pred_color, prediction_mapping or class_mapping),
    ):
        if boxes is not None:
            pixels = draw_bounding_boxes(
                pixels, boxes, bounding_box_format, names, color, line_thickness, text_thickness,
                font_scale, _LAST,
            )  # fmt: skip
    if legend:
        legend_handles = [_patch(true_color, "Ground Truth"), _patch(pred_color, "Prediction")]
    plot_image_gallery(
        pixels, rows=rows, cols=cols, legend_handles=legend_handles, data_format=_LAST, **kwargs
    )


def plot_segmentation_mask_gallery(
    images: Any,
    num_classes: int,
    value_range: tuple[float, float] = (0, 255),
    y_true: ArrayLike | None = None,
    y_pred: ArrayLike | None = None,
    color_mapping: Mapping[int, Color] | None = None,
    blend: bool = True,
    alpha: float = 0.8,
    ignore_index: int = -1,
    data_format: str | None = None,
    **kwargs: Any,
) -> None:
    """Shows each image beside itself with its true and its predicted mask, or writes it to a file.

    Args:
        images, value_range, data_format, **kwargs: as for `plot_image_gallery`.
        num_classes, color_mapping, blend, alpha, ignore_index: as for `draw_segmentation_masks`.
        y_true, y_pred: masks.

    Raises:
        ConfigError: options do not fit each other, or matplotlib is not installed.
        DataError: images or masks have another form.
    """
    pixels = _as_bytes(images, value_range, data_format)
    columns = [pixels]
    for masks in (y_true, y_pred):
        if masks is not None:
            masks = np.asarray(masks).astype(np.int32)
            masks = batch_of_images(masks, data_format) if masks.ndim == 4 else masks
            columns.append(
                draw_segmentation_masks(
                    pixels, masks, num_classes, color_mapping, alpha, blend, ignore_index, _LAST
                )
            )
    together = np.stack(columns, 1).reshape(-1, *pixels.shape[1:])
    size = {"rows": len(pixels), "cols": len(columns)}
    plot_image_gallery(together, data_format=_LAST, **size, **kwargs)


def _as_bytes(images: Any, value_range: tuple[float, float], data_format: str | None) -> np.ndarray:
    """Returns images `[batch, height, width, channels]` from 0 to 255."""
    low, high = value_range
    pixels = batch_of_images(images, data_format).astype(np.float32)
    return np.clip((pixels - low) * (255 / (high - low)), 0, 255).astype(np.uint8)


def _title(index: int, names: Mapping[int, str], y_true: Any, y_pred: Any) -> str:
    pairs = (("Label", y_true), ("Pred", y_pred))
    shown = [(word, labels[index]) for word, labels in pairs if labels is not None]
    return "  ".join(f"{word}: {names.get(int(label), 'Unknown')}" for word, label in shown)


def _patch(color: Color, label: str) -> Any:
    pyplot()
    from matplotlib.patches import Patch

    red, green, blue = (part / 255 for part in color)
    return Patch(color=(red, green, blue), label=label)
