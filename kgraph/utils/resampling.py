"""Resizing of images on the host. (On the device each size of a file would be compiled for.)"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from kgraph.types import Shape


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(0, 1 - x)


def _cubic(x: np.ndarray) -> np.ndarray:
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x >= 2, 0, np.where(x >= 1, far, near))


def _lanczos(x: np.ndarray, radius: int) -> np.ndarray:
    return np.where(x < radius, np.sinc(x) * np.sinc(x / radius), 0)


_KERNELS: dict[str, tuple[int, Callable[[np.ndarray], np.ndarray]]] = {
    "bilinear": (1, _triangle),
    "bicubic": (2, _cubic),
    "lanczos3": (3, functools.partial(_lanczos, radius=3)),
    "lanczos5": (5, functools.partial(_lanczos, radius=5)),
}
"""How far each method reaches, and the weight at a distance, in pixels of the input."""

METHODS = ("nearest", *_KERNELS)


def resized(
    image: np.ndarray, size: tuple[int, int], method: str = "bilinear", axis: int = -3
) -> np.ndarray:
    """Returns an image in another size, as float32: pixels at half places, no antialiasing.

    Args:
        image: of any shape; integers and floats.
        size: height and width.
        method: `"nearest"`, `"bilinear"`, `"bicubic"`, `"lanczos3"` or `"lanczos5"`.
        axis: of the height, counted from the end; that of the width is the next one.
    """
    image = image.astype(np.float32)
    for place, length in zip((axis, axis + 1), size):
        image = _along(image, place, length, method)
    return image


def cropped(image: np.ndarray, target: tuple[int, int], axis: int = -3) -> np.ndarray:
    """Returns the largest window in the middle that has the target's ratio of width to height."""
    wanted = _with_ratio(image.shape, target, axis)
    for place, length in zip((axis, axis + 1), wanted):
        kept = max(min(image.shape[place], length), 1)
        start = (image.shape[place] - kept) // 2
        image = np.take(image, np.arange(start, start + kept), place)
    return image


def padded(image: np.ndarray, target: tuple[int, int], axis: int = -3) -> np.ndarray:
    """Returns the image with borders of zeros that give it the target's ratio."""
    borders = [(0, 0)] * image.ndim
    for place, length in zip((axis, axis + 1), _with_ratio(image.shape, target, axis)):
        borders[place] = ((max(image.shape[place], length) - image.shape[place]) // 2,) * 2
    return np.pad(image, borders)


def _with_ratio(shape: Shape, target: tuple[int, int], axis: int) -> tuple[int, int]:
    """Returns the height that fits to the width of a shape, and the width to its height."""
    height, width = shape[axis], shape[axis + 1]
    assert height is not None
    assert width is not None
    return width * target[0] // target[1], height * target[1] // target[0]


def _along(image: np.ndarray, axis: int, length: int, method: str) -> np.ndarray:
    old = image.shape[axis]
    if old == length:
        return image
    if method == "nearest":
        return np.take(image, ((np.arange(length) + 0.5) * old / length).astype(int), axis)
    places, weights = _taps(old, length, method)
    shape = [1] * image.ndim
    shape[axis] = length
    parts = (np.take(image, p, axis) * w.reshape(shape) for p, w in zip(places, weights))
    return functools.reduce(np.add, parts)


@functools.lru_cache(256)
def _taps(old: int, new: int, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns which pixels each new pixel is made of, and their weights: both `[taps, new]`."""
    reach, kernel = _KERNELS[method]
    centres = (np.arange(new) + 0.5) * old / new - 0.5
    places = np.floor(centres).astype(int) + np.arange(1 - reach, reach + 1)[:, None]
    weights = kernel(np.abs(centres - places))
    weights = np.where((places >= 0) & (places < old), weights, 0)
    weights = weights / weights.sum(0)
    return np.clip(places, 0, old - 1), weights.astype(np.float32)
