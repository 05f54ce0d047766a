"""Images in files and in memory: between Pillow's objects and NumPy arrays."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from kgraph import config
from kgraph.errors import ConfigError, DataError, check_choice
from kgraph.source import warn
from kgraph.types import ArrayLike, DTypeLike, FilePath
from kgraph.writing import write_file

MODES = {"grayscale": ("L", "I;16", "I"), "rgb": ("RGB",), "rgba": ("RGBA",)}
"""Pillow's modes that each colour mode leaves as they are; the first is what others become."""

_FILTERS = ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos")
_LAYOUTS = ("channels_last", "channels_first")


def load_img(
    path: str | bytes | os.PathLike[str] | io.BytesIO,
    color_mode: str = "rgb",
    target_size: tuple[int, int] | None = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> Any:
    """Returns the image in a file as an object of Pillow.

    Args:
        path: the file, or its contents.
        color_mode: `"grayscale"`, `"rgb"` or `"rgba"`. Grayscale images of 16 or 32 bits stay so.
        target_size: height and width to resize to; None leaves the size.
        interpolation: Pillow's filter: `"nearest"`, `"bilinear"`, `"bicubic"`, `"lanczos"`,
            `"box"` or `"hamming"`.
        keep_aspect_ratio: whether to resize the largest part in the middle with the ratio of the
            target, so that nothing is distorted.

    Raises:
        ConfigError: an option has another value.
        DataError: the file is missing or no image.
    """
    check_choice("load_img", "color_mode", color_mode, MODES)
    check_choice("load_img", "interpolation", interpolation, _FILTERS)
    if not isinstance(path, (str, bytes, os.PathLike, io.BytesIO)):
        raise DataError("load_img takes a path or a BytesIO", received=type(path).__name__)
    image = open_image(path)
    if image.mode not in MODES[color_mode]:
        image = image.convert(MODES[color_mode][0])
    if target_size is None or image.size == (target_size[1], target_size[0]):
        return image
    height, width = target_size
    box = None
    if keep_aspect_ratio:
        tall = min(image.height, image.width * height // width)
        wide = min(image.width, image.height * width // height)
        left, top = (image.width - wide) // 2, (image.height - tall) // 2
        box = (left, top, left + wide, top + tall)
    return image.resize((width, height), _pillow().Resampling[interpolation.upper()], box=box)


def open_image(path: FilePath | bytes | io.BytesIO) -> Any:
    """Returns Pillow's image of a file, read to the end.

    Raises:
        DataError: the file is missing or no image.
    """
    pillow = _pillow()
    try:
        with pillow.open(path) as image:
            image.load()
            return image
    except (OSError, ValueError, SyntaxError) as error:  # SyntaxError: a broken PNG
        name = type(path).__name__ if isinstance(path, io.BytesIO) else path
        raise DataError(
            "This image cannot be read", at=name, received=f"{type(error).__name__}: {error}"
        ) from error


def img_to_array(
    img: ArrayLike, data_format: str | None = None, dtype: DTypeLike | None = None
) -> np.ndarray:
    """Returns an image of Pillow as an array.

    Shapes: `[height, width, channels]`, with `"channels_first"` `[channels, height, width]`.

    Args:
        img: the image, or an array of `[height, width]` or `[height, width, channels]`.
        data_format: by default `config.image_data_format()`.
        dtype: by default `config.floatx()`.

    Raises:
        DataError: an array has another number of axes.
    """
    first = data_layout("img_to_array", data_format) == "channels_first"
    array = np.asarray(img, dtype=dtype or config.floatx())
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3:
        raise DataError("img_to_array takes one image", received=f"shape {array.shape}")
    return array.transpose(2, 0, 1) if first else array


def array_to_img(
    x: ArrayLike, data_format: str | None = None, scale: bool = True, dtype: DTypeLike | None = None
) -> Any:
    """Returns an array as an image of Pillow.

    Args:
        x: `[height, width, channels]` (`"channels_first"`: channels first) with 1, 3 or 4 channels.
        data_format: by default `config.image_data_format()`.
        scale: whether the values are spread to 0 ... 255 first.
        dtype: in which that is computed, by default `config.floatx()`.

    Raises:
        DataError: the array has another shape.
    """
    first = data_layout("array_to_img", data_format) == "channels_first"
    array = np.asarray(x, dtype=dtype or config.floatx())
    if array.ndim != 3 or array.shape[0 if first else 2] not in (1, 3, 4):
        raise DataError(
            "array_to_img takes one image",
            expected="(height, width, channels) with 1, 3 or 4 channels",
            received=f"shape {array.shape}",
        )
    if first:
        array = array.transpose(1, 2, 0)
    if scale:
        array = array - np.min(array)
        largest = np.max(array)
        array = (array / largest if largest else array) * 255
    if array.shape[2] > 1:
        return _pillow().fromarray(array.astype("uint8"))
    wide = np.max(array) > 255
    return _pillow().fromarray(array[..., 0].astype("int32" if wide else "uint8"))


def save_img(
    path: FilePath,
    x: ArrayLike,
    data_format: str | None = None,
    file_format: str | None = None,
    scale: bool = True,
    **kwargs: Any,
) -> None:
    """Writes an array as an image file; JPEG, which has no transparency, drops the fourth channel.

    Args:
        path: a path, or an open file (then give `file_format`).
        x, data_format, scale: as in `array_to_img`.
        file_format: by default the ending of the path.
        **kwargs: for Pillow's `save`.

    Raises:
        DataError: the array is no image.
        OSError: the file cannot be written; names the path and the bytes.
    """
    if file_format is None and isinstance(path, (str, os.PathLike)):
        file_format = Path(path).suffix[1:]
    if file_format is not None:
        file_format = "jpeg" if file_format.lower() == "jpg" else file_format.lower()
    image = array_to_img(x, data_format, scale)
    if image.mode == "RGBA" and file_format == "jpeg":
        warn("JPEG has no transparency: the fourth channel is left out")
        image = image.convert("RGB")
    if not isinstance(path, (str, os.PathLike)):
        image.save(path, format=file_format, **kwargs)
        return
    sink = io.BytesIO()
    image.save(sink, format=file_format, **kwargs)
    write_file(path, sink.getvalue())


def data_layout(owner: str, data_format: str | None) -> str:
    """Returns the layout that an option `data_format` stands for."""
    if data_format is None:
        return config.image_data_format()
    check_choice(owner, "data_format", data_format, _LAYOUTS)
    return data_format


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise ConfigError(
            "Images are read and written with Pillow, which is not installed",
            hint="pip install pillow",
        ) from error
    return Image
