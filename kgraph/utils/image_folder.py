"""Images from a folder."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from kgraph.errors import ConfigError, check_choice
from kgraph.utils.file_dataset import datasets_of
from kgraph.utils.images import data_layout, load_img
from kgraph.utils.indexing import choose
from kgraph.utils.resampling import METHODS, cropped, padded, resized
from kgraph.utils.tensorflow_data import check_format, in_format

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png")


def image_dataset_from_directory(
    directory: str | os.PathLike[str],
    labels: str | Sequence[int] | None = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    color_mode: str = "rgb",
    batch_size: int | None = 32,
    image_size: int | tuple[int, int] = (256, 256),
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    interpolation: str = "bilinear",
    follow_links: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    data_format: str | None = None,
    format: str | None = None,
    verbose: bool = True,
) -> Any:
    """Returns a dataset of the images in a folder, for `fit`, `evaluate` and `predict`.

    Batches are `(images, labels)`, or images alone. Files are read by threads when their batch is
    near; nothing is kept. Needs Pillow.

    Shapes: images `[batch, height, width, channels]` float32, 0 to 255. Labels: `[batch]` int32
    for `"int"`, `[batch, 1]` float32 for `"binary"`, `[batch, classes]` float32 for
    `"categorical"`.

    Args:
        directory: with a subfolder for each class, if labels are inferred. Files may be deeper.
        labels: `"inferred"`, a list of numbers in the order of the sorted paths, or None.
        label_mode: `"int"`, `"categorical"`, `"binary"` (for two classes) or None.
        class_names: the subfolders to use, in the order of their numbers; by default all, sorted.
        color_mode: `"grayscale"`, `"rgb"` or `"rgba"`: 1, 3 or 4 channels.
        batch_size: images per batch; None gives single images.
        image_size: height and width to which all are resized.
        shuffle: whether files are mixed, anew for each epoch.
        seed: of the shuffling and splitting; by default from `set_random_seed`'s stream.
        validation_split: part of the files that is for validation.
        subset: `"training"`, `"validation"`, or `"both"` for a list of two datasets.
        interpolation: `"bilinear"`, `"nearest"`, `"bicubic"`, `"lanczos3"` or `"lanczos5"`.
        follow_links: whether folders behind symbolic links are searched.
        crop_to_aspect_ratio: cut out the largest window of the right ratio before resizing.
        pad_to_aspect_ratio: add borders of zeros before resizing, to the same end.
        data_format: by default `config.image_data_format()`.
        format: "tf" for a `tf.data.Dataset`, by TensorFlow; None or "grain" for one of our own,
            in the middle of which training goes on.
        verbose: whether to print how many files were found.

    Returns:
        A dataset with `class_names`, `file_paths`, a length (in batches), and the methods of
        tf.data (`map`, `filter`, `take`, `shuffle`, `cache`, ...), which grain runs.

    Raises:
        ConfigError: an option has another value, or options do not fit each other.
        DataError: there are no files; or, when a batch is asked for, one is no image.
    """
    owner = "image_dataset_from_directory"
    check_format(owner, format)
    check_choice(owner, "color_mode", color_mode, ("grayscale", "rgb", "rgba"))
    check_choice(owner, "interpolation", interpolation, METHODS)
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ConfigError(f"{owner} cannot both crop and pad to the aspect ratio")
    read = functools.partial(
        _read,
        color_mode=color_mode,
        size=_size(image_size),
        method=interpolation,
        fit=cropped if crop_to_aspect_ratio else padded if pad_to_aspect_ratio else None,
        channels_first=data_layout(owner, data_format) == "channels_first",
    )
    choice = choose(
        owner, directory, labels, label_mode, class_names, shuffle, seed, validation_split,
        subset, follow_links, verbose,
    )  # fmt: skip
    return in_format(owner, format, datasets_of(choice, ENDINGS, read, np.stack, batch_size))


def _read(
    path: str, color_mode: str, size: tuple[int, int], method: str, fit: Any, channels_first: bool
) -> np.ndarray:
    image = np.asarray(load_img(path, color_mode))
    image = image[..., None] if image.ndim == 2 else image
    image = resized(image if fit is None else fit(image, size), size, method)
    return np.ascontiguousarray(image.transpose(2, 0, 1)) if channels_first else image


def _size(image_size: Any) -> tuple[int, int]:
    pair = (image_size,) * 2 if isinstance(image_size, int) else image_size
    if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not all(n > 0 for n in pair):
        raise ConfigError(
            "`image_size` is a height and a width", expected="two numbers above 0",
            received=repr(image_size),
        )  # fmt: skip
    return tuple(pair)  # type: ignore[return-value]
